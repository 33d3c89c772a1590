"""A run that trains no network: embeddings, a probe on the training subset, and the scores of the test subset."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from earmark.analysis.metrics import score
from earmark.analysis.predictions import EMBEDDING_CSV, write_predictions
from earmark.config.suite import RunConfig
from earmark.models.custom import source_digest
from earmark.models.embed import headless
from earmark.models.network import Network
from earmark.models.prefixes import NPZ, takes_waveform
from earmark.runs.embeddings import network_embeddings, read_vectors
from earmark.runs.evaluate import describe_digests, describe_result, describe_timing
from earmark.runs.plan import PlannedRun, RunData, scores_few_shots
from earmark.runs.probe import fit_classifier, probabilities, probe_candidates
from earmark.runs.waveform_embeddings import waveform_embeddings
from earmark.runtime.files import write_csv, write_json
from earmark.training.batches import ImageSet, Subset
from earmark.training.checkpoint import CheckpointMetadata, create_from_metadata


def evaluate_probe(
    run: PlannedRun,
    data: RunData,
    images: ImageSet,
    subsets: Mapping[str, Subset],
    window_frames: int,
    device: torch.device,
    log: Callable[[str], None],
) -> None:
    """Fit the probe of a run on its training subset, score the test subset once, and write predictions and result.

    Raises:
        EarmarkError: the network or the vectors cannot be used.
    """
    start = time.perf_counter()
    vectors_ND, network = embed_clips(run, data, images, window_frames, device)
    embedded = time.perf_counter()
    log(f"{run.config.probe.kind} on {vectors_ND.shape[1]} features")
    row_of = {clip.clip_id: row for row, clip in enumerate(data.clips)}
    train, test = (_part_of(subsets[name], vectors_ND, row_of) for name in ("train", "test"))
    probs_NK, chosen = _fit_and_predict(run.config, train, test, len(data.class_names))
    scores = score(probs_NK, test.targets, data.class_names)
    probe = {"kind": run.config.probe.kind, "hyperparameter": chosen, "n_features": vectors_ND.shape[1]}
    few = {}
    if scores_few_shots(run.config) and not run.inner:
        few = {"few_shots": few_shots(run.config, train, test, len(data.class_names))}
    clips = subsets["test"].clips
    write_predictions(
        run.folder / "predictions.csv", clips, data.class_names, probs_NK.argmax(axis=1).tolist(), probs_NK
    )
    _write_picture(run, data, vectors_ND, [clip.clip_id for clip in clips])
    seconds = {"embed_seconds": round(embedded - start, 3)}
    write_json(run.folder / "timing.json", describe_timing(run, time.perf_counter() - embedded, 0.0, device) | seconds)
    extra = scores | network | {"digests": describe_digests(run, data), "probe": probe, **few}
    write_json(run.folder / "result.json", describe_result(run, len(clips)) | extra)


def _write_picture(run: PlannedRun, data: RunData, vectors_ND: np.ndarray, clip_ids: Sequence[str]) -> None:
    """The tested clips in the plane of two principal components of all clips, embedding.csv; no label is used."""
    from sklearn.decomposition import PCA

    if min(vectors_ND.shape) < 2:
        return
    plane_N2 = PCA(2, random_state=0).fit_transform(vectors_ND)
    place = dict(zip([clip.clip_id for clip in data.clips], plane_N2.tolist(), strict=True))
    rows = [(clip_id, *(f"{value:.4g}" for value in place[clip_id])) for clip_id in clip_ids]
    write_csv(run.folder / EMBEDDING_CSV, [("clip_id", "x", "y"), *rows])


class _Part(NamedTuple):
    """Features, targets and groups of clips."""

    features: np.ndarray
    targets: np.ndarray
    groups: list[str]


def _part_of(subset: Subset, vectors_ND: np.ndarray, row_of: Mapping[str, int]) -> _Part:
    features = vectors_ND[[row_of[clip.clip_id] for clip in subset.clips]]
    return _Part(features, subset.targets, [clip.group for clip in subset.clips])


def _fit_and_predict(config: RunConfig, train: _Part, test: _Part, n_classes: int) -> tuple[np.ndarray, float]:
    """Probabilities (N, K) of the tested clips by a probe that is fitted to the others, and its hyperparameter."""
    candidates = probe_candidates(config.probe.kind, len(train.targets), config.seed)
    estimator, chosen = fit_classifier(candidates, *train)
    return probabilities(estimator, test.features, range(n_classes)), chosen


def embed_clips(
    run: PlannedRun, data: RunData, images: ImageSet, window_frames: int, device: torch.device
) -> tuple[np.ndarray, dict[str, Any]]:
    """Vectors of all clips, and what result.json says of the network."""
    config = run.config
    if config.model.name.startswith(NPZ):
        return read_vectors(config.model.name, [clip.clip_id for clip in data.clips]), {}
    if takes_waveform(config.model.name):
        found = waveform_embeddings(run, data, device)
        return found.vectors, {"n_parameters": found.n_parameters or None}
    metadata = CheckpointMetadata(
        config.model,
        data.class_names,
        images.n_mels,
        window_frames,
        data.store.front_end,
        run.id,
        epoch=0,
        source=source_digest(config.model.name),
    )

    def create() -> nn.Module:
        torch.manual_seed(config.seed)
        network = create_from_metadata(metadata, weights=config.model.weights)
        assert isinstance(network, Network), "create_model returns one"
        return headless(network)

    found = network_embeddings(run, data, images, create, window_frames, device)
    size = {"n_parameters": found.n_parameters, "macs": found.macs, "window_frames": window_frames}
    return found.vectors, size


def few_shots(config: RunConfig, train: _Part, test: _Part, n_classes: int) -> list[dict[str, Any]]:
    """Scores with few groups of clips per class in the training subset, drawn again and again.

    Returns:
        One entry per number of groups and draw: `shots`, `draw`, `n_clips`, `accuracy`, `uar`.
    """
    found = []
    for shots in config.probe.shots:
        for draw in range(config.probe.draws):
            rows = draw_shots(train.targets, train.groups, shots, np.random.default_rng([config.seed, shots, draw]))
            drawn = _Part(train.features[rows], train.targets[rows], [train.groups[row] for row in rows])
            probs_NK, _ = _fit_and_predict(config, drawn, test, n_classes)
            metrics = score(probs_NK, test.targets, [str(k) for k in range(n_classes)])["metrics"]
            scores = {name: metrics[name] for name in ("accuracy", "uar")}
            found.append({"shots": shots, "draw": draw, "n_clips": len(rows), **scores})
    return found


def draw_shots(targets_N: np.ndarray, groups: list[str], shots: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of the clips of `shots` groups per class, which has as many (`check_shots`); sorted."""
    rows: list[int] = []
    for k in np.unique(targets_N):
        members = np.flatnonzero(targets_N == k)
        names = sorted({groups[row] for row in members})
        chosen = set(rng.permutation(names)[:shots].tolist())
        rows += [int(row) for row in members if groups[row] in chosen]
    return np.array(sorted(rows))
