"""Fuzz every reader of files of earmark: coverage-guided with atheris where it is installed, else random mutations.

    python benchmarks/fuzz_readers.py --seconds 600
    python benchmarks/fuzz_readers.py --reader audit

Anything but a value or a one-line `EarmarkError` is a finding; its input is saved. Exit status 1: there is one.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import random
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from earmark.runtime.errors import EarmarkError
from readers import READERS, Reader, mutate, write_valid_files


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--reader", choices=sorted(READERS), help="this one only")
    parser.add_argument("--seconds", type=float, default=10, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", action="store_true", help="with atheris, which must be installed; needs --reader")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    with tempfile.TemporaryDirectory() as name:
        folder = write_valid_files(Path(name) / "files")
        if given.guided:
            return guided(READERS[given.reader], folder, given.seconds)
        rows = [(name, *fuzz(READERS[name], folder, given)) for name in READERS if given.reader in (None, name)]
    print("\n| reader | inputs | refused | findings |\n| --- | ---: | ---: | ---: |")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print(f"{sum(row[1] for row in rows)} inputs, {sum(row[3] for row in rows)} findings")
    return int(any(row[3] for row in rows))


def fuzz(reader: Reader, folder: Path, given: argparse.Namespace) -> tuple[int, int, int]:
    """Mutations of the valid file for some seconds: the numbers of inputs, of those refused, and of findings."""
    valid, rng = (folder / reader.file).read_bytes(), random.Random(given.seed)
    inputs = refused = 0
    findings: set[str] = set()
    end = time.monotonic() + given.seconds
    while time.monotonic() < end:
        inputs += 1
        content = mutate(valid, rng)
        outcome = outcome_of(reader, folder, content)
        refused += outcome == "refused"
        if outcome not in ("read", "refused", *findings):
            findings.add(outcome)
            saved = Path(tempfile.gettempdir()) / f"finding-{len(findings)}-{Path(reader.file).name}"
            saved.write_bytes(content)
            print(f"{reader.file}: {outcome}, see {saved}", flush=True)
    (folder / reader.file).write_bytes(valid)
    return inputs, refused, len(findings)


def outcome_of(reader: Reader, folder: Path, content: bytes) -> str:
    """`read`, `refused`, or where and how the reader failed."""
    (folder / reader.file).write_bytes(content)
    try:
        reader.read(folder)
    except EarmarkError as error:
        return "refused" if "\n" not in str(error) else "a message of several lines"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        own = [f for f in traceback.extract_tb(error.__traceback__) if "earmark" in f.filename][-1]
        return f"{type(error).__name__} at {Path(own.filename).name}:{own.lineno} ({last.name}): {str(error)[:100]}"
    return "read"


def guided(reader: Reader, folder: Path, seconds: float) -> int:
    """Coverage-guided fuzzing of one reader; atheris ends the process."""
    if importlib.util.find_spec("atheris") is None:
        sys.exit("atheris is not installed; leave out --guided for random mutations")
    import atheris

    def check(content: bytes) -> None:
        outcome = outcome_of(reader, folder, content)
        if outcome not in ("read", "refused"):
            raise AssertionError(outcome)

    corpus = folder.parent / "corpus"
    corpus.mkdir()
    (corpus / "valid").write_bytes((folder / reader.file).read_bytes())
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds:.0f}", str(corpus)], check)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
