"""Find the clips of a set that share audio: exact copies by their digest, others by fingerprint and waveform."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from earmark.audio.io import AudioError, load_audio
from earmark.audit.altered import find_altered
from earmark.audit.confirm import Agreement, compare_waveforms, is_copy
from earmark.audit.fingerprint import FRAMES_PER_SECOND, FRONT_END, Fingerprint, fingerprint_of
from earmark.audit.matches import LIKELY, Match, find_matches
from earmark.audit.record import CROSSINGS, Pair
from earmark.audit.shortcuts import ClipFacts
from earmark.datasets.manifest import Clip
from earmark.runtime.console import progress_bar
from earmark.runtime.pool import map_tasks


@dataclass(frozen=True)
class Examined:
    """What is kept of a clip that has been examined."""

    fingerprint: Fingerprint
    frames_per_second: float | None
    """Of the image; None where it is not known."""
    facts: ClipFacts | None
    """What the file is like; None where there is only an image."""
    digest: str = ""
    """Of the decoded audio; empty for silence and images."""
    level: np.ndarray | None = None
    """From `pack_level`, where other tempos or pitches are compared."""


@dataclass(frozen=True)
class _Found:
    """Two clips by their indices, and how they agree."""

    first: int
    second: int
    exact: bool
    correlation: float
    offset_seconds: float | None
    shared_seconds: float | None
    speed: float = 1.0
    tempo: float = 1.0
    semitones: float = 0.0


def find_pairs(
    clips: Sequence[Clip],
    examined: Sequence[Examined],
    subset_of: dict[str, str],
    jobs: int,
    speeds: Sequence[float] = (),
) -> list[Pair]:
    """Clips that share audio: those that cross the most first, exact copies before others.

    Args:
        clips: the clips that could be examined.
        examined: what is known of each.
        subset_of: the subset of each clip id in the audited split; empty without one.
        jobs: threads; 0 is one per core.
        speeds: at which each recording is compared with the others as well, where there are recordings.
    """
    has_waveforms = any(result.facts for result in examined)
    found = _exact_copies(clips, examined, subset_of)
    found += _by_waveform(clips, examined, jobs) if has_waveforms else _by_image(examined)
    for speed in speeds:
        known = {(one.first, one.second) for one in found}
        found += [one for one in _at_speed(clips, examined, speed, jobs) if not known & _both_ways(one)]
    return _sorted([_pair(clips, subset_of, one) for one in found])


def find_altered_pairs(
    clips: Sequence[Clip],
    examined: Sequence[Examined],
    subset_of: dict[str, str],
    known: Sequence[Pair],
    jobs: int,
    tempos: Sequence[float],
    semitones: Sequence[float],
) -> list[Pair]:
    """Clips of which one is probably the other at another tempo or pitch: those that cross the most first.

    Args:
        clips: the clips that could be examined.
        examined: what is known of each; the level of all of them.
        subset_of: the subset of each clip id in the audited split; empty without one.
        known: pairs that are left out, as are exact copies of their clips and of each other.
        jobs: threads; 0 is one per core.
        tempos: of the copies.
        semitones: of the copies.
    """
    levels = [result.level for result in examined if result.level is not None]
    prints = [result.fingerprint for result in examined]
    altered = find_altered(levels, prints, tempos, semitones, jobs)
    found = [
        _Found(a.first, a.second, False, a.correlation, None, None, 1.0, a.change.tempo, a.change.semitones)
        for a in altered
    ]
    first_of: dict[str, str] = {}
    same_as = {
        c.clip_id: first_of.setdefault(e.digest or c.clip_id, c.clip_id) for c, e in zip(clips, examined, strict=True)
    }

    def recordings(pair: Pair) -> frozenset[str]:
        return frozenset((same_as[pair.first], same_as[pair.second]))

    there = {recordings(pair) for pair in known}
    pairs = [_pair(clips, subset_of, one) for one in found]
    return _sorted([pair for pair in pairs if len(recordings(pair)) > 1 and recordings(pair) not in there])


def _sorted(pairs: list[Pair]) -> list[Pair]:
    return sorted(pairs, key=lambda p: (CROSSINGS.index(p.crosses), not p.exact, -p.correlation))


def _exact_copies(clips: Sequence[Clip], examined: Sequence[Examined], subset_of: dict[str, str]) -> list[_Found]:
    """Each clip that is the same after decoding as earlier ones, with the first of those in each subset and fold."""
    first_of: dict[str, dict[tuple[str, int | str | None], int]] = {}
    found = []
    for i, (clip, result) in enumerate(zip(clips, examined, strict=True)):
        if not result.digest:
            continue
        earlier = first_of.setdefault(result.digest, {})
        seconds = result.facts.duration if result.facts else None
        found += [_Found(j, i, True, 1.0, 0.0, seconds) for j in sorted(set(earlier.values()))]
        for key in (("all", None), ("subset", subset_of.get(clip.clip_id)), ("fold", clip.fold)):
            earlier.setdefault(key, i)
    return found


def _by_image(examined: Sequence[Examined]) -> list[_Found]:
    """Pairs whose images agree, and not as well at another offset, as beeping alarms do."""
    found = []
    for match in find_matches([result.fingerprint for result in examined]):
        rate = examined[match.first].frames_per_second
        offset, shared = (match.offset / rate, match.n_frames / rate) if rate else (None, None)
        if not match.repeats:
            found.append(_Found(match.first, match.second, False, match.score, offset, shared))
    return found


def _by_waveform(clips: Sequence[Clip], examined: Sequence[Examined], jobs: int) -> list[_Found]:
    """Pairs that are likely by their images and confirmed by their waveforms; without exact copies."""
    digest = [result.digest for result in examined]
    likely = find_matches([result.fingerprint for result in examined], LIKELY)
    likely = [m for m in likely if not digest[m.first] or digest[m.first] != digest[m.second]]
    return _confirmed(clips, likely, 1.0, jobs)


def _at_speed(clips: Sequence[Clip], examined: Sequence[Examined], speed: float, jobs: int) -> list[_Found]:
    """Pairs of which the first is a copy of the second at another speed, as by resampling; pitch changes as well."""
    n = len(clips)
    sped = map_tasks(partial(_fingerprint_at, speed), [clip.path for clip in clips], jobs)
    prints = [result.fingerprint for result in examined] + list(progress_bar(sped, f"speed {speed:g}", n, "clip"))
    matches = [replace(m, second=m.second - n) for m in find_matches(prints, LIKELY, n_first=n)]
    return _confirmed(clips, [m for m in matches if m.first != m.second], speed, jobs)


def _fingerprint_at(speed: float, path: Path) -> Fingerprint:
    try:
        return fingerprint_of(_load(path, speed))
    except AudioError as error:
        if error.kind != "empty":
            raise
        return fingerprint_of(np.zeros(1, np.float32))  # of a few samples, none is left at this rate


def _both_ways(found: _Found) -> set[tuple[int, int]]:
    return {(found.first, found.second), (found.second, found.first)}


def _confirmed(clips: Sequence[Clip], likely: Sequence[Match], speed: float, jobs: int) -> list[_Found]:
    tasks = [(match, clips[match.first].path, clips[match.second].path, speed) for match in likely]
    load = functools.lru_cache(maxsize=8)(_load)  # the first clip of a candidate is often that of the next one
    found = []
    for match, agreement in zip(likely, map_tasks(functools.partial(_compare, load=load), tasks, jobs), strict=True):
        if is_copy(match, agreement):
            offset, shared = agreement.offset / FRONT_END.sample_rate, match.n_frames / FRAMES_PER_SECOND
            found.append(_Found(match.first, match.second, False, agreement.correlation, offset, shared, speed))
    return found


def _compare(task: tuple[Match, Path, Path, float], load: Callable[[Path, float], np.ndarray]) -> Agreement:
    match, first, second, speed = task
    return compare_waveforms(match, load(first, 1.0), load(second, speed))


def _load(path: Path, speed: float) -> np.ndarray:
    """A waveform at the rate of the fingerprints."""
    return load_audio(path, round(FRONT_END.sample_rate / speed))[0]


def _pair(clips: Sequence[Clip], subset_of: dict[str, str], found: _Found) -> Pair:
    a, b = clips[found.first], clips[found.second]
    return Pair(
        first=a.clip_id,
        second=b.clip_id,
        exact=found.exact,
        correlation=round(found.correlation, 3),
        offset_seconds=None if found.offset_seconds is None else round(found.offset_seconds, 3),
        shared_seconds=None if found.shared_seconds is None else round(found.shared_seconds, 2),
        groups=(a.group, b.group),
        labels=(a.label, b.label),
        folds=(a.fold, b.fold),
        subsets=(subset_of.get(a.clip_id, ""), subset_of.get(b.clip_id, "")),
        speed=found.speed,
        tempo=found.tempo,
        semitones=found.semitones,
    )
