"""The whole pipeline on synthetic sounds: what `earmark demo` runs."""

from __future__ import annotations

import os
from pathlib import Path

from earmark.analysis.aggregate import aggregate
from earmark.analysis.records import read_runs
from earmark.analysis.tables import write_tables
from earmark.config.sections import DataConfig, FrontEndConfig, Options, SplitConfig
from earmark.config.suite import SuiteConfig
from earmark.config.training import AugmentConfig, TrainConfig
from earmark.datasets.demo import write_demo, write_fresh_clip
from earmark.datasets.manifest import class_names
from earmark.deploy.model import load
from earmark.report.page import write_report
from earmark.runs.floor import update_floor
from earmark.runs.plan import plan_suite
from earmark.runs.prepare import prepare_suite
from earmark.runs.suite import run_suite
from earmark.runtime.console import print_wrapped
from earmark.runtime.errors import EarmarkError
from earmark.runtime.pool import cores

FRESH_LABEL = "clock_tick"
"""Class of the new clip that is predicted at the end."""


def demo_suite(folder: Path) -> SuiteConfig:
    """The suite of configs/demo.toml, with its recordings in `folder`."""
    return SuiteConfig(
        name="demo",
        seeds=(1, 2),
        folds=(1,),
        data=DataConfig(dataset="demo", root=str(folder / "recordings")),
        front_end=FrontEndConfig(n_fft=1024, hop_length=256, n_mels=64),
        split=SplitConfig(kind="folds"),
        augment=AugmentConfig(freq_mask_bins=8),
        train=TrainConfig(epochs=12, batch_size=16),
        variants={"none": {}, "se": {"model": {"attention": "se"}}},
    )


def run_demo(folder: Path, jobs: int = 0) -> None:
    """Run every stage of the pipeline and print where its results are.

    Args:
        folder: folder for everything that is written.
        jobs: worker processes that train at the same time; 0 uses one per core, up to 4.

    Raises:
        EarmarkError: a run failed.
    """
    print("1  recordings: synthesizing labeled sounds")
    clips = write_demo(folder / "recordings")
    groups = len({clip.group for clip in clips})
    print(f"   {len(clips)} clips, {len(class_names(clips))} classes, {groups} sources in {folder / 'recordings'}")

    print("2  spectrograms, splits and leak check")
    options = Options(runs=folder / "runs", work=folder / "work", jobs=jobs or min(cores(), 4), threads=1)
    plan = plan_suite(demo_suite(folder), options)
    prepare_suite(plan)
    split = plan.runs[0].split
    print(f"   {len(split.train)} training clips, {len(split.test)} test clips; no source is in both")

    print(f"3  training: {len(plan.runs)} runs, two variants x two seeds")
    for name, reason in run_suite(plan, options).items():
        raise EarmarkError(f"run {name} failed: {reason}")
    update_floor(plan, plan.runs[0].folder.parent)

    print("4  result: mean ± std over the seeds\n")
    records = read_runs(folder / "runs")
    print_wrapped(write_tables(aggregate(records), folder / "runs"))
    report = folder / "report.html"
    write_report(records, report)

    print("5  prediction on a new clip, from a source that no run was trained on")
    fresh = folder / f"new_{FRESH_LABEL}.wav"
    write_fresh_clip(fresh, FRESH_LABEL, seed=1)
    run = plan.runs[0].folder  # the first one: choosing by test score would be selection on the test subset
    answer = load(run).predict(fresh)
    print(f"   {fresh}: true class {FRESH_LABEL}, predicted {answer.label} ({answer.probability:.0%})\n")

    print(f"report      {report}")
    print(f"checkpoint  {run}")
    earmark = "uv run earmark" if os.environ.get("UV") else "earmark"  # uv sets it for its child processes
    print(f"next        {earmark} predict {run} {fresh}")
    print(f"            {earmark} manifest folder YOUR-RECORDINGS   (your own recordings, one subfolder per class)")
