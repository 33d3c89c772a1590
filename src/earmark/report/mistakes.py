"""The most confident mistakes, averaged over all runs, as cards with picture and sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.analysis.records import RunRecord
from earmark.analysis.suspects import places_of_clips
from earmark.report.html import Html, data, tag
from earmark.report.media import Media, audio_url, find_media, image_url, png_url

N_MISTAKES = 12


@dataclass(frozen=True, eq=False)
class Mistake:
    """A clip that the runs get wrong on average."""

    clip_id: str
    group: str
    label: str
    probs: dict[str, float]
    """Mean over runs of every class's probability, the most probable first; of labels, the fraction of runs."""
    n_wrong: int
    n_runs: int
    runs: tuple[RunRecord, ...]
    """The runs that tested it, the most confidently wrong first."""
    has_probs: bool

    @property
    def predicted_as(self) -> str:
        return next(iter(self.probs))

    @property
    def confidence(self) -> float:
        return self.probs[self.predicted_as]


def find_mistakes(records: Sequence[RunRecord], limit: int = N_MISTAKES) -> list[Mistake]:
    """The clips whose mean probabilities over all runs are wrong, the most confident first.

    Runs with predicted labels only are left out, unless there are no others.
    """
    wrong = []
    for clip_id, found in _places(records).items():
        record, row = found[0]
        mean = _mean(found)
        if mean.argmax() != record.targets[row]:
            wrong.append((-float(mean.max()), clip_id, mean, found))
    wrong.sort(key=lambda item: item[:2])
    return [_mistake(clip_id, mean, found) for _, clip_id, mean, found in wrong[:limit]]


def describe_clips(records: Sequence[RunRecord], clip_ids: Sequence[str]) -> list[Mistake]:
    """What the runs say of these clips, whether they are right or wrong."""
    places = _places(records)
    return [_mistake(clip_id, _mean(places[clip_id]), places[clip_id]) for clip_id in clip_ids]


def _places(records: Sequence[RunRecord]) -> dict[str, list[tuple[RunRecord, int]]]:
    """`places_of_clips` in the runs with probabilities, or in all where none has any."""
    return places_of_clips([r for r in records if r.has_probs] or records)


def _mean(found: Sequence[tuple[RunRecord, int]]) -> np.ndarray:
    return np.mean([record.probs[row] for record, row in found], axis=0)


def _mistake(clip_id: str, mean: np.ndarray, found: list[tuple[RunRecord, int]]) -> Mistake:
    record, row = found[0]
    predicted = int(mean.argmax())
    most_confident_first = sorted(found, key=lambda item: -item[0].probs[item[1], predicted])
    return Mistake(
        clip_id=clip_id,
        group=record.groups[row],
        label=record.class_names[record.targets[row]],
        probs={record.class_names[k]: float(mean[k]) for k in np.argsort(-mean, kind="stable")},
        n_wrong=sum(int(r.probs[i].argmax() != r.targets[i]) for r, i in found),
        n_runs=len(found),
        runs=tuple(r for r, _ in most_confident_first),
        has_probs=all(r.has_probs for r, _ in found),
    )


def gallery(mistakes: Sequence[Mistake]) -> Html:
    """The cards."""
    return tag("div", [_card(mistake) for mistake in mistakes], class_="cards")


def card_id(clip_id: str) -> str:
    """The id of the card of a clip on the page."""
    return f"clip-{clip_id}"


def _card(mistake: Mistake) -> Html:
    media = find_media(mistake.runs, mistake.clip_id)
    shown = [label for label in mistake.probs if label in (*list(mistake.probs)[:3], mistake.label)]
    title = tag("h3", tag("span", mistake.label, class_="truth"), " predicted as ", tag("em", mistake.predicted_as))
    wrong = f"wrong in {mistake.n_wrong} of {mistake.n_runs} runs"
    confidence = (data(mistake.confidence, f"{100 * mistake.confidence:.0f}"), " % confidence on average, ")
    bars = [_bar(label, mistake.probs[label], label == mistake.label) for label in shown]
    return tag(
        "article",
        _picture(mistake, media),
        _player(mistake, media),
        title,
        tag("p", confidence if mistake.has_probs else (), wrong),
        tag("ul", bars, class_="bars") if mistake.has_probs else None,
        tag("p", f"{mistake.clip_id}, group {mistake.group}", class_="note"),
        tag("p", media.remark, class_="note") if media.remark else None,
        class_="card",
        id=card_id(mistake.clip_id),
    )


def _bar(label: str, prob: float, true: bool) -> Html:
    fill = tag("span", class_="fill", style=f"width:{100 * prob:.1f}%")
    name = tag("span", f"{label} (true)" if true else label, class_="name")
    value = tag("span", data(prob, f"{100 * prob:.0f} %"), class_="value")
    return tag("li", fill, name, value, class_="true" if true else None)


def _picture(mistake: Mistake, media: Media) -> Html:
    """The log-mel image with its scales, and the one with Grad-CAM, which the button shows in its place."""
    about = f"{mistake.clip_id}, {mistake.label} predicted as {mistake.predicted_as}"
    parts = []
    if media.image is not None:
        alt = f"Log-mel spectrogram of {about}: time from left to right, frequency from bottom to top"
        parts.append(tag("img", src=image_url(media.image), alt=alt, class_="log-mel"))
    if media.overlay:
        alt = f"Log-mel spectrogram with Grad-CAM (what the prediction rests on): {about}"
        parts.append(tag("img", src=png_url(media.overlay), alt=alt, class_="cam"))
    if not parts:
        parts.append(tag("span", "no picture", class_="empty"))
    if media.seconds:
        parts += [
            tag("span", f"{media.high_hz / 1000:.3g} kHz", class_="scale top"),
            tag("span", f"{media.low_hz:g} Hz", class_="scale bottom"),
            tag("span", f"{media.seconds:.1f} s", class_="scale end"),
        ]
    return tag("div", parts, class_="picture")


def _player(mistake: Mistake, media: Media) -> Html | None:
    if media.waveform is None:
        return None
    source = audio_url(media.waveform, media.sample_rate)
    return tag("audio", controls=True, preload="metadata", src=source, aria_label=f"Play {mistake.clip_id}")
