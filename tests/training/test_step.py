"""Recorded steps: the logic on a stand-in for CUDA graphs; the numbers on a GPU, where there is one."""

import contextlib
import warnings
from typing import ClassVar

import numpy as np
import pytest
import torch

from earmark.config.training import AugmentConfig, TrainConfig
from earmark.datasets.manifest import Clip
from earmark.models.baseline_cnn import BaselineCnn
from earmark.models.create import create_model
from earmark.models.custom import CustomNetwork
from earmark.models.resnet import ResNet50
from earmark.models.timm_models import TimmNetwork
from earmark.training.average import create_average
from earmark.training.batches import MemoryImages, Subset
from earmark.training.loop import TrainingSetup, create_optimizer, fit, set_learning_rate, step_of
from earmark.training.step import EAGER_STEPS, RecordedStep

N_MELS, N_FRAMES = 64, 80
DEVICE = torch.device("cuda", 1)
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


class Stream:
    def __init__(self, device=DEVICE):
        assert device == DEVICE

    def wait_stream(self, other):
        pass


class Graph:
    """Runs, when it is replayed, what was recorded."""

    recorded = None

    def replay(self):
        Graph.recorded()


class Current(contextlib.nullcontext):
    """The current device of a block."""

    seen: ClassVar[list[torch.device]] = []

    def __init__(self, device):
        super().__init__()
        Current.seen.append(device)


@pytest.fixture
def stand_in(monkeypatch):
    Current.seen.clear()
    monkeypatch.setattr("torch.cuda.Stream", Stream)
    monkeypatch.setattr("torch.cuda.current_stream", Stream)
    monkeypatch.setattr("torch.cuda.stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr("torch.cuda.CUDAGraph", Graph)
    monkeypatch.setattr("torch.cuda.device", Current)
    monkeypatch.setattr("torch.cuda.graph", lambda graph, **options: contextlib.nullcontext())


def test_a_step_runs_then_is_recorded_then_replayed_on_new_batches(stand_in):
    seen = []

    def step(images, target_probs):
        seen.append((images, images.clone(), target_probs.clone()))
        return images.sum() + target_probs.sum()

    recorded = RecordedStep(step, DEVICE)
    batches = [(torch.full((2, 1), float(i)), torch.full((2,), 10.0 * i)) for i in range(1, 8)]
    losses = [recorded(*batch) for batch in batches[:EAGER_STEPS]]
    assert [tuple(x.tolist() for x in (b, c)) for _, b, c in seen] == [(i.tolist(), t.tolist()) for i, t in batches[:3]]

    def replay():
        recorded._loss = step(recorded._images, recorded._target_probs)

    Graph.recorded = staticmethod(replay)
    losses += [recorded(*batch) for batch in batches[EAGER_STEPS:]]
    assert [float(loss) for loss in losses] == [2 * i + 20 * i for i in range(1, 8)]
    assert Current.seen == [DEVICE] * 7, "not the first GPU of a machine"
    static = [images for images, *_ in seen[EAGER_STEPS:]]
    assert len({images.data_ptr() for images in static}) == 1, "a replay reads the same memory each time"
    assert static[0].data_ptr() not in {images.data_ptr() for images, _ in batches}


def test_networks_whose_code_is_not_earmarks_are_not_recorded():
    assert BaselineCnn.recordable and ResNet50.recordable
    assert not CustomNetwork.recordable and not TimmNetwork.recordable


def test_rates_that_are_tensors_are_changed_in_place():
    rate = torch.tensor(1.0)
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1, requires_grad=True)], "lr": rate, "lr_ratio": 0.1}])
    set_learning_rate(optimizer, 0.5)
    assert optimizer.param_groups[0]["lr"] is rate and float(rate) == pytest.approx(0.05)


def make_subset(n_clips: int) -> Subset:
    generator, targets = np.random.default_rng(0), np.arange(n_clips) % 2
    images = [generator.integers(100 * t, 156 + 100 * t, (N_MELS, N_FRAMES), dtype=np.uint8) for t in targets]
    clips = tuple(Clip(f"clip{i}", None, "ab"[t], f"group{i}") for i, t in enumerate(targets))
    return Subset(MemoryImages(images, "cuda"), np.arange(n_clips)[:, None], targets, clips)


def make_gpu_setup(name: str, config: TrainConfig, **options) -> TrainingSetup:
    torch.manual_seed(3)
    model = create_model(name, n_classes=2, n_mels=N_MELS, **options).to("cuda").to(memory_format=torch.channels_last)
    return TrainingSetup(
        model,
        create_optimizer(model, config),
        train=make_subset(40),
        valid=None,
        config=config,
        augment=AugmentConfig(resize_ratio=0.2, freq_mixstyle_alpha=0.4),
        class_names=("a", "b"),
        window_frames=N_FRAMES,
        seed=5,
        average=create_average(model) if config.ema_decay else None,
    )


NETWORKS = [("baseline_cnn", "none"), ("alexnet", "none"), ("mn04", "none"), ("cnn6", "none")]
NETWORKS += [("resnet50", attention) for attention in ("none", "constant", "se", "cbam", "eca", "coordinate")]


@on_gpu
@pytest.mark.parametrize("name, attention", NETWORKS)
def test_recorded_steps_train_as_steps_that_are_launched_one_by_one(name, attention):
    config = TrainConfig(epochs=3, batch_size=8, lr=1e-4, clip_grad_norm=1.0, ema_decay=0.9, precision="float32")
    recorded, launched = (make_gpu_setup(name, config, attention=attention) for _ in range(2))
    launched.model.recordable = False
    assert isinstance(step_of(recorded, recorded.model), RecordedStep)
    losses = [[epoch.train_loss for epoch in fit(setup)] for setup in (recorded, launched)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0][0] != losses[0][1]
    for a, b in zip(recorded.average.parameters(), launched.average.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-3, rtol=0.02)


@on_gpu
@pytest.mark.parametrize("name, attention", NETWORKS)
def test_no_step_waits_for_the_gpu(name, attention):
    setup = make_gpu_setup(name, TrainConfig(epochs=2, batch_size=8, lr=1e-4, ema_decay=0.9), attention=attention)
    epochs = fit(setup)
    next(epochs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            next(epochs)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    # at the end of the epoch: its losses, and the learning rate
    assert sum("called a synchronizing" in str(one.message) for one in caught) <= 2


@on_gpu
def test_a_gpu_training_fits_small_data():
    config = TrainConfig(epochs=12, batch_size=8, lr=3e-3)
    setup = make_gpu_setup("baseline_cnn", config)
    losses = [epoch.train_loss for epoch in fit(setup)]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
