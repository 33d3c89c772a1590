"""The runs of several variants on one common grid of runs and clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from earmark.analysis.variance_moments import tabulate


@dataclass(frozen=True, eq=False)
class PairedRuns:
    """What the runs of several variants got right."""

    names: tuple[str, ...]
    right: np.ndarray
    """float64 (V, R, N): 1 and 0; NaN where a run does not report a clip, whole rows where a variant lacks a run."""
    fold: np.ndarray
    """(R,) training set of each run (folds of repeated partitions have numbers of their own)."""
    group: np.ndarray
    """(N,) group of each clip."""
    target: np.ndarray | None = None
    """(N,) class of each clip, where the metric is the average recall; None for accuracy."""
    test_train_ratio: float | None = None
    """Clips that all folds together report, over the training clips of one run; None: see `paired_model.weigh`."""
    repeated: frozenset[tuple[str, int]] = frozenset()
    """Variants and folds of which a single seed stands in several runs."""
    fixed: bool = False
    """Whether the one run of each variant is a network that is meant as it is, see `paired_model.weigh`."""
    clip_ids: tuple[str, ...] = ()

    def difference(self, variant: str, baseline: str) -> np.ndarray:
        """(R, N) of what each clip contributes to the metric."""
        ours, theirs = (self.right[self.names.index(name)] for name in (variant, baseline))
        return np.asarray(ours - theirs)

    def inside(self, mask: np.ndarray) -> PairedRuns:
        """The same as if there were these clips alone; the prior of the training sets has as many fewer test clips."""
        return replace(
            self,
            right=self.right[:, :, mask],
            group=self.group[mask],
            target=None if self.target is None else self.target[mask],
            test_train_ratio=self.test_train_ratio and self.test_train_ratio * float(mask.mean()),
            clip_ids=(),
        )

    def mean(self, values: np.ndarray) -> float:
        """Of (R, N), over clips; for the average recall, over classes."""
        return tabulate(values, self.fold, self.group, self.target).estimate


def align_runs(
    runs: Mapping[str, Mapping[tuple[int, int], tuple[Sequence[str], np.ndarray]]],
    group_of_clip: Mapping[str, str],
    target_of_clip: Mapping[str, int] | None = None,
    test_train_ratio: float | None = None,
    repeated: frozenset[tuple[str, int]] = frozenset(),
    fixed: bool = False,
) -> PairedRuns:
    """Lay the runs of all variants on one grid, by fold and seed and by clip id.

    Args:
        runs: by variant, then by (fold, seed): the ids of the reported clips and which of them are right, (n,).
        group_of_clip: the group of every reported clip.
        target_of_clip: its class, where the metric is the average recall.
        test_train_ratio, repeated, fixed: see `PairedRuns`.
    """
    cells = sorted({cell for by_cell in runs.values() for cell in by_cell})
    clips = sorted({clip for by_cell in runs.values() for ids, _ in by_cell.values() for clip in ids})
    column = {clip: index for index, clip in enumerate(clips)}
    right = np.full((len(runs), len(cells), len(clips)), np.nan)
    for v, by_cell in enumerate(runs.values()):
        for cell, (ids, hits) in by_cell.items():
            right[v, cells.index(cell), [column[clip] for clip in ids]] = hits
    return PairedRuns(
        tuple(runs),
        right,
        np.array([fold for fold, _ in cells]),
        np.array([group_of_clip[clip] for clip in clips]),
        None if target_of_clip is None else np.array([target_of_clip[clip] for clip in clips]),
        test_train_ratio,
        repeated,
        fixed,
        tuple(clips),
    )
