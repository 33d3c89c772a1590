"""What every network must do, built-in or your own: the checks of `earmark check-model`.

Each check takes a function that creates the network, and the size of an image. It returns what is wrong, or an empty
text.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from earmark.models.custom import describe_failure
from earmark.models.network import Network
from earmark.runtime.console import format_names
from earmark.runtime.errors import EarmarkError

SMALLEST_FRAMES = 16
"""The shortest image that every network takes."""
TOLERANCE = 1e-4
"""Largest difference of logits that should be equal, relative to the largest of them."""


@dataclass(frozen=True)
class ImageSize:
    """What networks are checked with."""

    n_classes: int = 5
    n_mels: int = 64
    n_frames: int = 101

    def images(self, n: int = 3, n_frames: int = 0) -> Tensor:
        """The same random images (n, 1, F, T) each time."""
        generator = torch.Generator().manual_seed(0)
        return torch.rand(n, 1, self.n_mels, n_frames or self.n_frames, generator=generator)


Create = Callable[[], Network]
Check = Callable[[Create, ImageSize], str]


def check_contract(create: Create, size: ImageSize) -> Iterator[tuple[str, str]]:
    """Run all checks: the name of each and what is wrong, an empty text where nothing is.

    The first check is that the network can be used at all; if it fails, no other is made.
    """
    for name, check in CHECKS.items():
        try:
            problem = check(create, size)
        except EarmarkError:
            raise
        except (Exception, SystemExit) as error:  # of the network's code
            problem = describe_failure(error)
        yield name, problem
        if problem and check is _logits:
            return


def _created(create: Create) -> Network:
    torch.manual_seed(0)
    return create().eval()


@torch.no_grad()
def _logits(create: Create, size: ImageSize) -> str:
    """Images to finite logits, one per class."""
    logits, images = _created(create)(size.images()), size.images()
    if not isinstance(logits, Tensor) or logits.shape != (len(images), size.n_classes):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        return f"images {tuple(images.shape)} give {got}, not logits {(len(images), size.n_classes)}"
    return "" if logits.isfinite().all() else "logits are not finite"


@torch.no_grad()
def _any_width(create: Create, size: ImageSize) -> str:
    """Images of any number of frames from 16 on."""
    network = _created(create)
    for n_frames in (SMALLEST_FRAMES, SMALLEST_FRAMES + 1, 53, 2 * size.n_frames + 1):
        try:
            logits = network(size.images(2, n_frames))
        except (Exception, SystemExit) as error:  # of the network's code
            return f"{n_frames} frames: {describe_failure(error)}; pool over time, pad short images (pad_with_silence)"
        if logits.shape != (2, size.n_classes) or not logits.isfinite().all():
            return f"{n_frames} frames give {tuple(logits.shape)}, or values that are not finite"
    return ""


@torch.no_grad()
def _alone(create: Create, size: ImageSize) -> str:
    """In eval mode, the logits of a clip do not depend on the other clips of the batch."""
    network, images = _created(create), size.images()
    together, alone = network(images), torch.cat([network(image[None]) for image in images])
    return _difference(together, alone, "a clip's logits depend on its batch", "use no statistics of the batch in eval")


@torch.no_grad()
def _repeatable(create: Create, size: ImageSize) -> str:
    """In eval mode, the same images give the same logits, and nothing in the network changes."""
    network, images = _created(create), size.images()
    before = copy.deepcopy(network.state_dict())
    if not torch.equal(network(images), network(images)):
        return "the same images give other logits the second time; draw random numbers in training mode only"
    changed = [name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])]
    return f"eval mode changes {format_names(changed)}" if changed else ""


def _seeded(create: Create, _size: ImageSize) -> str:
    """The initial weights depend on the seed of PyTorch only."""
    first, second = _created(create).state_dict(), _created(create).state_dict()
    other = [name for name in first if name not in second or not torch.equal(first[name], second[name])]
    remedy = "draw them with PyTorch, from its default generator"
    return f"the same seed gives other initial weights ({format_names(other)}); {remedy}" if other else ""


def _gradients(create: Create, size: ImageSize) -> str:
    """In training mode, every trainable parameter gets a finite gradient."""
    network = _created(create).train()
    network(size.images(4)).square().sum().backward()
    trained = [(name, p.grad) for name, p in network.named_parameters() if p.requires_grad]
    unused = [name for name, gradient in trained if gradient is None]
    if unused:
        return f"parameters without gradient: {format_names(unused)}; use or remove them"
    wild = [name for name, gradient in trained if gradient is not None and not gradient.isfinite().all()]
    return f"gradients that are not finite: {format_names(wild)}" if wild else ""


@torch.no_grad()
def _memory_formats(create: Create, size: ImageSize) -> str:
    """The memory format of training, channels last, gives the same logits."""
    network, images = _created(create), size.images()
    expected = network(images)
    layout = torch.channels_last
    moved = network.to(memory_format=layout)
    return _difference(
        moved(images.contiguous(memory_format=layout)),
        expected,
        "channels_last changes the logits",
        "use reshape or flatten, not view or strides",
    )


@torch.no_grad()
def _bfloat16(create: Create, size: ImageSize) -> str:
    """Training in bfloat16 (autocast) gives finite logits."""
    network = _created(create)
    with torch.autocast("cpu", torch.bfloat16):
        finite = network(size.images()).isfinite().all()
    return "" if finite else "logits in bfloat16 are not finite; set train.precision = 'float32'"


@torch.no_grad()
def _state_dict(create: Create, size: ImageSize) -> str:
    """A second network with the weights of the first gives the same logits."""
    network = _created(create)
    _move_parameters(network)
    torch.manual_seed(1)
    again = create().eval()
    again.load_state_dict(network.state_dict())
    same = torch.equal(again(size.images()), network(size.images()))
    return "" if same else "weights that are saved and loaded give other logits; keep all state in the state_dict"


@torch.no_grad()
def _output_layer(create: Create, size: ImageSize) -> str:
    """The output layer, applied to the embedding, gives the logits, also with other weights than the initial ones."""
    network = _created(create)
    _move_parameters(network)
    body = copy.deepcopy(network)
    body.set_submodule(network.output, nn.Identity())
    embedding = body(size.images())
    logits = network.get_submodule(network.output)(embedding)
    if embedding.ndim != 2:
        return f"{network.output} takes {tuple(embedding.shape)}, not (B, D)"
    return _difference(logits, network(size.images()), f"{network.output} is not last", "name the last linear layer")


CHECKS: dict[str, Check] = {
    "logits": _logits,
    "any width": _any_width,
    "batch independence": _alone,
    "repeatable": _repeatable,
    "seed": _seeded,
    "gradients": _gradients,
    "channels last": _memory_formats,
    "bfloat16": _bfloat16,
    "state_dict": _state_dict,
    "output layer": _output_layer,
}


def _move_parameters(network: Network) -> None:
    """As if it were trained."""
    for parameter in network.parameters():
        parameter.add_(0.01 * torch.randn_like(parameter))


def _difference(logits: Tensor, expected: Tensor, problem: str, remedy: str) -> str:
    largest = float((logits - expected).abs().max() / expected.abs().max().clamp(min=1))
    return f"{problem} (by {largest:.2g} of the largest); {remedy}" if largest > TOLERANCE else ""
