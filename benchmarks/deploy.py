"""From a WAV to a label: the usual script (librosa and torch) against earmark in PyTorch and in ONNX Runtime.

    python benchmarks/deploy.py --data ../shared/data/ESC-10 --models runs/esc10/base-fold1-seed42 runs/esc10-mn04/...

One core, times of processor, taken in turn. Exits with 1 when a target is missed by more than the noise.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch
from measure import Row, compare, cpu_seconds, report
from threadpoolctl import threadpool_limits

from earmark.audio.io import load_audio
from earmark.deploy.export import Exported, build_graphs, write_onnx
from earmark.deploy.measure import peak_megabytes
from earmark.deploy.model import Model, load
from earmark.deploy.onnx_network import halve_weights
from earmark.deploy.quantize import export_int8
from earmark.deploy.torch_engine import load_networks
from earmark.training.checkpoint import load_checkpoint

TARGETS = {"baseline_cnn": 2.2, "mn04": 2.5}
"""How many times faster than the usual script, from WAV to label."""
MOST_MS = 12.0
"""From a waveform to its label."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="ESC-10 in ESC-50's layout")
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="run folders")
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10, help="length of the long recording")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        clips = as_wavs(sorted((arguments.data / "audio").glob("*.ogg")), arguments.clips, folder)
        rows = [row for path in arguments.models for row in of_model(path, clips, folder)]
        rows += long_recording(arguments.models[0], clips, folder, arguments.minutes)
        return report(rows)


def as_wavs(sources: list[Path], count: int, folder: Path) -> list[Path]:
    """Clips spread over the classes as 16-bit WAVs."""
    paths = []
    for source in sources[:: max(1, len(sources) // count)][:count]:
        samples, rate = soundfile.read(source)
        paths.append(folder / f"{source.stem}.wav")
        soundfile.write(paths[-1], samples, rate, subtype="PCM_16")
    return paths


def of_model(path: Path, clips: list[Path], folder: Path) -> list[Row]:
    exported = build_graphs(load_networks(path))
    name = exported.info.architecture
    whole = load(write_onnx(exported, folder / f"{name}.onnx")[0], threads=1)
    half = Exported(exported.info, "float16", halve_weights(exported.network))
    models = {
        "PyTorch": load(path),
        "ONNX, whole": whole,
        "ONNX, whole, float16": load(write_onnx(half, folder / f"{name}.half.onnx")[0], threads=1),
        "ONNX, SciPy front end": load(write_onnx(exported, folder / f"{name}.onnx", split=True)[1], threads=1),
    }
    quantized, before, after = export_int8(path)
    lost = f"{100 * (before.value - after.value):+.1f} points of accuracy lost"
    models[f"ONNX, SciPy front end, int8 ({lost})"] = load(
        write_onnx(quantized, folder / f"{name}.int8.onnx", split=True)[1], threads=1
    )
    usual = usual_script(path)
    targets = {"ONNX, SciPy front end": TARGETS.get(name, 0)}
    rows = [
        compare(f"{name}: WAV to label, {form}; librosa + torch", model.predict, usual, clips, targets.get(form, 0), 3)
        for form, model in models.items()
    ]
    return [*rows, waveform_to_label(name, models["ONNX, SciPy front end"], clips), agreement(name, models, clips)]


def usual_script(path: Path):
    """What most tutorials do with the same front end and network: librosa, then the network in PyTorch."""
    network, metadata = load_checkpoint(path)
    config = metadata.front_end
    assert config is not None, "the model takes audio"
    settings = {"n_fft": config.n_fft, "hop_length": config.hop_length, "n_mels": config.n_mels}
    settings |= {"win_length": config.win_length or config.n_fft, "fmax": config.f_max or None}

    @torch.inference_mode()
    def classify(clip: Path) -> int:
        waveform, rate = librosa.load(clip, sr=config.sample_rate)
        level = librosa.power_to_db(librosa.feature.melspectrogram(y=waveform, sr=rate, **settings), ref=np.max)
        image = torch.from_numpy((level[::-1] + 80) / 80)[None, None].float()
        return int(network(image).argmax())

    return classify


def waveform_to_label(name: str, model: Model, clips: list[Path]) -> Row:
    rate = model.sample_rate
    waveforms = [load_audio(clip, rate)[0] for clip in clips]
    seconds = [cpu_seconds(partial(model.predict, sample_rate=rate), w) for w in waveforms for _ in range(3)]
    ms = 1e3 * float(np.median(seconds))
    noise = 1e3 * float(np.subtract(*np.percentile(seconds, [75, 25]))) / 2
    what = f"{name}: waveform to label, ONNX, SciPy front end; {MOST_MS:g} ms"
    return Row(what, f"{ms:.1f} ms", f"{MOST_MS:g} ms", MOST_MS / ms, MOST_MS / ms * noise / ms, 1)


def agreement(name: str, models: dict[str, Model], clips: list[Path]) -> Row:
    """Largest difference of a probability between PyTorch and the whole float32 file."""
    pairs = [(models["PyTorch"].predict(c), models["ONNX, whole"].predict(c)) for c in clips]
    assert all(a.label == b.label for a, b in pairs), "labels are the same"
    worst = max(float(np.abs(a.probs - b.probs).max()) for a, b in pairs)
    return Row(f"{name}: largest difference of a probability; 1e-4", f"{worst:.1e}", "1e-4", 1e-4 / worst, 0.0, 1)


def long_recording(path: Path, clips: list[Path], folder: Path, minutes: float) -> list[Row]:
    """Seconds of sound per second of processor, and memory above the loaded model."""
    model = load(path)
    samples, rate = soundfile.read(clips[0])
    with soundfile.SoundFile(folder / "long.wav", "w", rate, 1, "PCM_16") as file:
        while file.frames < minutes * 60 * rate:
            file.write(samples)
    model.predict(clips[0])
    before = peak_megabytes()
    seconds = cpu_seconds(lambda p: sum(1 for _ in model.predict_windows(p, hop_seconds=0.5)), folder / "long.wav")
    above, factor = peak_megabytes() - before, seconds / (minutes * 60)
    what = f"{minutes:g} minutes of sound, hop 0.5 s"
    return [
        Row(f"{what}: memory above the model; 500 MB", f"{above:.0f} MB", "500 MB", 500 / max(above, 1), 0.0, 1),
        Row(f"{what}: processor time per time of sound", f"{factor:.3f}", "1", 1 / factor, 0.0, 1),
    ]


if __name__ == "__main__":
    sys.exit(main())
