"""Labels and groups written in two ways: other case, blanks, underscores or accents, or zeros that were lost."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from earmark.datasets.manifest import Clip
from earmark.runtime.console import format_names, printable

LOG = logging.getLogger("earmark")

_WARNING = "%s: %s that differ only in spelling count as different %s: %s; use one spelling for each%s"


def warn_of_alike_names(clips: Sequence[Clip], source: str | Path) -> None:
    """Warn of labels and of groups that are probably one: ``Anna`` and ``anna``, ``03`` and ``3``.

    Two spellings of a speaker are a leak that no split can see, and two of a label are two classes.
    """
    labels = alike_names(clip.label for clip in clips)
    groups = alike_names(clip.group for clip in clips if clip.group != clip.clip_id)
    for word, classes, found, why in (
        ("labels", "classes", labels, ""),
        ("groups", "groups", groups, ", or one speaker may be in both train and test"),
    ):
        if found:
            LOG.warning(_WARNING, source, word, classes, printable(format_names(found)), why)


def alike_names(names: Iterable[str]) -> list[str]:
    """Texts like ``'Anna' (3) = 'anna' (2)``: names that differ in case, blanks, underscores or first zeros alone."""
    spellings: dict[str, list[str]] = defaultdict(list)
    count = Counter(names)
    for name in sorted(count):
        spellings[_plain(name)].append(f"{name!r} ({count[name]})")
    return [" = ".join(found) for found in spellings.values() if len(found) > 1]


def _plain(name: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())
    return (text.lstrip("0") or "0") if text.isdecimal() else text
