"""Fuzz every reader of files of earmark: coverage-guided with atheris where it is installed, else random mutations.

    python benchmarks/fuzz_readers.py --seconds 600
    python benchmarks/fuzz_readers.py --reader audit
    python benchmarks/fuzz_readers.py --guided --seconds 60

Anything but a value or a one-line `EarmarkError` is a finding; its input is saved. Exit status 1: there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import logging
import os
import random
import re
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

GUIDED = "--guided" in sys.argv and importlib.util.find_spec("atheris") is not None

with contextlib.ExitStack() as stack:
    if GUIDED:
        import atheris

        stack.enter_context(atheris.instrument_imports(include=["earmark"]))
    from earmark.runtime.errors import EarmarkError
    from readers import READERS, Reader, mutate, write_valid_files


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--reader", choices=sorted(READERS), help="this one only")
    parser.add_argument("--seconds", type=float, default=10, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", action="store_true", help="by coverage, with atheris, which must be installed")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    with tempfile.TemporaryDirectory() as name:
        folder = write_valid_files(Path(name) / "files")
        chosen = [name for name in READERS if given.reader in (None, name)]
        if given.guided and not GUIDED:
            sys.exit("atheris is not installed; leave out --guided for random mutations")
        attack = guided if given.guided else fuzz
        rows = [(name, *attack(READERS[name], folder, given)) for name in chosen]
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


def guided(reader: Reader, folder: Path, given: argparse.Namespace) -> tuple[int, str, int]:
    """Coverage-guided fuzzing, in a process of its own, which atheris ends; as `fuzz`, the refused are not counted."""
    log = folder.parent / "log"
    process = os.fork()
    if not process:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        fuzz_by_coverage(reader, folder, given.seconds)
    os.waitpid(process, 0)
    text = log.read_text(encoding="utf-8", errors="replace")
    inputs = [int(n) for n in re.findall(r"number_of_executed_units: (\d+)", text)]
    inputs += [int(n) for n in re.findall(r"^#(\d+)", text, re.MULTILINE)]
    findings = re.findall(r"AssertionError: (.*)", text)
    for finding in findings:
        print(f"{reader.file}: {finding}", flush=True)
    return max(inputs, default=0), "", len(findings) + (not inputs)


def fuzz_by_coverage(reader: Reader, folder: Path, seconds: float) -> None:
    """Mutate the valid file for some seconds so that ever new branches of the reader run; ends the process."""

    def check(content: bytes) -> None:
        outcome = outcome_of(reader, folder, content)
        if outcome not in ("read", "refused"):
            raise AssertionError(outcome)

    corpus = folder.parent / f"corpus-{Path(reader.file).name}"
    corpus.mkdir(exist_ok=True)
    valid = (folder / reader.file).read_bytes()
    (corpus / "valid").write_bytes(valid)
    options = [f"-max_total_time={seconds:.0f}", f"-max_len={2 * len(valid) + 64}", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={tempfile.gettempdir()}/finding-", str(corpus)], check)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
