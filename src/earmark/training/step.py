"""One training step: forward, loss, backward, optimizer.

On a CUDA GPU the step is recorded as a CUDA graph and replayed: launched one by one, its hundreds of kernels take three
to five times as long (benchmarks/gpu_step.py).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from earmark.config.training import TrainConfig
from earmark.models.network import Network
from earmark.training.devices import resolve_precision
from earmark.training.losses import Loss

Step = Callable[[Tensor, Tensor], Tensor]
"""Images (B, 1, F, T) and target distributions (B, K) to the loss before the step, a scalar on the device."""
EAGER_STEPS = 3
"""Steps before the recording, in which libraries choose their kernels and take their memory."""


def create_step(network: nn.Module, optimizer: torch.optim.Optimizer, config: TrainConfig, loss_of: Loss) -> Step:
    """The step that trains `network`; a recorded one on a CUDA GPU where the network allows it."""
    device = next(network.parameters()).device
    autocast = resolve_precision(config.precision, device) == "bfloat16"
    on_cuda = device.type == "cuda"

    def step(images: Tensor, target_probs: Tensor) -> Tensor:
        # without autocast's cache on CUDA: weights that were cast in a recording are valid in its replays only
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast, cache_enabled=not on_cuda):
            logits = network(images)
        loss = loss_of(logits.float(), target_probs)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if config.clip_grad_norm:
            nn.utils.clip_grad_norm_(network.parameters(), config.clip_grad_norm)
        optimizer.step()
        return loss.detach()

    if on_cuda and isinstance(network, Network) and network.recordable:
        return RecordedStep(step, device)
    return step


class RecordedStep:
    """A step as a CUDA graph: the first ones run as they are, the next one is recorded, and from then on replayed.

    All batches have the same shape, and what the step reads lies in the same memory each time.
    """

    def __init__(self, step: Step, device: torch.device) -> None:
        self._step, self._device = step, device
        self._stream = torch.cuda.Stream(device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._n_eager = 0

    def __call__(self, images: Tensor, target_probs: Tensor) -> Tensor:
        with torch.cuda.device(self._device):  # streams and graphs belong to the current one of several GPUs
            if self._n_eager < EAGER_STEPS:
                self._n_eager += 1
                return self._run_aside(images, target_probs)
            if self._graph is None:
                self._record(images, target_probs)
            return self._replay(images, target_probs)

    def _run_aside(self, images: Tensor, target_probs: Tensor) -> Tensor:
        """The step on a stream of its own, as a recording needs it before."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            loss = self._step(images, target_probs)
        torch.cuda.current_stream().wait_stream(self._stream)
        return loss

    def _record(self, images: Tensor, target_probs: Tensor) -> None:
        """Record the step without running it; what it reads and returns stays where it is now."""
        self._images, self._target_probs = images.clone(), target_probs.clone()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._loss = self._step(self._images, self._target_probs)

    def _replay(self, images: Tensor, target_probs: Tensor) -> Tensor:
        self._images.copy_(images)
        self._target_probs.copy_(target_probs)
        assert self._graph is not None, "is recorded"
        self._graph.replay()
        return self._loss.clone()
