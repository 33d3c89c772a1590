"""Scoring with PyTorch: the front end of training, then the network of a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor, nn

from earmark.deploy.info import DeployError, ExpectedScore, ModelInfo, check_front_end, check_version, info_from_json
from earmark.deploy.remote import local_path
from earmark.deploy.scores import Scores, score_windows
from earmark.deploy.unknown import References
from earmark.models.custom import CustomNetwork
from earmark.models.network import Network, average_over_shifts
from earmark.runtime.files import digest, file_digest
from earmark.runtime.schema import SchemaError, check_schema, read_json
from earmark.training.checkpoint import CheckpointMetadata, load_checkpoint
from earmark.training.checkpoint_files import checkpoint_of
from earmark.training.devices import exact_float32, select_device, without_autocast

MODEL_FILE = "model.json"
"""What makes a folder a model folder."""
REFERENCES_FILE = "references.safetensors"
"""What its embeddings are compared with."""
SAME_LOGITS = 1e-4
"""Largest difference of equal logits, relative to the largest of them."""
BATCH = 16
"""Windows per forward pass. On a processor more of them take more memory and no less time."""


class SplitNetwork(nn.Module):
    """A network that also returns its embedding: what its last linear layer takes, averaged over time shifts."""

    def __init__(self, model: Network, n_shifts: int = 1) -> None:
        super().__init__()
        self.n_shifts = n_shifts
        self.body = copy.deepcopy(model)
        self.output = self.body.get_submodule(model.output)
        self.body.set_submodule(model.output, nn.Identity())
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K) and embedding (B, D) of images (B, 1, F, T) in [0, 1]."""
        embedding = average_over_shifts(self.body, image, self.n_shifts)
        return self.output(embedding), embedding


@torch.no_grad()
def split_network(model: Network, metadata: CheckpointMetadata) -> SplitNetwork:
    """The network of a checkpoint with its embedding, once your own network has been seen to give the same logits.

    A factor after the last layer that is 1 at first passes the checks before training.

    Raises:
        DeployError: the layer that your network names is not its last one.
    """
    split = SplitNetwork(model, metadata.n_shifts)
    if isinstance(model, CustomNetwork):
        images = torch.rand(2, 1, metadata.n_mels, metadata.window_frames, generator=torch.Generator().manual_seed(0))
        trained, logits = average_over_shifts(model.eval(), images, metadata.n_shifts), split(images)[0]
        if float((logits - trained).abs().max() / trained.abs().max().clamp(min=1)) > SAME_LOGITS:
            raise DeployError(
                f"run {metadata.run_id}: {metadata.model.name} does something after output_layer = "
                f"{model.output.removeprefix('module.')!r}, so it would answer otherwise than it was scored; remove "
                "output_layer, and train again"
            )
    return split


