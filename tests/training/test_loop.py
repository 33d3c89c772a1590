"""The training loop: schedules against PyTorch's, scoring that does not depend on the batch, determinism, errors."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from earmark.config.sections import ConfigError
from earmark.config.training import AugmentConfig, TrainConfig
from earmark.datasets.manifest import Clip
from earmark.models.attention import ATTENTION
from earmark.models.create import create_model
from earmark.training import loop
from earmark.training.average import create_average, update_average
from earmark.training.batches import MemoryImages, Subset, train_batches
from earmark.training.devices import resolve_precision, select_device
from earmark.training.loop import (
    TrainingError,
    TrainingSetup,
    create_optimizer,
    fit,
    infer,
    learning_rate,
)

CLASSES = ("high", "low")


def make_subset(n_clips: int = 24, n_frames: int = 30, seed: int = 0, lengths: list[int] | None = None) -> Subset:
    """Noise images, bright in the upper or in the lower half according to their class."""
    rng = np.random.default_rng(seed)
    targets = np.arange(n_clips) % 2
    images = []
    for i, target in enumerate(targets):
        image = rng.integers(0, 120, (16, lengths[i] if lengths else n_frames), dtype=np.uint8)
        image[target * 8 : target * 8 + 8] += 60
        images.append(image)
    clips = tuple(Clip(f"clip{i}", None, CLASSES[t], f"group{i}") for i, t in enumerate(targets))
    return Subset(MemoryImages(images), np.arange(n_clips)[:, None], targets.astype(np.int64), clips)


def make_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Linear(16, 2))


def image(subset: Subset, i: int) -> np.ndarray:
    return subset.images.windows(np.array([i]), np.array([0]), 30)[0, 0].numpy()


def make_setup(
    model: nn.Module, config: TrainConfig, *, first_epoch: int = 1, optimizer=None, valid=None, average=None
):
    return TrainingSetup(
        model,
        optimizer or create_optimizer(model, config),
        train=make_subset(),
        valid=valid,
        config=config,
        augment=AugmentConfig(freq_mask_bins=4),
        class_names=CLASSES,
        window_frames=30,
        seed=1,
        first_epoch=first_epoch,
        average=average,
    )


def train(model: nn.Module, config: TrainConfig, **changes) -> list:
    return list(fit(make_setup(model, config, **changes)))


def test_processes_draw_different_dropout_masks(monkeypatch):
    """Each trains on its part of the batch; with equal masks, half of the masks of a batch would repeat the others."""
    masks = []
    for rank in (0, 0, 1):
        monkeypatch.setattr(loop, "rank_and_world", lambda rank=rank: (rank, 2))
        setup = make_setup(make_model(), TrainConfig(epochs=1, batch_size=24))
        drawn = loop.train_epoch(lambda *_: torch.rand(1), setup, 1)
        masks.append(drawn)
    assert masks[0] == masks[1] != masks[2]


def test_one_cycle_is_that_of_pytorch():
    config = TrainConfig(epochs=10, lr=0.01)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=71)
    for step in range(70):
        # PyTorch puts the peak at 0.3 * total - 1 and the end at total - 1; with 71 steps for our 70 they nearly agree
        assert learning_rate(config, step, 7) == pytest.approx(optimizer.param_groups[0]["lr"], rel=0.06)
        optimizer.step()
        reference.step()


def test_cosine_warms_up_linearly_and_follows_pytorch_down():
    config = TrainConfig(epochs=10, lr=0.01, schedule="cosine", warmup_epochs=2)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.01)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    assert [learning_rate(config, step, 5) for step in range(10)] == pytest.approx(
        [0.01 * (step + 1) / 11 for step in range(10)]
    )
    for step in range(10, 50):
        assert learning_rate(config, step, 5) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()


def test_weight_decay_spares_biases_and_norms_and_pretrained_layers_have_a_lower_rate():
    model = make_model()
    config = TrainConfig(lr=0.1, weight_decay=0.5, backbone_lr_ratio=0.1)
    optimizer = create_optimizer(model, config, frozenset({"0.weight", "0.bias"}))
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    by_name = {name: found[id(parameter)] for name, parameter in model.named_parameters()}
    assert by_name == {
        "0.weight": (pytest.approx(0.01), 0.5),
        "0.bias": (pytest.approx(0.01), 0.0),
        "1.weight": (0.1, 0.0),
        "1.bias": (0.1, 0.0),
        "6.weight": (0.1, 0.5),
        "6.bias": (0.1, 0.0),
    }


def test_it_learns_a_separable_problem():
    model, config = make_model(), TrainConfig(epochs=30, batch_size=8, lr=0.02, precision="float32")
    history = train(model, config, valid=make_subset(seed=9))
    assert history[-1].train_loss < history[0].train_loss
    assert history[-1].valid_accuracy == 1.0


@pytest.mark.parametrize("balance", [{"class_weights": "balanced"}, {"sampler": "class_balanced"}])
def test_training_follows_its_settings(balance):
    """Two epochs against a plain loop: rates, clipping, smoothing, balance of 12 and 4 clips, moving average."""
    config = TrainConfig(
        epochs=2, batch_size=8, lr=0.02, backbone_lr_ratio=0.1, clip_grad_norm=0.3, label_smoothing=0.2, ema_decay=0.5,
        precision="float32", **balance,
    )  # fmt: skip
    whole, rows = make_subset(), [i for i in range(24) if i % 2 == 0 or i < 8]
    subset = replace(
        whole, choices=whole.choices[rows], targets=whole.targets[rows], clips=tuple(whole.clips[i] for i in rows)
    )
    model, plain, mean = make_model(), make_model(), make_model().double()
    model[3].p = plain[3].p = 0.0
    optimizer, average = create_optimizer(model, config, frozenset({"0.weight"})), create_average(model)
    setup = make_setup(model, config, optimizer=optimizer, average=average)
    augment = AugmentConfig(time_roll=False, freq_masks=0, time_masks=0, mixup_alpha=0)
    epochs = list(fit(replace(setup, train=subset, augment=augment)))

    decayed = [plain[0].weight, plain[6].weight]
    others = [p for p in plain.parameters() if not any(p is q for q in decayed)]
    groups = [{"params": [p], "weight_decay": config.weight_decay} for p in decayed]
    reference = torch.optim.AdamW([*groups, {"params": others, "weight_decay": 0.0}])
    weight_K = torch.tensor([16 / 24, 16 / 8] if "class_weights" in balance else [1.0, 1.0])
    losses = []
    for epoch in (1, 2):
        rng = np.random.default_rng([1, epoch])
        rng.integers(2**62)  # the seed of dropout
        for windows, targets in train_batches(subset, 8, 30, rng, config.sampler):
            for group, ratio in zip(reference.param_groups, (0.1, 1, 1), strict=True):
                group["lr"] = ratio * learning_rate(config, len(losses), 2)
            target_BK = torch.where(F.one_hot(targets, 2).bool(), 0.9, 0.1)
            loss = -(weight_K * target_BK * plain(windows / 255).log_softmax(dim=1)).sum(dim=1).mean()
            reference.zero_grad()
            loss.backward()
            assert nn.utils.clip_grad_norm_(plain.parameters(), 0.3) > 0.3
            reference.step()
            decay = min(0.5, (1 + len(losses)) / (10 + len(losses)))
            with torch.no_grad():
                for kept, p in zip(mean.parameters(), plain.parameters(), strict=True):
                    kept.mul_(decay).add_((1 - decay) * p)
            losses.append(float(loss.detach()))
    assert [e.train_loss for e in epochs] == pytest.approx([np.mean(losses[:2]), np.mean(losses[2:])], rel=1e-4)
    for ours, theirs in ((model, plain), (average, mean.float())):
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            if name != "0.bias":  # the batch norm removes it, so that its gradient is rounding, which Adam amplifies
                torch.testing.assert_close(p, q, atol=1e-4, rtol=0)


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_two_trainings_give_the_same_weights(precision):
    config = TrainConfig(epochs=3, batch_size=8, precision=precision)
    first, second = make_model(), make_model()
    assert [e.train_loss for e in train(first, config)] == [e.train_loss for e in train(second, config)]
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_resuming_at_an_epoch_gives_the_same_weights():
    config = TrainConfig(epochs=4, batch_size=8)
    whole, resumed = make_model(), make_model()
    train(whole, config)
    optimizer = create_optimizer(resumed, config)
    epochs = fit(make_setup(resumed, config, optimizer=optimizer))
    next(epochs), next(epochs)
    epochs.close()
    torch.manual_seed(999)  # whatever happens in between
    train(resumed, config, first_epoch=3, optimizer=optimizer)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_the_average_follows_its_recurrence_and_takes_counters_as_they_are():
    model, average, expected = make_model(), create_average(make_model()), make_model().state_dict()
    expected = {name: tensor.double() for name, tensor in expected.items()}
    for step in range(30):
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor.copy_(torch.randn(tensor.shape) if tensor.is_floating_point() else tensor + 1)
        update_average(average, model, 0.5, step)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, tensor in model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor.double()
    for name, tensor in average.state_dict().items():
        if name == "1.num_batches_tracked":
            assert int(tensor) == 30
        else:
            torch.testing.assert_close(tensor.double(), expected[name], atol=1e-6, rtol=0)


def test_a_parameter_that_two_layers_share_is_averaged_once_per_step():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    average, before = create_average(model), model[0].weight.detach().clone()
    with torch.no_grad():
        model[0].weight.add_(1)
    update_average(average, model, decay=0.9, step=1000)
    torch.testing.assert_close(average[0].weight, before + 0.1)


def test_the_average_is_what_is_scored_on_valid():
    config, valid = TrainConfig(epochs=1, batch_size=8, lr=0.02, ema_decay=0.9, n_shifts=3), make_subset(seed=9)
    model = make_model()
    setup = make_setup(model, config, valid=valid, average=create_average(model))
    (epoch,) = fit(setup)
    targets = torch.from_numpy(valid.targets)
    scored, *others = (
        float(F.cross_entropy(infer(m, valid, 30, n_shifts=n), targets))
        for m, n in ((setup.average, 3), (setup.average, 1), (model, 3))
    )
    assert epoch.valid_loss == pytest.approx(scored, rel=1e-6)
    assert all(epoch.valid_loss != pytest.approx(other, rel=1e-5) for other in others)


def test_logits_over_time_shifts_are_means_over_rolled_windows():
    subset, model = make_subset(), make_model().eval()
    expected = [
        infer(
            model, replace(subset, images=MemoryImages([np.roll(image(subset, i), s, axis=1) for i in range(24)])), 30
        )
        for s in (0, 7, 15, 22)
    ]
    torch.testing.assert_close(
        infer(model, subset, 30, n_shifts=4), torch.stack(expected).mean(dim=0), atol=1e-5, rtol=0
    )


def test_logits_do_not_depend_on_the_batch_and_are_means_over_windows():
    lengths = [30, 12, 75, 31] * 6
    subset, model = make_subset(lengths=lengths), make_model().train()  # scoring is in eval mode all the same
    logits = infer(model, subset, window_frames=30)
    model.train()
    torch.testing.assert_close(logits, infer(model, subset, 30, batch_size=1), atol=1e-6, rtol=0)

    with torch.inference_mode():
        for i, starts in ((1, [0]), (2, [0, 15, 30, 45]), (3, [0, 1])):
            image = subset.images.windows(np.array([i]), np.array([0]), lengths[i])[0, 0].numpy() / np.float32(255)
            windows = [np.pad(image[:, s : s + 30], ((0, 0), (0, max(30 - lengths[i], 0)))) for s in starts]
            expected = model(torch.from_numpy(np.stack(windows))[:, None]).mean(dim=0)
            torch.testing.assert_close(logits[i], expected, atol=1e-5, rtol=0)


def test_a_loss_that_is_not_finite_stops_with_epoch_and_batch():
    model = make_model()
    nn.init.constant_(model[-1].weight, float("nan"))
    with pytest.raises(TrainingError, match=r"loss = nan in epoch 1, batch 1 of 3: give a lower train\.lr"):
        train(model, TrainConfig(epochs=2, batch_size=8))


def test_logits_and_weights_that_are_not_finite_are_told():
    model, subset = make_model().eval(), make_subset()
    nn.init.constant_(model[-1].bias, float("inf"))
    with pytest.raises(TrainingError, match=r"logits of 24 of 24 clips are not finite: .*; give a lower"):
        infer(model, subset, 30)
    model = make_model()  # of the last step, which no loss follows
    model[-1].register_parameter("unused", nn.Parameter(torch.tensor([float("nan")])))
    with pytest.raises(TrainingError, match=r"weights '.*unused' are not finite after the last epoch"):
        train(model, TrainConfig(epochs=1, batch_size=8))


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_prefers_cuda_to_mps_to_the_processor(monkeypatch, cuda, mps, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert select_device("auto").type == chosen


def test_on_mps_training_is_in_float32():
    assert resolve_precision("auto", torch.device("mps")) == "float32"


def test_a_missing_device_is_refused():
    with pytest.raises(ConfigError, match=r"device = 'cuda:77': not available here .*give auto, cpu, cuda or mps"):
        select_device("cuda:77")
    with pytest.raises(ConfigError, match="device = 'gpu': no such device; give auto, cpu, cuda or mps"):
        select_device("gpu")


class EpochEndError(Exception):
    """Raised instead of the copy of the losses to the host, after the last step of an epoch."""


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("name", ["baseline_cnn", "resnet50"])
def test_no_step_waits_for_the_device_or_copies_from_it(name, attention, monkeypatch):
    """On the meta device `.item()`, `.cpu()`, `nonzero` and a branch on a value are errors."""

    def stop(losses):
        raise EpochEndError(losses.shape)

    monkeypatch.setattr("earmark.training.loop.average_over_processes", stop)
    monkeypatch.setattr("torch.autocast", lambda *_, **__: contextlib.nullcontext())  # meta has none
    config = TrainConfig(epochs=2, batch_size=8, clip_grad_norm=1.0, ema_decay=0.9, focal_gamma=2, precision="float32")
    augment = AugmentConfig(freq_mask_bins=4, resize_ratio=0.3, freq_mixstyle_alpha=0.4, freq_mixstyle_ratio=1.0)
    with torch.device("meta"):
        model = create_model(name, n_classes=2, n_mels=16, attention=attention)
    setup = make_setup(model, config, optimizer=torch.optim.AdamW([{"params": model.parameters(), "lr_ratio": 1.0}]))
    there = replace(setup.train, images=setup.train.images.to("meta"))
    setup = replace(setup, train=there, augment=augment, average=create_average(model))
    with pytest.raises(EpochEndError) as ended:
        list(fit(setup))
    assert ended.value.args == (torch.Size([3]),)  # 24 clips in batches of 8
