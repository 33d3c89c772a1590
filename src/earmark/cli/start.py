"""Commands for the first minutes: demo."""

from __future__ import annotations

from pathlib import Path


def demo(folder: Path = Path("earmark-demo"), jobs: int = 0) -> None:
    """Run the whole pipeline on synthetic sounds; no download.

    Example: earmark demo

    Args:
        folder: Folder for everything that is written.
        jobs: Worker processes that train at the same time; 0 uses one per core.
    """
    from earmark.demo import run_demo

    run_demo(folder, jobs)
