"""Everything that can be known before a run is trained: its network, device, masks, window, memory and name."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from earmark.config.budget import unequal_budgets
from earmark.config.sections import ConfigError, ModelConfig, Options, check_setting, shown
from earmark.config.suite import RunConfig, deciding_settings, run_from_dict, to_dict
from earmark.features.windows import window_frames
from earmark.models.contract import ImageSize, check_contract
from earmark.models.create import create_model
from earmark.models.custom import is_custom, source_digest
from earmark.models.network import Network
from earmark.models.prefixes import is_external, takes_waveform
from earmark.models.registry import architecture_of
from earmark.runs.embeddings import has_embeddings, read_vectors
from earmark.runs.waveform_embeddings import check_waveform_backbone
from earmark.runtime.console import printable
from earmark.runtime.errors import first_line
from earmark.training.devices import select_device
from earmark.training.trackers import check_trackers

if TYPE_CHECKING:
    from earmark.runs.plan import PlannedRun, RunData, SuitePlan

LOG = logging.getLogger("earmark")

BYTES_PER_PARAMETER = 16
"""Weight, gradient and the two moments of AdamW, in 32 bits each."""
BYTES_PER_ACTIVATION = 4
MAX_TRIED_PIXELS = 500_000
"""Of an image that a network is applied to. A larger one may not fit into memory, and the meta device is used; its
first use imports much of PyTorch, for four seconds."""
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def check_plan(plan: SuitePlan, options: Options) -> None:
    """Refuse what would fail, or be refused, after some or all runs have been trained.

    Raises:
        EarmarkError: the device is not available; a network cannot be created, or not with these weights or images;
            masks are larger than the images; the memory is too small; or the folder of the suite holds finished runs
            of other settings.
    """
    if plan.missing:
        check_tuned(plan.missing)
        check_networks([plan], options)
        check_names(plan.runs, options.allow_unequal_budget)


def check_tuned(runs: Sequence[PlannedRun]) -> None:
    """Refuse settings that were chosen while a fold tested other clips: some of today's may have chosen them."""
    for run in runs:
        tuned, fold = run.config.tuned, run.config.fold
        if tuned.mode != "none" and tuned.tested.get(str(fold)) != run.split.reported_digest():
            raise ConfigError(
                f"variants.{run.config.variant}.tuned: fold {fold} tests other clips than when its settings were "
                "chosen (recordings, groups or [split] have changed); run `earmark tune` again under another name"
            )


def check_networks(plans: Sequence[SuitePlan], options: Options) -> None:
    """Refuse networks, devices, images or batches that cannot be trained; see `check_plan`."""
    check_trackers(options.track)
    device = torch.device("cpu") if options.executor == "ray" else select_device(options.device)
    different: dict[tuple[str, int], tuple[PlannedRun, RunData]] = {}
    for run, data in [(run, plan.data_of(run)) for plan in plans for run in plan.missing]:
        different.setdefault((_tried_settings(run.config), id(data)), (run, data))
    tried: set[tuple[str, tuple[int, ...]]] = set()
    for (settings, _), (run, data) in different.items():
        key = settings, _tried_on(run.config, data)
        if key not in tried:
            tried.add(key)
            check_model(run, data, options, device)


def _tried_settings(config: RunConfig) -> str:
    """The settings that decide whether a network can be used, and, unless a probe is fitted to it, trained."""
    settings = [to_dict(config.model), config.probe.sample_rate, config.probe.model_output]
    if config.probe.kind == "none":
        train, augment = config.train, config.augment
        settings += [train.batch_size, train.window_seconds, augment.freq_masks, augment.freq_mask_bins]
    return json.dumps(settings)


def _tried_on(config: RunConfig, data: RunData) -> tuple[int, ...]:
    """Equal for data on which the outcome is the same: images of one size, or, for a probe, the same clips."""
    if config.probe.kind != "none":
        return (id(data),)
    return len(data.class_names), data.store.n_mels, expected_frames(config, data)