class EnsembleNetwork(nn.Module):
    """An ensemble: the mean of the logits of several networks, and their concatenated embeddings."""

    def __init__(self, members: Sequence[SplitNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K) and embeddings (B, M D) of images (B, 1, F, T) in [0, 1]."""
        outputs = [member(image) for member in self.members]
        logits = torch.stack([logits for logits, _ in outputs]).mean(dim=0)
        return logits, torch.cat([embedding for _, embedding in outputs], dim=1)


class TorchEngine:
    """Scores of waveforms. Nothing is changed by scoring, so that threads can share it."""

    max_seconds: float | None = None

    def __init__(self, loaded: LoadedModel, device: torch.device) -> None:
        self.info, self._references, self._device = loaded.info, loaded.references, device
        self._network = loaded.network.to(device).to(memory_format=torch.channels_last).eval()  # as in training

    def score(self, waveforms: Sequence[np.ndarray]) -> Scores:
        """Means over the windows that cover each float32 waveform (N,) at the model's rate."""
        return score_windows(waveforms, self.info, self._references, self.infer_windows)

    @torch.inference_mode()
    def infer_windows(self, windows_BFT: np.ndarray) -> list[np.ndarray]:
        """Logits and embeddings, as `earmark.training.loop.infer` computes them: a model answers as it was scored."""
        outputs = []
        for batch in torch.from_numpy(windows_BFT).unsqueeze(1).split(BATCH):
            images = batch.to(self._device).float().div_(255)
            with exact_float32, without_autocast(self._device):
                outputs.append([output.float().cpu() for output in self._network(images)])
        return [torch.cat(parts).numpy() for parts in zip(*outputs, strict=True)]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network with its embedding, its description and its references."""

    network: SplitNetwork | EnsembleNetwork
    info: ModelInfo
    references: References | None = None
    """None without an unknown score."""


def load_torch(path: Path, device: str = "cpu") -> TorchEngine:
    """The network of a checkpoint, run folder or model folder.

    Raises:
        CheckpointError: no checkpoint there, or its weights do not fit the network it names.
        DeployError: the model was trained on images whose front end is not known.
    """
    return TorchEngine(load_networks(path), select_device(device))


def load_networks(path: Path) -> LoadedModel:
    """The network or networks of a checkpoint, a run folder or a model folder.

    Raises:
        CheckpointError, DeployError: as `load_torch`.
    """
    path = local_path(path)
    if (path / MODEL_FILE).is_file():
        return _load_model_folder(path)
    file = checkpoint_of(path)
    model, metadata = load_checkpoint(file)
    if not isinstance(getattr(model, "output", None), str):
        raise DeployError(f"{path}: {metadata.model.name} names no last layer, so it has no embedding")
    return LoadedModel(split_network(model, metadata), describe_checkpoint(file, metadata))


def _load_model_folder(folder: Path) -> LoadedModel:
    """The networks of a model folder, which `earmark finalize` wrote."""
    file = folder / MODEL_FILE
    info, names, digests = _read_model_file(file)
    try:
        references = None if info.unknown is None else _load_references(folder / REFERENCES_FILE)
    except (OSError, SafetensorError, KeyError) as error:
        raise _damaged(file, error) from None
    members = [load_checkpoint(folder / name) for name in names]
    for name, (_, metadata) in zip(names, members, strict=True):
        check_front_end(metadata.front_end_version, str(folder / name))
    if digests and digests != [file_digest(folder / name) for name in names]:
        raise DeployError(f"{file}: the networks beside it are not those that it describes; finalize the suite again")
    if not members or any(len(metadata.class_names) != len(info.class_names) for _, metadata in members):
        raise DeployError(f"{file}: its networks are not of its {len(info.class_names)} classes; finalize again")
    if references is not None and not references.belongs_to(len(members)):
        raise DeployError(f"{folder / REFERENCES_FILE}: does not belong to {file}; finalize the suite again")
    networks = [split_network(model, metadata) for model, metadata in members]
    return LoadedModel(EnsembleNetwork(networks), info, references)


def model_files(folder: Path) -> list[Path]:
    """The files that a model folder consists of, without what an earlier model has left there.

    Raises:
        DeployError: its description is damaged.
    """
    info, names, _ = _read_model_file(folder / MODEL_FILE)
    return [folder / name for name in (MODEL_FILE, *names, *([REFERENCES_FILE] if info.unknown else []))]


def _read_model_file(file: Path) -> tuple[ModelInfo, list[str], list[str]]:
    """The description of a model folder, and names and digests of the files of its networks; an older one has none."""
    try:
        content = read_json(file, {"format_version": int})
        check_version(content["format_version"], str(file))
        check_schema(content, {"info": str, "members": [str], "digests?": [str]}, file.name)
        names = [Path(name).name for name in content["members"]]
        return info_from_json(content["info"], str(file)), names, content.get("digests", [])
    except SchemaError as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: Exception) -> DeployError:
    return DeployError(f"{file}: is damaged ({error}); finalize the suite again")


def _load_references(file: Path) -> References:
    stored = load_file(file)
    return References(stored["vectors"], stored["scales"])


def describe_checkpoint(file: Path, metadata: CheckpointMetadata) -> ModelInfo:
    """What a checkpoint says of itself, and what its run folder says of its score."""
    if metadata.front_end is None:
        raise DeployError(
            f"{file}: was trained on ready-made images that do not say how they were computed from audio, so it cannot "
            "take audio; train on a store made by `earmark spectrograms`"
        )
    check_front_end(metadata.front_end_version, str(file))
    attention = "" if metadata.model.attention == "none" else f"+{metadata.model.attention}"
    shifts = "" if metadata.n_shifts == 1 else f" (mean over {metadata.n_shifts} time shifts)"
    return ModelInfo(
        class_names=metadata.class_names,
        front_end=metadata.front_end,
        window_frames=metadata.window_frames,
        architecture=metadata.model.name + attention + shifts,
        run_id=metadata.run_id,
        checksum=digest(file.read_bytes(), 64),
        expected_score=_score_of(file.parent / "result.json"),
        recordings=metadata.recordings,
    )


def _score_of(result: Path) -> ExpectedScore | None:
    """The score that a finished run reports, if the file is one's."""
    if not result.is_file():
        return None
    try:
        content = read_json(result, {"fold": int, "n_clips": int, "metrics": {"accuracy": float}})
    except SchemaError as error:
        raise DeployError(f"{result}: {error}; repeat the run, or give a copy of the checkpoint alone") from None
    subset = content.get("reported_subset") or content.get("reported_part")
    source = f"the {subset} clips of fold {content['fold']}, which this network was not trained on"
    return ExpectedScore("accuracy", content["metrics"]["accuracy"], content["n_clips"], source=source)
