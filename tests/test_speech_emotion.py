"""docs/speech-emotion.md, typed block by block on synthetic speakers."""

import csv
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.cli.main import main
from earmark.datasets.manifest import read_manifest
from earmark.splits.io import read_split

PAGE = Path(__file__).parents[1] / "docs" / "speech-emotion.md"
EMOTIONS = ("anger", "boredom", "fear", "happiness", "neutral", "sadness")
SMALL = """
[front_end]
n_fft = 256
hop_length = 256
n_mels = 16
"""


def write_corpus(folder: Path, name: str, n_speakers: int) -> None:
    """Tones of six emotions by each speaker, and a table of them."""
    rows = []
    for i in range(n_speakers):
        split = ("test", "dev", "train", "train")[i % 4]
        for k, emotion in enumerate(EMOTIONS):
            path = f"wav/{name}/{i}-{emotion}.wav"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            times = np.arange(4000 + 40 * i) / 8000
            soundfile.write(folder / path, 0.3 * np.sin(2 * np.pi * (300 * (k + 1) + 7 * i) * times), 8000)
            rows.append([path, f"s{i}", "female" if i % 2 else "male", emotion, split])
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "speaker", "gender", "emotion", "split"], *rows])


def write_features(folder: Path) -> None:
    """As openSMILE writes functionals: file, start and end, then the features."""
    with (folder / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = [[r["file"], "0 days", "0 days 00:00:01", EMOTIONS.index(r["emotion"]), 1.0] for r in rows]
    with (folder / "egemaps.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "start", "end", "F0", "loudness"], *table])


def write_predictions(folder: Path) -> None:
    """What a support vector machine might write, right for each recording."""
    with (folder / "metadata.csv").open(encoding="utf-8") as file:
        rows = [[row["file"], row["emotion"]] for row in csv.DictReader(file)]
    with (folder / "svm.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "prediction"], *rows])


def test_the_page(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pandas")
    write_corpus(tmp_path, "metadata", 8)
    write_corpus(tmp_path, "other", 2)
    write_features(tmp_path)
    write_predictions(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for kind, text in re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL):
        if kind == "python":
            exec(text, names)
        elif kind == "sh":
            for line in text.splitlines():
                main(shlex.split(line)[1:])
        elif kind == "toml":
            Path("emotions.toml").write_text(text.replace("[variants.cnn]\n", "") + SMALL, encoding="utf-8")
            main(["suite", "emotions.toml", "--device", "cpu", "--threads", "1", "--track"])
    assert "differ only in spelling" not in capsys.readouterr().err
    assert {c.label for c in read_manifest("four.csv")} == {
        "anger", "happiness", "neutral", "sadness",
    }  # fmt: skip
    sizes = {part: [len(m) for m in read_split(f"{part}-split").subsets().values()] for part in ("official", "both")}
    assert sizes == {"official": [24, 12, 12], "both": [40, 0, 8]}
    assert len(names["predictions"]) == 48 and set(names["gender_of"]) == {"female", "male"}
    assert len(list(Path("runs/svm").glob("svm-fold*"))) == 8, "the folds of the suite"
    right = names["predictions"]["label"] == names["predictions"]["prediction"]
    assert right.mean() > 0.9, "the vectors tell the emotions apart"
