"""From the runs of a suite to the model that is shipped: one folder with everything.

Either one network trained once more on all clips, or the networks of the folds as an ensemble. What to expect of it is
what the suite measured for the recipe; the out-of-fold predictions of the suite, which are held out by construction,
fit the calibration and set the threshold of the unknown score.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from earmark.analysis.aggregate import Aggregate, aggregate
from earmark.analysis.calibrate import CalibrationReport, calibrate_records
from earmark.analysis.records import RunRecord
from earmark.analysis.unknown_tables import SoundRow, UnknownRow
from earmark.analysis.verdicts import percent
from earmark.deploy.card import CARD_FILE, check_own_card, format_card
from earmark.deploy.choices import Choices, choose_runs
from earmark.deploy.held_out import clip_scores, held_out_distances, measure_unknown, subset_of
from earmark.deploy.info import FORMAT_VERSION, DeployError, ExpectedScore, ModelInfo
from earmark.deploy.model import Model
from earmark.deploy.provenance import describe_provenance
from earmark.deploy.synthetic_sounds import score_synthetic_sounds
from earmark.deploy.torch_engine import (
    MODEL_FILE,
    REFERENCES_FILE,
    EnsembleNetwork,
    LoadedModel,
    TorchEngine,
    describe_checkpoint,
    model_files,
    split_network,
)
from earmark.deploy.unknown import (
    References,
    UnknownGate,
    cross_fitted_scores,
    make_references,
    references_per_class,
    set_gate,
    stack_references,
    usual_distances,
)
from earmark.runs.final import SuiteData, check_recipe, load_suite_data, split_for_use, train_for_use
from earmark.runtime.console import Progress, format_names, pluralize
from earmark.runtime.files import digest, file_digest, write_bytes, write_json, write_text
from earmark.runtime.schema import SchemaError, read_json
from earmark.training.checkpoint import load_checkpoint, publish_checkpoint
from earmark.training.checkpoint_files import checkpoint_of

TRAINING_FOLDER = ".earmark-training"
"""Below the model folder while networks are trained: a command that was interrupted resumes from it. It is removed
afterward, so nobody else may have a folder of this name."""


@dataclass(frozen=True)
class Finalized:
    """What was written."""

    info: ModelInfo
    members: tuple[str, ...]
    calibration: CalibrationReport | None
    """None with a single fold, which leaves nothing to cross-fit."""
    unknown_table: tuple[UnknownRow, ...] = ()
    """Empty where it was not measured."""
    synthetic_sounds: tuple[SoundRow, ...] = ()
    """Empty without an unknown score."""


@dataclass(frozen=True)
class Member:
    """One network of the model."""

    name: str
    checkpoint: Path
    train: tuple[str, ...]
    """Ids of the clips that trained it."""


def finalize(runs: str | Path, output: str | Path, variant: str = "", choices: Choices | None = None) -> Finalized:
    """Write a model folder from the runs of a variant.

    Args:
        runs: the folder of a suite's runs.
        output: the model folder.
        variant: which one; may be left out if there is one only.
        choices: which networks, on which recordings, with what unknown score.

    Raises:
        RunError: there are no finished runs.
        DeployError: there is no such variant or seed, or it cannot be shipped.
        EarmarkError: the recordings of the suite cannot be read, or are others.
    """
    choices = choices or Choices()
    return build_model(choose_runs(Path(runs), variant, choices), Path(output), choices)


def build_model(records: Sequence[RunRecord], output: Path, choices: Choices) -> Finalized:
    """Write a model folder from the runs that `choose_runs` returned.

    Raises:
        EarmarkError: as `finalize`.
    """
    progress = Progress()
    _check_networks(records, choices)
    _check_output(output, records, choices.force)
    needs_clips = choices.on_all_clips or choices.unknown or choices.measure_unknown
    suite = load_suite_data(records, choices.options, choices.root) if needs_clips else None
    output.mkdir(parents=True, exist_ok=True)
    if choices.on_all_clips:
        assert suite is not None, "it needs the clips"
        members = train_members(records, suite, output / TRAINING_FOLDER, choices, progress)
    else:
        members = [_fold_member(record, suite) for record in records]
    report = calibrate_records(records)
    info = _describe(records, members, report)
    references: References | None = None
    table: tuple[UnknownRow, ...] = ()
    if choices.unknown:
        assert suite is not None, "it needs the clips"
        references, gate = _unknown_score(_one_seed(records), members, suite, choices, progress)
        info = replace(info, unknown=gate)
    if choices.measure_unknown:
        assert suite is not None, "it needs the clips"
        folder, options = output / TRAINING_FOLDER, choices.options
        table = tuple(measure_unknown(_one_seed(records), suite, folder, choices.false_alarms, options, progress))
    sounds = () if references is None else _synthetic_sounds(members, info, references)
    done = Finalized(info, tuple(f"{member.name}.safetensors" for member in members), report, table, sounds)
    _write(output, done, records, members, references)
    progress.clear()
    return done


def _one_seed(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs of the lowest seed, one per fold."""
    lowest = min(record.config.seed for record in records)
    return [record for record in records if record.config.seed == lowest]


