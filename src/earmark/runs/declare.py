"""Before a suite trains: its plan on disk; before a run is scored: its look in the ledger."""

from __future__ import annotations

from earmark.analysis.ledger import find_ledger, now, read_ledger, record_look
from earmark.analysis.plan_file import PlanEntry, RunKey, extend_plan
from earmark.config.search_space import configuration_id
from earmark.config.suite import RunConfig, SuiteConfig, deciding_settings
from earmark.models.custom import source_digest
from earmark.runs.plan import PlannedRun, RunData, SuitePlan
from earmark.runtime.files import digest
from earmark.runtime.names import id_of


def declare_plan(plan: SuitePlan, suite: SuiteConfig) -> None:
    """Write plan.json into the folder of the suite, or extend it by what is new.

    Raises:
        PlanError: there is a plan.json that cannot be used.
    """
    folder = plan.runs[0].folder.parent
    shared, variants = _settings({run.config.variant: run.config for run in plan.runs})
    runs = {run.id: RunKey(run.config.variant, run.config.fold, run.config.seed) for run in plan.runs}
    n_results = _count_results(plan.runs[0])
    extend_plan(folder, PlanEntry(now(), n_results, suite.metric, suite.baseline, shared, variants, runs))


def _settings(configs: dict[str, RunConfig]) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    """The settings that all variants share, and the others of each."""
    found = {name: deciding_settings(config) for name, config in configs.items()}
    for settings in found.values():
        del settings["fold"], settings["seed"]
    first = next(iter(found.values()))
    shared = {key: value for key, value in first.items() if all(s[key] == value for s in found.values())}
    return shared, {name: {k: v for k, v in s.items() if k not in shared} for name, s in found.items()}


def _count_results(run: PlannedRun) -> int:
    """Runs of a suite that have been scored, whether their result is still there or not."""
    folder = run.folder.parent
    there = {id_of(path.parent) for path in folder.glob("*/result.json")}
    ledger = find_ledger(folder)
    looks = read_ledger(ledger) if ledger else []
    return len(there | {look.run for look in looks if look.suite == run.config.name})


def _configuration(config: RunConfig) -> str:
    """`configuration_id`, with the source of your own network."""
    source = source_digest(config.model.name)
    return digest(configuration_id(config) + source, length=10) if source else configuration_id(config)


def record_run(run: PlannedRun, data: RunData) -> None:
    """Append a run to the ledger before it is scored on its test clips; an inner run of a search has none."""
    if run.inner:
        return
    config, split = run.config, run.split
    record_look(
        run.folder,
        event="trained" if config.probe.kind == "none" else "probed",
        suite=config.name,
        variant=config.variant,
        fold=config.fold,
        seed=config.seed,
        configuration=_configuration(config),
        run=run.id,
        test_clips=split.reported,
        all_clips={clip_id for ids in (*split.subsets().values(), split.left_out) for clip_id in ids},
        test_audio=data.audio_of(split.reported),
    )
