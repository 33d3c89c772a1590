"""Data sets that come with tables or lists: UrbanSound8K, Speech Commands, GTZAN and the DCASE acoustic scenes.

J. Salamon, C. Jacoby and J. P. Bello, "A Dataset and Taxonomy for Urban Sound Research", ACM Multimedia 2014.
P. Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", arXiv:1804.03209, 2018.
G. Tzanetakis and P. Cook, "Musical Genre Classification of Audio Signals", IEEE Transactions on Speech and Audio
Processing 10(5), 2002. A. Mesaros, T. Heittola and T. Virtanen, "A Multi-Device Dataset for Urban Acoustic Scene
Classification", DCASE Workshop 2018.

Official lists become folds, so that fold 1 with `split.valid_fold` is the official split into test, valid and train.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath

from earmark.audio.io import audio_files
from earmark.datasets.manifest import Clip, safe_id, unique_ids
from earmark.datasets.recordings import contents, warn_of_skipped
from earmark.datasets.rows import ManifestError, fold_number, read_rows
from earmark.runtime.console import brief, format_names, pluralize

LOG = logging.getLogger("earmark")

TEST, VALID, TRAIN = 1, 2, 3
"""The folds that official lists become."""
SPEECH_LISTS = {"testing_list.txt": TEST, "validation_list.txt": VALID}
GTZAN_LISTS = {"test_filtered.txt": TEST, "valid_filtered.txt": VALID, "train_filtered.txt": TRAIN}
"""The fault-filtered lists: C. Kereliuk, B. L. Sturm and J. Larsen, "Deep Learning and Music Adversaries", 2015."""
GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
UNCHANGED = "give the file as it was published"

_UTTERANCE = re.compile(r"(?P<speaker>[0-9a-f]{8})_nohash_\d+")
_CITY = re.compile(r"(?P<city>[a-z]+)-\d+")
_FAULTS = (
    "%s: has no train_filtered.txt, valid_filtered.txt and test_filtered.txt, so the known faults of GTZAN (repeated, "
    "mislabeled and distorted clips) are not filtered"
)
_NO_ARTISTS = "%s: has no artists.csv (file,artist), so every clip is its own group and artists can cross subsets"


def find_urbansound8k(root: Path) -> list[Clip]:
    """UrbanSound8K by its table: the group is the Freesound recording (fsID), the fold the published one."""
    table = _first(root, ("metadata/UrbanSound8K.csv", "UrbanSound8K.csv"), "UrbanSound8K")
    rows = read_rows(table, ("slice_file_name", "fsID", "fold", "class"), UNCHANGED)
    audio = root / "audio" if (root / "audio").is_dir() else root
    clips = []
    for line, row in rows:
        name, fold = _filled(row, "slice_file_name", table, line), fold_number(row["fold"], f"{table}, line {line}")
        label, group = _filled(row, "class", table, line), _filled(row, "fsID", table, line)
        clips.append(Clip(safe_id(Path(name).stem), audio / f"fold{fold}" / name, label, group, fold))
    return clips


def find_speech_commands(root: Path) -> list[Clip]:
    """Speech Commands: the label is the word (the folder), the group the speaker (the hash in the file's name).

    Folders that begin with ``_`` (background noise) are no words. The testing list is fold 1, the validation list
    fold 2, the other clips are fold 3; without the lists there are no folds.
    """
    files = [path for path in audio_files(root) if path.parent.parent == root and path.parent.name[0] != "_"]
    matches = [(path, _UTTERANCE.fullmatch(path.stem)) for path in files]
    named = [(path, match["speaker"]) for path, match in matches if match]
    if not named:
        raise _not_found(root, "Speech Commands", "no file <word>/<speaker>_nohash_<number>.wav")
    warn_of_skipped([path.name for path, match in matches if not match], root, "not named as in Speech Commands")
    paths = [path for path, _ in named]
    fold_of = _read_lists(root, SPEECH_LISTS, paths)
    if not fold_of:
        LOG.warning("%s: has no testing_list.txt and validation_list.txt, so the clips have no folds", root)
    ids = unique_ids([path.stem for path in paths], [path.parent.name for path in paths], paths)
    return [
        Clip(clip_id, path, path.parent.name, speaker, fold_of.get(_key(path), TRAIN) if fold_of else None)
        for clip_id, (path, speaker) in zip(ids, named, strict=True)
    ]


def find_gtzan(root: Path) -> list[Clip]:
    """GTZAN: the label is the genre (the folder), the group the artist where ``artists.csv`` (file,artist) names one.

    With the three fault-filtered lists in the folder only the clips in them are read: test is fold 1, valid fold 2,
    train fold 3. Without them all clips are read, and a warning says that the known faults are among them.
    """
    places = [root / name for name in ("genres", "genres_original", ".")]
    files = next((found for place in places if (found := _files_of_genres(place))), [])
    if not files:
        raise _not_found(root, "GTZAN", "no audio in a folder of a genre (genres/blues, genres/classical, ...)")
    fold_of = _read_lists(root, GTZAN_LISTS, files)
    if not fold_of:
        LOG.warning(_FAULTS, root)
    files = [path for path in files if _key(path) in fold_of or not fold_of]
    artist_of = _read_artists(root)
    return [
        Clip(safe_id(path.stem), path, path.parent.name, artist_of.get(path.stem, path.stem), fold_of.get(_key(path)))
        for path in files
    ]


def _files_of_genres(folder: Path) -> list[Path]:
    return [path for genre in GENRES if (folder / genre).is_dir() for path in audio_files(folder / genre)]


def _read_artists(root: Path) -> dict[str, str]:
    """The artist of each clip, by the stem of its file name; unknown artists are left out."""
    table = root / "artists.csv"
    if not table.is_file():
        LOG.warning(_NO_ARTISTS, root)
        return {}
    rows = read_rows(table, ("file", "artist"), "give the columns file,artist")
    return {PurePosixPath(row["file"]).stem: row["artist"] for _, row in rows if row["artist"]}


def find_dcase_scenes(root: Path) -> list[Clip]:
    """A development set of the DCASE acoustic scenes: TUT 2016 and 2017, TUT or TAU Urban 2018 and later.

    The group is the city; in the sets of 2016 and 2017, which name none, it is the location of the recording. With
    several lists, fold k is ``evaluation_setup/fold<k>_evaluate``; where there is one only, fold 1 is that and fold 2
    is ``fold1_train``. Clips in no list are left out with a warning.
    """
    table = _first(root, ("meta.csv", "meta.txt"), "an acoustic scenes set of DCASE")
    clips = []
    for line, cells in _tab_rows(table):
        if len(cells) < 2 or not all(cells[:2]):
            raise ManifestError(f"{table}, line {line}: no file and scene between tabs; {UNCHANGED}")
        path = root / cells[0]
        place = cells[2] if len(cells) > 2 and cells[2] else path.stem.split("_")[0]
        city = _CITY.fullmatch(place)
        clips.append(Clip(safe_id(path.stem), path, cells[1], city["city"] if city else place))
    return _in_setup(clips, root)


def _in_setup(clips: list[Clip], root: Path) -> list[Clip]:
    """The clips with the folds of the evaluation setup; those that it does not use are left out."""
    folder = root / "evaluation_setup"
    lists = {path.name: int(path.stem[4]) for path in sorted(folder.glob("fold[1-9]_evaluate.*"))}
    if len(lists) == 1:
        lists[next(iter(lists)).replace("evaluate", "train")] = 2
    fold_of = _read_lists(folder, lists, [clip.path for clip in clips])
    if not fold_of:
        LOG.warning("%s: has no evaluation_setup/fold1_evaluate.csv, so the clips have no folds", root)
        return clips
    unused = [clip.clip_id for clip in clips if _key(clip.path) not in fold_of]
    if unused:
        text = "%s: %s in no list of evaluation_setup, left out: %s"
        LOG.warning(text, root, pluralize(len(unused), "clip"), format_names(unused))
    return [replace(clip, fold=fold_of[_key(clip.path)]) for clip in clips if _key(clip.path) in fold_of]


# ------------------------------------------------------------------------------------------------------- lists


def _read_lists(folder: Path, lists: Mapping[str, int], files: Sequence[Path]) -> dict[str, int]:
    """The fold of each file that a list names, by `_key`; empty where there is no list.

    Raises:
        ManifestError: one of the lists is missing, cannot be read or names none of the files, or two name one file.
    """
    present = [name for name in lists if (folder / name).is_file()]
    if not present:
        return {}
    if absent := [name for name in lists if name not in present]:
        raise ManifestError(f"{folder}: has {present[0]}, but not {absent[0]}; copy all official lists there, or none")
    known = {_key(path) for path in files}
    fold_of: dict[str, int] = {}
    for name in present:
        keys = [_key(PurePosixPath(cells[0])) for _, cells in _tab_rows(folder / name)]
        if not known & set(keys):
            raise ManifestError(
                f"{folder / name}: none of its lines is a file of the set, as {min(known)} is; {UNCHANGED}"
            )
        if twice := [key for key in keys if fold_of.setdefault(key, lists[name]) != lists[name]]:
            raise ManifestError(f"{folder / name}: {brief(twice[0])} is in another list too; {UNCHANGED}")
    return fold_of


def _key(path: PurePath) -> str:
    """How a list and a folder name the same file: its folder and its name without the extension."""
    return f"{path.parent.name}/{path.stem}"


def _tab_rows(path: Path) -> list[tuple[int, list[str]]]:
    """The lines that are not empty, as cells between tabs, with their numbers; without a header line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ManifestError(f"{path}: cannot be read ({reason}); {UNCHANGED}") from None
    rows = [(line, [cell.strip() for cell in row.split("\t")]) for line, row in enumerate(text.splitlines(), start=1)]
    return [(line, cells) for line, cells in rows if cells[0] and cells[0] != "filename"]


def _filled(row: Mapping[str, str], column: str, table: Path, line: int) -> str:
    if not row[column]:
        raise ManifestError(f"{table}, line {line}: {column} is empty; {UNCHANGED}")
    return row[column]


def _first(root: Path, names: Sequence[str], title: str) -> Path:
    """The first of these files that exists below `root`."""
    found = next((root / name for name in names if (root / name).is_file()), None)
    if found is None:
        raise _not_found(root, title, f"no {' or '.join(names)}")
    return found


def _not_found(root: Path, title: str, missing: str) -> ManifestError:
    return ManifestError(f"{root}: holds {missing}, but {contents(root)}; give the folder that {title} was unpacked to")
