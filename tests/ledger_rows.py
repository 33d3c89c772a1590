"""Rows of a ledger, written by functions that spawned processes can import."""

from earmark.analysis.ledger import record_look

CLIPS = [f"clip{i}" for i in range(20)]


def look(runs, suite="one", variant="a", fold=1, seed=1, configuration="c1", run="r1", test=CLIPS[:5], **changes):
    """Record a look of a made-up run."""
    content = {"event": "trained", "test_clips": test, "all_clips": CLIPS, "test_audio": ()} | changes
    names = {"suite": suite, "variant": variant, "fold": fold, "seed": seed, "configuration": configuration, "run": run}
    record_look(runs / suite / f"{variant}-{run}", **names, **content)


def append_many(runs, name):
    """Record 25 looks one after the other."""
    for i in range(25):
        look(runs, run=f"{name}{i}")
