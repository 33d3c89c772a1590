"""Attention blocks against timm's, their identity start, and their fast mean and maximum."""

import copy
from itertools import pairwise

import pytest
import timm.layers
import timm.layers.cbam
import torch
from torch import nn
from torch.nn import functional as F

from earmark.models.attention import ATTENTION, create_attention, hidden_units, max_over_channels, mean_over

KINDS = [kind for kind in ATTENTION if kind != "none"]
CHANNELS = 32


def maps(shape=(3, CHANNELS, 7, 10), dtype=torch.float32, channels_last=False, seed=0):
    """Random feature maps that record gradients."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return x.contiguous(memory_format=layout).requires_grad_()


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    """Copy parameters between modules that register the same layers in the same order."""
    pairs = zip(source.parameters(), target.parameters(), strict=True)
    with torch.no_grad():
        for theirs, ours in pairs:
            ours.copy_(theirs.reshape(ours.shape))


def theirs_of(kind: str) -> nn.Module:
    hidden = hidden_units(CHANNELS)
    return {
        "se": lambda: timm.layers.SEModule(CHANNELS, rd_channels=hidden),
        "cbam": lambda: timm.layers.cbam.CbamModule(CHANNELS, rd_channels=hidden),
        "eca": lambda: timm.layers.EcaModule(CHANNELS),
        "coordinate": lambda: timm.layers.coord_attn.CoordAttn(CHANNELS, rd_channels=hidden, bias=True),
    }[kind]()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", ["se", "cbam", "eca", "coordinate"])
def test_equals_timm_with_copied_weights(kind, training, channels_last):
    torch.manual_seed(1)
    theirs, ours = theirs_of(kind), create_attention(kind, CHANNELS)
    if kind == "coordinate":  # timm's bias has no effect before the batch norm
        theirs.conv1.register_parameter("bias", None)
    copy_in_order(theirs, ours)
    theirs.train(training), ours.train(training)
    x, y = maps(channels_last=channels_last), maps(channels_last=channels_last)
    expected, got = theirs(x), ours(y)
    assert (got - expected).abs().max() < 1e-5
    weights = torch.randn(expected.shape)
    (expected * weights).sum().backward(), (got * weights).sum().backward()
    assert (y.grad - x.grad).abs().max() < 1e-5
    for a, b in zip(theirs.parameters(), ours.parameters(), strict=True):
        assert (a.grad.reshape(b.shape) - b.grad).abs().max() < 1e-4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_identity_start_returns_the_input(kind, dtype):
    block = create_attention(kind, CHANNELS, identity_start=True).to(dtype)
    x = maps(dtype=dtype)
    for training in (True, False):
        assert (block.train(training)(x) - x).abs().max() <= 1e-6


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "constant"])
def test_identity_start_trains(kind):
    """The last layer has a gradient from the first step on, all layers from the second."""
    torch.manual_seed(0)
    block = create_attention(kind, CHANNELS, identity_start=True)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    x, target = maps(), torch.randn(3, CHANNELS, 7, 10)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.mse_loss(block(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(a > b for a, b in pairwise(losses))
    assert all(p.grad.abs().max() > 0 for p in block.parameters())


@pytest.mark.parametrize(("kind", "gate"), [("constant", 1 / 2), ("se", 1 / 2), ("eca", 1 / 2), ("cbam", 1 / 4)])
def test_gates_start_near_what_the_control_is(kind, gate):
    """Which is why a comparison with `none` from scratch is also one of two starts."""
    torch.manual_seed(0)
    block, x = create_attention(kind, CHANNELS), torch.randn(8, CHANNELS, 16, 16)
    assert (block(x) / x).mean().item() == pytest.approx(gate, rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gain_is_saved_with_the_weights(kind):
    """Loading a checkpoint creates the network without pretrained weights; it must compute the same."""
    trained = create_attention(kind, CHANNELS, identity_start=True)
    rebuilt = create_attention(kind, CHANNELS)
    rebuilt.load_state_dict(trained.state_dict())
    x = maps()
    assert torch.equal(rebuilt.eval()(x), trained.eval()(x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 8, 1, 1), (1, 24, 1, 9), (2, 40, 13, 1), (2, 320, 5, 7)])
def test_the_shape_is_kept(kind, shape):
    block = create_attention(kind, shape[1])
    x = maps(shape)
    y = block(x)
    assert y.shape == x.shape
    assert (y.abs() <= x.abs()).all(), "the gate is at most 1"


@pytest.mark.parametrize("kind", KINDS)
def test_double_precision_gradients(kind):
    torch.manual_seed(0)
    block = create_attention(kind, 9).double()
    x = maps((2, 9, 3, 4), torch.float64)
    assert torch.autograd.gradcheck(lambda x, *_: block(x), (x, *block.parameters()))


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_training_stays_close_to_float32(kind):
    """Output and gradients under autocast are within the 8 bits of bfloat16, relative to the maximum."""
    torch.manual_seed(0)
    block = create_attention(kind, 64)
    x, y = maps((4, 64, 16, 20), channels_last=True), maps((4, 64, 16, 20), torch.bfloat16, channels_last=True)
    expected = block(x)
    with torch.autocast("cpu", torch.bfloat16):
        got = copy.deepcopy(block)(y)
    assert got.dtype == torch.bfloat16 and got.is_contiguous(memory_format=torch.channels_last)
    assert (got - expected).abs().max() < 0.02 * expected.abs().max()
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))
    (expected * weights).sum().backward(), (got * weights).sum().backward()
    assert (y.grad - x.grad).abs().mean() < 0.02 * x.grad.abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_exports_with_any_length(kind):
    block = create_attention(kind, 16).eval()
    time = torch.export.Dim("time", min=2, max=500)
    program = torch.export.export(block, (maps((2, 16, 6, 9)),), dynamic_shapes=({3: time},))
    x = maps((2, 16, 6, 23))
    assert (program.module()(x) - block(x)).abs().max() < 1e-6


def test_bottlenecks_are_never_narrower_than_eight():
    assert [hidden_units(c) for c in (8, 24, 128, 256, 2048)] == [8, 8, 8, 16, 128]
    assert create_attention("se", 24).squeeze.out_channels == 8


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (lambda x: mean_over(x, (2, 3)), lambda x: x.mean((2, 3), keepdim=True)),
        (lambda x: mean_over(x, (3,)), lambda x: x.mean(3, keepdim=True)),
        (lambda x: mean_over(x, (1,)), lambda x: x.mean(1, keepdim=True)),
        (max_over_channels, lambda x: x.amax(1, keepdim=True)),
    ],
    ids=["mean", "mean over time", "mean over channels", "maximum over channels"],
)
def test_mean_and_maximum_equal_those_of_pytorch(ours, expected, dtype, channels_last):
    shape = (3, 17, 6, 11)
    distinct = torch.randperm(3 * 17 * 6 * 11, generator=torch.Generator().manual_seed(0)).reshape(shape) - 125.0
    if dtype == torch.bfloat16:
        distinct = distinct % 251  # exact in bfloat16, with few ties
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x, y = (distinct.to(dtype).contiguous(memory_format=layout).requires_grad_() for _ in range(2))
    a, b = expected(x), ours(y)
    weights = torch.randn_like(a)
    a.backward(weights), b.backward(weights)
    tolerance = 1e-12 if dtype == torch.float64 else 0.01
    assert (a - b).abs().max() <= tolerance * a.abs().max()
    equal = (y.grad - x.grad).abs() <= tolerance * x.grad.abs().max()
    assert equal.all() if dtype == torch.float64 else equal.float().mean() > 0.98  # ties have several gradients


def test_equal_maxima_have_a_finite_gradient():
    x = torch.tensor([1.0, 3.0, 3.0, 2.0], dtype=torch.bfloat16).view(1, 4, 1, 1).requires_grad_()
    max_over_channels(x).sum().backward()
    assert x.grad.sum() == 1 and x.grad.flatten()[1:3].sum() == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_compiles_without_a_graph_break(kind):
    torch.manual_seed(0)
    block, x, y = create_attention(kind, 16), maps((2, 16, 6, 9)), maps((2, 16, 6, 9))
    compiled = torch.compile(copy.deepcopy(block), backend="aot_eager", fullgraph=True)
    expected, got = block(x), compiled(y)
    assert (got - expected).abs().max() < 1e-6
    expected.square().sum().backward(), got.square().sum().backward()
    assert (y.grad - x.grad).abs().max() < 1e-5
