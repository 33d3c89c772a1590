"""Audit a dataset: what leaks now, what would leak in another split, and which shortcuts a network could learn.

`audit` examines every recording once (or ready-made images), finds pairs of clips that share audio, and compares
what it finds with the groups, the published folds and a split.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from earmark.audio.io import AudioError, audio_info, decode, to_mono
from earmark.audio.quality import QUIET_RMS_DB, measure_quality
from earmark.audit.alterations import MAX_SEMITONES, MAX_SPEED, MIN_SPEED
from earmark.audit.altered import pack_level
from earmark.audit.fingerprint import FRAMES_PER_SECOND, FRONT_END, fingerprint_of_level, level_of
from earmark.audit.pairs import Examined, find_altered_pairs, find_pairs
from earmark.audit.record import AuditError, AuditReport
from earmark.audit.shortcuts import ClipFacts, Shortcut, facts_of, find_shortcuts
from earmark.datasets.manifest import Clip, clip_digest, has_groups, manifest_digest
from earmark.runtime.console import progress_bar
from earmark.runtime.files import sampled_digest
from earmark.runtime.pool import map_tasks
from earmark.splits.make import groups_per_label
from earmark.splits.split import Split, find_leaks, waived_groups

MAX_CLIPPED_FRACTION = 0.001
"""Fraction of samples at full scale above which a clip is reported as clipped."""
IMAGE_RANGE_DB = 80.0
"""What the 256 levels of a ready-made image are assumed to span."""
DEFAULT_FOLDS = 5
"""Folds that labels should have groups for, where none are published."""


def audit(
    clips: Sequence[Clip],
    split: Split | None = None,
    jobs: int = 0,
    images: str | Path | None = None,
    speeds: Sequence[float] = (),
    tempos: Sequence[float] = (),
    semitones: Sequence[float] = (),
) -> AuditReport:
    """Examine all clips and report leaks, shared audio, imbalance, faulty files and shortcuts.

    Args:
        clips: the manifest.
        split: a split of it that is judged too.
        jobs: threads; 0 is one per core.
        images: folder of ``<clip_id>_orig.png`` to examine instead of the recordings, without facts of files.
        speeds: find copies that were made by playing a recording at one of these speeds, such as 0.9 and 1.1, too.
        tempos, semitones: find probable copies at one of these tempos, or with such a change of pitch, too.

    Raises:
        SplitError: the split has a clip that the manifest lacks.
        AuditError: a speed, a tempo or semitones cannot be used.
    """
    _check_alterations(speeds, tempos, semitones, images)
    judged = _judge_split(split, clips) if split else {}
    audio = partial(_examine_audio, keep_level=bool(tempos or semitones))
    examine = partial(_examine_image, Path(images)) if images else audio
    examined = list(progress_bar(map_tasks(examine, clips, jobs), "audit", len(clips), "clip"))
    good = {i: result for i, result in enumerate(examined) if not isinstance(result, str)}
    facts = {clips[i].clip_id: result.facts for i, result in good.items() if result.facts}
    subset_of = {i: subset for subset, ids in split.subsets().items() for i in ids} if split else {}
    usable = [clips[i] for i in good], [*good.values()], subset_of
    pairs = find_pairs(*usable, jobs, speeds)
    return AuditReport(
        **_groups_and_labels(clips),
        **judged,
        manifest_digest=manifest_digest(clips),
        clips={clips[i].clip_id: clip_digest(clips[i]) for i in good},
        recordings={clips[i].clip_id: sampled_digest(clips[i].path) for i in good if not images},
        has_groups=has_groups(clips),
        pairs=pairs,
        altered=find_altered_pairs(*usable, pairs, jobs, tempos, semitones),
        balance=_balance(clips, subset_of),
        near_silent={i: round(f.loudness_db, 1) for i, f in facts.items() if f.loudness_db < QUIET_RMS_DB},
        clipped={i: round(f.clipped, 4) for i, f in facts.items() if f.clipped > MAX_CLIPPED_FRACTION},
        unreadable={c.clip_id: e for c, e in zip(clips, examined, strict=True) if isinstance(e, str)},
        shortcuts=_shortcuts(clips, facts, subset_of),
        sample_rates={str(rate): n for rate, n in Counter(f.sample_rate for f in facts.values()).most_common()},
        images_only=images is not None,
    )


def _check_alterations(
    speeds: Sequence[float], tempos: Sequence[float], semitones: Sequence[float], images: str | Path | None
) -> None:
    for name, values in {"speeds": speeds, "tempos": tempos}.items():
        for value in values:
            if not MIN_SPEED <= value <= MAX_SPEED or value == 1:
                raise AuditError(f"{name} = {value:g}: give {MIN_SPEED:g} to {MAX_SPEED:g}, not 1, such as 0.9 1.1")
    for value in semitones:
        if not 0 < abs(value) <= MAX_SEMITONES:
            raise AuditError(
                f"semitones = {value:g}: give {-MAX_SEMITONES:g} to {MAX_SEMITONES:g}, not 0, such as -2 2"
            )
    for name, given in {"speeds": speeds, "tempos": tempos, "semitones": semitones}.items():
        if given and images:
            raise AuditError(f"{name}: are for recordings; leave out the images")


def _examine_audio(clip: Clip, keep_level: bool) -> Examined | str:
    """Fingerprint and facts of a recording, and its level if that is to be kept; or why there are none."""
    try:
        info = audio_info(clip.path)
        samples_NC, rate = decode(clip.path)
    except AudioError as error:
        return str(error)
    if not np.isfinite(samples_NC).all():
        return f"audio {clip.path}: has NaN or infinite samples; export it again or leave it out"
    quality = measure_quality(samples_NC, rate)
    waveform = to_mono(samples_NC)
    if rate != FRONT_END.sample_rate:
        import soxr  # only here: a report shows an audit where nothing is decoded

        waveform = soxr.resample(waveform, rate, FRONT_END.sample_rate)
    level, facts = level_of(waveform), facts_of(quality, info)
    kept = pack_level(level) if keep_level else None
    return Examined(fingerprint_of_level(level), FRAMES_PER_SECOND, facts, quality.digest, kept)


def _examine_image(folder: Path, clip: Clip) -> Examined | str:
    from earmark.features.store import StoreError, open_image

    try:
        with open_image(folder / f"{clip.clip_id}_orig.png") as image:
            pixels = np.asarray(image, dtype=np.float32)
    except StoreError as error:
        return str(error)
    level = pixels[::-1] * (IMAGE_RANGE_DB / 255) - IMAGE_RANGE_DB
    rate = level.shape[1] / clip.duration if clip.duration else None
    return Examined(fingerprint_of_level(level), rate, None)


def _groups_and_labels(clips: Sequence[Clip]) -> dict[str, Any]:
    """What the manifest says by itself about groups, labels and folds."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    folds: dict[str, set[int]] = defaultdict(set)
    sizes = Counter(clip.group for clip in clips)
    for clip in clips:
        labels[clip.group][clip.label] += 1
        if clip.fold is not None:
            folds[clip.group].add(clip.fold)
    published = {fold for of_group in folds.values() for fold in of_group}
    n_folds = len(published) if len(published) > 1 else DEFAULT_FOLDS
    without_sibling = sum(size * (1 / n_folds) ** (size - 1) for size in sizes.values())
    return {
        "n_clips": len(clips),
        "n_groups": len(sizes),
        "n_labels": len({clip.label for clip in clips}),
        "n_folds": n_folds,
        "groups_across_folds": {g: sorted(f) for g, f in sorted(folds.items()) if len(f) > 1},
        "mixed_groups": {g: dict(sorted(n.items())) for g, n in sorted(labels.items()) if len(n) > 1},
        "scarce_labels": {label: n for label, n in groups_per_label(clips).items() if n < n_folds},
        "random_siblings": 1 - without_sibling / len(clips),
    }


