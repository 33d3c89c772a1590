"""The tables of a comparison as values: rows of cells that Markdown, LaTeX, terminal and HTML print alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from earmark.analysis.aggregate import METRICS, Aggregate, MetricSummary, VariantSummary
from earmark.analysis.compare import COMPARED, Comparison, Judgment
from earmark.analysis.floor import Reference
from earmark.analysis.records import RunRecord
from earmark.analysis.verdicts import (
    METRIC_NAMES,
    detectable_points,
    end_points,
    p_text,
    percent,
    points,
    probability_text,
)

LEAK_MARK, WAIVER_MARK, UNGROUPED_MARK, UNKNOWN_MARK, LABELS_MARK = "‡", "†", "◇", "§", "¶"
MARKS = {
    LEAK_MARK: "the training subset contains test data: the score is too high",
    WAIVER_MARK: "some groups cross subsets by a published exception",
    UNGROUPED_MARK: "no groups: each clip is one of its own; with shared speakers or sources the score is too high",
    UNKNOWN_MARK: "what its settings were chosen on is not known: the score is too high if it was the test clips",
    LABELS_MARK: "predicted labels only: top-3 accuracy, ROC-AUC, log-loss and calibration need probabilities (–)",
}


class Number(NamedTuple):
    """A printed number and its full value."""

    value: float
    text: str


class Cell(NamedTuple):
    """What stands in a cell, and what stands in small print beside or below it."""

    main: tuple[str | Number, ...]
    small: tuple[str | Number, ...] = ()

    @property
    def text(self) -> str:
        """Both as plain text, the small print in brackets."""
        small = f" ({_plain(self.small)})" if self.small else ""
        return _plain(self.main) + small


class Table(NamedTuple):
    """A table whose rows are named by their first cell."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def texts(self) -> list[list[str]]:
        """All rows as plain text, the header first."""
        return [list(self.header), *([cell.text for cell in row] for row in self.rows)]


def _plain(parts: Sequence[str | Number]) -> str:
    return "".join(part if isinstance(part, str) else part.text for part in parts)


def cell(*parts: str | Number | None, small: Sequence[str | Number] = ()) -> Cell:
    """A cell of parts; a dash for None."""
    return Cell(tuple("–" if part is None else part for part in parts), tuple(small))


def format_metric(metric: str, value: float | None) -> str:
    """A metric as it is printed: log-loss in nats, the others in percent; a dash for None."""
    return f"{value:.3f}" if metric == "nll" and value is not None else percent(value)


def mark(variant: VariantSummary) -> str:
    """The signs of `MARKS` that apply to a variant."""
    applies = {
        LEAK_MARK: bool(variant.leaks),
        WAIVER_MARK: bool(variant.waived_groups),
        UNGROUPED_MARK: variant.ungrouped,
        UNKNOWN_MARK: "unknown" in variant.selected_on,
        LABELS_MARK: variant.labels_only,
    }
    return "".join(sign for sign, true in applies.items() if true)


def mark_legend(a: Aggregate) -> list[str]:
    """A line for each sign that a variant of this comparison has."""
    marks = "".join(mark(v) for v in a.variants)
    return [f"{sign} {text}" for sign, text in MARKS.items() if sign in marks]


def title_case(metric: str) -> str:
    """The name of a metric, with a capital."""
    name = METRIC_NAMES[metric]
    return name[0].upper() + name[1:]


def headline_table(a: Aggregate) -> Table:
    """Accuracy with its spread, and UAR, for a terminal."""
    header = ("in %", "accuracy", "95 % interval", "std folds (n)", "std seeds (n)", "UAR", "95 % interval", "runs")
    rows: list[tuple[Cell, ...]] = [
        (
            _name(v),
            _metric("accuracy", v.metrics["accuracy"].pooled),
            _interval("accuracy", v.metrics["accuracy"]),
            *_spreads(v.metrics["accuracy"]),
            _metric("uar", v.metrics["uar"].pooled),
            _interval("uar", v.metrics["uar"]),
            _count(v.n_runs),
        )
        for v in a.variants
    ]
    rows += [
        (_reference(r), _metric("accuracy", r.accuracy), *_dashes(3), _metric("uar", r.uar), *_dashes(2))
        for r in a.references.references
    ]
    return Table("Accuracy and average recall, %", header, tuple(rows))


