"""All networks by name, their published weights, and the front end that the weights need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from earmark.models.baseline_cnn import BaselineCnn, SmallBaselineCnn
from earmark.models.custom import create_custom, is_custom, source_digest
from earmark.models.network import ModelError, ModelOptions, Network
from earmark.models.prefixes import HUB
from earmark.models.timm_models import TimmNetwork, check_timm_name, published_weights
from earmark.models.weights import Weights, fetch_weights
from earmark.runtime.errors import suggest

TIMM = "timm/"
EFFICIENT_AT = "https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/"
AUDIOSET_FILES: dict[str, tuple[str, str | None]] = {
    "mn01": ("mn01_as_mAP_298.pt", None),
    "mn02": ("mn02_as_mAP_378.pt", None),
    "mn04": ("mn04_as_mAP_432.pt", "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c"),
    "mn05": ("mn05_as_mAP_443.pt", None),
    "mn10": ("mn10_as_mAP_471.pt", None),
    "mn20": ("mn20_as_mAP_478.pt", None),
    "mn30": ("mn30_as_mAP_482.pt", None),
    "mn40": ("mn40_as_mAP_484.pt", None),
}
"""Files and their SHA-256. The release publishes no hashes: None means that only names and shapes are checked."""
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
"""The front end that EfficientAT evaluates with (it trained with f_max from 14 to 16 kHz).

-50 dB is 10 * log10(1e-5), the floor of its logarithm; at 40 dB nothing clips.
"""
PANNS_FRONT_END: Mapping[str, object] = MappingProxyType(
    {
        "sample_rate": 32000,
        "n_fft": 1024,
        "win_length": 1024,
        "hop_length": 320,
        "n_mels": 64,
        "f_min": 50.0,
        "f_max": 14000.0,
        "mel_scale": "slaney",
        "pre_emphasis": 0.0,
        "log_offset": 0.0,
        "reference": "fixed",
        "reference_db": 35.0,
        "range_db": 135.0,
    }
)
"""The front end of PANNs, but for their mirrored padding at both ends.

-100 dB is the floor of its logarithm; no square wave of full scale is louder than 33.7 dB.
"""


@dataclass(frozen=True)
class Architecture:
    """How to create a network, and its published weights."""

    create: Callable[[int, int, ModelOptions], Network]
    """Called with the number of classes, the number of mel bins and the options."""
    summary: str
    weights: Mapping[str, Callable[[], Weights]] = field(default_factory=dict)
    """Named weights, and functions that load them."""
    front_end: Mapping[str, object] = field(default_factory=dict)
    """Front end settings that the weights need."""


# torchvision takes seconds to import, and the baseline CNN does not need it


def _alexnet(n_classes: int, n_mels: int, options: ModelOptions) -> Network:
    from earmark.models.alexnet import AlexNet

    return AlexNet(n_classes, n_mels, options)


def _resnet50(n_classes: int, n_mels: int, options: ModelOptions) -> Network:
    from earmark.models.resnet import ResNet50

    return ResNet50(n_classes, n_mels, options)


def _mobilenet(n_classes: int, n_mels: int, options: ModelOptions, *, width: float) -> Network:
    from earmark.models.mobilenet_audio import MobileNetAudio

    return MobileNetAudio(n_classes, n_mels, options, width=width)


def _panns_cnn(n_classes: int, n_mels: int, options: ModelOptions, *, name: str) -> Network:
    from earmark.models.panns import CNNS, PannsCnn

    channels, kernel = CNNS[name]
    return PannsCnn(n_classes, n_mels, options, channels=channels, kernel=kernel)


def _panns_mobilenet(n_classes: int, n_mels: int, options: ModelOptions) -> Network:
    from earmark.models.panns import PannsMobileNet

    return PannsMobileNet(n_classes, n_mels, options)


def _imagenet(name: str) -> Weights:
    """torchvision's weights of this name."""
    from torchvision.models import get_weight

    url = get_weight(name).url
    return fetch_weights(url, sha256=url.rpartition("-")[2].removesuffix(".pth"))  # resnet50-11ad3fa6.pth


def _mobilenet_audio(name: str) -> Architecture:
    file, sha256 = AUDIOSET_FILES[name]
    return Architecture(
        partial(_mobilenet, width=int(name.removeprefix("mn")) / 10),
        "MobileNetV3 for audio, from EfficientAT",
        {"audioset": partial(fetch_weights, EFFICIENT_AT + file, sha256=sha256)},
        AUDIOSET_FRONT_END,
    )


def _panns(name: str) -> Architecture:
    summary = f"{name[0].upper()}{name[1:]}, from PANNs; weights by path"
    return Architecture(partial(_panns_cnn, name=name), summary, front_end=PANNS_FRONT_END)


MODELS: dict[str, Architecture] = {
    "baseline_cnn": Architecture(BaselineCnn, "plain CNN with eleven convolutions"),
    "baseline_cnn_small": Architecture(SmallBaselineCnn, "the same with fewer channels"),
    "alexnet": Architecture(
        _alexnet, "AlexNet, from torchvision", {"imagenet": partial(_imagenet, "AlexNet_Weights.IMAGENET1K_V1")}
    ),
    "resnet50": Architecture(
        _resnet50, "ResNet-50, from torchvision", {"imagenet": partial(_imagenet, "ResNet50_Weights.IMAGENET1K_V2")}
    ),
    **{name: _mobilenet_audio(name) for name in AUDIOSET_FILES},
    **{name: _panns(name) for name in ("cnn6", "cnn10", "cnn14")},
    "mobilenet_v1": Architecture(
        _panns_mobilenet, "MobileNetV1, from PANNs; weights by path", front_end=PANNS_FRONT_END
    ),
}


def architecture_of(name: str) -> Architecture:
    """The architecture called `name`: a key of `MODELS`, `timm/<name>`, or your own `module:function`.

    Raises:
        ModelError: the name is unknown, timm is not installed, or there is no such module.
    """
    if name.startswith(HUB):
        raise ModelError(
            f"model.name = {name!r}: {HUB} is a trained model of earmark on the Hugging Face hub, for "
            "`earmark predict`; for a probe on a network of transformers write transformers:FOLDER"
        )
    if is_custom(name):
        source_digest(name)  # there is such a module
        return Architecture(partial(create_custom, name=name), "your own network")
    if not name.startswith(TIMM):
        if name not in MODELS:
            others = f"other kinds: {TIMM}<name>, my_module:function, onnx:<file>, transformers:<folder>, npz:<file>"
            raise ModelError(f"model.name = {name!r}: unknown name{suggest(name, MODELS)} ({others})")
        return MODELS[name]
    theirs = name.removeprefix(TIMM)
    check_timm_name(theirs)
    return Architecture(
        partial(TimmNetwork, name=theirs), f"{theirs}, from timm", {"imagenet": partial(published_weights, theirs)}
    )


def check_name(setting: str, value: str, names: Iterable[str]) -> None:
    """Raise `ModelError` with a suggestion unless `value` is one of `names`."""
    names = list(names)
    if value not in names:
        raise ModelError(f"{setting} = {value!r}: unknown name{suggest(value, names)}")
