"""Tiny copies of public data sets in their official layouts: real names and tables, a moment of noise as audio."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import soundfile

RATE = 8000
CITIES = ("lisbon", "lyon", "milan")


def write_audio(path: Path, seconds: float = 0.3, rate: int = RATE, channels: int = 1) -> Path:
    """Noise that differs from file to file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(path.as_posix().encode()))
    soundfile.write(path, 0.1 * rng.standard_normal((int(seconds * rate), channels)), rate)
    return path


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_urbansound8k(root: Path) -> None:
    """Two classes, four recordings of two slices, two folds; recording 77751 is in both folds, as in the real set."""
    slices = [
        (recording, fold, 3 * (i % 2), ("air_conditioner", "dog_bark")[i % 2], part)
        for i, (recording, fold) in enumerate([("100032", 1), ("100263", 1), ("7061", 2), ("7383", 2)])
        for part in range(2)
    ]
    slices += [("77751", 1, 0, "air_conditioner", 0), ("77751", 2, 3, "dog_bark", 1)]
    rows = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    for recording, fold, class_id, name, part in slices:
        file = f"{recording}-{class_id}-0-{part}.wav"
        write_audio(root / "audio" / f"fold{fold}" / file)
        rows.append(f"{file},{recording},{part},{part + 1},1,{fold},{class_id},{name}")
    write_lines(root / "metadata" / "UrbanSound8K.csv", rows)


def write_speech_commands(root: Path) -> None:
    """Two words by six speakers, two speakers in each list, and background noise that is no word."""
    speakers = [f"{i:08x}" for i in range(0xA0, 0xA6)]
    for word, speaker in itertools.product(("yes", "no"), speakers):
        write_audio(root / word / f"{speaker}_nohash_0.wav")
    write_audio(root / "_background_noise_" / "pink_noise.wav")
    for name, chosen in (("testing_list.txt", speakers[:2]), ("validation_list.txt", speakers[2:4])):
        write_lines(root / name, [f"{word}/{s}_nohash_0.wav" for word in ("no", "yes") for s in chosen])


def write_fsdd(root: Path) -> None:
    """Two digits by two speakers, indices 4 (test) and 5 to 6 (training)."""
    for digit, speaker, index in itertools.product((0, 7), ("jackson", "theo"), (4, 5, 6)):
        write_audio(root / "recordings" / f"{digit}_{speaker}_{index}.wav")


def write_gtzan(root: Path) -> None:
    """Two genres of seven clips, of which six are in the filtered lists; artists of all but one."""
    lists: dict[str, list[str]] = {"test": [], "valid": [], "train": []}
    artists = ["file,artist"]
    for genre, i in itertools.product(("blues", "rock"), range(7)):
        write_audio(root / "genres" / genre / f"{genre}.{i:05d}.wav")
        if i < 6:
            lists[("test", "valid", "train")[i // 2]].append(f"{genre}/{genre}.{i:05d}.wav")
            artists.append(f"{genre}.{i:05d}.au,{'' if (genre, i) == ('rock', 5) else f'artist {i // 2}'}")
    for name, lines in lists.items():
        write_lines(root / f"{name}_filtered.txt", lines)
    write_lines(root / "artists.csv", artists)


def write_dcase_scenes(root: Path) -> None:
    """Two scenes in three cities, two locations each; Milan is tested only, and one of its clips is not used."""
    meta, train, evaluate = ["filename\tscene_label\tidentifier\tsource_label"], [], []
    for scene, city, location in itertools.product(("airport", "tram"), CITIES, range(2)):
        file = f"audio/{scene}-{city}-{1000 + location}-40000-a.wav"
        write_audio(root / file)
        meta.append(f"{file}\t{scene}\t{city}-{1000 + location}\ta")
        tested = location == 0 if city != "milan" else location == 1
        if tested or city != "milan":
            (evaluate if tested else train).append(f"{file}\t{scene}")
    write_lines(root / "meta.csv", meta)
    for name, rows in (("train", train), ("evaluate", evaluate)):
        write_lines(root / "evaluation_setup" / f"fold1_{name}.csv", ["filename\tscene_label", *rows])


def write_ravdess(root: Path) -> None:
    """Two emotions by four actors, and one song, which is not speech."""
    for emotion, actor in itertools.product(("01", "06"), range(1, 5)):
        write_audio(root / f"Actor_{actor:02d}" / f"03-01-{emotion}-01-02-01-{actor:02d}.wav")
    write_audio(root / "Actor_01" / "03-02-06-01-02-01-01.wav")


def write_crema_d(root: Path) -> None:
    """Two emotions by four actors, one of the names cut short as in the published set."""
    for emotion, actor in itertools.product(("ANG", "SAD"), (1001, 1002, 1003, 1040)):
        level = "X" if (emotion, actor) == ("SAD", 1040) else "XX"
        write_audio(root / "AudioWAV" / f"{actor}_ITH_{emotion}_{level}.wav")


WRITERS: dict[str, Callable[[Path], None]] = {
    "urbansound8k": write_urbansound8k,
    "speech_commands": write_speech_commands,
    "fsdd": write_fsdd,
    "gtzan": write_gtzan,
    "dcase_scenes": write_dcase_scenes,
    "ravdess": write_ravdess,
    "crema_d": write_crema_d,
}
"""The writer of each set, by `data.dataset`."""
