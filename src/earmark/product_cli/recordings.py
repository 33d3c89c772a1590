"""Documented scripts on recordings: spectrograms with their waveform variants, and the variants as WAV files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from earmark.config.sections import ConfigError, DataConfig
from earmark.datasets.manifest import Clip
from earmark.datasets.read import read_dataset
from earmark.datasets.write_augmented import write_augmented
from earmark.features.store import generate, resolve_front_end
from earmark.product_cli.command import run_script
from earmark.product_cli.corpora import AUGMENTED, VARIANTS, Corpus


@dataclass(frozen=True)
class Arguments:
    """Options of the scripts that read recordings."""

    project_root: Path
    """Folder that holds product/."""
    jobs: int = 0
    """Processes; 0 takes all cores."""


def spectrograms(corpus: Corpus, project_root: Path) -> None:
    """The script that makes the spectrograms of a data set."""

    def work(given: Arguments) -> None:
        """Make grey log-mel PNGs of all recordings and of their waveform variants; what is there is kept."""
        clips = _read(corpus, given.project_root)
        folder = given.project_root / corpus.spectrograms
        generate(clips, resolve_front_end(clips, corpus.front_end), folder, ("orig", *VARIANTS), jobs=given.jobs)
        print(f"{folder}: {len(clips)} clips x {1 + len(VARIANTS)} images (orig, {', '.join(VARIANTS)})")

    name = "generate_spectrograms" + corpus.ending
    run_script(name, work, Arguments(project_root))


def augmented_wavs(corpus: Corpus, project_root: Path) -> None:
    """The script that writes waveform variants as WAV files."""

    def work(given: Arguments) -> None:
        """Write waveform variants of all recordings as WAV files, for listening and for other tools."""
        clips = _read(corpus, given.project_root)
        folder = given.project_root / AUGMENTED
        write_augmented(clips, VARIANTS, {}, folder, given.jobs)
        print(f"{folder}: {len(clips)} clips x {len(VARIANTS)} files ({', '.join(VARIANTS)})")

    run_script("augment_audio", work, Arguments(project_root))


def _read(corpus: Corpus, project_root: Path) -> list[Clip]:
    """The clips of a data set at its documented place.

    Raises:
        ConfigError: there is no such folder.
        ManifestError: its recordings cannot be used.
    """
    folder = project_root / corpus.recordings
    if not folder.is_dir():
        place = corpus.recordings
        fetch = f"earmark download {corpus.name} -o {place.parent.as_posix()} --folder {place.name}"
        raise ConfigError(f"{folder}: no such folder; put the recordings there, or `{fetch}` does")
    return read_dataset(DataConfig(dataset=corpus.name, root=str(folder)))
