"""Audit a data set: what leaks now, what would leak in another split, and what a network could cheat with.

`audit` looks at every recording once (or at ready-made images), finds pairs of clips that share audio, and compares
what it finds with the groups, the published folds and a split.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from earmark.audio.io import AudioError, audio_info, decode, load_audio, to_mono
from earmark.audit.fingerprint import (
    FRAMES_PER_SECOND,
    FRONT_END,
    LIKELY,
    Fingerprint,
    Match,
    coherence,
    find_matches,
    fingerprint_of,
    fingerprint_of_level,
    is_copy,
)
from earmark.audit.shortcuts import ClipFacts, Shortcut, facts_of, find_shortcuts
from earmark.datasets.manifest import Clip
from earmark.runtime.pool import map_tasks
from earmark.splits.make import groups_per_label
from earmark.splits.split import Split, find_leaks, waived_groups

QUIET_DB = -60.0
"""Loudness (root mean square, dB of full scale) below which a clip is near-silent."""
CLIPPED_SHARE = 0.001
"""Share of samples at full scale from which a clip counts as clipped."""
IMAGE_RANGE_DB = 80.0
"""What the 256 levels of a ready-made image are taken to span."""
DEFAULT_FOLDS = 5
"""Folds that labels should have groups for, where none are published."""


@dataclass(frozen=True)
class Pair:
    """Two clips that share audio."""

    first: str
    """Id of one clip."""
    second: str
    """Id of the other."""
    exact: bool
    """Whether they are the same after decoding."""
    score: float
    """Agreement of their waveforms (of their images, where these are all there is) in the best second, 0 to 1."""
    offset_seconds: float | None
    """By how much the shared sound comes later in the first one; None where an image's frame rate is unknown."""
    shared_seconds: float | None
    """For how long they agree."""
    groups: tuple[str, str]
    labels: tuple[str, str]
    folds: tuple[int | None, int | None]
    parts: tuple[str, str]
    """Their parts in the audited split; empty without one."""

    @property
    def crosses(self) -> str:
        """What the pair crosses, worst first: ``parts``, ``folds``, ``groups`` or nothing."""
        if self.parts[0] != self.parts[1] and all(self.parts):
            return "parts"
        if self.folds[0] != self.folds[1] and None not in self.folds:
            return "folds"
        return "groups" if self.groups[0] != self.groups[1] else ""


_WORST = ("parts", "folds", "groups", "")


@dataclass(frozen=True)
class AuditReport:
    """Everything that was found."""

    n_clips: int
    n_groups: int
    n_labels: int
    n_folds: int
    """Published folds, or the five that are usual."""
    split: str = ""
    """Kind and fold of the audited split; empty without one."""
    leaks: list[str] = field(default_factory=list)
    """Groups, clips and waveform variants in more than one part."""
    waived: list[str] = field(default_factory=list)
    """Groups that cross parts under the split's waiver."""
    groups_across_folds: dict[str, list[int]] = field(default_factory=dict)
    """Groups that stand in more than one published fold."""
    pairs: list[Pair] = field(default_factory=list)
    """Clips that share audio, exact copies first."""
    mixed_groups: dict[str, dict[str, int]] = field(default_factory=dict)
    """Groups with several labels: clips per label."""
    scarce_labels: dict[str, int] = field(default_factory=dict)
    """Labels with fewer groups than folds, and how many they have."""
    balance: dict[str, dict[str, int]] = field(default_factory=dict)
    """Clips per label in each part, or fold, or in all."""
    near_silent: dict[str, float] = field(default_factory=dict)
    """Clips below -60 dB of full scale, and their loudness."""
    clipped: dict[str, float] = field(default_factory=dict)
    """Clips with more than one sample in 1000 at full scale, and the share."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Clips that could not be looked at, and why."""
    shortcuts: list[Shortcut] = field(default_factory=list)
    """What properties of the files alone predict."""
    images_only: bool = False
    """Whether shared audio was judged by images; then electronic alarms and sirens that sound alike count too."""
    random_siblings: float = 0.0
    """Share of test clips with a sibling of their group in training if folds were drawn at random by clip."""

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, ready for JSON."""
        return dataclasses.asdict(self)


def read_audit(path: str | Path) -> AuditReport:
    """Read `AuditReport.to_dict` from a JSON file.

    Raises:
        ValueError: the file is missing or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        pairs = [
            Pair(**{key: tuple(v) if isinstance(v, list) else v for key, v in p.items()}) for p in content["pairs"]
        ]
        return AuditReport(**{**content, "pairs": pairs, "shortcuts": [Shortcut(**s) for s in content["shortcuts"]]})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"audit {path}: not what `earmark audit clips.csv --json {path}` writes ({error})") from None


