"""Run every command that takes audio over damaged recordings, and measure memory and what is reported.

    python benchmarks/damaged_recordings.py

Makes some 700 recordings (truncations, bit flips, zeroed blocks, headers that lie, wrong endings, bombs, devices) and
runs `validate`, `spectrograms`, `augment`, `audit` and `predict` (an ONNX file, and a checkpoint) on all of them, each
in one process on one core. A file must give a result or exactly one line; nothing else may happen. Exit status 1: a
traceback, a file without result and line, a file with two lines, or more than 500 MB of its own memory. The peak
memory also counts the pages of libraries, which all processes share and of which PyTorch has more than 500 MB; how many
of them are resident differs from call to call.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from measure import hardware

from earmark.datasets.manifest import Clip, unique_ids, write_manifest

MAX_MB = 500
RATE = 16000
FORMATS = (
    ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "PCM_U8"), ("WAV", "IMA_ADPCM"),
    ("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16"),
    ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
)  # fmt: skip
ENDINGS = {"WAVEX": "wav", "RF64": "wav", "AIFF": "aiff"}
RATES = (0, 1, 7, 999, 1000, 8001, 768_000, 768_001, 10_000_000, 2_000_000_000, 2**32 - 1)
COUNTS = (0, 1, 2, 63, 64, 65, 255, 1024, 65535)
SIZES = (0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
N_CERTAINLY_BAD = 100
"""Fewer lines mean that a command did not examine the files."""


@dataclass(frozen=True)
class Outcome:
    """What one command did on the whole set."""

    command: str
    results: int
    lines: int
    problems: list[str]
    peak_mb: float
    own_mb: float
    """Peak of the anonymous memory: what is no file, sampled every 10 ms (Linux)."""
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the damage")
    parser.add_argument("--commands", nargs="*", default=list(COMMANDS), choices=list(COMMANDS))
    given = parser.parse_args()
    print(f"{hardware()}, seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = make_recordings(folder / "data", random.Random(given.seed))
        write_manifest(clips, folder / "clips.csv")
        print(f"{len(clips)} damaged recordings", flush=True)
        outcomes = [run(command, folder, clips) for command in given.commands]
    report(outcomes)
    return int(any(o.problems or o.own_mb > MAX_MB for o in outcomes))


def make_recordings(folder: Path, rng: random.Random) -> list[Clip]:
    """Write all damaged recordings; one clip each, in order of their names."""
    folder.mkdir()
    number = 0
    for number, (kind, ending, content) in enumerate(damaged_files(rng), 1):
        (folder / f"{kind}-{number:04d}.{ending}").write_bytes(content)
    special_files(folder)
    paths = [*sorted(folder.iterdir()), folder / "missing.wav"]
    ids = unique_ids([p.name for p in paths], [""] * len(paths))
    return [Clip(c, p, f"class{i % 2}", f"g{i}", i % 3 + 1) for i, (c, p) in enumerate(zip(ids, paths, strict=True))]


def damaged_files(rng: random.Random) -> Iterator[tuple[str, str, bytes]]:
    """Kind of damage, ending and content of each file."""
    for container, subtype in FORMATS:
        ending, content = ENDINGS.get(container, container.lower()), sound(container, subtype)
        name = f"{container}{subtype}".lower()
        for fraction in (0.001, 0.01, 0.05, 0.2, 0.5, 0.9, 0.99):
            yield f"cut-{name}", ending, content[: max(1, int(fraction * len(content)))]
        for last in [120] * 16 + [len(content)] * 8:
            yield f"flip-{name}", ending, flipped(content, rng, min(last, len(content)))
        for _ in range(4):
            first = rng.randrange(len(content) // 2)
            yield f"zeros-{name}", ending, content[:first] + bytes(2000) + content[first + 2000 :]
        yield f"twice-{name}", ending, content + content
        yield f"ending-{name}", "mp3" if ending == "wav" else "wav", content
        yield f"headless-{name}", ending, content[200:]
    yield from lies()
    yield from bombs()
    for size in (1, 3, 44, 4096):
        yield "noise", "wav", rng.randbytes(size)
        yield "text", "flac", b"these are words\n" * size


def sound(container: str, subtype: str, samples: np.ndarray | None = None, rate: int = RATE) -> bytes:
    """A second of noise and tone, or the samples, as the bytes of a file."""
    if samples is None:
        generator = np.random.default_rng(0)
        samples = 0.3 * np.sin(np.arange(RATE) / 5) + 0.05 * generator.standard_normal(RATE)
    rate = 48000 if subtype == "OPUS" else rate
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


def flipped(content: bytes, rng: random.Random, last: int) -> bytes:
    """One to eight bits inverted before position `last`."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(last)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def lies() -> Iterator[tuple[str, str, bytes]]:
    """Headers of WAV, AU and FLAC with fields that cannot be."""
    wav, au, flac = sound("WAV", "PCM_16"), sound("AU", "PCM_16"), sound("FLAC", "PCM_16")
    for rate in RATES:
        yield "rate", "wav", patched(wav, 24, struct.pack("<I", rate))
        yield "rate", "au", patched(au, 16, struct.pack(">I", rate))
        yield "rate", "flac", streaminfo(flac, rate=rate & 0xFFFFF)
    for count in COUNTS:
        yield "channels", "wav", patched(wav, 22, struct.pack("<H", count))
        yield "align", "wav", patched(wav, 32, struct.pack("<H", count))
        yield "bits", "wav", patched(wav, 34, struct.pack("<H", count))
        yield "codec", "wav", patched(wav, 20, struct.pack("<H", count))
        yield "channels", "au", patched(au, 20, struct.pack(">I", count))
        yield "codec", "au", patched(au, 12, struct.pack(">I", count))
    for size in SIZES:
        for place in (4, 16, 40):
            yield "size", "wav", patched(wav, place, struct.pack("<I", size))
        yield "size", "au", patched(au, 8, struct.pack(">I", size))
        yield "samples", "flac", streaminfo(flac, n_samples=size)
    yield "samples", "flac", streaminfo(flac, n_samples=2**36 - 1)


