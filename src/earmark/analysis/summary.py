"""What an aggregate says, as plain data: summaries per variant, comparisons, notes. Tables and report print it."""

from __future__ import annotations

from dataclasses import dataclass

from earmark.analysis.compare import Comparison

METRICS = ("accuracy", "uar", "macro_f1", "top3_accuracy", "roc_auc", "nll", "ece")


@dataclass(frozen=True)
class MetricSummary:
    """One metric of one variant; None where it is not defined or there is too little to estimate it from."""

    mean: float | None
    """Of the runs: over the seeds of a fold, then over folds."""
    std_folds: float | None
    """Standard deviation over folds, each the mean of its seeds."""
    n_folds: int
    std_seeds: float | None
    """Standard deviation over seeds, each the mean of its folds; of seeds that have all folds."""
    n_seeds: int
    pooled: float | None
    """Of the clips of all folds taken together, averaged over seeds."""
    low: float | None
    """95 % bootstrap interval of `pooled` over groups of clips."""
    high: float | None


@dataclass(frozen=True)
class GroupSummary:
    """The clips of one group (a speaker, a source recording)."""

    n_clips: int
    accuracy: float
    uar: float


@dataclass(frozen=True)
class ReliabilityBin:
    """Clips whose prediction has about the same probability."""

    confidence: float
    accuracy: float
    n_clips: float
    """Averaged over seeds."""


@dataclass(frozen=True)
class VariantSummary:
    """All that the runs of one variant say."""

    variant: str
    n_runs: int
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    n_clips: int
    metrics: dict[str, MetricSummary]
    recall: dict[str, float | None]
    """Per class, of the clips of all folds."""
    confusion: list[list[int]]
    """Clips by true (rows) and predicted class, summed over all runs."""
    groups: dict[str, GroupSummary]
    reliability: list[ReliabilityBin]
    n_parameters: int
    multiply_adds: int
    train_seconds: float | None
    """Mean over runs."""
    devices: tuple[str, ...]
    leaks: tuple[str, ...]
    """What the splits of its runs leak; empty when they are sound."""
    waiver: str
    waived_groups: tuple[str, ...]
    """Groups that cross parts by a published exception."""


@dataclass(frozen=True)
class Aggregate:
    """A comparison of variants."""

    name: str
    metric: str
    """What verdicts are about: one of `COMPARED`."""
    dataset: str
    split_kind: str
    selected_on: tuple[str, ...]
    """What the kept epochs were chosen on: `none` or `valid`."""
    class_names: tuple[str, ...]
    n_clips: int
    n_groups: int
    n_runs: int
    variants: tuple[VariantSummary, ...]
    comparisons: tuple[Comparison, ...]
    """For each of `COMPARED`; see `verdicts` for those on `metric`."""
    ranks: dict[str, float]
    """Average rank of each variant on `metric` over the folds that all have; 1 is best."""
    n_ranked_folds: int
    unfinished: tuple[str, ...]
    """Run folders without a result."""
    notes: tuple[str, ...]
    """What a reader must know before believing the numbers."""

    @property
    def verdicts(self) -> tuple[Comparison, ...]:
        """The comparisons on `metric`."""
        return tuple(c for c in self.comparisons if c.metric == self.metric)
