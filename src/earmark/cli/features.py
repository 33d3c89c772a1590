"""Commands on features: spectrograms, show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from earmark.cli.arguments import AudioPath, Augmentations, ClipsPath, Output
from earmark.config.sections import FrontEndConfig


def spectrograms(
    clips: ClipsPath,
    output: Output = Path("spectrograms"),
    augmentations: Augmentations = (),
    front_end: Annotated[FrontEndConfig, tyro.conf.arg(name="")] = FrontEndConfig(),
    jobs: int = 0,
) -> None:
    """Compute log-mel spectrograms as gray PNG files.

    Valid files are kept.

    Example: earmark spectrograms clips.csv -o spectrograms --augmentations noisy pitchUp2 stretch0.9

    Args:
        clips: A manifest.
        output: Folder of the store: <clip_id>_orig.png, <clip_id>_noisy.png, ..., front_end.json, index.csv.
        augmentations: Augmentations to compute in addition to the originals.
        front_end: How a file becomes an image.
        jobs: Number of threads; 0 uses all cores.
    """
    from earmark.datasets.manifest import read_manifest
    from earmark.features.store import generate, resolve_front_end

    recordings = read_manifest(clips)
    names = ("orig", *augmentations)
    generate(recordings, resolve_front_end(recordings, front_end), output, names, jobs=jobs)
    print(f"{output}: {len(recordings)} clips x {len(names)} images")


def show(
    clip: AudioPath,
    output: Output = Path("clip.png"),
    augmentations: Augmentations = (),
    front_end: Annotated[FrontEndConfig, tyro.conf.arg(name="")] = FrontEndConfig(),
) -> None:
    """Plot the waveform and the log-mel spectrogram of a recording.

    Example: earmark show recording.wav --augmentations noisy pitchUp2 -o clip.png

    Args:
        clip: An audio file.
        output: Path of the picture (PNG).
        augmentations: Augmentations to plot next to the original.
        front_end: How a file becomes an image.
    """
    from earmark.features.plot import show as plot

    print(plot(clip, output, front_end, augmentations))