def audit(
    clips: Sequence[Clip],
    split: Split | None = None,
    jobs: int = 0,
    images: str | Path | None = None,
    show_progress: bool = True,
) -> AuditReport:
    """Look at all clips and report leaks, shared audio, imbalance, faulty files and shortcuts.

    Args:
        clips: the manifest.
        split: a split of it that is judged too.
        jobs: processes; 0 is one per core.
        images: folder of ``<clip_id>_orig.png`` to look at instead of the recordings; facts of files are then
            left out.
        show_progress: show a progress bar.

    Raises:
        SplitError: the split has a clip that the manifest lacks.
    """
    examine = partial(_examine_image, Path(images)) if images else _examine_audio
    found = map_tasks(examine, clips, jobs)
    examined = list(tqdm(found, total=len(clips), desc="audit", unit="clip", disable=not show_progress))
    good = [i for i, result in enumerate(examined) if not isinstance(result, str)]
    facts = {clips[i].clip_id: examined[i].facts for i in good if examined[i].facts}
    part_of = {i: part for part, ids in split.parts().items() for i in ids} if split else {}
    pairs = _find_pairs([clips[i] for i in good], [examined[i] for i in good], part_of, jobs)
    return AuditReport(
        **_groups_and_labels(clips),
        **(_judge_split(split, clips) if split else {}),
        pairs=pairs,
        balance=_balance(clips, part_of),
        near_silent={i: round(f.loudness_db, 1) for i, f in facts.items() if f.loudness_db < QUIET_DB},
        clipped={i: round(f.clipped, 4) for i, f in facts.items() if f.clipped > CLIPPED_SHARE},
        unreadable={c.clip_id: e for c, e in zip(clips, examined, strict=True) if isinstance(e, str)},
        shortcuts=_shortcuts(clips, facts, part_of),
        images_only=images is not None,
    )


@dataclass(frozen=True)
class _Examined:
    fingerprint: Fingerprint
    frames_per_second: float | None
    facts: ClipFacts | None


def _examine_audio(clip: Clip) -> _Examined | str:
    """Fingerprint and facts of a recording, or why there are none."""
    try:
        info = audio_info(clip.path)
        samples_NC, rate = decode(clip.path)
    except AudioError as error:
        return str(error)
    if not np.isfinite(samples_NC).all():
        return f"audio {clip.path}: has NaN or infinite samples; export it again or leave it out"
    waveform = to_mono(samples_NC)
    if rate != FRONT_END.sample_rate:
        import soxr  # only here: a report shows an audit where nothing is decoded

        waveform = soxr.resample(waveform, rate, FRONT_END.sample_rate)
    return _Examined(fingerprint_of(waveform), FRAMES_PER_SECOND, facts_of(samples_NC, info))


def _examine_image(folder: Path, clip: Clip) -> _Examined | str:
    from PIL import Image, UnidentifiedImageError

    path = folder / f"{clip.clip_id}_orig.png"
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L"), dtype=np.float32)
    except (OSError, UnidentifiedImageError) as error:
        return f"image {path}: cannot be read ({error}); make the store anew"
    level = pixels[::-1] * (IMAGE_RANGE_DB / 255) - IMAGE_RANGE_DB
    rate = level.shape[1] / clip.duration if clip.duration else None
    return _Examined(fingerprint_of_level(level), rate, None)


def _find_pairs(clips: Sequence[Clip], examined: Sequence[_Examined], part_of: dict[str, str], jobs: int) -> list[Pair]:
    """Clips that share audio: those that cross most first, exact copies before others."""
    found = _copies(examined) + _near(clips, examined, jobs)
    pairs = [_pair(clips, examined, part_of, *one) for one in found]
    return sorted(pairs, key=lambda p: (_WORST.index(p.crosses), not p.exact, -p.score))


Found = tuple[Match, float, bool]
"""A match, its score and whether it is an exact copy."""


def _copies(examined: Sequence[_Examined]) -> list[Found]:
    """Clips that are the same after decoding as an earlier one."""
    first: dict[str, int] = {}
    copies = []
    for i, result in enumerate(examined):
        if result.facts and result.facts.digest and first.setdefault(result.facts.digest, i) != i:
            n_frames = result.fingerprint.detail.shape[1]
            match = Match(first[result.facts.digest], i, 0, 0, 1.0, n_frames, slice(0, n_frames))
            copies.append((match, 1.0, True))
    return copies


