"""What is wrong with the recordings of a manifest: all problems, not only the first one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.audio.io import AudioError, decode
from earmark.audio.quality import NO_LEVEL_DB, Quality, is_too_short, measure_quality
from earmark.datasets.manifest import Clip
from earmark.runtime.console import pluralize, progress_bar
from earmark.runtime.pool import map_tasks

KINDS = ("missing", "unreadable", "empty", "nan", "silent", "clipped", "too_short", "duplicate")
"""What can be wrong with a file."""


@dataclass(frozen=True)
class Problem:
    """One problem of one clip."""

    clip_id: str
    path: Path
    kind: str
    """One of `KINDS`."""
    detail: str
    """What was measured, or what the file is a duplicate of."""


def validate_clips(clips: Sequence[Clip]) -> list[Problem]:
    """Decode every recording and list what is wrong, in the order of the clips; a clip can have several problems.

    A file is a duplicate when its decoded mono audio and rate equal those of an earlier clip, whatever the format.
    """
    measured = map_tasks(_measure, clips)
    results = list(progress_bar(measured, "validate", len(clips), "clip"))
    first: dict[str, Clip] = {}
    problems = []
    for clip, result in zip(clips, results, strict=True):
        if isinstance(result, AudioError):
            problems.append(Problem(clip.clip_id, clip.path, result.kind, str(result)))
            continue
        details = _details(result)
        original = first.setdefault(result.digest, clip) if result.digest else clip
        details["duplicate"] = "" if original is clip else _duplicate_of(clip, original)
        problems += [Problem(clip.clip_id, clip.path, kind, detail) for kind, detail in details.items() if detail]
    return problems


def _measure(clip: Clip) -> Quality | AudioError:
    try:
        return measure_quality(*decode(clip.path))
    except AudioError as error:
        return error


def _details(quality: Quality) -> dict[str, str]:
    """What was measured of each kind of problem; empty where there is none."""
    zero = quality.peak_db == NO_LEVEL_DB
    silent = "all samples are zero" if zero else f"the peak is at {quality.peak_db:.0f} dB of full scale"
    n_samples = round(quality.n_clipped / quality.clipped_fraction) if quality.n_clipped else 0
    return {
        "nan": f"NaN or infinite: {pluralize(quality.n_not_finite, 'sample')}" if quality.n_not_finite else "",
        "silent": silent if quality.is_silent else "",
        "clipped": f"{quality.n_clipped} of {n_samples} samples are at full scale" if n_samples else "",
        "too_short": f"{quality.duration:.3f} s" if is_too_short(quality.duration) else "",
    }


def _duplicate_of(clip: Clip, original: Clip) -> str:
    label = f", labeled {original.label!r} instead of {clip.label!r}" if original.label != clip.label else ""
    group = f", in another group ({original.group!r}): it can leak" if original.group != clip.group else ""
    return f"same audio as {original.clip_id}{label}{group}"
