"""The speed of the front end and of the spectrogram store against what people use.

    uv run --with matplotlib python benchmarks/front_end.py

Times of one core are processor times, taken in turn with those of the other side; times of two cores and of commands
are wall times, which need an idle machine. Exits with 1 when a target is
missed by more than the noise of the measurement.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import soundfile
from measure import Row, add_data_argument, compare, half_spread, report
from PIL import Image
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import earmark
from earmark.audio.io import load_audio
from earmark.config.sections import FrontEndConfig
from earmark.datasets.manifest import Clip, write_manifest
from earmark.features.log_mel import load_image, log_mel
from earmark.features.png import encode_png
from earmark.features.store import generate, resolve_front_end
from earmark.runtime.pool import cores

CONFIG = FrontEndConfig(sample_rate=44100)
AUTRAINER = {
    "ESC-10": (FrontEndConfig(32000, n_fft=1024, hop_length=320, n_mels=64), "*.ogg", 31.0),
    "EmoDB-2s": (FrontEndConfig(16000, n_fft=512, hop_length=160, n_mels=64), "*.flac", 89.0),
}
"""Front end, files, and clips per CPU-second of autrainer's `preprocess` with it, on a machine of this kind."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_argument(parser)
    parser.add_argument("--clips", type=int, default=2000, help="synthesized five-second WAVs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1):
        folder = Path(name)
        real = decode_some(arguments.data / "ESC-10" / "audio", folder / "real")
        rows = [*single_files(real, folder), *from_files_as_they_are(arguments.data, folder)]
        clips = synthesize(folder / "wav", arguments.clips)
        rows += first_image(clips[0], folder)
        return report([*rows, *whole_sets(clips, folder), *peak_memory(clips, folder)])


def decode_some(source: Path, folder: Path, count: int = 40) -> list[Path]:
    """Real clips as the five-second 44.1 kHz WAVs that the published ESC-50 consists of."""
    folder.mkdir()
    files = sorted(source.iterdir())
    chosen = files[:: max(1, len(files) // count)]
    for path in chosen:
        waveform, rate = load_audio(path)
        soundfile.write(folder / f"{path.stem}.wav", np.resize(waveform, 5 * rate), rate, subtype="PCM_16")
    return sorted(folder.iterdir())


def synthesize(folder: Path, count: int) -> list[Clip]:
    """Five-second 44.1 kHz WAVs: a gliding tone in noise, each a different one."""
    folder.mkdir()
    time = np.arange(5 * 44100, dtype=np.float32) / 44100
    for i in tqdm(range(count), "synthesize", unit="clip"):
        generator = np.random.default_rng(i)
        tone = 0.3 * np.sin((2000 + 30 * i) * time * (1 + 0.1 * time))
        noise = 0.05 * generator.standard_normal(len(time), dtype=np.float32)
        soundfile.write(folder / f"{i:04}.wav", tone + noise, 44100, subtype="PCM_16")
    return clips_of(sorted(folder.iterdir()))


def clips_of(paths: list[Path]) -> list[Clip]:
    return [Clip(path.stem, path, "any", "any") for path in paths]


def librosa_log_mel(path: Path) -> np.ndarray:
    import librosa  # here, for the processes of a generation import this file

    waveform, rate = librosa.load(path, sr=None)
    return librosa.power_to_db(librosa.feature.melspectrogram(y=waveform, sr=rate), ref=np.max, top_db=80)


def single_files(paths: list[Path], folder: Path) -> list[Row]:
    """One WAV to a log-mel array, and to a gray PNG."""
    target = folder / "one.png"

    def earmark_png(path: Path) -> None:
        target.write_bytes(encode_png(load_image(path, CONFIG)))

    def librosa_pillow(path: Path) -> None:
        image = np.round((librosa_log_mel(path) + 80) / 80 * 255).astype(np.uint8)
        Image.fromarray(image[::-1]).save(target)

    def earmark_log_mel(path: Path) -> np.ndarray:
        return log_mel(load_audio(path)[0], CONFIG)

    rows = [
        compare("WAV to log-mel; librosa", earmark_log_mel, librosa_log_mel, paths, 2.4),
        compare("WAV to PNG; librosa + Pillow", earmark_png, librosa_pillow, paths, 2.5),
    ]
    if importlib.util.find_spec("matplotlib"):
        usual = specshow_script(target)
        rows.append(compare("WAV to PNG; specshow + savefig", earmark_png, usual, paths[::8], 15, rounds=2))
    else:
        print("matplotlib is not installed: the comparison with specshow + savefig is left out", file=sys.stderr)
    return rows


def specshow_script(target: Path):
    """What most tutorials do."""
    import librosa.display
    import matplotlib
    import matplotlib.pyplot as plt

    matplotlib.use("Agg")

    def save(path: Path) -> None:
        level = librosa_log_mel(path)
        figure = plt.figure(figsize=(10, 4))
        librosa.display.specshow(level, sr=44100, x_axis="time", y_axis="mel")
        plt.colorbar(format="%+2.0f dB")
        plt.tight_layout()
        plt.savefig(target)
        plt.close(figure)

    return save


def from_files_as_they_are(data: Path, folder: Path, rounds: int = 3) -> list[Row]:
    """Clips per CPU-second through the whole store, decoding and resampling included, imports not."""
    rows = []
    for name, (config, pattern, theirs) in AUTRAINER.items():
        clips = clips_of(sorted((data / name).rglob(pattern)))
        generate(clips[:1], config, folder / "warm" / name, jobs=1)
        speeds = []
        for attempt in range(rounds):
            start = time.process_time()
            generate(clips, config, folder / f"{name}-{attempt}", jobs=1)
            speeds.append(len(clips) / (time.process_time() - start))
        ours = float(np.median(speeds))
        what = f"clips per CPU-second, {name} to PNG; autrainer"
        rows.append(Row(what, f"{ours:.0f}", f"{theirs:.0f}", ours / theirs, half_spread(speeds) / theirs, 3))
    return rows


def first_image(clip: Clip, folder: Path, rounds: int = 3) -> list[Row]:
    """From typing the command to the first image: in a fresh environment, where no package is compiled, and later."""
    write_manifest([clip], folder / "one.csv")
    compiled = folder / "compiled"
    command_seconds(folder, compiled)  # compiles the standard library, which comes with Python
    rows = []
    for state in ("fresh environment", "second time"):
        seconds = []
        for _ in range(rounds):
            if state == "fresh environment":
                for place in (sysconfig.get_path("purelib"), Path(earmark.__file__).parent):
                    shutil.rmtree(compiled / Path(place).relative_to(Path(place).anchor), ignore_errors=True)
            seconds.append(command_seconds(folder, compiled))
        wall, cpu = np.median(seconds, axis=0)
        what = f"first image after the command, {state} ({cpu:.2f} s of processor time); 2 s"
        noise = half_spread([2 / w for w, _ in seconds])
        rows.append(Row(what, f"{wall:.2f} s", "2.00 s", 2 / wall, noise, 1))
    return rows


def command_seconds(folder: Path, compiled: Path) -> tuple[float, float]:
    """Wall time until `earmark spectrograms` has written its first image, and the processor time of the command."""
    store = folder / "first"
    shutil.rmtree(store, ignore_errors=True)
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(compiled)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "earmark", "spectrograms", str(folder / "one.csv"), "-o", str(store)]
    before, start = os.times(), time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(store.glob("*.png")):
            time.sleep(0.002)
        wall = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed")
    after = os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def whole_sets(clips: list[Clip], folder: Path, rounds: int = 3) -> list[Row]:
    """Two threads against one, beside what the machine gives to two processes that share nothing; wall time."""
    store, seconds = folder / "store", {"one": [], "two": [], "again": [], "apart": []}
    for _ in range(rounds):
        for jobs, name in enumerate(("one", "two"), 1):
            shutil.rmtree(store, ignore_errors=True)
            seconds[name].append(generate_seconds(clips, store, jobs))
        seconds["again"].append(generate_seconds(clips, store, 2))
        seconds["apart"].append(apart_seconds(clips, folder))
    one, two, again, apart = (float(np.median(values)) for values in seconds.values())
    noise = half_spread(np.divide(seconds["one"], seconds["two"]))
    target = 1.8 if cores() >= 2 else 0
    what = f"{len(clips)} WAVs to PNGs on 2 cores; on 1 (two processes that share nothing reach {one / apart:.2f})"
    return [
        Row(what, f"{two:.1f} s", f"{one:.1f} s", one / two, noise, target),
        Row(f"{len(clips)} WAVs with nothing to do; 1 s", f"{again:.2f} s", "1.00 s", 1 / again, 0.0, 1),
    ]


def apart_seconds(clips: list[Clip], folder: Path) -> float:
    """Wall time of two started processes, each with half of the clips and a store of its own: the machine's limit."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(3)
    halves = [(clips[half::2], folder / f"apart{half}", ready) for half in (0, 1)]
    processes = [context.Process(target=make_apart, args=half) for half in halves]
    for process in processes:
        process.start()
    ready.wait()
    start = time.perf_counter()
    for process in processes:
        process.join()
    return time.perf_counter() - start


def make_apart(clips: list[Clip], store: Path, ready: Barrier) -> None:
    """Imports and first calls, then, together with the other, the clips."""
    shutil.rmtree(store, ignore_errors=True)
    generate(clips[:1], CONFIG, store, jobs=1)
    ready.wait()
    generate(clips, CONFIG, store, jobs=1)


def peak_memory(clips: list[Clip], folder: Path) -> list[Row]:
    """Peak resident memory of a process, for a quarter of the clips and for all: flat in their number."""
    if not Path("/proc/self/status").exists():
        return []
    few, many = (peak_megabytes(clips[:count], folder / "peak") for count in (len(clips) // 4, len(clips)))
    what = f"peak memory, {len(clips)} WAVs; {len(clips) // 4}"
    return [Row(what, f"{many:.0f} MB", f"{few:.0f} MB", few / many, 0.0, 0.9)]


def peak_megabytes(clips: list[Clip], store: Path) -> float:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=report_peak, args=(clips, store, sender))
    process.start()
    peak = receiver.recv()
    process.join()
    return peak


def report_peak(clips: list[Clip], store: Path, sender: Connection) -> None:
    shutil.rmtree(store, ignore_errors=True)
    generate(clips, CONFIG, store, jobs=1)
    # not getrusage, whose maximum a process inherits from the one that started it
    status = Path("/proc/self/status").read_text(encoding="ascii")
    sender.send(float(status.split("VmHWM:")[1].split()[0]) / 1024)


def generate_seconds(clips: list[Clip], store: Path, jobs: int) -> float:
    """Wall time of `earmark spectrograms` after imports, finding the sampling rate included."""
    start = time.perf_counter()
    generate(clips, resolve_front_end(clips, FrontEndConfig()), store, jobs=jobs)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