def _judge_split(split: Split, clips: Sequence[Clip]) -> dict[str, Any]:
    return {
        "split": f"{split.kind}, fold {split.fold}",
        "leaks": [str(leak) for leak in find_leaks(split, clips)],
        "waived": list(waived_groups(split, clips)),
    }


def _balance(clips: Sequence[Clip], subset_of: dict[str, str]) -> dict[str, dict[str, int]]:
    """Clips per label in each subset of the split, or else in each published fold, or else in all."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for clip in clips:
        fold = "all" if clip.fold is None else f"fold {clip.fold}"
        counts[subset_of.get(clip.clip_id, "unused") if subset_of else fold][clip.label] += 1
    labels = sorted({clip.label for clip in clips})
    return {column: {label: n[label] for label in labels} for column, n in sorted(counts.items())}


def _shortcuts(clips: Sequence[Clip], facts: dict[str, ClipFacts], subset_of: dict[str, str]) -> list[Shortcut]:
    found = []
    for target, value_of in (("label", {c.clip_id: c.label for c in clips}), ("subset", subset_of)):
        known = [c for c in clips if c.clip_id in facts and c.clip_id in value_of]
        if known:
            values = [value_of[c.clip_id] for c in known]
            found += find_shortcuts([facts[c.clip_id] for c in known], values, [c.group for c in known], target)
    return found
