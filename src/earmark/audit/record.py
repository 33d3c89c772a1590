"""The audit of a manifest as a value and as a JSON file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from earmark.audit.shortcuts import Shortcut
from earmark.runtime.connected import connected_sets
from earmark.runtime.errors import EarmarkError
from earmark.runtime.schema import SchemaError, check_schema, read_json

FORMAT_VERSION = 2
CROSSINGS = ("subsets", "folds", "groups", "")
"""What a pair of clips can cross, worst first."""


OUTLINE = {"format_version?": int, "pairs": [dict], "shortcuts": [{"target": str}]}
"""What files of every version have."""
_PAIR: dict[str, object] = {"first": str, "second": str, "exact": bool, "correlation": float}
_PAIR |= {"offset_seconds": float | None, "shared_seconds": float | None, "folds": [int | None]}
_PAIR |= {"groups": [str], "labels": [str], "subsets": [str]}
_PAIR |= {"speed?": float, "tempo?": float, "semitones?": float}
_SHORTCUT = {"target": str, "feature": str, "accuracy": float, "chance": float, "best_shuffled": float}
REPORT: dict[str, object] = {
    "n_clips": int,
    "n_groups": int,
    "n_labels": int,
    "n_folds": int,
    "pairs": [_PAIR],
    "shortcuts": [_SHORTCUT],
}
REPORT |= {"clips?": {str: str}, "recordings?": {str: str}, "sample_rates?": {str: int}}
REPORT |= {"manifest_digest?": str, "has_groups?": bool, "split?": str, "leaks?": [str], "waived?": [str]}
REPORT |= {"groups_across_folds?": {str: [int]}, "mixed_groups?": {str: {str: int}}, "scarce_labels?": {str: int}}
REPORT |= {"balance?": {str: {str: int}}, "near_silent?": {str: float}, "clipped?": {str: float}}
REPORT |= {"altered?": [_PAIR], "unreadable?": {str: str}, "images_only?": bool, "random_siblings?": float}
"""Fields of `AuditReport` with the types that JSON gives them."""


class AuditError(EarmarkError):
    """A file that is not an audit; the message names it and the remedy."""


@dataclass(frozen=True)
class Pair:
    """Two clips that share audio."""

    first: str
    """Id of one clip."""
    second: str
    """Id of the other."""
    exact: bool
    """Whether they are the same after decoding."""
    correlation: float
    """Normalized cross-correlation of the waveforms at the offset, 0 to 1 (of the images, without waveforms)."""
    offset_seconds: float | None
    """By how much the shared sound comes later in the first one; None where an image's frame rate is unknown."""
    shared_seconds: float | None
    """For how long they agree."""
    groups: tuple[str, str]
    labels: tuple[str, str]
    folds: tuple[int | None, int | None]
    subsets: tuple[str, str]
    """Their subsets in the audited split; empty without one."""
    speed: float = 1.0
    """At which the second one sounds as the first."""
    tempo: float = 1.0
    """At which it does so with its pitch."""
    semitones: float = 0.0
    """By which its pitch is moved for that, with its tempo."""

    @property
    def crosses(self) -> str:
        """What the pair crosses, the worst of `CROSSINGS`."""
        if self.subsets[0] != self.subsets[1] and all(self.subsets):
            return "subsets"
        if self.folds[0] != self.folds[1] and None not in self.folds:
            return "folds"
        return "groups" if self.groups[0] != self.groups[1] else ""


