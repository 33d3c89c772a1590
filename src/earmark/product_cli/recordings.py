"""Scripts on recordings: spectrograms of the recordings and their augmentations, and augmentations as WAV files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from earmark.config.sections import ConfigError, DataConfig
from earmark.datasets.manifest import Clip
from earmark.datasets.read import read_dataset
from earmark.datasets.write_augmented import write_augmented
from earmark.features.store import generate, resolve_front_end
from earmark.product_cli.command import run_script
from earmark.product_cli.layout import AUGMENTATIONS, AUGMENTED, Layout


@dataclass(frozen=True)
class Arguments:
    """Options of the scripts on recordings."""

    project_root: Path
    """Folder that contains product/."""
    jobs: int = 0
    """Number of threads; 0 uses all cores."""


def spectrograms(layout: Layout, project_root: Path) -> None:
    """The script that computes the spectrograms of a data set."""

    def work(given: Arguments) -> None:
        """Compute log-mel spectrograms of all recordings and their augmentations; valid files are kept."""
        clips = _read(layout, given.project_root)
        folder = given.project_root / layout.spectrograms
        names = ("orig", *AUGMENTATIONS)
        generate(clips, resolve_front_end(clips, layout.front_end), folder, names, jobs=given.jobs)
        print(f"{folder}: {len(clips)} clips x {len(names)} images ({', '.join(names)})")

    name = "generate_spectrograms" + layout.suffix
    run_script(name, work, Arguments(project_root))


def augmented_wavs(layout: Layout, project_root: Path) -> None:
    """The script that writes augmentations as WAV files."""

    def work(given: Arguments) -> None:
        """Write augmented copies of all recordings as WAV files."""
        clips = _read(layout, given.project_root)
        folder = given.project_root / AUGMENTED
        write_augmented(clips, AUGMENTATIONS, {}, folder, given.jobs, force=True)
        print(f"{folder}: {len(clips)} clips x {len(AUGMENTATIONS)} files ({', '.join(AUGMENTATIONS)})")

    run_script("augment_audio", work, Arguments(project_root))


def _read(layout: Layout, project_root: Path) -> list[Clip]:
    """The clips of a data set in its folder.

    Raises:
        ConfigError: the folder does not exist.
        ManifestError: its recordings cannot be used.
    """
    folder = project_root / layout.recordings
    if not folder.is_dir():
        place = layout.recordings
        fetch = f"earmark download {layout.name} -o {place.parent.as_posix()} --folder {place.name}"
        raise ConfigError(f"{folder}: no such folder; copy the recordings there or run `{fetch}`")
    return read_dataset(DataConfig(dataset=layout.name, root=str(folder)))
