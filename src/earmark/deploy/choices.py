"""What `earmark finalize` is asked for, and the runs that make the model: checked before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from earmark.analysis.learning_curve import split_points
from earmark.analysis.records import RunRecord, read_runs
from earmark.config.search_space import tuned_apart
from earmark.config.sections import Options
from earmark.deploy.info import DeployError
from earmark.deploy.unknown import check_false_alarms
from earmark.models.prefixes import is_external
from earmark.runtime.errors import suggest


@dataclass(frozen=True)
class Choices:
    """What `earmark finalize` is asked for besides the runs and the variant."""

    seed: int | None = None
    """Which of several seeds the networks of the folds have; None takes the lowest."""
    on_all_clips: bool = False
    """Train the recipe once more on all clips, instead of combining the networks of the folds."""
    n_seeds: int = 1
    """With `on_all_clips`: how many networks are trained, each with another seed."""
    unknown: bool = True
    """Store references and the threshold of the unknown score, for which the recordings are needed."""
    false_alarms: float = 0.05
    """Share of the clips of known classes that may be above the threshold."""
    measure_unknown: bool = False
    """Measure the unknown score with networks that are trained without a class."""
    root: str = ""
    """Where the recordings are now; empty takes the place that the runs name."""
    force: bool = False
    """Replace a model of other runs in the output folder."""
    options: Options = field(default_factory=Options)


def choose_runs(runs: Path, variant: str, choices: Choices) -> list[RunRecord]:
    """The runs in a folder that make the model.

    Raises:
        RunError: there are no finished runs.
        DeployError: there is no such variant or seed, or it cannot be shipped.
    """
    check_false_alarms(choices.false_alarms)
    seed = choices.seed
    records = select_runs(read_runs(runs), variant, seed, all_seeds=choices.on_all_clips and seed is None)
    check_shippable(records, choices)
    return records


def select_runs(
    records: Sequence[RunRecord], variant: str = "", seed: int | None = None, all_seeds: bool = False
) -> list[RunRecord]:
    """The runs of one variant: those of one seed, one per fold, or those of all seeds.

    Points of learning curves are no variants to choose from, and refused by name.
    """
    variants = sorted({record.variant for record in split_points(records)[0]})
    if not variant and len(variants) > 1:
        raise DeployError(f"variant: the suite has {len(variants)}; choose from {', '.join(variants)}")
    variant = variant or variants[0]
    if variant not in {record.variant for record in records}:
        raise DeployError(f"variant = {variant!r}: no such variant{suggest(variant, variants)}")
    chosen = [record for record in records if record.variant == variant]
    seeds = sorted({record.config.seed for record in chosen})
    if seed is not None and seed not in seeds:
        raise DeployError(f"seed = {seed}: no run has it; choose from {', '.join(map(str, seeds))}")
    return chosen if all_seeds else [r for r in chosen if r.config.seed == (seeds[0] if seed is None else seed)]


def check_shippable(records: Sequence[RunRecord], choices: Choices) -> None:
    """Refuse runs without a network of earmark's own or on a fraction of the clips, and choices that fit no run."""
    record = records[0]
    if record.imported or record.config.probe.kind != "none":
        what = "imported predictions have" if record.imported else f"a {record.config.probe.kind} probe has"
        remedy = "choose one that trains a network"
        if not (record.imported or is_external(record.config.model.name)):
            remedy = "train a variant with model.train = 'head' and probe.kind = 'none' and choose it"
        raise DeployError(f"variant = {record.variant!r}: {what} no network to ship; {remedy}")
    if record.config.split.train_fraction < 1:
        fraction = f"{100 * record.config.split.train_fraction:g} % of the training groups (split.train_fraction)"
        raise DeployError(f"variant = {record.variant!r}: was trained on {fraction}; choose or train one with all")
    if choices.n_seeds < 1 or (choices.n_seeds > 1 and not choices.on_all_clips):
        raise DeployError(f"seeds = {choices.n_seeds}: give 1 or more, and more than 1 with --on-all-clips only")
    differing = tuned_apart([record.config for record in records])
    if choices.on_all_clips and differing:
        raise DeployError(
            f"on-all-clips: each fold has settings of its own ({', '.join(differing)}), so there is no one recipe; "
            "combine the networks of the folds, or tune with search.mode = 'once'"
        )
