"""Trackers of runs: TensorBoard, Weights & Biases, MLflow and trackio, each with the same three methods.

All write to this machine: W&B in offline mode (unless `$WANDB_MODE` says otherwise), MLflow to a file beside the runs
(unless `$MLFLOW_TRACKING_URI` does) and without its usage statistics (unless `$MLFLOW_DISABLE_TELEMETRY` is false),
trackio to its own folder. What fails in a tracker is a warning and stops no run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from earmark.config.sections import ConfigError

INSTALL = {
    "wandb": '"earmark[wandb]"',
    "mlflow": '"earmark[mlflow]"',
    "trackio": "trackio",
    "tensorboard": "tensorboard",
}


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is given about a run when it starts."""

    folder: Path
    suite: str
    settings: Mapping[str, Any]
    """All settings as `section.key`."""
    class_names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.folder.name


class Tracker(Protocol):
    """What is called in the life of a run."""

    def start(self, run: TrackedRun) -> None:
        """Before the first epoch. A resumed run starts again, and its earlier epochs are logged again."""
        ...

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """After each epoch, with values such as `train/loss`."""
        ...

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """With `metrics` and `confusion` of the test clips; None if the run was interrupted or failed."""
        ...


class WandbTracker:
    """Weights & Biases, as a folder `wandb` in the run's; `wandb sync` uploads it."""

    def start(self, run: TrackedRun) -> None:
        """Open a run in the project of the suite's name."""
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", "offline")  # one of its literals, which it checks
        self._run = wandb.init(
            project=run.suite,
            name=run.name,
            dir=str(run.folder),
            config=dict(run.settings),
            mode=mode,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """One step per epoch."""
        self._run.log(dict(values), step=epoch)

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """Write the test metrics into the summary."""
        for name, value in _test_metrics(result).items():
            self._run.summary[name] = value
        self._run.finish(exit_code=0 if result is not None else 1)


class MlflowTracker:
    """MLflow, in the file `mlflow.db` beside the runs; `mlflow ui --backend-store-uri sqlite:///mlflow.db` shows it."""

    def start(self, run: TrackedRun) -> None:
        """Create a run in the experiment of the suite's name."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own libraries
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
            from mlflow import MlflowClient

            logging.getLogger("mlflow").setLevel(logging.WARNING)
            logging.getLogger("alembic").setLevel(logging.WARNING)
            place = (run.folder.parent / "mlflow.db").resolve()
            with FileLock(place.with_name(".mlflow.lock")):
                self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{place.as_posix()}")
                known = self._client.get_experiment_by_name(run.suite)
                experiment = known.experiment_id if known else self._client.create_experiment(run.suite)
            self._id = self._client.create_run(experiment, run_name=run.name).info.run_id
            for name, value in run.settings.items():
                self._client.log_param(self._id, name, value)

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """One step per epoch."""
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=epoch)

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """Log the test metrics and end the run."""
        self.log(0, _test_metrics(result))
        self._client.set_terminated(self._id, "FAILED" if result is None else "FINISHED")


class TrackioTracker:
    """trackio, in its own folder (`$TRACKIO_DIR`); `trackio show` shows it."""

    def start(self, run: TrackedRun) -> None:
        """Open a run in the project of the suite's name."""
        import trackio

        with contextlib.redirect_stdout(io.StringIO()):  # the address of its page, in every run
            self._run = trackio.init(project=run.suite, name=run.name, config=dict(run.settings), embed=False)

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """One step per epoch."""
        self._run.log(dict(values), step=epoch)

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """Log the test metrics after the last epoch."""
        import trackio

        metrics = _test_metrics(result)
        with contextlib.redirect_stdout(io.StringIO()):
            if metrics:
                self._run.log(metrics)
            trackio.finish()  # and not the run's own method, after which trackio would end it again at exit


def _tensorboard() -> Tracker:
    from earmark.training.tensorboard import TensorBoardTracker

    return TensorBoardTracker()


TRACKERS: dict[str, Callable[[], Tracker]] = {
    "tensorboard": _tensorboard,
    "wandb": WandbTracker,
    "mlflow": MlflowTracker,
    "trackio": TrackioTracker,
}


def check_trackers(names: Sequence[str]) -> None:
    """Raise `ConfigError` for a tracker whose package is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"track = {name!r}: it is not installed; run `pip install {INSTALL[name]}`, or leave it out"
            )


class Trackers:
    """Several trackers together. The first failure of a tracker is a warning; it is not called again."""

    def __init__(self, trackers: Mapping[str, Callable[[], Tracker]], run: TrackedRun) -> None:
        self._active: dict[str, Tracker] = {}
        for name, create in trackers.items():
            with self._guarded(name):
                tracker = create()
                tracker.start(run)
                self._active[name] = tracker

    def log(self, entry: Mapping[str, Any]) -> None:
        """Log an entry of the history, except for values that are None."""
        values = {k.replace("_", "/", 1): v for k, v in entry.items() if k != "epoch" and v is not None}
        self._call("log", entry["epoch"], values)

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """End all trackers with the scores of the test clips, or without."""
        self._call("finish", result)
        self._active.clear()

    def _call(self, method: str, *arguments: Any) -> None:
        for name, tracker in list(self._active.items()):
            with self._guarded(name):
                getattr(tracker, method)(*arguments)

    @contextlib.contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of another program, whose failure must not cost a training
            self._active.pop(name, None)
            reason = " ".join(str(error).split()) or type(error).__name__
            warnings.warn(f"track = {name!r}: {reason}; the run continues without it", stacklevel=2)


@contextlib.contextmanager
def tracking(names: Sequence[str], run: TrackedRun, history: Sequence[Mapping[str, Any]]) -> Iterator[Trackers]:
    """Start the named trackers and log the epochs of an earlier attempt; what is not finished ends without a result."""
    trackers = Trackers({name: TRACKERS[name] for name in names}, run)
    try:
        for entry in history:
            trackers.log(entry)
        yield trackers
    finally:
        trackers.finish(None)


def _test_metrics(result: Mapping[str, Any] | None) -> dict[str, float]:
    metrics = {} if result is None else result["metrics"]
    return {f"test/{name}": value for name, value in metrics.items() if value is not None}


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `section.key`; lists and tables become text."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, int | float | str | bool) else str(value)
    return flat