@dataclass(frozen=True, repr=False)
class AuditReport:
    """Everything that was found; `print` and a notebook show it as the terminal does."""

    n_clips: int
    n_groups: int
    n_labels: int
    n_folds: int
    """Published folds, or the five that are usual."""
    manifest_digest: str = ""
    """Which recordings were audited, see `manifest.manifest_digest`; empty in a file of version 1."""
    clips: dict[str, str] = field(default_factory=dict)
    """The clips that were examined, each with its `manifest.clip_digest`."""
    recordings: dict[str, str] = field(default_factory=dict)
    """The `files.sampled_digest` of the recording of each examined clip; empty where images were examined."""
    has_groups: bool = True
    """Whether some group holds more than one recording."""
    split: str = ""
    """Kind and fold of the audited split; empty without one."""
    leaks: list[str] = field(default_factory=list)
    """Groups, clips and copies of clips in more than one subset."""
    waived: list[str] = field(default_factory=list)
    """Groups that cross subsets under the split's waiver."""
    groups_across_folds: dict[str, list[int]] = field(default_factory=dict)
    """Groups in more than one published fold."""
    pairs: list[Pair] = field(default_factory=list)
    """Clips that share audio, exact copies first."""
    altered: list[Pair] = field(default_factory=list)
    """Clips that are probably copies at another tempo or pitch, by their images."""
    mixed_groups: dict[str, dict[str, int]] = field(default_factory=dict)
    """Groups with several labels: clips per label."""
    scarce_labels: dict[str, int] = field(default_factory=dict)
    """Labels with fewer groups than folds, and how many they have."""
    balance: dict[str, dict[str, int]] = field(default_factory=dict)
    """Clips per label in each subset, or fold, or in all."""
    near_silent: dict[str, float] = field(default_factory=dict)
    """Clips below -60 dB of full scale, and their loudness."""
    clipped: dict[str, float] = field(default_factory=dict)
    """Clips with more than one sample in 1000 at full scale, and the fraction."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Clips that could not be examined, and why."""
    shortcuts: list[Shortcut] = field(default_factory=list)
    """What properties of the files alone predict."""
    sample_rates: dict[str, int] = field(default_factory=dict)
    """Clips per sampling rate in Hz."""
    images_only: bool = False
    """Whether shared audio was judged by images; then electronic alarms and sirens that sound alike are included."""
    random_siblings: float = 0.0
    """Fraction of test clips with a clip of their group in training if folds were drawn at random by clip."""

    def __repr__(self) -> str:
        from earmark.audit.findings import format_audit

        return format_audit(self)

    @property
    def copies(self) -> list[tuple[str, ...]]:
        """Sets of clips that share audio, for `check_split` and `unite_copies`, as far as waveforms prove it."""
        if self.images_only:
            return []
        near = [(pair.first, pair.second) for pair in self.pairs if not pair.exact]
        exact = connected_sets((pair.first, pair.second) for pair in self.pairs if pair.exact)
        return [*(tuple(sorted(clip_ids)) for clip_ids in exact), *near]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, ready for JSON."""
        return {"format_version": FORMAT_VERSION, **dataclasses.asdict(self), "copies": self.copies}


def read_audit(path: str | Path) -> AuditReport:
    """Read `AuditReport.to_dict` from a JSON file, in any version of the format.

    Raises:
        AuditError: the file is missing or holds something else.
    """
    path = Path(path)
    try:
        content = _upgrade(read_json(path, OUTLINE))
        check_schema(content, REPORT, path.name)
        _check_keys(content, path.name)
    except SchemaError as error:
        remedy = f"`earmark audit clips.csv --json {path}` writes one"
        raise AuditError(f"audit {path}: is not an audit ({error}); {remedy}") from None
    pairs = {key: [_read_pair(pair) for pair in content.get(key, [])] for key in ("pairs", "altered")}
    return AuditReport(**{**content, **pairs, "shortcuts": [Shortcut(**s) for s in content["shortcuts"]]})


def _check_keys(content: dict[str, Any], where: str) -> None:
    """Refuse keys that this version does not know, and pairs of something else than two."""
    pairs = [*content["pairs"], *content.get("altered", [])]
    kinds = [(AuditReport, [content]), (Pair, pairs), (Shortcut, content["shortcuts"])]
    for kind, tables in kinds:
        known = {f.name for f in dataclasses.fields(kind)}
        unknown = sorted({key for table in tables for key in table} - known)
        if unknown:
            raise SchemaError(f"{where} has the unknown key {unknown[0]!r}")
    if any(len(pair[key]) != 2 for pair in pairs for key in ("groups", "labels", "folds", "subsets")):
        raise SchemaError(f"{where}: pairs must have two groups, labels, folds and subsets each")


def _read_pair(content: dict[str, Any]) -> Pair:
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in content.items()}
    return Pair(**fields)


def _upgrade(content: dict[str, Any]) -> dict[str, Any]:
    """The fields of `AuditReport` from a file of any version of the format."""
    version = content.pop("format_version", 1)
    if version > FORMAT_VERSION:
        raise SchemaError(f"format_version {version} is newer than this earmark")
    content.pop("copies", None)
    if version == 1:
        new_name = {"parts": "subsets", "score": "correlation"}
        content["pairs"] = [{new_name.get(key, key): v for key, v in pair.items()} for pair in content["pairs"]]
        targets = {"part": "subset"}
        content["shortcuts"] = [{**s, "target": targets.get(s["target"], s["target"])} for s in content["shortcuts"]]
    return content