def patched(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


def streaminfo(flac: bytes, rate: int = RATE, n_samples: int = RATE) -> bytes:
    """The FLAC with another rate (20 bits) and number of samples (36 bits) in its first block."""
    packed = rate << 44 | 15 << 36 | n_samples
    return patched(flac, 18, packed.to_bytes(8, "big"))


def bombs() -> Iterator[tuple[str, str, bytes]]:
    """Small files of much silence: an hour, and just below the limit of memory, at several rates and channels."""
    for seconds, rate, channels in (
        (3600, 44100, 1),
        (3600, 192_000, 1),
        (1400, 44100, 1),
        (600, 44100, 2),
        (60, 44100, 8),
    ):
        silence = np.broadcast_to(np.int16(0), (seconds * rate, channels))
        yield "bomb", "flac", sound("FLAC", "PCM_16", silence, rate)
    yield "bomb", "opus", sound("OGG", "OPUS", np.broadcast_to(np.float32(0), (1800 * 48000, 1)))
    yield "slow", "wav", patched(sound("WAV", "PCM_16", np.zeros(2_000_000)), 24, struct.pack("<I", 1000))


def special_files(folder: Path) -> None:
    """What is no file, is empty or never ends, and names that are hard to carry."""
    (folder / "empty.wav").touch()
    (folder / "folder.wav").mkdir()
    with (folder / "endless.wav").open("wb") as file:
        file.truncate(2**40)
    with (folder / "sparse.wav").open("wb") as file:
        file.write(sound("WAV", "PCM_16")[:44])
        file.truncate(2**31)
    os.mkfifo(folder / "pipe.wav")
    (folder / "device.wav").symlink_to("/dev/zero")
    (folder / "loop.wav").symlink_to(folder / "loop.wav")
    for name in ("a\nb", "\U0001f600", "\u202egnp", "-rf", "a\\b", "con", "x" * 251):
        (folder / f"{name}.wav").write_bytes(b"no audio")


def spectrograms(folder: Path) -> list[str]:
    return ["spectrograms", str(folder / "clips.csv"), "-o", str(folder / "store"), "--sample-rate", "44100"]


def predict(folder: Path, model: str) -> list[str]:
    """In a process of its own, because the peak memory of a command is at least that of the process that starts it."""
    process = multiprocessing.get_context("spawn").Process(target=write_untrained, args=(folder,))
    process.start()
    process.join()
    return ["predict", str(folder / model), str(folder / "data"), "--csv", str(folder / "predicted.csv")]


COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "validate": lambda folder: ["validate", str(folder / "clips.csv")],
    "spectrograms": spectrograms,
    "augment": lambda folder: ["augment", str(folder / "clips.csv"), "-o", str(folder / "augmented")],
    "audit": lambda folder: ["audit", str(folder / "clips.csv"), "--json", str(folder / "audit.json")],
    "predict-onnx": lambda folder: predict(folder, "model.onnx"),
    "predict-checkpoint": lambda folder: predict(folder, "model.safetensors"),
}


