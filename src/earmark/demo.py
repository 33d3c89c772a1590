"""The whole road on sounds made by code: what `earmark demo` runs."""

from __future__ import annotations

import os
from pathlib import Path

from earmark.analysis.aggregate import aggregate
from earmark.analysis.records import read_runs
from earmark.analysis.tables import write_tables
from earmark.config.sections import AugmentConfig, DataConfig, FrontEndConfig, Options, SplitConfig, TrainConfig
from earmark.config.suite import SuiteConfig
from earmark.datasets.demo import write_demo, write_fresh_clip
from earmark.datasets.manifest import class_names
from earmark.deploy.predict import predict
from earmark.report.page import write_report
from earmark.runs.plan import plan_suite
from earmark.runs.prepare import prepare_suite
from earmark.runs.suite import run_suite
from earmark.training.checkpoint import load_checkpoint

FRESH_LABEL = "clock_tick"
"""The class of the new clip that is predicted at the end."""


def demo_suite(folder: Path) -> SuiteConfig:
    """The suite of configs/demo.toml, with its recordings below `folder`."""
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
    """Run every station and print where its work lies.

    Args:
        folder: everything is written below it.
        jobs: runs trained at the same time; 0 takes one per core.

    Raises:
        ValueError: a run failed.
    """
    print("1  recordings: synthesising labelled sounds")
    clips = write_demo(folder / "recordings")
    groups = len({clip.group for clip in clips})
    print(f"   {len(clips)} clips, {len(class_names(clips))} classes, {groups} sources in {folder / 'recordings'}")

    print("2  spectrograms, splits and leak check")
    options = Options(runs=folder / "runs", work=folder / "work", jobs=jobs or min(os.cpu_count() or 1, 4), threads=1)
    plan = plan_suite(demo_suite(folder), options)
    prepare_suite(plan)
    split = plan.runs[0].split
    print(f"   {len(split.train)} clips train, {len(split.test)} test; no source stands in both")

    print(f"3  training: {len(plan.runs)} runs, two variants x two seeds")
    for name, reason in run_suite(plan, options).items():
        raise ValueError(f"run {name} failed: {reason}")

    print("4  result: mean ± std over the seeds\n")
    records = read_runs(folder / "runs")
    print(write_tables(aggregate(records), folder / "runs"))
    report = folder / "report.html"
    write_report(records, report)

    print("5  prediction on a new clip, from a source that no run has heard")
    fresh = folder / f"new_{FRESH_LABEL}.wav"
    write_fresh_clip(fresh, FRESH_LABEL, seed=1)
    run = plan.runs[0].folder  # by its place in the list: choosing by test score would be cheating
    model, header = load_checkpoint(run)
    (answer,) = predict(model, header, [fresh])
    label, probability = answer.best(header.class_names)
    print(f"   {fresh} is of class {FRESH_LABEL}; the model says {label} ({probability:.0%})\n")

    print(f"report      {report}")
    print(f"checkpoint  {run}")
    earmark = "uv run earmark" if os.environ.get("UV") else "earmark"  # uv sets it for what it runs
    print(f"next        {earmark} predict {run} {fresh}")
    print(f"            {earmark} manifest folder YOUR-RECORDINGS   (your own sounds: one subfolder per class)")
