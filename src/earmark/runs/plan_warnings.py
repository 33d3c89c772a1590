"""What is said of a plan before hours of training: what will be missing from its result, or may inflate it."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from statistics import median

from earmark.analysis.paired_model import MIN_GROUPS
from earmark.audio.augment import ORIGINAL
from earmark.config.sections import shown
from earmark.config.suite import RunConfig, deciding_settings
from earmark.config.unused import OF_TRAINING, unused_settings
from earmark.datasets.listed_files import TEST
from earmark.datasets.manifest import Clip
from earmark.datasets.recordings import find_data
from earmark.runs.initial_weights import warn_of_weights
from earmark.runs.known_names import warn_of_known_starts
from earmark.runs.plan import SuitePlan
from earmark.runtime.console import format_names, pluralize, printable
from earmark.splits.copies import audit_path, warn_of_altered
from earmark.splits.split import Copies

LOG = logging.getLogger("earmark")
OFFICIAL_SPLITS = ("audformat", "audiofolder", "gtzan", "speech_commands")
"""Data sets whose folds are an official split into test, validation and training."""


def warn_of_plan(plan: SuitePlan, copies: Copies, manifest: Path) -> None:
    """Everything that there is to say of runs that are to be trained.

    Args:
        copies: the clips that share audio, see `find_copies`.
        manifest: of the clips; an audit may lie beside it.
    """
    if not plan.missing:
        return
    warn_of_few_groups(plan)
    warn_of_unused_settings(plan)
    warn_of_copies(plan, copies)
    warn_of_altered(manifest, [run.split for run in plan.missing])
    warn_of_no_audit(plan)
    warn_of_official_split(plan)
    warn_of_windows(plan)
    warn_of_windows_of_folds(plan)
    warn_of_weights((run.config.model, plan.data_of(run).store.front_end) for run in plan.missing)
    warn_of_known_starts((run.config.model, run.split, plan.data_of(run).clips) for run in plan.missing)


def warn_of_few_groups(plan: SuitePlan) -> None:
    """Say before the training that its result will have neither intervals nor verdicts."""
    groups = {clip.group for data in plan.data.values() for clip in data.clips}
    if len(groups) < MIN_GROUPS:
        LOG.warning(
            "%s of clips: there will be neither intervals nor verdicts, which need %d; a group is one recording, "
            "speaker, device or place",
            pluralize(len(groups), "group"),
            MIN_GROUPS,
        )


def warn_of_unused_settings(plan: SuitePlan) -> None:
    """Name settings that were given and change nothing in any variant.

    Those of training are left out where a probe is fitted: they are part of every config.
    """
    configs = {run.config.variant: run.config for run in plan.runs}
    unused = [unused_settings(config) for config in configs.values()]
    of_probe = OF_TRAINING if any(config.probe.kind != "none" for config in configs.values()) else ()
    given, default = deciding_settings(plan.runs[0].config), deciding_settings(RunConfig())
    for name, needs in unused[0].items():
        if given[name] != default[name] and name not in of_probe and all(name in own for own in unused):
            LOG.warning("%s = %s: changes nothing, because it needs %s", name, shown(given[name]), needs)


def warn_of_copies(plan: SuitePlan, copies: Copies) -> None:
    """Name files with the same content in two groups that no audit has found: one may be trained on, one tested."""
    known = {frozenset(pair) for clip_ids in copies for pair in itertools.combinations(clip_ids, 2)}
    found: dict[tuple[str, str], None] = {}
    for data in plan.data.values():
        first: dict[str, Clip] = {}
        for clip in data.clips:
            entry = data.store.index.get((clip.clip_id, ORIGINAL))
            other = first.setdefault(entry.content, clip) if entry else clip
            if other.group != clip.group and frozenset((other.clip_id, clip.clip_id)) not in known:
                found[other.clip_id, clip.clip_id] = None
    if found:
        LOG.warning(
            "%s the same in two groups, so that a copy may be trained on and the other tested: %s; give both the same "
            "group or drop one (`earmark validate` lists them, `earmark audit` finds altered copies, too)",
            pluralize(len(found), "pair") + (" of recordings is" if len(found) == 1 else " of recordings are"),
            printable(format_names([f"{a} = {b}" for a, b in found])),
        )


def warn_of_no_audit(plan: SuitePlan) -> None:
    """Say that no audit has looked for altered copies of recordings in a manifest of the user's own."""
    data = plan.runs[0].config.data
    if data.dataset != "manifest" or data.images:
        return
    manifest = find_data(data.root)
    if not audit_path(manifest).is_file():
        LOG.warning(
            "%s: no audit is saved beside it, so that altered copies in two subsets would go unnoticed; run `earmark "
            "audit %s --json %s`",
            *(printable(path) for path in (manifest, manifest, audit_path(manifest))),
        )


def warn_of_official_split(plan: SuitePlan) -> None:
    """Say that the folds of an official split are not those of a cross-validation before they are pooled."""
    config = plan.runs[0].config
    folds = sorted({run.config.fold for run in plan.runs})
    if config.split.kind == "folds" and config.data.dataset in OFFICIAL_SPLITS and folds != [TEST]:
        LOG.warning(
            "the folds of %s are an official split, 1 test, 2 validation and 3 training, but folds %s are tested here; "
            "set folds = [1] at the top of the config and split.valid_fold = true",
            config.data.dataset,
            format_names([str(fold) for fold in folds]),
        )


def warn_of_windows(plan: SuitePlan) -> None:
    """Say that windows of clips will be scaled by what a stream of such windows does not know: the peak of the clip."""
    for seconds in dict.fromkeys(run.config.train.window_seconds for run in plan.missing):
        datas = [plan.data_of(run) for run in plan.missing if run.config.train.window_seconds == seconds]
        front_ends = [data.store.front_end for data in datas]
        typical = median(clip.duration for clip in datas[0].clips)
        if 0 < seconds < 0.95 * typical and any(f is not None and f.reference == "peak" for f in front_ends):
            LOG.warning(
                "train.window_seconds = %g: clips last %.3g s and are scaled by their peak, but a stream of windows "
                "(predict --windows, listen) by the peak of each window; set front_end.reference = 'fixed', or cut the "
                "clips to this length",
                seconds,
                typical,
            )
            return


def warn_of_windows_of_folds(plan: SuitePlan) -> None:
    """Say before the training that networks of folds with windows of different length cannot be averaged."""
    medians: dict[int, float] = {}
    """Of the training clips in seconds, by the frames of their windows."""
    for run in plan.missing:
        data, front_end = plan.data_of(run), plan.data_of(run).store.front_end
        if run.config.train.window_seconds or run.config.probe.kind != "none" or front_end is None:
            continue
        trained = set(run.split.train)
        seconds = median(clip.duration for clip in data.clips if clip.clip_id in trained)
        medians[round(seconds * front_end.sample_rate / front_end.hop_length)] = seconds
    if len(medians) > 1:
        low, high = min(medians.values()), max(medians.values())
        LOG.warning(
            "train.window_seconds = 0: windows are as long as the median training clip of each fold, %.3g to %.3g s, "
            "so `earmark finalize` cannot average the networks of the folds; for one length set train.window_seconds = "
            "%.2g",
            low,
            high,
            (low + high) / 2,
        )
