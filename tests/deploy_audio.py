"""Small models with random weights: what is tested here does not depend on what a network has learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from earmark.config.sections import FrontEndConfig, ModelConfig

CLASS_NAMES = ("high", "low", "<script>")
SLANEY = FrontEndConfig(sample_rate=8000, n_fft=256, hop_length=64, n_mels=32)
KALDI = FrontEndConfig(
    sample_rate=8000,
    n_fft=256,
    win_length=200,
    hop_length=80,
    n_mels=32,
    mel_scale="kaldi",
    pre_emphasis=0.97,
    log_offset=1e-5,
    reference="fixed",
    reference_db=40.0,
    range_db=90.0,
)
WINDOW_FRAMES = 40


def write_model(
    folder: Path,
    front_end: FrontEndConfig = SLANEY,
    model: ModelConfig | None = None,
    n_shifts: int = 1,
    recordings: tuple[str, ...] = (),
    seed: int = 0,
) -> Path:
    """A checkpoint with random weights whose logits differ between clips."""
    import torch

    from earmark.models.create import create_model
    from earmark.models.custom import source_digest
    from earmark.training.checkpoint import CheckpointMetadata, db_range, write_checkpoint

    model = model or ModelConfig()
    torch.manual_seed(seed)
    network = create_model(
        model.name,
        n_classes=len(CLASS_NAMES),
        n_mels=front_end.n_mels,
        attention=model.attention,
        placement=model.placement,
        db_range=db_range(front_end),
    )
    with torch.no_grad():  # untrained logits hardly differ, and what hardly differs tests nothing
        network.get_submodule(network.output).weight.mul_(20)
    metadata = CheckpointMetadata(
        model,
        CLASS_NAMES,
        front_end.n_mels,
        WINDOW_FRAMES,
        front_end,
        "0123456789",
        1,
        n_shifts=n_shifts,
        source=source_digest(model.name),
        recordings=recordings,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_checkpoint(folder / "last.safetensors", network, metadata)
    return folder


def make_waveform(n_samples: int, seed: int = 0, rate: int = 8000) -> np.ndarray:
    """A tone that comes and goes in noise, float32 (N,)."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(n_samples) / rate
    tone = np.sin(2 * np.pi * rng.uniform(200, 3000) * seconds) * (np.sin(2 * np.pi * 3 * seconds) > 0)
    return (0.3 * tone + 0.02 * rng.normal(size=n_samples)).astype(np.float32)
