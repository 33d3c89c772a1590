"""A project root with few recordings, as the users of the scripts have it."""

import csv
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[1]
FORWARDERS = ("product", "configs", "run_all_experiments.sh", "run_emodb_experiments.sh")


def make_project(root: Path, real: Path | None) -> None:
    """Copy the forwarders and add 24 clips of ESC-50 and 28 of EmoDB, synthetic ones without real data."""
    for name in FORWARDERS:
        source, target = ROOT / name, root / name
        if source.is_dir():
            shutil.copytree(
                source, target, ignore=shutil.ignore_patterns("__pycache__", "data", "outputs", "artifacts")
            )
        else:
            shutil.copy(source, target)
    data = root / "product" / "audio_preprocessing" / "data"
    esc50, emodb = data / "ESC-50", data / "EmoDB-wav"
    for folder in (esc50 / "audio", esc50 / "meta", emodb):
        folder.mkdir(parents=True)
    if real is None:
        _synthesize(esc50, emodb)
    else:
        _copy_esc10(real / "ESC-10", esc50)
        _copy_emodb(real / "EmoDB-2s", emodb)


def _copy_esc10(source: Path, target: Path) -> None:
    """Four classes, six clips of each, all from different recordings."""
    with (source / "meta" / "esc50.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first: dict[str, dict[str, dict]] = defaultdict(dict)
    for row in rows:
        first[row["category"]].setdefault(row["src_file"], row)
    chosen = [row for label in sorted(first)[:4] for row in list(first[label].values())[:6]]
    for row in chosen:
        shutil.copy(source / "audio" / row["filename"], target / "audio")
    _write_meta(chosen, target)


def _copy_emodb(source: Path, target: Path) -> None:
    """Four speakers with all seven emotions, one utterance of each."""
    first: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted(source.glob("*.flac")):
        first[path.stem[:2]].setdefault(path.stem[5], path)
    complete = [utterances for _, utterances in sorted(first.items()) if len(utterances) == 7]
    for utterances in complete[:4]:
        for path in utterances.values():
            shutil.copy(path, target)


def _synthesize(esc50: Path, emodb: Path) -> None:
    """Tones in noise under the names of the two sets."""
    rng = np.random.default_rng(0)
    rows = []
    for target, label in enumerate(("dog", "rain", "siren", "wind")):
        for i in range(6):
            source = str(1000 * target + i)
            name = f"{i % 5 + 1}-{source}-A-{target}.wav"
            _write_tone(esc50 / "audio" / name, 300 * 2**target, 22050, rng)
            fold = str(i % 5 + 1)
            rows.append({"filename": name, "fold": fold, "target": str(target), "category": label})
            rows[-1] |= {"esc10": "True", "src_file": source, "take": "A"}
    _write_meta(rows, esc50)
    for speaker in ("03", "08", "09", "10"):
        for k, emotion in enumerate("WLEAFTN"):
            _write_tone(emodb / f"{speaker}a01{emotion}a.wav", 200 * 1.5**k, 16000, rng)


def _write_tone(path: Path, frequency: float, sample_rate: int, rng: np.random.Generator) -> None:
    seconds = np.arange(sample_rate) / sample_rate
    waveform = 0.3 * np.sin(2 * np.pi * frequency * rng.uniform(0.9, 1.1) * seconds)
    soundfile.write(path, waveform + 0.1 * rng.normal(size=len(seconds)), sample_rate)


def _write_meta(rows: list[dict], target: Path) -> None:
    with (target / "meta" / "esc50.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
