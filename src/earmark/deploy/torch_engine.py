"""Scoring with PyTorch: the front end of training, then the network of a checkpoint."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from earmark.deploy.info import DeployError, ExpectedScore, ModelInfo
from earmark.features.log_mel import log_mel_image
from earmark.features.windows import cut_windows
from earmark.training.checkpoint import CheckpointMetadata, checkpoint_of, load_checkpoint

BATCH = 64
"""Windows per forward pass, as in training's scoring."""


class SplitNetwork(nn.Module):
    """A network that also returns its embedding: what its last linear layer takes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.body = copy.deepcopy(model)
        self.output = self.body.get_submodule(model.output)
        self.body.set_submodule(model.output, nn.Identity())
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K) and embedding (B, D) of images (B, 1, F, T) in [0, 1]."""
        embedding = self.body(image)
        return self.output(embedding), embedding


class TorchEngine:
    """Logits and embeddings of waveforms. Nothing is changed by scoring, so that threads can share it."""

    max_seconds: float | None = None

    def __init__(self, network: SplitNetwork, info: ModelInfo, device: torch.device) -> None:
        self.info, self._device = info, device
        self._network = network.to(device).eval()

    def score(self, waveforms_BN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits (B, K) and embeddings (B, D), float32: means over the windows that cover each waveform."""
        windows = [cut_windows(log_mel_image(w, self.info.front_end), self.info.window_frames) for w in waveforms_BN]
        scores = self._forward(np.concatenate(windows))
        n_clips, n_windows = len(windows), len(windows[0])
        logits, embedding = (s.view(n_clips, n_windows, -1).mean(dim=1).numpy() for s in scores)
        return logits, embedding

    @torch.inference_mode()
    def _forward(self, windows_BFT: np.ndarray) -> list[Tensor]:
        outputs = []
        for batch in torch.from_numpy(windows_BFT).unsqueeze(1).split(BATCH):
            images = batch.to(self._device).float().div_(255)
            outputs.append([output.float().cpu() for output in self._network(images)])
        return [torch.cat(parts) for parts in zip(*outputs, strict=True)]


def load_torch(path: Path, device: str = "cpu") -> TorchEngine:
    """The network of a checkpoint or run folder.

    Raises:
        CheckpointError: no checkpoint there, or its weights do not fit the network it names.
        DeployError: the model was trained on images whose front end is not known.
    """
    network, info = load_split(path)
    return TorchEngine(network, info, torch.device(device))


def load_split(path: Path) -> tuple[SplitNetwork, ModelInfo]:
    """The network of a checkpoint with its embedding, and its description."""
    file = checkpoint_of(path)
    model, metadata = load_checkpoint(file)
    if not isinstance(getattr(model, "output", None), str):
        raise DeployError(f"{path}: {metadata.model.name} names no last layer, so it has no embedding")
    return SplitNetwork(model), describe_checkpoint(file, metadata)


def describe_checkpoint(file: Path, metadata: CheckpointMetadata) -> ModelInfo:
    """What a checkpoint says of itself, and what its run folder says of its score."""
    if metadata.front_end is None:
        raise DeployError(
            f"{file}: was trained on ready-made images that do not say how they were computed from audio, so it cannot "
            "take audio; train on a store made by `earmark spectrograms`"
        )
    attention = "" if metadata.model.attention == "none" else f"+{metadata.model.attention}"
    return ModelInfo(
        class_names=metadata.class_names,
        front_end=metadata.front_end,
        window_frames=metadata.window_frames,
        architecture=metadata.model.name + attention,
        run_id=metadata.run_id,
        checksum=hashlib.sha256(file.read_bytes()).hexdigest(),
        expected_score=_score_of(file.parent / "result.json"),
    )


def _score_of(result: Path) -> ExpectedScore | None:
    """The score that a finished run reports, if the file is one's."""
    if not result.is_file():
        return None
    content = json.loads(result.read_text(encoding="utf-8"))
    subset = content.get("reported_subset") or content.get("reported_part")
    source = f"the {subset} clips of fold {content['fold']}, which this network was not trained on"
    return ExpectedScore("accuracy", content["metrics"]["accuracy"], content["n_clips"], source=source)
