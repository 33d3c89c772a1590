"""Names that suggest a mistake: labels and groups in two spellings, clips called like others, several labels in one."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from earmark.datasets.manifest import Clip, base_clip_ids
from earmark.runtime.connected import connected_sets
from earmark.runtime.console import format_names, pluralize, printable

LOG = logging.getLogger("earmark")

_WARNING = "%s: %s that differ only in spelling count as different %s: %s; use one spelling for each%s"
MIN_DERIVED = 3
"""Clips with the same beginning or end before they are thought to be made from others."""
SEPARATORS = "_-"
"""In front of an ending or after a beginning, in a clip id."""
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


def warn_of_alike_names(clips: Sequence[Clip], source: str | Path) -> None:
    """Warn of labels and of groups that are probably one: ``Anna`` and ``anna``, ``S03`` and ``S3``.

    Two spellings of a speaker are a leak that no split can see, and two of a label are two classes. A leak are also
    clips in groups of their own that were made from others, see `derived_clips`. Labels that are several are warned of,
    too, see `lists_of_labels`.
    """
    labels = alike_names(clip.label for clip in clips)
    groups = alike_names(clip.group for clip in clips if clip.group != clip.clip_id)
    for word, classes, found, why in (
        ("labels", "classes", labels, ""),
        ("groups", "groups", groups, ", or one speaker may be in both train and test"),
    ):
        if found:
            LOG.warning(_WARNING, source, word, classes, printable(format_names(found)), why)
    several = lists_of_labels(clip.label for clip in clips)
    if several:
        n_clips = pluralize(sum(clip.label in several for clip in clips), "clip")
        text = "%s: labels that seem to be several count as classes of their own (%s; %s); give each clip one label"
        LOG.warning(text, source, n_clips, printable(format_names([repr(label) for label in several])))
    for affix, made in derived_clips(clips).items():
        LOG.warning(
            "%s: %s called like clips of other groups with %r at the %s (%s); if they were made from these, give both "
            "the same group, or a copy may be trained on and the other tested",
            source,
            pluralize(len(made), "clip") + " are",
            affix,
            "beginning" if affix[-1] in SEPARATORS else "end",
            printable(format_names(made)),
        )


def derived_clips(clips: Sequence[Clip]) -> dict[str, list[str]]:
    """Clips that seem to be made from others, by a common affix: ``dog1_hall`` or ``hall-dog1`` from ``dog1``.

    The other has the same label and another group. Affixes without a letter number the clips, and those of
    augmentations that `base_clip_ids` knows are left out, because a split keeps them with the original.
    """
    clip_of, base_of = {clip.clip_id: clip for clip in clips}, base_clip_ids(clips)
    found: dict[str, list[str]] = defaultdict(list)
    for clip in clips:
        for separator in re.finditer(f"[{SEPARATORS}]+", clip.clip_id):
            begins, ends = clip.clip_id[: separator.start()], clip.clip_id[separator.end() :]
            for name, affix in ((begins, separator[0] + ends), (ends, begins + separator[0])):
                other = clip_of.get(name)
                if other is None or other.label != clip.label or other.group == clip.group:
                    continue
                if base_of[name] != base_of[clip.clip_id]:
                    found[affix].append(clip.clip_id)
    return {affix: made for affix, made in found.items() if len(made) >= MIN_DERIVED and any(map(str.isalpha, affix))}


def lists_of_labels(labels: Iterable[str]) -> list[str]:
    """The labels that are several others of the table, as in ``wind; rain`` or ``wind+rain``, or a list in brackets."""
    known = set(labels)
    folded = {label.casefold() for label in known}
    parts = {label: {part.strip().casefold() for part in re.split("[;,|/+&]", label)} - {""} for label in known}
    return sorted(
        label
        for label in known
        if (len(parts[label]) > 1 and parts[label] <= folded) or re.fullmatch(r"\[\s*['\"].*\]", label)
    )


def alike_names(names: Iterable[str]) -> list[str]:
    """Texts like ``'Anna' (3) = 'anna' (2)``: names that are probably one in two spellings.

    They differ in case, blanks, separators, accents, umlauts (``ü``, ``ue``) or first zeros of a number alone.
    """
    count = Counter(names)
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in sorted(count):
        for key in {_plain(name), _plain(unicodedata.normalize("NFKC", name).casefold().translate(_UMLAUTS))}:
            spellings[key].append(name)
    alike = connected_sets((same[0], name) for same in spellings.values() for name in same)
    return [" = ".join(f"{name!r} ({count[name]})" for name in sorted(found)) for found in alike if len(found) > 1]


def _plain(name: str) -> str:
    """The name without what spellings differ in; separators between digits (``1-23``) and signs (``x_-1``) stay."""
    text = unicodedata.normalize("NFKD", name).casefold()
    text = re.sub("(?<=[a-z])[\u0300-\u036f]+", "", text)  # accents; in other scripts, they make other letters
    text = re.sub(r"(?<!\d)(?<!\d[.,])0+(?=\d)", "", text)
    text = re.sub(r"(?<=\d)[\s_.,-]+(?=\d)", "/", text)
    return re.sub(r"[\s_.,]+|(?<=[^\W_])-|-(?!\d)", "", text)
