"""Convolutional networks of timm, by the name `timm/<name>`; needs the extra `timm`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from earmark.models.network import GrayNormalize, ModelError, ModelOptions, Network, pad_with_silence
from earmark.models.weights import Weights, WeightsError, unreachable
from earmark.runtime.errors import did_you_mean, first_line, missing_extra

SMALLEST = 64
"""Smaller images are padded with silence to this many bins and frames: some networks have a stride of 32."""
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
HUB_TIMEOUT = 10
"""Seconds to wait for the model hub; its own client retries for most of a minute."""


def import_timm() -> ModuleType:
    """Import timm, which is optional.

    Raises:
        ModelError: it is not installed.
    """
    try:
        import timm
    except ImportError:
        raise ModelError(f"model.name = 'timm/...': {missing_extra('timm', 'timm')}") from None
    return timm


def check_timm_name(name: str) -> None:
    """Raise `ModelError` unless timm has a network of this name (a tag after a dot is allowed)."""
    timm = import_timm()
    if not timm.is_model(name.split(".", 1)[0]):
        near = did_you_mean(f"timm/{name}", [f"timm/{model}" for model in timm.list_models()])
        remedy = near or "; timm.list_models() lists them"  # there are too many to print
        raise ModelError(f"model.name = 'timm/{name}': timm has no such network{remedy}")


class TimmNetwork(Network):
    """A network of timm for gray images; its weights have timm's names, prefixed by `body.`.

    Attention can be placed after its stages, from stride 4 on.
    """

    min_export_frames = SMALLEST
    has_residual_blocks = True  # or timm refuses `drop_path_rate`
    recordable = False  # nobody has checked each of its networks

    def __init__(self, n_classes: int, n_mels: int, options: ModelOptions, *, name: str) -> None:
        super().__init__()
        if options.attention != "none" and options.placement == "block":
            raise ModelError(
                "model.placement = 'block': networks of timm take attention only after their stages; give 'stage'"
            )
        body = _create_body(name, n_classes, options)
        config = body.pretrained_cfg
        if not isinstance(config["classifier"], str):
            raise ModelError(f"model.name = 'timm/{name}': has more than one classifier; choose another network")
        self.normalize = GrayNormalize(*(sum(config[key]) / len(config[key]) for key in ("mean", "std")))
        self.body = body
        stages = list(_stages(body))
        self.output = self.head = f"body.{config['classifier']}"
        learning = [stage for stage, _ in stages if list(body.get_submodule(stage).parameters())]
        self.last_stage = f"body.{learning[-1]}" if learning else ""
        self.wrapped = tuple(stage for stage, _ in stages) if options.attention != "none" else ()
        if options.attention != "none":
            normalized = any(isinstance(module, _NormBase) for module in body.modules())
            options = replace(options, identity_start=options.identity_start or not normalized)  # as in AlexNet
            self._add_attention(name, stages, options)
        self._check_takes_images(name, n_mels)

    def _add_attention(self, name: str, stages: list[tuple[str, int]], options: ModelOptions) -> None:
        if not stages:
            raise ModelError(
                f"model.attention = {options.attention!r}: timm names no stages of {name} to put it after; give 'none'"
            )
        for stage, channels in stages:
            pair = nn.Sequential(self.body.get_submodule(stage), options.attention_at("stage", channels))
            self.body.set_submodule(stage, pair)

    @torch.no_grad()
    def _check_takes_images(self, name: str, n_mels: int) -> None:
        try:
            self.eval()(torch.zeros(1, 1, n_mels, SMALLEST))
        except (AssertionError, RuntimeError) as error:
            raise ModelError(
                f"model.name = 'timm/{name}': does not take images of any size, or no attention after its stages "
                f"({first_line(error)}); choose a convolutional network, or model.attention = 'none'"
            ) from None
        self.train()

    def state_dict_name(self, published: str) -> str:
        """Our name for timm's `published`: prefixed by `body.`, and inside the pair of stage and attention."""
        if published.startswith("body."):
            return published
        for stage in self.wrapped:
            if published.startswith(stage + "."):
                return f"body.{stage}.0.{published.removeprefix(stage + '.')}"
        return f"body.{published}"

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 1, F, T) in [0, 1]."""
        return self.body(self.normalize(pad_with_silence(image, SMALLEST)))


def _create_body(name: str, n_classes: int, options: ModelOptions) -> Any:
    rates = {"drop_rate": options.dropout}
    if options.stochastic_depth:
        rates["drop_path_rate"] = options.stochastic_depth
    try:
        return import_timm().create_model(name, in_chans=1, num_classes=n_classes, **rates)
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
        raise ModelError(
            f"model.stochastic_depth = {options.stochastic_depth}: timm/{name} does not take it; give 0"
        ) from None


def _stages(body: nn.Module) -> Iterator[tuple[str, int]]:
    """Names and channels of the modules whose outputs are timm's feature maps; none if it names missing modules."""
    stages = [info for info in getattr(body, "feature_info", None) or () if info["reduction"] >= 4]
    if {info["module"] for info in stages} <= {name for name, _ in body.named_modules()}:
        yield from ((info["module"], info["num_chs"]) for info in stages)


def published_weights(name: str) -> Weights:
    """The weights that timm has for a network, for one channel, from its cache or downloaded.

    Raises:
        WeightsError: there are none, or they are neither cached nor can be downloaded.
    """
    timm = import_timm()
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise WeightsError(f"weights of timm/{name}: timm has none for it; choose another network or weights = 'none'")
    cached = _cached_file(config.hf_hub_id) if config.hf_hub_id else None
    try:
        if config.hf_hub_id and cached is None:
            _check_hub()
        overlay = {"file": cached} if cached else None
        return timm.create_model(name, pretrained=True, in_chans=1, pretrained_cfg_overlay=overlay).state_dict()
    except (OSError, RuntimeError, ConnectionError) as error:
        raise unreachable(f"timm/{name}", _hub_cache(), error) from None


def _cached_file(repository: str) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, file) for file in HUB_FILES)
    return next((path for path in found if isinstance(path, str)), None)


def _hub_cache() -> str:
    from huggingface_hub import constants

    return str(Path(constants.HF_HUB_CACHE))


def _check_hub() -> None:
    """Raise `ConnectionError` unless the hub answers."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT)
    except Exception as error:  # its client has its own exceptions, which changed between versions
        raise ConnectionError(f"{constants.ENDPOINT} does not answer: {error}") from None
