"""The table over seeds: mean and standard deviation per data set and model, read from run folders."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.analysis.aggregate import Aggregate, MetricSummary, VariantSummary, aggregate
from earmark.analysis.records import RunRecord, read_runs
from earmark.analysis.tables import write_tables
from earmark.analysis.verdicts import percent
from earmark.config.suite import deciding_settings
from earmark.product_cli.command import run_script
from earmark.product_cli.layout import RUNS, TABLES
from earmark.runtime.files import write_csv, write_text

METRICS = ("accuracy", "uar", "macro_f1")


@dataclass(frozen=True)
class Arguments:
    """Options of the script that aggregates seeds."""

    project_root: Path
    """Folder that contains product/; relative paths start from it."""
    runs_dir: Path = RUNS
    """Folder of runs; runs of suites in its subfolders are included."""
    out_dir: Path = TABLES
    """Folder for seeds.csv, seeds.tex and one folder of tables per data set."""


def seed_table(project_root: Path) -> None:
    """The script that aggregates seeds."""

    def work(given: Arguments) -> None:
        """Write mean and standard deviation over seeds per data set and model, as CSV and LaTeX."""
        out = given.project_root / given.out_dir
        aggregates = aggregate_data_sets(read_runs(given.project_root / given.runs_dir))
        for one in aggregates:
            print(f"{one.name}\n{write_tables(one, out / one.name)}\n")
        write_csv(out / "seeds.csv", seed_rows(aggregates))
        write_text(out / "seeds.tex", seeds_latex(aggregates))
        print(f"{out}: seeds.csv, seeds.tex and one folder per data set")

    run_script("aggregate_seeds", work, Arguments(project_root))


def aggregate_data_sets(records: Iterable[RunRecord]) -> list[Aggregate]:
    """One aggregate for each data set, split and set of images, named after the data set.

    Runs of one model with different settings are separate models, with the difference in the name. Duplicate runs are
    counted once.
    """
    runs_by_data: dict[tuple[str, str], list[RunRecord]] = {}
    for record in {record.id: record for record in records}.values():
        runs_by_data.setdefault((_data_set(record), record.data_fingerprint), []).append(record)
    data_sets = [data_set for data_set, _ in runs_by_data]
    return [
        aggregate(_renamed(runs, data_set if data_sets.count(data_set) == 1 else f"{data_set}-{fingerprint[:6]}"))
        for (data_set, fingerprint), runs in sorted(runs_by_data.items())
    ]


def _data_set(record: RunRecord) -> str:
    """The official name, else the name of the comparison, which the training scripts take from the images."""
    dataset = record.config.data.dataset
    return record.config.name if dataset in ("manifest", "csv", "folder") else dataset


def _renamed(records: Sequence[RunRecord], name: str) -> list[RunRecord]:
    """The records under one name of comparison, with a variant name for each model and its settings."""
    settings: dict[str, dict[str, dict[str, Any]]] = {}
    for r in records:
        settings.setdefault(r.variant, {})[r.settings_id] = _section_settings(r)
    labels = {s: label for variant, by_id in settings.items() for s, label in _labels(variant, by_id).items()}
    return [
        dataclasses.replace(r, config=dataclasses.replace(r.config, name=name, variant=labels[r.settings_id]))
        for r in records
    ]


def _labels(variant: str, settings: dict[str, dict[str, Any]]) -> dict[str, str]:
    """A name for each setting of a variant: if there are several, with what differs."""
    keys = sorted({key for one in settings.values() for key in one})
    differ = [key for key in keys if len({json.dumps(one.get(key)) for one in settings.values()}) > 1]
    return {i: " ".join([variant, *(f"{key}={one.get(key)}" for key in differ)]) for i, one in settings.items()}


def _section_settings(record: RunRecord) -> dict[str, Any]:
    """The settings that affect a result, apart from fold and seed."""
    return {name: value for name, value in deciding_settings(record.config).items() if name not in ("fold", "seed")}


def seed_rows(aggregates: Sequence[Aggregate]) -> Iterator[Sequence[Any]]:
    """A header, then one row per data set, model and metric; scores are fractions of 1."""
    yield "dataset", "model", "metric", "mean", "std_seeds", "n_seeds", "seeds", "n_clips", "n_groups"
    for one in aggregates:
        for v in one.variants:
            seeds = " ".join(map(str, v.seeds))
            for metric in METRICS:
                m = v.metrics[metric]
                yield one.name, v.variant, metric, m.mean, m.std_seeds, m.n_seeds, seeds, v.n_clips, one.n_groups


def seeds_latex(aggregates: Sequence[Aggregate]) -> str:
    """A booktabs table of mean and standard deviation over seeds, in percent."""
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\caption{Mean $\pm$ standard deviation over seeds, in \%, on the held-out subset; the last epoch is kept.}",
        r"\begin{tabular}{llrrrr}",
        r"\toprule",
        r"Data set & Model & Seeds & Accuracy & UAR & Macro F1 \\",
    ]
    for one in aggregates:
        lines += [r"\midrule", *(_latex_row(one.name, v) for v in one.variants)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _latex_row(data_set: str, v: VariantSummary) -> str:
    names = [text.replace("_", r"\_") for text in (data_set, v.variant)]
    return " & ".join([*names, str(len(v.seeds)), *(_spread(v.metrics[metric]) for metric in METRICS)]) + r" \\"


def _spread(m: MetricSummary) -> str:
    std = "" if m.std_seeds is None else rf" $\pm$ {percent(m.std_seeds)}"
    return "--" if m.mean is None else percent(m.mean) + std
