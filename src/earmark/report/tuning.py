"""Section: how the settings were chosen, what the choice was worth, and whether the folds chose alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from earmark.analysis.records import RunRecord
from earmark.analysis.rows import title_case
from earmark.analysis.tuning import REMEDY, Choice, TrialRow, Tuning, TuningError, read_trials, read_tuning
from earmark.analysis.tuning_tables import (
    choice_name,
    choices_table,
    complete_trials,
    ends_text,
    scores_of_choices,
    search_text,
    space_table,
    stability_text,
    ties_text,
    worth_table,
    worth_text,
)
from earmark.report.axes import BOTTOM, RIGHT, TOP, WIDTH, Axis, drawing, figure, frame, linear_axis, shorten
from earmark.report.components import Section, figures, titled
from earmark.report.html import Html, join, tag

LEFT, ROW = 128, 24
CORRECTED = (
    "Corrected: the winner chosen on some groups of clips and scored on the others, over and over (the bootstrap of "
    "Tsamardinos et al. 2018). Test clips: what the choice scored in this report, mean over seeds."
)


def tuning_section(records: Sequence[RunRecord]) -> Section | None:
    """The search of the suite that these runs belong to; None without one.

    Raises:
        TuningError: the files of the search cannot be used.
    """
    searches = [
        (folder, tuning)
        for folder in sorted({record.folder.parent for record in records})
        if (tuning := read_tuning(folder)) and tuning.choices
    ]
    if not searches:
        return None
    parts = []
    for folder, tuning in searches:
        heading = tag("h3", tuning.suite) if len(searches) > 1 else None
        parts += [heading, _search(tuning, folder, [r for r in records if r.folder.parent == folder])]
    lead = "Settings were searched inside training subsets. Scores of trials are not results: they chose the settings."
    return Section("tuning", "Tuning", "How the settings were chosen", lead, join(parts))


def _search(tuning: Tuning, folder: Path, records: Sequence[RunRecord]) -> Html:
    tested, trials = scores_of_choices(records, tuning), read_trials(folder)
    unfinished = None if tuning.finished else tag("p", "The search is not finished.", class_="remark")
    worth = f"{worth_text(tuning, tested)} {ties_text(tuning, trials)}".strip()
    stable = f"{stability_text(tuning)} {ends_text(tuning, trials)}".strip()
    texts = [tag("p", text, class_="remark") for text in (search_text(tuning), worth, stable)]
    return join(
        [
            unfinished,
            *texts,
            figures([_trials_plot(tuning, trials)]),
            titled(worth_table(tuning, tested)),
            tag("p", CORRECTED, class_="note"),
            titled(choices_table(tuning)),
            titled(space_table(tuning), words=True),
        ]
    )


def _trials_plot(tuning: Tuning, trials: Sequence[TrialRow]) -> Html:
    """The scores of all trials with all epochs, one row per choice, the winner and the config as it is marked."""
    rows = [(choice, complete_trials(trials, choice, tuning)) for choice in tuning.choices]
    height = TOP + ROW * len(rows) + BOTTOM
    ends = [100 * t.score for _, several in rows for t in several if t.score is not None]
    if not ends:
        raise TuningError(f"search of {tuning.suite}: trials.csv has no score of a trial that was chosen; {REMEDY}")
    x = linear_axis(f"{title_case(tuning.metric)} on the inner folds, %", ends, LEFT, WIDTH - RIGHT, "{:g}".format)
    y = Axis("", 0, len(rows), TOP, height - BOTTOM, (), str)
    marks = [mark for i, (choice, several) in enumerate(rows) for mark in _row(choice, several, x, y(i + 0.5))]
    note = "Each dot is a trial: blue the winner, with an orange ring the config as it is, gray the others."
    return figure("Trials", drawing(height, "Trials: score on the inner folds", frame(x, y, "x"), marks), note)


def _row(choice: Choice, trials: Sequence[TrialRow], x: Axis, at: float) -> list[Html]:
    name = choice_name(choice)
    label = tag("text", tag("title", name), shorten(name, 18), x=LEFT - 10, y=at + 4, class_="row", text_anchor="end")
    last = sorted(trials, key=lambda t: (t.trial == choice.trial, t.trial == 0))
    return [label, *(mark for t in last for mark in _dot(t, choice, x, at))]


def _dot(trial: TrialRow, choice: Choice, x: Axis, at: float) -> list[Html]:
    """The dot of a trial; that of the config has a ring, which a winner of the same score does not cover."""
    score = 100 * (trial.score or 0.0)
    settings = ", ".join(f"{name} {value}" for name, value in trial.settings.items())
    kind = "v1" if trial.trial == choice.trial else "v2" if trial.trial == 0 else "v7"
    tip = tag("title", f"trial {trial.trial}: {score:.1f} % ({settings})")
    dot = tag("circle", tip, cx=x(score), cy=at, r=4.0 if kind == "v7" else 5.0, class_=f"dot {kind}")
    return [dot, tag("circle", tip, cx=x(score), cy=at, r=7.0, class_="ring v2")] if trial.trial == 0 else [dot]
