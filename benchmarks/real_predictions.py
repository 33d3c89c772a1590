"""Runs of cheap classifiers on real recordings, redrawn again and again, for `verdict.py --real`.

Groups (source recordings or speakers) are drawn with replacement, copies of a group stay in one fold, folds are dealt
anew, and ridge classifiers on random Fourier features are trained anew: the seed draws the random features. The truth
is the mean of the estimates over all experiments: what the estimate means when everything is drawn again.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from simulated_runs import Experiment, deal

N_FOURIER = 150
ESC_10 = (0, 1, 10, 11, 12, 20, 21, 38, 40, 41)


@dataclass(frozen=True)
class Recordings:
    """Real clips, as band means and deviations."""

    name: str
    features: np.ndarray
    """(N, D) standardized."""
    targets: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Setting:
    """A classifier: which features it sees, and how smooth it is."""

    columns: slice
    width: float
    ridge: float = 1.0


def standardized(features: np.ndarray) -> np.ndarray:
    return (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)


def bands(image: np.ndarray, n_bands: int = 32) -> np.ndarray:
    """Mean of each of some frequency bands, then its deviation over time, (2 * n_bands,)."""
    pooled = np.stack([part.mean(axis=0) for part in np.array_split(image.astype(float), n_bands)])
    return np.concatenate([pooled.mean(axis=1), pooled.std(axis=1)])


def read_esc(folder: Path, classes: tuple[int, ...] | None = None) -> Recordings:
    """ESC-50's spectrogram images (or those of some classes), grouped by source recording."""
    with (folder / "meta" / "esc50.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if classes is None or int(r["target"]) in classes]
    names = [Path(r["filename"]).stem for r in rows]
    features = [bands(np.asarray(Image.open(folder / "png" / f"{name}_orig.png").convert("L"))) for name in names]
    targets = np.unique([int(r["target"]) for r in rows], return_inverse=True)[1]
    groups = np.unique([r["src_file"] for r in rows], return_inverse=True)[1]
    return Recordings(f"ESC-{len(set(targets))}", standardized(np.array(features)), targets, groups)


def read_emodb(folder: Path) -> Recordings:
    """EmoDB's utterances, grouped by speaker."""
    import soundfile
    from scipy.signal import spectrogram

    paths = sorted(folder.glob("*.flac"))
    rows = []
    for path in paths:
        waveform, rate = soundfile.read(path)
        power = spectrogram(waveform, rate, nperseg=512, noverlap=256)[2]
        rows.append(bands(10 * np.log10(power[:160] + 1e-10)))
    targets = np.unique([p.stem[5] for p in paths], return_inverse=True)[1]
    groups = np.unique([p.stem[:2] for p in paths], return_inverse=True)[1]
    return Recordings("EmoDB", standardized(np.array(rows)), targets, groups)


def draw_real(
    data: Recordings,
    settings: tuple[Setting, ...],
    n_groups: int,
    n_folds: int,
    n_seeds: int,
    rng: np.random.Generator,
    uar: bool = False,
) -> Experiment:
    """Groups drawn with replacement, dealt to folds, and all variants trained; `n_folds` 1 is a hold-out of a fifth."""
    drawn = rng.choice(data.groups.max() + 1, n_groups)
    members = [np.nonzero(data.groups == g)[0] for g in drawn]
    clips = np.concatenate(members)
    group = np.repeat(np.arange(n_groups), [len(m) for m in members])
    fold_of_source = deal(np.bincount(data.groups[clips], minlength=data.groups.max() + 1), max(n_folds, 5), rng)
    fold_of_clip = fold_of_source[data.groups[clips]]
    n_parts = n_folds if n_folds > 1 else 1
    fold, seed = np.repeat(np.arange(n_parts), n_seeds), np.tile(np.arange(n_seeds), n_parts)
    right = np.full((len(settings), len(fold), len(clips)), np.nan)
    for run, part in enumerate(fold):
        test = fold_of_clip == part
        for v, setting in enumerate(settings):
            x = data.features[clips][:, setting.columns]
            wrong = classify(x[~test], data.targets[clips][~test], x[test], setting, rng) != data.targets[clips][test]
            right[v, run, test] = ~wrong
    if n_folds == 1:
        kept = fold_of_clip == 0
        right, group, clips = right[:, :, kept], group[kept], clips[kept]
    ratio = n_folds / (n_folds - 1) if n_folds > 1 else 0.25
    target = data.targets[clips] if uar else None
    return Experiment(right, fold, seed, group, target, ratio, np.full(len(settings), np.nan))


def classify(
    x: np.ndarray, targets: np.ndarray, x_test: np.ndarray, setting: Setting, rng: np.random.Generator
) -> np.ndarray:
    """Predicted classes of a ridge classifier on random Fourier features."""
    frequencies = rng.standard_normal((x.shape[1], N_FOURIER)) / (setting.width * np.sqrt(x.shape[1]))
    phases = rng.uniform(0, 2 * np.pi, N_FOURIER)
    z, z_test = (np.cos(part @ frequencies + phases) for part in (x, x_test))
    one_hot = np.eye(targets.max() + 1)[targets]
    weights = np.linalg.solve(z.T @ z + setting.ridge * np.eye(N_FOURIER), z.T @ (one_hot - one_hot.mean(axis=0)))
    return (z_test @ weights + one_hot.mean(axis=0)).argmax(axis=1)
