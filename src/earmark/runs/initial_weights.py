"""What a run starts from: published weights, a checkpoint of earmark or a backbone, and whether it may."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path

from earmark.audio.augment import ORIGINAL
from earmark.config.sections import FrontEndConfig, ModelConfig, check_setting
from earmark.config.suite import RunConfig
from earmark.features.store import Store
from earmark.models.prefixes import NPZ, ONNX, is_external
from earmark.splits.split import NOT_REPORTED, LeakageError, Split

LOG = logging.getLogger("earmark")


def check_model_settings(config: RunConfig) -> None:
    """Refuse settings of a probe that its network does not have, and backbones of other tools that are to be trained.

    Raises:
        ConfigError: a setting is not for this network.
        ModelError: there is no such network.
    """
    name, probe = config.model.name, config.probe
    if not name.startswith(ONNX):
        for setting in ("sample_rate", "model_output"):
            value = getattr(probe, setting)
            check_setting(not value, f"probe.{setting}", value, f"leave it out: {name} is not an onnx: file")
    if is_external(name):
        what = "vectors" if name.startswith(NPZ) else "this backbone"
        remedy = f"give knn, logistic or mlp: {what} cannot be trained"
        check_setting(probe.kind != "none", "probe.kind", probe.kind, remedy)
        return
    from earmark.models.registry import architecture_of

    architecture_of(name)


def check_front_end(config: RunConfig, front_end: FrontEndConfig | None) -> None:
    """Refuse published weights on images of another front end than the one they were trained with.

    Args:
        config: its section `model` names the weights.
        front_end: of the images; None where it is not known.

    Raises:
        ConfigError: a setting differs; it is named.
    """
    if config.model.weights == "none" or front_end is None or is_external(config.model.name):
        return
    from earmark.models.registry import architecture_of

    for name, value in architecture_of(config.model.name).front_end.items():
        given = getattr(front_end, name)
        check_setting(given == value, f"front_end.{name}", given, f"{config.model.name} was trained with {value!r}")


def check_weights(config: RunConfig, store: Store, split: Split, allow_leakage: bool = False) -> Split:
    """Refuse to start from a network of earmark that was trained on clips which the split holds out.

    Args:
        config: its section `model` names the network to start from.
        store: of the clips; images that another tool made do not say of which files.
        split: from `make_split`; it may be flagged with this leak already.
        allow_leakage: flag the split instead of refusing it.

    Returns:
        The split, flagged if it has to be.

    Raises:
        LeakageError: it would score clips that its weights were trained on.
    """
    trained = set(recordings_behind(config.model) or ())
    if not trained or split.kind == NOT_REPORTED:
        return split
    held_out = [store.index.get((clip_id, ORIGINAL)) for clip_id in (*split.valid, *split.test)]
    n_leaks = sum(entry is not None and entry.content in trained for entry in held_out)
    setting, value = _start_of(config.model)
    leak = f"{n_leaks} of {len(held_out)} held-out clips trained {Path(value).name}"
    if not n_leaks or leak in split.leaks:
        return split
    if not allow_leakage:
        raise LeakageError(
            f"{setting} = {value!r}: was trained on {n_leaks} of the {len(held_out)} clips that fold {config.fold} "
            "holds out; give weights that other recordings trained"
        )
    return replace(split, leaks=(*split.leaks, leak))


def recordings_behind(model: ModelConfig) -> tuple[str, ...] | None:
    """Digests of the files that trained the network to start from, as far as earmark has trained it.

    Args:
        model: published weights and files of other tools have none.

    Returns:
        None where a file of earmark does not say them.
    """
    if model.name.startswith(ONNX):
        from earmark.models.onnx_backbone import recordings_of_onnx

        return recordings_of_onnx(model.name)
    if model.name.startswith(NPZ):
        from earmark.runs.embeddings import recordings_of_vectors

        return recordings_of_vectors(model.name)
    if model.weights == "none" or is_external(model.name):
        return ()
    from earmark.training.checkpoint import metadata_of_weights

    metadata = metadata_of_weights(model.weights)
    return () if metadata is None else metadata.recordings or None


def is_start_known(model: ModelConfig) -> bool:
    """Whether it is known what trained the network to start from: nothing, published weights, or what its file says."""
    recordings = recordings_behind(model)
    if recordings or recordings is None:
        return bool(recordings)
    from earmark.models.registry import AUDIOSET_FILES
    from earmark.models.weights import weights_digest

    digest = weights_digest(model.weights)
    published = any(sha256 and sha256.startswith(digest) for _, sha256 in AUDIOSET_FILES.values())
    return not is_external(model.name) and (not digest or published)


def warn_of_weights(models: Iterable[tuple[ModelConfig, FrontEndConfig | None]]) -> None:
    """Warn of files of unknown training, and of checkpoints of earmark that were trained with another front end.

    Args:
        models: with the front end of the images that they are to be applied to; None where it is not known.
    """
    for model, front_end in dict.fromkeys(models):
        setting, value = _start_of(model)
        if not is_start_known(model):
            LOG.warning(
                "%s = %r: does not say which recordings trained it, so that leakage cannot be found", setting, value
            )
        trained = None if model.weights == "none" else _front_end_of(model.weights)
        if trained is None or front_end is None:
            continue
        names = [f.name for f in fields(trained) if getattr(trained, f.name) != getattr(front_end, f.name)]
        if names:
            pairs = [f"{name} = {getattr(trained, name)!r} (here {getattr(front_end, name)!r})" for name in names]
            LOG.warning("%s = %r: was trained on images with front_end.%s", setting, value, ", ".join(pairs))


def _front_end_of(weights: str) -> FrontEndConfig | None:
    from earmark.training.checkpoint import metadata_of_weights

    metadata = metadata_of_weights(weights)
    return None if metadata is None else metadata.front_end


def _start_of(model: ModelConfig) -> tuple[str, str]:
    """The setting that names what a run starts from, and its value."""
    return ("model.name", model.name) if is_external(model.name) else ("model.weights", model.weights)
