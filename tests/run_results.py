"""What a finished suite has left on disk, for comparison."""

from pathlib import Path


def results(runs: Path) -> dict[str, bytes]:
    """The results and predictions below a folder, by run folder and file name."""
    files = [*runs.rglob("result.json"), *runs.rglob("predictions.csv")]
    return {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files}
