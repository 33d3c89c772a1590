"""Labels and groups that are written in two ways: another case, other blanks, or zeros that a spreadsheet removed."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from earmark.datasets.manifest import Clip
from earmark.runtime.console import format_names, printable

LOG = logging.getLogger("earmark")

_WARNING = "%s: %s written in more than one way count as different %s: %s; write those that are one in one way%s"


def warn_of_alike_names(clips: Sequence[Clip], source: str | Path) -> None:
    """Warn of labels and of groups that are probably one: ``Anna`` and ``anna``, ``03`` and ``3``.

    Two spellings of a speaker are a leak that no split can see, and two of a label are two classes.
    """
    labels = alike_names(clip.label for clip in clips)
    groups = alike_names(clip.group for clip in clips if clip.group != clip.clip_id)
    for word, classes, found, why in (
        ("labels", "classes", labels, ""),
        ("groups", "groups", groups, ", or a speaker may be trained on under one name and tested under the other"),
    ):
        if found:
            LOG.warning(_WARNING, source, word, classes, printable(format_names(found)), why)


def alike_names(names: Iterable[str]) -> list[str]:
    """For each set of names that differ in case, blanks or leading zeros alone, a text with their numbers of clips."""
    spellings: dict[str, list[str]] = defaultdict(list)
    count = Counter(names)
    for name in sorted(count):
        spellings[_plain(name)].append(f"{name!r} ({count[name]})")
    return [" = ".join(found) for found in spellings.values() if len(found) > 1]


def _plain(name: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    return (text.lstrip("0") or "0") if text.isdecimal() else text
