"""The networks by name, the published weights of each, and the front end that those need."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from earmark.models.baseline_cnn import BaselineCnn
from earmark.models.network import ModelError, ModelOptions, Network
from earmark.models.timm_models import TimmNetwork, check_timm_name, published_weights
from earmark.models.weights import Weights, fetch_weights

TIMM = "timm/"
EFFICIENT_AT = "https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/"
AUDIOSET_FILES = {
    "mn01": "mn01_as_mAP_298.pt",
    "mn02": "mn02_as_mAP_378.pt",
    "mn04": "mn04_as_mAP_432.pt",
    "mn05": "mn05_as_mAP_443.pt",
    "mn10": "mn10_as_mAP_471.pt",
    "mn20": "mn20_as_mAP_478.pt",
    "mn30": "mn30_as_mAP_482.pt",
    "mn40": "mn40_as_mAP_484.pt",
}
AUDIOSET_FRONT_END: Mapping[str, object] = MappingProxyType(
    {
        "sample_rate": 32000,
        "n_fft": 1024,
        "win_length": 800,
        "hop_length": 320,
        "n_mels": 128,
        "f_min": 0.0,
        "f_max": 15000.0,
        "mel_scale": "kaldi",
        "pre_emphasis": 0.97,
        "log_offset": 1e-5,
        "reference": "fixed",
        "reference_db": 40.0,
        "range_db": 90.0,
    }
)
"""The front end that EfficientAT scores with (it trained with upper edges from 14 to 16 kHz).

-50 dB is log(1e-5); nothing loud is cut off at 40.
"""


@dataclass(frozen=True)
class Architecture:
    """How a network is made, and which published weights it has."""

    create: Callable[[int, int, ModelOptions], Network]
    """From the number of classes, the number of mel bins and the design."""
    summary: str
    weights: Mapping[str, Callable[[], Weights]] = field(default_factory=dict)
    """Named weights and how to get them."""
    front_end: Mapping[str, object] = field(default_factory=dict)
    """Settings of the front end that pretrained weights need."""


# torchvision takes seconds to import; who trains the baseline CNN does without.


def _alexnet(n_classes: int, n_mels: int, design: ModelOptions) -> Network:
    from earmark.models.alexnet import AlexNet

    return AlexNet(n_classes, n_mels, design)


def _resnet50(n_classes: int, n_mels: int, design: ModelOptions) -> Network:
    from earmark.models.resnet import ResNet50

    return ResNet50(n_classes, n_mels, design)


def _mobilenet(n_classes: int, n_mels: int, design: ModelOptions, *, width: float) -> Network:
    from earmark.models.mobilenet_audio import MobileNetAudio

    return MobileNetAudio(n_classes, n_mels, design, width=width)


def _imagenet(name: str) -> Weights:
    """torchvision's weights of this name."""
    from torchvision.models import get_weight

    return fetch_weights(get_weight(name).url, check_hash=True)


def _mobilenet_audio(name: str) -> Architecture:
    return Architecture(
        partial(_mobilenet, width=int(name.removeprefix("mn")) / 10),
        "MobileNetV3 for audio, of EfficientAT",
        {"audioset": partial(fetch_weights, EFFICIENT_AT + AUDIOSET_FILES[name], check_hash=False)},
        AUDIOSET_FRONT_END,
    )


MODELS: dict[str, Architecture] = {
    "baseline_cnn": Architecture(BaselineCnn, "plain CNN of eleven convolutions"),
    "alexnet": Architecture(
        _alexnet, "AlexNet, of torchvision", {"imagenet": partial(_imagenet, "AlexNet_Weights.IMAGENET1K_V1")}
    ),
    "resnet50": Architecture(
        _resnet50, "ResNet-50, of torchvision", {"imagenet": partial(_imagenet, "ResNet50_Weights.IMAGENET1K_V2")}
    ),
    **{name: _mobilenet_audio(name) for name in AUDIOSET_FILES},
}


def architecture_of(name: str) -> Architecture:
    """The architecture of a name in `MODELS` or of `timm/<name>`.

    Raises:
        ModelError: there is none of this name, or timm is not installed.
    """
    if not name.startswith(TIMM):
        check_name("model.name", name, (*MODELS, f"{TIMM}<name>"))
        return MODELS[name]
    theirs = name.removeprefix(TIMM)
    check_timm_name(theirs)
    return Architecture(
        partial(TimmNetwork, name=theirs), f"{theirs}, of timm", {"imagenet": partial(published_weights, theirs)}
    )


def check_name(setting: str, value: str, names: Iterable[str]) -> None:
    """Raise `ModelError` with the nearest name unless the value is among the names."""
    names = list(names)
    if value in names:
        return
    close = difflib.get_close_matches(value, names, n=1)
    remedy = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"
    raise ModelError(f"{setting} = {value!r}: no such name; {remedy}")