def _check_networks(records: Sequence[RunRecord], choices: Choices) -> None:
    """Refuse folds whose networks do not combine."""
    if choices.on_all_clips and not choices.unknown:
        return  # the networks of the folds are not needed
    infos = [_info_of(record.folder) for record in _one_seed(records)]
    if choices.on_all_clips:
        return
    windows = sorted({info.window_frames for info in infos})
    if len(windows) > 1:
        hop = infos[0].front_end.hop_length / infos[0].front_end.sample_rate
        raise DeployError(
            f"the folds have windows of {windows[0]} to {windows[-1]} frames, so their networks cannot be averaged; "
            f"give --on-all-clips, or train the suite again with --train.window_seconds {hop * np.mean(windows):.2g}"
        )
    for name in ("class_names", "front_end"):
        if len({getattr(info, name) for info in infos}) > 1:
            raise DeployError(f"{name} differs between the folds, so their networks cannot be averaged")


def _source(records: Sequence[RunRecord]) -> dict[str, str]:
    """What the runs have in common, by which the model of other runs is known."""
    record = records[0]
    return {
        "variant": record.variant,
        "settings_id": record.settings_id,
        "manifest_digest": record.manifest_digest,
    }


def _check_output(output: Path, records: Sequence[RunRecord], force: bool) -> None:
    """Refuse a folder with a model of other runs, or without a model but with files of somebody else."""
    source = _source(records)
    try:
        present = read_json(output / MODEL_FILE, {"variant": str, "settings_id?": str, "manifest_digest?": str})
    except SchemaError:  # none, or damaged
        present = source
    differs = [key for key, value in source.items() if present.get(key, value) != value]
    if differs and not force:
        held = f"variant {present['variant']!r}" if "variant" in differs else "runs with other settings or recordings"
        raise DeployError(
            f"output = {str(output)!r}: holds the model of {held}; give another folder, or --force to replace it"
        )
    if (output / MODEL_FILE).is_file() or not output.is_dir():
        return
    names = sorted(path.name for path in output.iterdir() if not path.name.startswith("."))
    ours = (CARD_FILE, ".safetensors", ".tmp")  # what a command that was interrupted may have left
    if others := [name for name in names if not name.endswith(ours)]:
        raise DeployError(f"output = {str(output)!r}: is no model and holds {format_names(others)}; give a new folder")
    check_own_card(output / CARD_FILE)


def _remove_model(folder: Path) -> None:
    """Remove the description of an earlier model, without which a folder is no model, and its networks."""
    with suppress(DeployError):  # none, or damaged
        for path in model_files(folder):
            if path.suffix == ".safetensors":
                path.unlink(missing_ok=True)
    (folder / MODEL_FILE).unlink(missing_ok=True)


def train_members(
    records: Sequence[RunRecord], suite: SuiteData, folder: Path, choices: Choices, progress: Progress
) -> list[Member]:
    """Train the recipe on all clips, once per seed: the seeds of the suite, then those after the largest."""
    check_recipe(suite, records[0])
    seeds = sorted({record.config.seed for record in records})
    seeds = [*seeds, *range(seeds[-1] + 1, seeds[-1] + 1 + choices.n_seeds)][: choices.n_seeds]
    split = split_for_use(suite, records[0])
    members = []
    for seed in seeds:
        progress.line(f"training on {pluralize(len(split.train), 'clip')}, seed {seed}")
        config = replace(records[0].config, seed=seed)
        checkpoint = train_for_use(config, suite, split, folder, choices.options, progress.status)
        members.append(Member(f"all-clips-seed{seed}", checkpoint, split.train))
    return members


def _fold_member(record: RunRecord, suite: SuiteData | None) -> Member:
    train = suite.splits[record.config.fold].train if suite else ()
    return Member(f"fold{record.config.fold}", checkpoint_of(record.folder), train)


