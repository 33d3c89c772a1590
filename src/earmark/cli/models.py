"""Commands on models: models, check-model."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from earmark.cli.arguments import Name, Names
from earmark.cli.errors import FOUND
from earmark.runtime.console import brief
from earmark.runtime.errors import first_line

if TYPE_CHECKING:
    from earmark.models.network import Network


def models(
    names: Names = (), attention: str = "none", placement: Literal["block", "stage"] = "block", n_classes: int = 50
) -> None:
    """List the models with their parameters and MACs.

    MACs are those of one image of 128 x 431.

    Example: earmark models resnet50 baseline_cnn --attention se

    Args:
        names: Models; all of them if none is given. Models of timm are named timm/<name>.
        attention: Attention block to include.
        placement: Where the attention block is inserted.
        n_classes: Number of classes.
    """
    from earmark.models.attention import ATTENTION
    from earmark.models.create import model_table
    from earmark.models.registry import MODELS

    rows = model_table(names or tuple(MODELS), n_classes, attention=attention, placement=placement)
    width = max(len(row.name) for row in rows)
    print(f"{'name':<{width}}{'parameters':>13}{'MACs':>15}  weights")
    for row in rows:
        weights = ", ".join((*row.weights, "a path"))
        print(f"{row.name:<{width}}{row.n_parameters / 1e6:>11.2f} M{row.macs / 1e9:>13.2f} G  {weights}")
        print(f"{'':<{width}}  {row.summary}")
    print(f"\nattention: {', '.join(ATTENTION)}")


def check_model(
    name: Name,
    n_classes: int = 5,
    n_mels: int = 64,
    n_frames: int = 101,
    attention: str = "none",
    placement: Literal["block", "stage"] = "block",
    onnx: bool = True,
) -> int:
    """Check that a network can be trained, saved and exported.

    For a network of your own, before you train it. Exit status 1 if a check fails.

    Example: earmark check-model my_package.my_module:create

    Args:
        name: The network, as in `model.name`.
        n_classes: Number of classes.
        n_mels: Height of the images.
        n_frames: Width of most images; others are tried too.
        attention: Attention block, for built-in networks.
        placement: Where the attention block is inserted.
        onnx: Also try to export it to ONNX.
    """
    from earmark.models.contract import ImageSize, check_contract
    from earmark.models.create import create_model

    def create() -> Network:
        return create_model(name, n_classes, n_mels, attention=attention, placement=placement)

    create()  # an unknown name is reported as that
    failed = 0
    for check, problem in check_contract(create, ImageSize(n_classes, n_mels, n_frames)):
        print(f"{'FAILED' if problem else 'ok':<8}{check}{': ' if problem else ''}{problem}")
        failed += bool(problem)
    if onnx and not failed:
        print(f"{'note':<8}ONNX export: {_try_export(create, n_mels, n_frames)}")
    return FOUND if failed else 0


def _try_export(create: Callable[[], Network], n_mels: int, n_frames: int) -> str:
    """Whether a network can be exported, in a few words."""
    try:
        from earmark.deploy.onnx_network import network_graph, quiet
        from earmark.deploy.torch_engine import SplitNetwork
    except ImportError as error:
        return f'not tried, {error.name} is not installed (`pip install "earmark[onnx]"`)'
    try:  # the exporter logs tracebacks and prints graphs
        with quiet("torch", logging.CRITICAL), contextlib.redirect_stderr(io.StringIO()):
            network_graph(SplitNetwork(create().eval()), n_mels, n_frames)
    except Exception as error:  # of the exporter, which has many
        reason = error.__cause__ or error  # what it wraps in its own advice
        return f"not possible ({brief(first_line(reason))})"
    return "possible"