def _near(clips: Sequence[Clip], examined: Sequence[_Examined], jobs: int) -> list[Found]:
    """Clips that share audio without being the same: likely by their images, certain by their waveforms."""
    prints = [result.fingerprint for result in examined]
    if not any(result.facts for result in examined):
        return [(match, match.score, False) for match in find_matches(prints) if not match.repeats]
    digest = [result.facts.digest for result in examined]
    likely = [m for m in find_matches(prints, LIKELY) if digest[m.first] != digest[m.second]]
    tasks = [(match, clips[match.first].path, clips[match.second].path) for match in likely]
    scores = map_tasks(_compare_waveforms, tasks, jobs)
    return [(m, score, False) for m, score in zip(likely, scores, strict=True) if is_copy(m, score)]


def _compare_waveforms(task: tuple[Match, Path, Path]) -> float:
    match, first, second = task
    return coherence(match, *(load_audio(path, FRONT_END.sample_rate)[0] for path in (first, second)))


def _pair(
    clips: Sequence[Clip],
    examined: Sequence[_Examined],
    part_of: dict[str, str],
    match: Match,
    score: float,
    exact: bool,
) -> Pair:
    a, b = clips[match.first], clips[match.second]
    rate = examined[match.first].frames_per_second
    return Pair(
        first=a.clip_id,
        second=b.clip_id,
        exact=exact,
        score=round(score, 3),
        offset_seconds=round(match.offset / rate, 2) if rate else None,
        shared_seconds=round(match.n_frames / rate, 2) if rate else None,
        groups=(a.group, b.group),
        labels=(a.label, b.label),
        folds=(a.fold, b.fold),
        parts=(part_of.get(a.clip_id, ""), part_of.get(b.clip_id, "")),
    )


def _groups_and_labels(clips: Sequence[Clip]) -> dict[str, Any]:
    """What the manifest alone says about groups, labels and folds."""
    labels, folds, sizes = defaultdict(Counter), defaultdict(set), Counter(clip.group for clip in clips)
    for clip in clips:
        labels[clip.group][clip.label] += 1
        folds[clip.group].add(clip.fold)
    published = {clip.fold for clip in clips} - {None}
    n_folds = len(published) if len(published) > 1 else DEFAULT_FOLDS
    lonely = sum(size * (1 / n_folds) ** (size - 1) for size in sizes.values())
    return {
        "n_clips": len(clips),
        "n_groups": len(sizes),
        "n_labels": len({clip.label for clip in clips}),
        "n_folds": n_folds,
        "groups_across_folds": {g: sorted(f - {None}) for g, f in sorted(folds.items()) if len(f - {None}) > 1},
        "mixed_groups": {g: dict(sorted(n.items())) for g, n in sorted(labels.items()) if len(n) > 1},
        "scarce_labels": {label: n for label, n in groups_per_label(clips).items() if n < n_folds},
        "random_siblings": 1 - lonely / len(clips),
    }


def _judge_split(split: Split, clips: Sequence[Clip]) -> dict[str, Any]:
    return {
        "split": f"{split.kind}, fold {split.fold}",
        "leaks": [str(leak) for leak in find_leaks(split, clips)],
        "waived": list(waived_groups(split, clips)),
    }


def _balance(clips: Sequence[Clip], part_of: dict[str, str]) -> dict[str, dict[str, int]]:
    """Clips per label in each part of the split, or else in each published fold, or else in all."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for clip in clips:
        fold = "all" if clip.fold is None else f"fold {clip.fold}"
        counts[part_of.get(clip.clip_id, "no part") if part_of else fold][clip.label] += 1
    labels = sorted({clip.label for clip in clips})
    return {column: {label: n[label] for label in labels} for column, n in sorted(counts.items())}


def _shortcuts(clips: Sequence[Clip], facts: dict[str, ClipFacts], part_of: dict[str, str]) -> list[Shortcut]:
    found = []
    for target, value_of in (("label", {c.clip_id: c.label for c in clips}), ("part", part_of)):
        known = [c for c in clips if c.clip_id in facts and c.clip_id in value_of]
        if known:
            values = [value_of[c.clip_id] for c in known]
            found += find_shortcuts([facts[c.clip_id] for c in known], values, [c.group for c in known], target)
    return found