def check_model(run: PlannedRun, data: RunData, options: Options, device: torch.device) -> None:
    """Try the network, backbone or file of vectors of a run.

    Raises:
        EarmarkError: it cannot be used.
    """
    name = run.config.model.name
    if takes_waveform(name):
        check_waveform_backbone(run, data, options, device)
    elif is_external(name):
        read_vectors(name, [clip.clip_id for clip in data.clips])
    elif run.config.probe.kind == "none" or not has_embeddings(run, data):
        check_network(run.config, data, device)


def check_network(config: RunConfig, data: RunData, device: torch.device) -> None:
    """Create the network of a run and apply it to one window without data.

    Raises:
        EarmarkError: that is not possible, or training would need more memory than there is.
    """
    n_mels, n_frames = data.store.n_mels, expected_frames(config, data)
    bins = config.augment.freq_mask_bins if config.augment.freq_masks else 0
    check_setting(bins <= n_mels, "augment.freq_mask_bins", bins, f"give at most n_mels = {n_mels}")
    model = config.model
    named = ("none", *architecture_of(model.name).weights)
    if model.weights not in named:  # a file: read it, and see whether it fits
        with torch.random.fork_rng(devices=[]):
            _create(model, data, "cpu", model.weights)
    if is_custom(model.name):
        check_custom(model, data, n_frames)
    device_tried = "cpu" if is_custom(model.name) or n_mels * n_frames <= MAX_TRIED_PIXELS else "meta"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        network = _create(model, data, device_tried)
        n_values = count_activations(network, n_mels, n_frames, config)
    n_parameters = sum(p.numel() for p in network.parameters())
    check_memory(config, n_parameters, n_values, memory_of(device))


def check_custom(model: ModelConfig, data: RunData, n_frames: int) -> None:
    """Refuse your own network if it does not do what every network must do, see `check_contract`.

    Raises:
        ConfigError: a check fails; it is named.
    """
    size = ImageSize(len(data.class_names), data.store.n_mels, n_frames)
    with torch.random.fork_rng(devices=[]):
        for check, problem in check_contract(lambda: _create(model, data, "cpu"), size):
            remedy = f"{problem}; `earmark check-model {model.name}` lists all checks"
            check_setting(not problem, "model.name", model.name, f"{check}: {remedy}")


def expected_frames(config: RunConfig, data: RunData) -> int:
    """Width of a training window in frames, from the durations in the manifest where images may not be made yet."""
    front_end, seconds = data.store.front_end, config.train.window_seconds
    if front_end is None or config.data.images:
        widths = np.array([data.store.n_frames(clip.clip_id) for clip in data.clips])
        return window_frames(seconds, widths, front_end)
    seconds = seconds or float(np.median([clip.duration for clip in data.clips]))
    return max(1, round(seconds * front_end.sample_rate / front_end.hop_length))


def _create(model: ModelConfig, data: RunData, device: str, weights: str = "none") -> Network:
    with torch.device(device), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # training repeats them
        return create_model(
            model.name,
            len(data.class_names),
            data.store.n_mels,
            attention=model.attention,
            placement=model.placement,
            weights=weights,
            dropout=model.dropout,
            db_range=(-100.0, 0.0),
            stochastic_depth=model.stochastic_depth,
        )


@torch.no_grad()
def count_activations(network: nn.Module, n_mels: int, n_frames: int, config: RunConfig) -> int:
    """Values that the layers of a network give for one image, which training keeps for the gradient.

    Raises:
        ConfigError: the image is too small for the network.
    """
    counts: list[int] = []

    def count(_module: nn.Module, _inputs: Any, output: Any) -> None:
        counts.append(output.numel() if isinstance(output, torch.Tensor) else 0)

    hooks = [m.register_forward_hook(count) for m in network.modules() if not list(m.children())]
    try:
        network.eval()(torch.zeros(1, 1, n_mels, n_frames, device=next(network.parameters()).device))
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"model.name = {config.model.name!r}: images of {n_mels} x {n_frames} are too small for it "
            f"({first_line(error)}); give more n_mels, or a longer train.window_seconds"
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
    return sum(counts)


