"""Fuzz every reader of files of earmark: coverage-guided with atheris where it is installed, else random mutations.

    python benchmarks/fuzz_readers.py --seconds 600
    python benchmarks/fuzz_readers.py --reader audit
    python benchmarks/fuzz_readers.py --guided --seconds 60 --corpus fuzz-corpus

Seconds are processor time of the reader's process. With `--corpus` the next run goes on from the inputs that this one
has found, so that ten times 60 seconds for all readers in turn are ten minutes for each.
Anything but a value or a one-line `EarmarkError` is a finding; its input is saved. Exit status 1: there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import logging
import multiprocessing
import os
import random
import re
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

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
    parser.add_argument("--seconds", type=float, default=10, help="of processor time, for each reader")
    parser.add_argument("--corpus", type=Path, help="folder of inputs to go on from (with --guided)")
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
    print("\n| reader | inputs | refused | seconds | findings |\n| --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print(f"{sum(row[1] for row in rows)} inputs, {sum(row[-1] for row in rows)} findings")
    return int(any(row[-1] for row in rows))


def fuzz(reader: Reader, folder: Path, given: argparse.Namespace) -> tuple[int, int, int, int]:
    """Mutations of the valid file for some seconds: numbers of inputs, of those refused, of seconds, of findings."""
    valid, rng = (folder / reader.file).read_bytes(), random.Random(given.seed)
    inputs = refused = 0
    findings: set[str] = set()
    start = time.process_time()
    while time.process_time() < start + given.seconds:
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
    return inputs, refused, round(time.process_time() - start), len(findings)


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


def guided(reader: Reader, folder: Path, given: argparse.Namespace) -> tuple[int, int, int, int]:
    """Coverage-guided fuzzing, in a process of its own, which `fuzz_by_coverage` ends; returns what `fuzz` returns."""
    log, counts = folder.parent / "log", multiprocessing.RawArray("q", 3)
    process = os.fork()
    if not process:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        fuzz_by_coverage(reader, folder, given, counts)
    os.waitpid(process, 0)
    text = log.read_text(encoding="utf-8", errors="replace")
    findings = re.findall(r"^finding: .*|^.*ERROR: libFuzzer: .*", text, re.MULTILINE)
    for finding in findings:
        print(f"{reader.file}: {finding}", flush=True)
    inputs, refused, seconds = counts
    return inputs, refused, seconds, len(findings) + (not inputs)


def fuzz_by_coverage(reader: Reader, folder: Path, given: argparse.Namespace, counts: Any) -> None:
    """Mutate the valid file for some seconds so that ever new branches of the reader run; ends the process.

    Args:
        counts: becomes the numbers of inputs, of those refused, and of seconds.
    """
    valid, start = (folder / reader.file).read_bytes(), time.process_time()
    name = re.sub(r"\W", "-", next(name for name, one in READERS.items() if one is reader))
    findings: set[str] = set()

    def check(content: bytes) -> None:
        outcome = outcome_of(reader, folder, content)
        counts[:] = counts[0] + 1, counts[1] + (outcome == "refused"), round(time.process_time() - start)
        if outcome not in ("read", "refused", *findings):
            findings.add(outcome)
            saved = Path(tempfile.gettempdir()) / f"finding-{name}-{len(findings)}"
            saved.write_bytes(content)
            print(f"finding: {outcome}, see {saved}", flush=True)
        if counts[2] >= given.seconds:
            os._exit(0)

    corpus = (given.corpus or folder.parent / "corpus") / name
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / "valid").write_bytes(valid)
    options = [f"-max_len={2 * len(valid) + 64}", "-timeout=120", "-rss_limit_mb=4096"]
    atheris.Setup(
        [sys.argv[0], *options, f"-artifact_prefix={tempfile.gettempdir()}/finding-{name}-", str(corpus)], check
    )
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
