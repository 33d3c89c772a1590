"""What is wrong with the recordings of a manifest: all of it, not only the first thing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from earmark.audio.io import AudioError, decode, to_mono
from earmark.datasets.manifest import Clip

SHORTEST = 0.1
"""Seconds below which a clip is too short to hold a sound that could be told from others."""

SILENCE_DB = -80.0
"""Peak, in dB of full scale, up to which a clip is silent: the noise of a 16-bit converter at most."""

CLIPPED_FROM = 0.98
"""Peak, of full scale 1, from which a run of equal extremes counts as clipping."""

CLIPPED_RUN = 3
"""Samples in a row at the extreme that make a clipped stretch."""

KINDS = ("missing", "unreadable", "empty", "nan", "silent", "clipped", "too_short", "duplicate")
"""What can be wrong with a file."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one clip."""

    clip_id: str
    path: Path
    kind: str
    """One of `KINDS`."""
    detail: str
    """What was measured, or what the file is a duplicate of."""


def validate_clips(clips: Sequence[Clip], show_progress: bool = True) -> list[Problem]:
    """Decode every recording and list what is wrong, in the order of the clips; a clip can have several problems.

    A file is a duplicate when its decoded mono audio and rate equal those of an earlier clip, whatever the format.
    """
    with ThreadPoolExecutor() as pool:
        findings = pool.map(_examine, clips)
        examined = list(tqdm(findings, total=len(clips), desc="validate", unit="clip", disable=not show_progress))
    first: dict[str, Clip] = {}
    problems = []
    for clip, (found, digest) in zip(clips, examined, strict=True):
        problems += found
        if digest and first.setdefault(digest, clip) is not clip:
            problems.append(Problem(clip.clip_id, clip.path, "duplicate", _of_what(clip, first[digest])))
    return problems


def _of_what(clip: Clip, first: Clip) -> str:
    label = f", labelled {first.label!r} instead of {clip.label!r}" if first.label != clip.label else ""
    group = f", in another group ({first.group!r}): it can leak" if first.group != clip.group else ""
    return f"same audio as {first.clip_id}{label}{group}"


def _examine(clip: Clip) -> tuple[list[Problem], str]:
    """The problems of one file by itself, and a digest of its audio; empty where there is none to compare."""
    try:
        samples_NC, rate = decode(clip.path)
    except AudioError as error:
        return [Problem(clip.clip_id, clip.path, error.kind, str(error))], ""
    waveform = to_mono(samples_NC)
    details = {
        "nan": _not_finite(samples_NC),
        "silent": _silent(waveform),
        "clipped": _clipped(samples_NC),
        "too_short": f"{len(waveform) / rate:.3f} s" if len(waveform) < SHORTEST * rate else "",
    }
    problems = [Problem(clip.clip_id, clip.path, kind, detail) for kind, detail in details.items() if detail]
    digest = "" if details["silent"] else hashlib.sha256(waveform.tobytes() + str(rate).encode()).hexdigest()
    return problems, digest


def _not_finite(samples_NC: np.ndarray) -> str:
    n = samples_NC.size - np.count_nonzero(np.isfinite(samples_NC))
    return f"{n} samples are NaN or infinite" if n else ""


def _silent(waveform: np.ndarray) -> str:
    peak = np.abs(waveform).max()
    if peak == 0:
        return "all samples are zero"
    peak_db = 20 * np.log10(peak)  # NaN compares false
    return f"the peak is at {peak_db:.0f} dB of full scale" if peak_db <= SILENCE_DB else ""


def _clipped(samples_NC: np.ndarray) -> str:
    """How much lies in runs at the extremes: exactly there in a lossless file, beyond full scale in a lossy one."""
    n = sum(_in_runs(channel, sign) for channel in samples_NC.T for sign in (1, -1))
    return f"{n} of {samples_NC.size} samples are at full scale" if n else ""


def _in_runs(channel: np.ndarray, sign: int) -> int:
    """Number of samples in runs of `CLIPPED_RUN` or more at the highest (sign 1) or lowest (-1) value."""
    extreme = (sign * channel).max()
    if not CLIPPED_FROM <= extreme < np.inf:  # nor NaN
        return 0
    edges = np.flatnonzero(np.diff(sign * channel >= min(extreme, 1.0), prepend=False, append=False))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= CLIPPED_RUN].sum())