def metric_table(a: Aggregate, metric: str) -> Table:
    """One metric with its interval, mean and spread, in percent."""
    header = ("variant", "all folds", "95 % interval", "mean", "std over folds (n)", "std over seeds (n)", "runs")
    rows: list[tuple[Cell, ...]] = [
        (
            _name(v),
            _metric(metric, v.metrics[metric].pooled),
            _interval(metric, v.metrics[metric]),
            _metric(metric, v.metrics[metric].mean),
            *_spreads(v.metrics[metric]),
            _count(v.n_runs),
        )
        for v in a.variants
    ]
    rows += [(_reference(r), _metric(metric, r.score(metric)), *_dashes(5)) for r in a.references.references]
    return Table(f"{title_case(metric)}, %", header, tuple(rows))


def metrics_table(a: Aggregate, metrics: Sequence[str] = METRICS[2:]) -> Table:
    """Several metrics side by side, each with its interval in small print."""
    rows = [(_name(v), *(_with_interval(m, v.metrics[m]) for m in metrics)) for v in a.variants]
    return Table("Other metrics, %", ("variant", *(METRIC_NAMES[m] for m in metrics)), tuple(rows))


def reference_rows(a: Aggregate, metrics: Sequence[str]) -> tuple[tuple[Cell, ...], ...]:
    """A row per reference below those of `metrics_table`, with what is known of it: accuracy and UAR."""
    return tuple(
        (cell(r.name), *(_metric(m, r.score(m) if m in COMPARED else None) for m in metrics))
        for r in a.references.references
    )


JUDGED = ("verdict", "points", "95 % interval", "p", "better", "equal", "worse", "detectable")


def difference_table(a: Aggregate) -> Table:
    """Every comparison: verdict, difference, interval, p, probabilities and minimum detectable effect."""
    header = ("difference", "metric", *JUDGED, "clips that one gets right more often", "pairs")
    rows = tuple(
        (
            cell(f"{c.variant} − {c.baseline}"),
            cell(c.metric),
            *_judged(c),
            cell(f"{c.only_variant} : {c.only_baseline}"),
            _count(c.n_pairs),
        )
        for c in a.comparisons
    )
    return Table("Paired differences, points", header, rows)


def pair_table(a: Aggregate) -> Table:
    """The comparisons by the metric that decides, for a terminal."""
    rows = tuple((cell(f"{c.variant} − {c.baseline}"), *_judged(c)) for c in a.verdicts)
    return Table(f"Differences in {METRIC_NAMES[a.metric]}, points", ("", *JUDGED), rows)


def _judged(c: Comparison) -> tuple[Cell, ...]:
    return cell(c.verdict), cell(_points(c.difference)), *_judgment_cells(c.judgment)


def _judgment_cells(j: Judgment | None) -> tuple[Cell, ...]:
    if j is None:
        return (cell(None),) * 6
    probabilities = (j.probability_better, j.probability_equal, j.probability_worse)
    return (
        cell(_points(j.low, end_points), " to ", _points(j.high, end_points)),
        cell(Number(j.p, p_text(j.p).removeprefix("p = ").removeprefix("p "))),
        *(cell(Number(p, probability_text(p))) for p in probabilities),
        cell(Number(j.detectable, detectable_points(j.detectable))),
    )


def settings_table(a: Aggregate) -> Table:
    """Every setting that differs between variants, a row each."""
    keys = sorted({key for v in a.variants for key in v.settings})
    texts = {key: [v.settings.get(key) for v in a.variants] for key in keys}
    differ = [key for key in keys if len({*texts[key]} - {None}) > 1]
    rows = [(cell(key), *(cell(text) for text in texts[key])) for key in differ]
    return Table("Settings that differ", ("setting", *(v.variant for v in a.variants)), tuple(rows))


def rank_table(a: Aggregate) -> Table:
    """Average ranks, the best first."""
    rows = [(cell(name), cell(Number(rank, f"{rank:.2f}"))) for name, rank in sorted(a.ranks.items(), key=_by_value)]
    title = f"Average rank over {a.n_ranked_folds} folds, by {METRIC_NAMES[a.metric]}"
    return Table(title, ("variant", "average rank"), tuple(rows))


def _by_value(item: tuple[str, float]) -> float:
    return item[1]


def group_table(a: Aggregate) -> Table:
    """Accuracy and UAR of each group of clips."""
    n_clips = {group: s.n_clips for v in a.variants for group, s in v.groups.items()}
    rows = []
    for group, n in sorted(n_clips.items()):
        found = (v.groups.get(group) for v in a.variants)
        scores = (cell(_fraction(s.accuracy), " / ", _fraction(s.uar)) if s is not None else cell(None) for s in found)
        rows.append((cell(group), _count(n), *scores))
    header = ("group", "clips", *(v.variant for v in a.variants))
    return Table("By group: accuracy / UAR, %", header, tuple(rows))