def check_memory(config: RunConfig, n_parameters: int, n_values: int, memory: int) -> None:
    """Refuse a batch that cannot fit into the memory, by an estimate that leaves out much.

    Args:
        config: of the run.
        n_parameters: of the network.
        n_values: of `count_activations`.
        memory: in bytes; 0 if it is not known.

    Raises:
        ConfigError: even the least that training needs does not fit.
    """
    fixed, each = BYTES_PER_PARAMETER * n_parameters, BYTES_PER_ACTIVATION * n_values
    need = fixed + each * config.train.batch_size
    if not memory or need <= memory:
        return
    fits = max(0, memory - fixed) // max(1, each)
    remedy = f"give at most {fits}" if fits >= 2 else "give a smaller model or a shorter train.window_seconds"
    raise ConfigError(
        f"train.batch_size = {config.train.batch_size}: training {config.model.name} needs at least "
        f"{need / 2**30:.1f} GiB and there are {memory / 2**30:.1f} GiB; {remedy}"
    )


def memory_of(device: torch.device) -> int:
    """Bytes of memory of a device, or of this machine or its container; 0 where it is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        limit = CGROUP_LIMIT.read_text(encoding="utf-8").strip() if CGROUP_LIMIT.is_file() else "max"
    except (AttributeError, OSError, ValueError):  # Windows
        return 0
    return min(memory, int(limit)) if limit.isdecimal() else memory


def check_names(runs: Sequence[PlannedRun], allow_unequal_budget: bool) -> None:
    """Refuse to add runs to a folder whose finished runs cannot be in one table with them.

    Raises:
        ConfigError: a setting differs; it is named with both values, and `--name` as the remedy.
    """
    planned = {run.folder for run in runs}
    folder = runs[0].folder.parent
    for path in sorted(folder.glob("*/result.json")) if folder.is_dir() else ():
        if path.parent not in planned:
            _check_beside(path.parent, runs, allow_unequal_budget)


def _check_beside(finished: Path, runs: Sequence[PlannedRun], allow_unequal_budget: bool) -> None:
    try:
        content = json.loads((finished / "config.json").read_text(encoding="utf-8"))
        present, fingerprint = run_from_dict(content["run"]), content["data_fingerprint"]
        source = content.get("model_source", "")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # what is damaged is named when the table is made
    if content.get("imported"):
        return
    for run in runs:
        same_variant = run.config.variant == present.variant
        names = _different(present, run.config) if same_variant else unequal_budgets([present, run.config])
        if names and (same_variant or not allow_unequal_budget):
            raise _collision(finished, present, run.config, names[0])
        if same_variant and source != source_digest(run.config.model.name):
            raise ConfigError(
                f"name = {run.config.name!r}: {printable(finished)} was trained with another source of "
                f"{present.model.name}; give --name NEW, or remove the folders of the earlier runs"
            )
        if same_variant and run.config.fold == present.fold and run.fingerprint != fingerprint:
            raise ConfigError(
                f"name = {run.config.name!r}: {printable(finished)} was trained on other recordings, labels, groups "
                "or subsets; give --name NEW, or remove that folder"
            )


def _different(present: RunConfig, planned: RunConfig) -> list[str]:
    """The settings in which two runs of one variant differ."""
    old, new = deciding_settings(present), deciding_settings(planned)
    return [name for name in old if name not in ("fold", "seed") and old[name] != new[name]]


def _collision(finished: Path, present: RunConfig, planned: RunConfig, name: str) -> ConfigError:
    old, new = (shown(deciding_settings(config)[name]) for config in (present, planned))
    return ConfigError(
        f"name = {planned.name!r}: {printable(finished)} was trained with {name} = {old}, not {new}, and they cannot "
        "be in one table; give --name NEW, or remove the folders of the earlier runs"
    )
