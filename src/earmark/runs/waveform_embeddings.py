"""Embeddings of recordings by frozen backbones that take a waveform, with the same windows for every clip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from earmark.audio.io import load_audio
from earmark.config.sections import Options, check_setting
from earmark.features.windows import cut_windows
from earmark.models.backbone import Backbone, backbone_digest, load_backbone
from earmark.models.network import ModelError
from earmark.runs.embeddings import Embeddings, cache_folder, cached
from earmark.runtime.console import printable
from earmark.runtime.files import digest

if TYPE_CHECKING:
    from earmark.runs.plan import PlannedRun, RunData

MOST_SECONDS = 10.0
"""Longest window where neither the settings nor the backbone say another: that of AudioSet."""
LEAST_SECONDS = 0.1
"""Shorter recordings are padded with silence to this."""
BATCH = 16
"""Windows at a time."""


def embed_file(backbone: Backbone, path: Path, window_seconds: float = 0.0) -> np.ndarray:
    """Embedding float32 (D,) of a file: the mean over windows that overlap by at least half.

    A backbone of a fixed length gets windows of that length, the last of a shorter recording filled with silence. Any
    other gets the recording as it is, and windows where it is longer than `window_seconds`.

    Args:
        backbone: from `load_backbone`.
        path: of the recording; it is resampled to the backbone's rate.
        window_seconds: longest window; 0 means 10 s.

    Raises:
        AudioError: the file cannot be read.
        ModelError: the backbone cannot embed it; the file is named.
    """
    waveform_N, rate = load_audio(path, backbone.sample_rate)
    least, most = round(LEAST_SECONDS * rate), round((window_seconds or MOST_SECONDS) * rate)
    most = min(most, backbone.most_samples or most)
    width = backbone.fixed_samples or min(most, max(len(waveform_N), least))
    windows_WN = cut_windows(waveform_N[None], width)[:, 0]
    try:
        parts = [backbone.embed(windows_WN[i : i + BATCH]) for i in range(0, len(windows_WN), BATCH)]
    except ModelError as error:
        raise ModelError(f"audio {printable(path)}: {error}") from None
    return np.concatenate(parts).mean(axis=0)


def waveform_embeddings(run: PlannedRun, data: RunData, device: torch.device) -> Embeddings:
    """Embeddings of all clips, from the cache or by the backbone that the run names.

    Args:
        run: its config names the backbone.
        data: the clips.
        device: where to compute.

    Raises:
        EarmarkError: the backbone or a recording cannot be used.
    """
    config = run.config

    def compute() -> Embeddings:
        backbone = load_backbone(config.model.name, config.probe.sample_rate, config.probe.model_output, device)
        vectors_ND = np.stack([embed_file(backbone, clip.path, config.train.window_seconds) for clip in data.clips])
        return Embeddings(vectors_ND, backbone.n_parameters, 0)

    return cached(cache_path(run, data), [clip.clip_id for clip in data.clips], compute)


def cache_path(run: PlannedRun, data: RunData) -> Path:
    """Where the embeddings of a run are kept: the name stands for the recordings, the backbone and the windows."""
    config, ids = run.config, [clip.clip_id for clip in data.clips]
    settings = [config.probe.sample_rate, config.probe.model_output, config.train.window_seconds]
    key = digest(json.dumps([backbone_digest(config.model.name), settings, data.store.fingerprint(ids)]))
    return cache_folder(run, data) / f"embeddings-{key}.npz"


def check_waveform_backbone(run: PlannedRun, data: RunData, options: Options, device: torch.device) -> None:
    """Load the backbone of a run and try it, unless its embeddings are there already.

    Raises:
        EarmarkError: it cannot be used, or not here.
    """
    name, images = run.config.model.name, run.config.data.images
    check_setting(not images, "data.images", images, f"leave it out: {name} takes recordings, not images")
    local = options.executor == "local"
    check_setting(local, "executor", options.executor, f"give 'local': {name} needs the recordings of this machine")
    if not cache_path(run, data).is_file():
        load_backbone(name, run.config.probe.sample_rate, run.config.probe.model_output, device)