def _unknown_score(
    records: Sequence[RunRecord], members: Sequence[Member], suite: SuiteData, choices: Choices, progress: Progress
) -> tuple[References, UnknownGate]:
    """References of the model, and the threshold, which the networks of the folds set on held-out clips.

    Args:
        records: one per fold.
    """

    per_class = references_per_class(len(suite.data.class_names), len(members))

    def references_of(member: Member) -> tuple[np.ndarray, np.ndarray]:
        progress.status(f"{member.name}: embedding {pluralize(len(member.train), 'clip')}")
        subset = subset_of(suite, member.train)
        embeddings = clip_scores(member.checkpoint, subset).embeddings
        return make_references(embeddings, subset.targets, per_class)

    of_folds = [references_of(_fold_member(record, suite)) for record in records]
    distances = held_out_distances(records, suite, of_folds)
    gate = set_gate(np.concatenate(cross_fitted_scores(distances)), choices.false_alarms)
    own = [references_of(member) for member in members] if choices.on_all_clips else of_folds
    return stack_references(own, usual_distances(np.concatenate(distances))), gate


def _synthetic_sounds(members: Sequence[Member], info: ModelInfo, references: References) -> tuple[SoundRow, ...]:
    """What the model that is about to be written says of synthetic sounds."""
    loaded = [load_checkpoint(member.checkpoint, allow_unfinished=True) for member in members]
    network = EnsembleNetwork([split_network(model, metadata) for model, metadata in loaded])
    return tuple(
        score_synthetic_sounds(Model(TorchEngine(LoadedModel(network, info, references), torch.device("cpu"))))
    )


def _info_of(path: Path) -> ModelInfo:
    """What the checkpoint of a run folder, or a checkpoint, says of itself."""
    file = checkpoint_of(path)
    return describe_checkpoint(file, load_checkpoint(file, allow_unfinished=True)[1])


def _describe(records: Sequence[RunRecord], members: Sequence[Member], report: CalibrationReport | None) -> ModelInfo:
    """What the model says of itself, without the unknown score."""
    infos = [_info_of(member.checkpoint) for member in members]
    checksums = [info.checksum for info in infos]
    times = f" x {len(members)}" if len(members) > 1 else ""
    return replace(
        infos[0],
        architecture=f"{infos[0].architecture}{times}",
        run_id="+".join(info.run_id for info in infos),
        checksum=digest("".join(checksums), length=64) if len(checksums) > 1 else checksums[0],
        expected_score=expected_score(records),
        calibration=infos[0].calibration if report is None else report.calibration,
        recordings=_all_recordings(infos),
    )


def _all_recordings(infos: Sequence[ModelInfo]) -> tuple[str, ...]:
    """Those of all networks; empty where one of them does not say its own."""
    if not all(info.recordings for info in infos):
        return ()
    return tuple(sorted({recording for info in infos for recording in info.recordings}))


def expected_score(records: Sequence[RunRecord]) -> ExpectedScore:
    """What the suite measured for the recipe, as its report shows it."""
    found = aggregate(records)
    summary = found.variants[0].metrics[found.metric]
    value = summary.mean if summary.pooled is None else summary.pooled
    assert value is not None, "accuracy and UAR of labeled clips are always defined"
    folds = pluralize(len({record.config.fold for record in records}), "fold")
    seeds = pluralize(len({record.config.seed for record in records}), "seed")
    source = f"measured by the suite for this recipe, {folds}, {seeds}; each clip scored by networks not trained on it"
    return ExpectedScore(found.metric, value, found.n_clips, summary.low, summary.high, source + _floor(found))


def _floor(found: Aggregate) -> str:
    """What the best reference without a network scores; empty where the suite has none."""
    best = found.references.best(found.metric)
    if best is None:
        return ""
    checks = found.references.checks
    claim = "is better" if any(check.worse for check in checks) else "it is not shown to beat"
    remark = "" if all(check.beaten for check in checks) else f", which {claim}"
    return f"; {best.name} without a network: {percent(best.score(found.metric))} %{remark}"


def _write(
    output: Path,
    done: Finalized,
    records: Sequence[RunRecord],
    members: Sequence[Member],
    references: References | None,
) -> None:
    """The networks without the optimizer's state, then the description: a folder without it is no model."""
    _remove_model(output)
    for name, member in zip(done.members, members, strict=True):
        publish_checkpoint(member.checkpoint, output / name)
    if references is not None:
        write_bytes(output / REFERENCES_FILE, save({"vectors": references.vectors, "scales": references.scales}))
    name = output.resolve().name
    card = format_card(done.info, name, done.unknown_table, describe_provenance(records), done.synthetic_sounds)
    write_text(output / CARD_FILE, card)
    content = {
        **_source(records),
        "info": done.info.to_json(),
        "members": done.members,
        "digests": [file_digest(output / name) for name in done.members],
        "calibration": asdict(done.calibration) if done.calibration else None,
        "unknown_table": [asdict(row) for row in done.unknown_table],
        "synthetic_sounds": [asdict(row) for row in done.synthetic_sounds],
    }
    write_json(output / MODEL_FILE, {"format_version": FORMAT_VERSION, **content})
    shutil.rmtree(output / TRAINING_FOLDER, ignore_errors=True)
