"""earmark: which model is really better on this data, and can I ship it?

The public Python API, by task in docs/python.md. What a function needs is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from earmark.analysis.aggregate import Aggregate
    from earmark.analysis.frames import frames
    from earmark.analysis.records import RunRecord, read_runs
    from earmark.audit.record import AuditReport
    from earmark.config.sections import DataConfig, FrontEndConfig, ModelConfig, Options, ProbeConfig, SplitConfig
    from earmark.config.suite import SuiteConfig
    from earmark.config.training import AugmentConfig, TrainConfig
    from earmark.datasets.folder import read_folder
    from earmark.datasets.manifest import Clip, write_manifest
    from earmark.deploy.finalize import finalize
    from earmark.deploy.model import Model
    from earmark.deploy.predict import Prediction
    from earmark.report.figures import figures
    from earmark.report.page import write_report
    from earmark.runtime.errors import EarmarkError
    from earmark.splits.io import read_splits
    from earmark.splits.split import LeakageError, Split
    from earmark.training.checkpoint_files import CheckpointError

__version__ = "0.1.0"
__all__ = [
    "AugmentConfig",
    "CheckpointError",
    "Clip",
    "DataConfig",
    "EarmarkError",
    "FrontEndConfig",
    "LeakageError",
    "ModelConfig",
    "Options",
    "ProbeConfig",
    "Split",
    "SplitConfig",
    "SuiteConfig",
    "TrainConfig",
    "aggregate",
    "audit_clips",
    "evaluate",
    "figures",
    "finalize",
    "frames",
    "import_predictions",
    "load",
    "make_split",
    "predict",
    "read_clips",
    "read_folder",
    "read_runs",
    "read_splits",
    "read_suite",
    "run_suite",
    "write_manifest",
    "write_report",
]
_ELSEWHERE = {
    "earmark.analysis.frames": ("frames",),
    "earmark.analysis.records": ("read_runs",),
    "earmark.config.sections": ("DataConfig", "FrontEndConfig", "ModelConfig", "Options", "ProbeConfig", "SplitConfig"),
    "earmark.config.suite": ("SuiteConfig",),
    "earmark.config.training": ("AugmentConfig", "TrainConfig"),
    "earmark.datasets.folder": ("read_folder",),
    "earmark.datasets.manifest": ("Clip", "write_manifest"),
    "earmark.deploy.finalize": ("finalize",),
    "earmark.report.figures": ("figures",),
    "earmark.report.page": ("write_report",),
    "earmark.runtime.errors": ("EarmarkError",),
    "earmark.splits.io": ("read_splits",),
    "earmark.splits.split": ("LeakageError", "Split"),
    "earmark.training.checkpoint_files": ("CheckpointError",),
}
"""Public names that are defined in other modules."""


def __getattr__(name: str) -> Any:
    """A public name of another module, imported when it is used."""
    for module, names in _ELSEWHERE.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'earmark' has no attribute {name!r}")


def load(path: str | Path, device: str = "cpu") -> Model:
    """Load a trained model: ``load("runs/esc10/none-fold1-seed42").predict("dog.wav").label``.

    Args:
        path: a run folder, whose id may be left out, a model folder, a .safetensors or an .onnx file.
        device: `auto`, `cpu` or `cuda`; an .onnx file always takes the processor.

    Raises:
        CheckpointError, DeployError: there is no checkpoint, or it cannot be used or take audio.
    """
    from earmark.deploy.model import load

    return load(path, device)


def predict(checkpoint: str | Path, audio: str | Path | Iterable[str | Path], device: str = "auto") -> list[Prediction]:
    """Classify many audio files: one prediction per file, in order; a file that cannot be read has an `error` instead.

    Args:
        checkpoint: a run folder, whose id may be left out, a model folder, a .safetensors or an .onnx file.
        audio: an audio file or a folder of them, or several.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        CheckpointError, AudioError: there is no checkpoint, no such path or no audio file, or it cannot be used.
    """
    from earmark.deploy.model import load
    from earmark.deploy.predict import find_audio, predict

    paths = find_audio(audio)
    return list(predict(load(checkpoint, device), paths))


def read_suite(path: str | Path) -> SuiteConfig:
    """Read the config of a suite from a TOML file.

    Raises:
        ConfigError: the file is missing or invalid.
    """
    from earmark.config.suite import read_suite

    return read_suite(path)


def run_suite(suite: SuiteConfig | str | Path, options: Options | None = None) -> dict[str, str]:
    """Write the plan of a suite, or of its TOML file, then train and evaluate its unfinished runs.

    With `options.jobs` other than 1, call it under ``if __name__ == "__main__"``: workers import the main script.

    Returns:
        The reason of each failure by run name; empty if all runs are finished.

    Raises:
        EarmarkError: the data, a setting or a split cannot be used.
    """
    from earmark.config.sections import Options
    from earmark.runs.plan import plan_suite
    from earmark.runs.suite import run_declared

    suite = read_suite(suite) if isinstance(suite, str | Path) else suite
    options = options or Options()
    return run_declared(plan_suite(suite, options), suite, options)


def aggregate(
    runs: str | Path | Iterable[str | Path] | Sequence[RunRecord],
    metric: Literal["", "accuracy", "uar"] = "",
    baseline: str | None = None,
    by: str = "",
    clips: str | Path | None = None,
    rope: float = 0.01,
) -> Aggregate:
    """Compare the variants of the finished runs below a folder, or below several as by `earmark compare`.

    Args:
        runs: a folder of runs, several, or what `read_runs` returned.
        metric: metric that variants are compared by; empty takes that of the plan, or else accuracy.
        baseline: compare all variants with this one only; empty compares all pairs, None follows the plan.
        by: score and compare slices of the clips, too: `label`, or a column of `clips`, such as site.
        clips: CSV with that column and clip_id or path, such as the manifest.
        rope: largest difference that is equal for practical purposes, as a fraction: 0.01 is one point.

    Raises:
        RunError: there is no finished run, the runs cannot be compared, or the column cannot be used.
    """
    from earmark.analysis.aggregate import aggregate
    from earmark.analysis.merge import as_records
    from earmark.analysis.slices import labels_of
    from earmark.runs.columns import read_column

    records = as_records(runs)
    column = read_column(by, labels_of(records), Path(clips) if clips else None) if by else None
    return aggregate(records, metric, baseline, rope, column)


def read_clips(table: Any, root: str | Path = ".", label_column: str = "", group_column: str = "") -> list[Clip]:
    """The clips of a manifest, or of a pandas DataFrame with `path`, a label and, if there is one, a group.

    Args:
        table: the path of a manifest, which takes no other argument, or a DataFrame.
        root: folder that relative paths of a DataFrame start from.
        label_column, group_column: of a DataFrame; empty takes `label` and `group`.

    Raises:
        ManifestError: a column or recording is missing, a value cannot be used, or an argument is not for a manifest.
    """
    from earmark.datasets.frames import clips_of_table

    return clips_of_table(table, root, label_column, group_column)


def make_split(
    clips: str | Path | Sequence[Clip],
    kind: Literal["folds", "group_kfold", "leave_one_group_out", "holdout", "files"] = "group_kfold",
    fold: int = 1,
    n_folds: int = 5,
    seed: int = 0,
    test_ratio: float = 0.2,
    **settings: Any,
) -> Split:
    """Split clips into train, valid and test so that no group is in two subsets; see `[split]` of the settings.

    Args:
        clips: a manifest, its clips, or a DataFrame as for `read_clips`.
        kind: of the split; with `files`, give `path`, too. `fold` is the test subset.
        seed: of `group_kfold` and `holdout`, and of the draw of a `train_fraction`.
        test_ratio: fraction of the clips that `holdout` keeps for test.
        settings: others of `[split]`, such as `val_ratio=0.1`, `valid_fold=True` or `waiver="esc50-published-folds"`.

    Raises:
        EarmarkError: the manifest or a setting cannot be used, or the clips do not allow such a split.
    """
    from earmark.config.sections import SplitConfig
    from earmark.splits.make import make_split

    config = SplitConfig(kind=kind, n_folds=n_folds, seed=seed, test_ratio=test_ratio, **settings)
    return make_split(_clips(clips), config, fold, draw=seed)


def audit_clips(
    clips: str | Path | Sequence[Clip],
    split: Split | None = None,
    jobs: int = 0,
    speeds: Sequence[float] = (0.9, 1.1),
    tempos: Sequence[float] = (0.9, 1.1),
    semitones: Sequence[float] = (-2.0, -1.0, 1.0, 2.0),
) -> AuditReport:
    """Find leaks, duplicates, mixed labels and shortcuts in a data set.

    Args:
        clips: a manifest, its clips, or a DataFrame as for `read_clips`.
        split, jobs: a split to check as well, and the number of threads; 0 uses all cores.
        speeds: at which copies of recordings are found, too.
        tempos, semitones: of probable copies, which have the same pitch or the same tempo.

    Raises:
        ManifestError, AuditError: the manifest, or one of these numbers, cannot be used.
    """
    from earmark.audit.audit import audit

    return audit(_clips(clips), split, jobs, None, speeds, tempos, semitones)


def import_predictions(
    table: Any,
    clips: str | Path | Sequence[Clip],
    folder: str | Path,
    *,
    variant: str = "",
    fold: int | None = None,
    seed: int | None = None,
    split: Split | str | Path | None = None,
    selected_on: Literal["none", "valid", "unknown"] = "unknown",
    waiver: str = "",
    missing: str = "",
    as_it_is: bool = False,
) -> list[Path]:
    """Turn predictions of any tool into finished runs that `aggregate` compares; returns their folders.

    Args:
        table: a pandas DataFrame, a dict of columns or the path of a CSV, with `clip_id` or `path`, and `prob:<class>`
            for each class or `prediction`. In a dict, `probs` may be an array (N, K) over the sorted class names.
        clips: a manifest, its clips, or a DataFrame as for `read_clips`.
        folder: where the run folders are written.
        variant: variant of all rows; empty takes the column `variant`, or the name of the file.
        fold: of all rows; None takes the column `fold`, the fold of `split` that tests a clip, or the published one.
        seed: seed of all rows; None takes the column `seed`, or 0.
        split: a folder of runs on the same folds, or one split: itself, or its folder from `earmark split`.
        selected_on: what the tool chose its epoch or hyperparameters on; `unknown` is marked in every table.
        waiver: name of a published exception to group-disjointness.
        missing: the class that test clips without a prediction count as, such as background; empty refuses them.
        as_it_is: a finished model, which all clips test: intervals do not cover other training sets and seeds.

    Raises:
        PredictionTableError: the table cannot be used, or predictions are missing; they are named.
        LeakageError: a group is in two folds.
    """
    from earmark.runs.import_folds import check_one_run_each, folds_of_import
    from earmark.runs.import_predictions import import_predictions
    from earmark.runs.prediction_table import read_prediction_table

    known = _clips(clips)
    splits, folded, names, fold = folds_of_import(known, split, fold, waiver, as_it_is)
    runs = read_prediction_table(table, folded, variant, fold, seed, names, missing)
    check_one_run_each(runs, as_it_is)
    return import_predictions(
        runs, known, Path(folder), splits=splits, waiver=waiver, selected_on=selected_on, names=names, missing=missing
    )


def evaluate(
    model: str | Path,
    clips: str | Path | Sequence[Clip],
    folder: str | Path,
    *,
    variant: str = "",
    known: Literal["refuse", "skip", "flag"] = "refuse",
    device: str = "auto",
) -> Path:
    """Score a model on labeled recordings that are new to it, as a finished run that `aggregate` reads.

    Args:
        model: a checkpoint, a run folder, a model folder, an .onnx file or ``hf:REPO``.
        clips: a manifest, its clips, or a DataFrame as for `read_clips`.
        folder: where the run folder is written.
        variant: name of the model in tables; by default the variant of a run folder, or the name of the file or folder.
        known: what is done with recordings that trained the model: `refuse`, `skip` them and score the others, or
            score all and `flag` the run.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        The run folder.

    Raises:
        LeakageError: recordings have trained the model.
        EarmarkError: the model cannot be used, a label is none of its classes, or a recording cannot be read.
    """
    from earmark.deploy.evaluate import evaluate

    return evaluate(Path(model), _clips(clips), Path(folder), variant, known=known, device=device).run


def _clips(clips: Any) -> list[Clip]:
    """The clips, read where a manifest or a DataFrame is given."""
    from earmark.datasets.manifest import Clip

    return list(clips) if isinstance(clips, Sequence) and all(isinstance(c, Clip) for c in clips) else read_clips(clips)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