def recall_table(a: Aggregate, intervals: Mapping[str, Mapping[str, tuple[float, float]]]) -> Table:
    """Recall of each class, with its interval by variant and class."""
    rows = [
        (cell(name), *(_recall(v, name, intervals[v.variant].get(name)) for v in a.variants)) for name in a.class_names
    ]
    return Table("Recall of each class, %", ("class", *(v.variant for v in a.variants)), tuple(rows))


def _recall(v: VariantSummary, name: str, interval: tuple[float, float] | None) -> Cell:
    recall = v.recall[name]
    low, high = (Number(v, percent(v)) for v in interval or (0.0, 0.0))
    return cell(None if recall is None else _fraction(recall), small=(low, " to ", high) if interval else ())


def cost_table(a: Aggregate) -> Table:
    """Parameters, MACs and training time; times stand side by side only where the machines were equal."""
    rows = []
    for v in a.variants:
        cost = v.cost
        seconds = None if cost.train_seconds is None else Number(cost.train_seconds, f"{cost.train_seconds:.0f}")
        rows.append(
            (
                _name(v),
                _count(cost.n_parameters),
                _count(cost.macs),
                cell(seconds),
                cell("; ".join(cost.machines) or None),
            )
        )
    return Table("Costs", ("variant", "parameters", "MACs", "training, s", "device"), tuple(rows))


def curve_table(a: Aggregate) -> Table:
    """Learning curves: a row per variant and number of training groups."""
    rows = []
    for curve in a.curves:
        for p in curve.points:
            std = cell(None if p.std is None else _fraction(p.std), f" ({p.n_draws})")
            counts = (f"{100 * p.fraction:g} %", f"{p.n_groups:.0f}", f"{p.n_clips:.0f}")
            rows.append((cell(curve.variant), *map(cell, counts), cell(_fraction(p.mean)), std))
    header = ("variant", "of the groups", "training groups", "training clips", f"{METRIC_NAMES[a.metric]}, %")
    return Table("Learning curve", (*header, "std over draws (n)"), tuple(rows))


def _name(v: VariantSummary) -> Cell:
    return cell(f"{v.variant} {mark(v)}".strip())


def _reference(reference: Reference) -> Cell:
    """The name of what is no contestant, below the variants."""
    return cell(reference.name, small=("reference",))


def _dashes(n: int) -> tuple[Cell, ...]:
    return (cell(None),) * n


def _metric(metric: str, value: float | None) -> Cell:
    return cell(None if value is None else Number(value, format_metric(metric, value)))


def _interval(metric: str, m: MetricSummary) -> Cell:
    if m.low is None or m.high is None:
        return cell(None)
    return cell(Number(m.low, format_metric(metric, m.low)), " to ", Number(m.high, format_metric(metric, m.high)))


def _with_interval(metric: str, m: MetricSummary) -> Cell:
    value = _metric(metric, m.pooled).main
    return Cell(value) if m.low is None else Cell(value, _interval(metric, m).main)


def _spreads(m: MetricSummary) -> tuple[Cell, Cell]:
    found = ((m.std_folds, m.n_folds), (m.std_seeds, m.n_seeds))
    first, second = (cell(None if std is None else _fraction(std), f" ({n})") for std, n in found)
    return first, second


def _count(n: int | None) -> Cell:
    return cell(None if n is None else Number(n, f"{n:,}"))


def _fraction(value: float | None) -> Number | None:
    return None if value is None else Number(value, percent(value))


def _points(value: float, text: Callable[[float, bool], str] = points) -> Number:
    return Number(value, text(value, True))


def run_table(records: Sequence[RunRecord]) -> Table:
    """Every run with its scores."""
    header = ("variant", "fold", "seed", "accuracy, %", "UAR, %", "epoch kept", "training, s", "run")
    rows = []
    for r in sorted(records, key=lambda r: (r.variant, r.fold_seed)):
        seconds = r.timing.get("train_seconds")
        rows.append(
            (
                cell(r.variant),
                cell(str(r.config.fold)),
                cell(str(r.config.seed)),
                cell(_fraction(r.result["metrics"]["accuracy"])),
                cell(_fraction(r.result["metrics"]["uar"])),
                cell(None if r.result["epochs"] is None else f"{r.result['kept_epoch']} of {r.result['epochs']}"),
                cell(None if seconds is None else f"{seconds:.0f}"),
                cell(r.id),
            )
        )
    return Table("All runs", header, tuple(rows))