def write_untrained(folder: Path) -> None:
    """A checkpoint of two classes whose network was not trained, and the same as ONNX."""
    from earmark.cli.deploy import export
    from earmark.config.sections import FrontEndConfig, ModelConfig
    from earmark.training.checkpoint import CheckpointMetadata, create_from_metadata, write_checkpoint

    metadata = CheckpointMetadata(ModelConfig(), ("a", "b"), 128, 100, FrontEndConfig(sample_rate=22050), "none", 1)
    write_checkpoint(folder / "model.safetensors", create_from_metadata(metadata), metadata)
    export(folder / "model.safetensors", folder / "model.onnx")


def run(command: str, folder: Path, clips: list[Clip]) -> Outcome:
    """One command over all recordings, on one core."""
    arguments = [sys.executable, "-m", "earmark", *COMMANDS[command](folder)]
    log = folder / f"{command}.log"
    start = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(arguments, stdout=file, stderr=file, preexec_fn=on_one_core, cwd=folder)
        own: list[float] = [0]
        watcher = threading.Thread(target=watch_own_memory, args=(process.pid, own))
        watcher.start()
        _, status, used = os.wait4(process.pid, 0)
        watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text(encoding="utf-8", errors="replace")
    results = n_results(command, folder, text)
    lines = [
        line for line in text.splitlines() if re.search(r"(audio .*: |\tmissing\t|\tunreadable\t|\tempty\t)", line)
    ]
    problems = problems_of(command, process.returncode, text, results, lines, clips)
    return Outcome(command, results, len(lines), problems, used.ru_maxrss / 1e3, max(own), time.monotonic() - start)


def watch_own_memory(process: int, seen_mb: list[float]) -> None:
    """Append the anonymous memory of a process whenever it grows, until the process ends."""
    status = Path(f"/proc/{process}/status")
    while True:
        try:
            found = re.search(r"RssAnon:\s+(\d+)", status.read_text(encoding="ascii", errors="replace"))
        except OSError:
            return
        if found is None:  # it has ended
            return
        if int(found[1]) / 1e3 > seen_mb[-1]:
            seen_mb.append(int(found[1]) / 1e3)
        time.sleep(0.01)


def on_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def n_results(command: str, folder: Path, text: str) -> int:
    """How many files gave a result."""
    if command == "spectrograms":
        return len(list((folder / "store").glob("*_orig.png")))
    if command == "augment":
        return len(list((folder / "augmented").glob("*_noisy.wav")))
    if command.startswith("predict"):
        return sum(bool(re.search(r"\t[ab]\t[\d.]+$", line)) for line in text.splitlines())
    return -1


def problems_of(command: str, status: int, text: str, results: int, lines: list[str], clips: list[Clip]) -> list[str]:
    """What must not happen."""
    found = [] if status in (0, 1, 2) else [f"exit status {status}"]
    if "Traceback" in text or "bug in earmark" in text:
        found += ["traceback: " + " | ".join(text.strip().splitlines()[-2:])[:300]]
    if len(lines) < N_CERTAINLY_BAD and command != "audit":
        found.append(f"{len(lines)} lines: {text.strip().splitlines()[-1][:200]}")
    expected = len(clips) if command in ("spectrograms", "augment") else 0
    if expected and results + len(lines) != expected:
        found.append(f"{results} results and {len(lines)} lines for {expected} files")
    return found


def report(outcomes: list[Outcome]) -> None:
    print("\n| command | files with a result | lines | peak memory | of its own | seconds | problems |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for o in outcomes:
        results = "" if o.results < 0 else o.results
        problems = "; ".join(o.problems) or "none"
        memory = f"{o.peak_mb:.0f} MB | {o.own_mb:.0f} MB"
        print(f"| `{o.command}` | {results} | {o.lines} | {memory} | {o.seconds:.0f} | {problems} |")


if __name__ == "__main__":
    sys.exit(main())
