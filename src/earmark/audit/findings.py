"""An audit in words: what was found, how bad it is and what to do, as findings, table rows and text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from earmark.audit.record import CROSSINGS, AuditReport, Pair
from earmark.audit.shortcuts import Shortcut
from earmark.runtime.console import format_names, pluralize
from earmark.splits.split import WAIVERS

MAX_ROWS = 20
"""Pairs shown in full; the others are in the JSON."""
UNEVEN = 3
"""Classes are uneven when the largest has this many times the clips of the smallest."""
FEW_MIXED = 0.1
"""Groups with several labels are suspicious when they are rarer than this; otherwise they are speakers or rooms."""
CONVERT = "convert all files to one format, or collect them again"
REMEDIES = {
    "length": "train and test on windows that are no longer than the shortest clip (train.window_seconds); if "
    "`earmark cut` has made the clips, cut them again to one length, with --seconds"
}
"""What to do about a property that predicts the label, where it is not `CONVERT`."""
LEVELS = ("leak", "warning", "note", "ok")


@dataclass(frozen=True)
class Finding:
    """One line of the verdict."""

    level: str
    """``leak``, ``warning``, ``note`` or ``ok``."""
    check: str
    """What was checked."""
    found: str
    """What there is."""
    remedy: str = ""
    """What to do about it."""


def has_leaks(report: AuditReport) -> bool:
    """Whether something is in two subsets of the split, or in two published folds; the exit status is then 1."""
    return any(finding.level == "leak" for finding in findings(report))


def findings(report: AuditReport) -> list[Finding]:
    """The verdict, worst first."""
    found = [finding for check in _CHECKS for finding in check(report)]
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def _split(report: AuditReport) -> Iterable[Finding]:
    if report.leaks:
        found = f"{len(report.leaks)}: {format_names(report.leaks)}"
        yield Finding("leak", "groups and clips across subsets", found, "split by group: split.kind = 'group_kfold'")
    elif report.split:
        yield Finding("ok", "groups and clips across subsets", "none")
    if report.waived:
        found = f"{format_names(report.waived)} cross subsets under the waiver"
        yield Finding("note", "waived groups", found, "name the waiver beside the result")


def _published_folds(report: AuditReport) -> Iterable[Finding]:
    crossing = report.groups_across_folds
    if not crossing:
        if _has_folds(report):
            yield Finding("ok", "groups across folds", "none")
        return
    found = format_names([f"{group} (folds {', '.join(map(str, folds))})" for group, folds in crossing.items()])
    waiver = next((name for name, waived in WAIVERS.items() if crossing.keys() <= waived.groups), "")
    if waiver:
        yield Finding("note", "groups across folds", found, f"known; split.waiver = {waiver!r} keeps the folds")
    else:
        level = "warning" if report.split else "leak"
        yield Finding(level, "groups across folds", found, "keep each group in one fold, or use 'group_kfold'")


def _has_folds(report: AuditReport) -> bool:
    """Whether the clips are in several published folds, and no split is judged instead."""
    return not report.split and sum(column.startswith("fold ") for column in report.balance) > 1


def _pairs(report: AuditReport) -> Iterable[Finding]:
    by = {kind: [p for p in report.pairs if p.crosses == kind] for kind in CROSSINGS}
    level = {"subsets": "leak", "folds": "warning" if report.split else "leak", "groups": "warning", "": "note"}
    what, remedy = "shared audio", "give both the same group, as --unite-copies does, or drop one"
    if report.images_only:
        level = dict.fromkeys(level, "warning") | {"": "note"}
        what, remedy = "similar images", "listen to both: copies, or electronic sounds that are alike?"
    for kind, found in by.items():
        if found:
            where = f"across {kind}" if kind else "within groups"
            yield Finding(level[kind], f"{what} {where}", _pair_names(found), remedy if kind else "")
    if not report.pairs:
        yield Finding("ok", what, "none")
    elif _has_folds(report) and not by["folds"]:
        yield Finding("ok", f"{what} across folds", "none")
    conflicting = [p for p in report.pairs if p.labels[0] != p.labels[1]]
    if conflicting:
        yield Finding(
            "warning",
            "shared audio, two labels",
            _pair_names(conflicting),
            "listen; one label may be wrong, or two sounds overlap",
        )


def _altered(report: AuditReport) -> Iterable[Finding]:
    """Pairs that waveforms cannot prove."""
    remedy = "listen to both; give both the same group, as --unite-copies does, or drop one"
    for kind in CROSSINGS:
        found = [pair for pair in report.altered if pair.crosses == kind]
        if found:
            check = f"copies at another tempo or pitch {f'across {kind}' if kind else 'within groups'}"
            yield Finding("warning" if kind else "note", check, _pair_names(found), remedy if kind else "")


def _pair_names(pairs: Sequence[Pair]) -> str:
    return f"{pluralize(len(pairs), 'pair')}: {format_names([_pair_name(pair) for pair in pairs])}"


def _pair_name(pair: Pair) -> str:
    offset = "" if pair.offset_seconds is None else f"{pair.offset_seconds:+.3f} s, "
    agreement = "exact" if pair.exact else f"{offset}correlation {pair.correlation:.2f}"
    return f"{pair.first} = {pair.second}{_change(pair)} ({agreement})"


def _change(pair: Pair) -> str:
    """What the second clip of a pair is changed by, to be the first one."""
    speed = "" if pair.speed == 1 else f" at speed {pair.speed:g}"
    tempo = "" if pair.tempo == 1 else f" at tempo {pair.tempo:g}"
    return speed + tempo + (f" by {pair.semitones:+g} semitones" if pair.semitones else "")


def _groups(report: AuditReport) -> Iterable[Finding]:
    mixed = report.mixed_groups
    if mixed and len(mixed) <= FEW_MIXED * report.n_groups:
        found = format_names([f"{group} ({', '.join(labels)})" for group, labels in mixed.items()])
        yield Finding("warning", "groups with several labels", f"{len(mixed)}: {found}", "check these labels")
    elif mixed:
        found = f"{len(mixed)} of {report.n_groups}, as with speakers or sites"
        yield Finding("note", "groups with several labels", found)
    if not report.has_groups:
        remedy = "fill in the column group where several files come from one recording or speaker"
        yield Finding("warning", "no groups", "each file is its own group", remedy)
    fraction = f"{report.random_siblings:.0%} of the test clips"
    note = f"drawn clip by clip, {fraction} would have a clip of their group in training"
    if report.n_groups < report.n_clips:
        yield Finding("note", "what a random split would leak", note)


def _labels(report: AuditReport) -> Iterable[Finding]:
    if report.scarce_labels:
        found = format_names([f"{label} ({n})" for label, n in report.scarce_labels.items()])
        remedy = "use fewer folds, or add recordings from other sources"
        yield Finding("warning", f"labels with fewer groups than {report.n_folds} folds", found, remedy)
    sizes = _totals(report)
    if max(sizes.values()) >= UNEVEN * min(sizes.values()):
        found = f"{min(sizes.values())} to {max(sizes.values())} clips per label"
        yield Finding("note", "uneven classes", found, "compare by unweighted average recall (UAR)")


def _totals(report: AuditReport) -> dict[str, int]:
    columns = list(report.balance.values())
    return {label: sum(column[label] for column in columns) for label in columns[0]}


def _files(report: AuditReport) -> Iterable[Finding]:
    for check, clips, form, remedy in (
        ("files that cannot be read", report.unreadable, "{0}", "`earmark validate` says why"),
        ("near-silent clips", report.near_silent, "{0} ({1:.0f} dB)", "listen to them, or leave them out"),
        ("clipped clips", report.clipped, "{0} ({1:.1%})", "record at a lower level"),
    ):
        if clips:
            names = format_names([form.format(*item) for item in clips.items()])
            yield Finding("warning", check, f"{len(clips)}: {names}", remedy)
    if len(report.sample_rates) > 1:
        found = ", ".join(f"{rate} Hz ({pluralize(n, 'clip')})" for rate, n in report.sample_rates.items())
        remedy = f"choose one for training: --front-end.sample-rate {min(map(int, report.sample_rates))}"
        yield Finding("warning", "several sampling rates", found, remedy)


def _shortcuts(report: AuditReport) -> Iterable[Finding]:
    for shortcut in report.shortcuts:
        if not shortcut.predicts or (shortcut.feature == "all of them" and shortcut.target == "label"):
            continue
        found = f"{shortcut.accuracy:.0%} (chance {shortcut.chance:.0%})"
        check = f"{shortcut.feature} predicts the {shortcut.target}"
        if shortcut.target == "subset":
            yield Finding("warning", check, found, "the subsets differ in how they were recorded")
        elif shortcut.incidental:
            yield Finding("warning", check, found, REMEDIES.get(shortcut.feature, CONVERT))
        else:
            yield Finding("note", check, found, "a network must do better than this")
    if not any(shortcut.predicts for shortcut in report.shortcuts) and report.shortcuts:
        yield Finding("ok", "shortcuts", "no property of the files predicts the label or the subset")


_CHECKS: tuple[Callable[[AuditReport], Iterable[Finding]], ...] = (
    _split,
    _published_folds,
    _pairs,
    _altered,
    _groups,
    _labels,
    _files,
    _shortcuts,
)

Table = tuple[str, list[tuple[str, ...]]]
"""A caption and rows, the first of them the head."""


def tables(report: AuditReport) -> list[Table]:
    """The details of the findings."""
    pairs = [*report.pairs, *report.altered]
    shown = [_PAIR_HEAD, *(_pair_row(pair) for pair in pairs[:MAX_ROWS])]
    more = f" (the first {MAX_ROWS} of {len(pairs)})" if len(pairs) > MAX_ROWS else ""
    shortcuts = [_SHORTCUT_HEAD, *map(_shortcut_row, report.shortcuts)]
    columns = report.balance
    balance = [("label", *columns)]
    balance += [(label, *(str(column[label]) for column in columns.values())) for label in _totals(report)]
    every = [(f"Pairs{more}", shown), ("Shortcuts", shortcuts), ("Clips per label", balance)]
    return [table for table in every if len(table[1]) > 1]


_PAIR_HEAD = ("crosses", "first", "second", "labels", "groups", "folds", "subsets", "correlation", "offset", "shared")
_SHORTCUT_HEAD = ("target", "from", "balanced accuracy", "chance", "best of 19 shuffles")


def _pair_row(pair: Pair) -> tuple[str, ...]:
    return (
        pair.crosses or "–",
        pair.first,
        pair.second + _change(pair),
        *(" / ".join("–" if v in (None, "") else str(v) for v in both) for both in _twos(pair)),
        "exact" if pair.exact else f"{pair.correlation:.2f}",
        "–" if pair.offset_seconds is None else f"{pair.offset_seconds:+.3f} s",
        "–" if pair.shared_seconds is None else f"{pair.shared_seconds:.2f} s",
    )


def _twos(pair: Pair) -> tuple[tuple, ...]:
    """What the two clips have of each kind, once where it is the same."""
    twos = (pair.labels, pair.groups, pair.folds, pair.subsets)
    return tuple(two[:1] if two[0] == two[1] else two for two in twos)


def _shortcut_row(shortcut: Shortcut) -> tuple[str, ...]:
    scores = (shortcut.accuracy, shortcut.chance, shortcut.best_shuffled)
    return shortcut.target, shortcut.feature, *(f"{score:.1%}" for score in scores)


def headline(report: AuditReport) -> str:
    """How much was examined."""
    size = ", ".join(
        (pluralize(report.n_clips, "clip"), pluralize(report.n_groups, "group"), pluralize(report.n_labels, "label"))
    )
    return f"{size}; split: {report.split}" if report.split else size


def format_audit(report: AuditReport) -> str:
    """The audit as text in aligned columns: the verdict, then the details."""
    rows = []
    for finding in findings(report):
        rows.append((finding.level, finding.check, finding.found))
        rows += [("", "", f"-> {finding.remedy}")] if finding.remedy else []
    blocks = [headline(report), _aligned(rows)]
    blocks += [f"{caption}\n{_aligned(rows)}" for caption, rows in tables(report)]
    return "\n\n".join(blocks)


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
