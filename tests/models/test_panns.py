"""PANNs: published names and sizes, an independent forward pass, what of a published file is used, their front end."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from earmark.config.sections import ConfigError, FrontEndConfig
from earmark.deploy.embed import load_embedder
from earmark.deploy.info import DeployError
from earmark.features.log_mel import log_mel
from earmark.models.create import create_model
from earmark.models.grad_cam import grad_cam
from earmark.models.panns import FRONT_END
from earmark.models.registry import PANNS_FRONT_END
from earmark.models.weights import WeightsError

DB_RANGE = (-100.0, 35.0)
PARAMETERS = {"cnn6": 4837455, "cnn10": 5219279, "cnn14": 80753615, "mobilenet_v1": 4796303}
"""Kong et al. (2020), table of parameters and multi-adds."""


def published(name: str, **changes) -> dict[str, torch.Tensor]:
    """A state dict in the layout of the published files: network for 527 classes, and front end."""
    torch.manual_seed(7)
    state = create_model(name, 527, 64, db_range=DB_RANGE).state_dict()
    for tensor_name, tensor in state.items():
        if tensor_name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor_name.endswith(("running_mean", "bias")):
            tensor.uniform_(-0.1, 0.1)
    state["bn0.running_mean"].fill_(-40)
    state["bn0.running_var"].fill_(400)
    return state | {key: torch.zeros(shape) for key, shape in FRONT_END.items()} | changes


def write(path, state, **options):
    torch.save({"iteration": 600000, "model": state}, path, **options)
    return str(path)


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_number_of_parameters_is_the_published_one(name):
    with torch.device("meta"):
        network = create_model(name, 527, 64)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


NAMES = {
    "cnn6": {"bn0", "conv_block4.conv1", "conv_block4.bn1", "fc1", "fc_audioset"},
    "cnn10": {"bn0", "conv_block4.conv2", "conv_block4.bn2", "fc1", "fc_audioset"},
    "cnn14": {"bn0", "conv_block6.conv2", "conv_block6.bn2", "fc1", "fc_audioset"},
    "mobilenet_v1": {"bn0", "features.0.0", "features.0.2", "features.13.4", "features.13.5", "fc1", "fc_audioset"},
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_the_published_ones(name):
    with torch.device("meta"):
        owners = {key.rpartition(".")[0] for key in create_model(name, 527, 64).state_dict()}
    assert NAMES[name] <= owners
    kinds = {"bn0", "fc1", "fc_audioset"} | {key for key in owners if key.startswith(("conv_block", "features."))}
    assert owners == kinds


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before PyTorch 1.6"])
def test_a_published_file_loads_but_for_its_front_end_and_classes(tmp_path, legacy):
    state = published("cnn6")
    path = write(tmp_path / "cnn6.pth", state, _use_new_zipfile_serialization=not legacy)
    model = create_model("cnn6", 10, 64, weights=path, db_range=DB_RANGE)
    assert {name for name in model.state_dict() if not name.startswith("fc_audioset.")} <= state.keys()
    for name, tensor in model.state_dict().items():
        assert name.startswith("fc_audioset.") or torch.equal(tensor, state[name])
    assert model.pretrained == set(dict(model.named_parameters())) - {"fc_audioset.weight", "fc_audioset.bias"}
    theirs = create_model("cnn6", 527, 64, db_range=DB_RANGE)
    theirs.load_state_dict({k: v for k, v in state.items() if k not in FRONT_END}, strict=True)


def conv_norm_relu(x, state, conv, norm, padding, pool=1, groups=1):
    x = F.conv2d(x, state[f"{conv}.weight"], padding=padding, groups=groups)
    x = F.avg_pool2d(x, pool) if pool > 1 else x
    mean, var, weight, bias = (state[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
    return torch.relu(F.batch_norm(x, mean, var, weight, bias))


def cnn(x, state):
    """Blocks of one 5x5 or two 3x3 convolutions; the mean of 2x2 places after all but the sixth."""
    blocks = sorted({name.split(".")[0] for name in state if name.startswith("conv_block")})
    for block in blocks:
        for i in ("1", "2") if f"{block}.conv2.weight" in state else ("1",):
            padding = state[f"{block}.conv{i}.weight"].shape[-1] // 2
            x = conv_norm_relu(x, state, f"{block}.conv{i}", f"{block}.bn{i}", padding)
        x = x if block == "conv_block6" else F.avg_pool2d(x, 2)
    return x


def mobilenet(x, state):
    x = conv_norm_relu(x, state, "features.0.0", "features.0.2", 1, pool=2)
    for i, pool in enumerate((1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), start=1):
        x = conv_norm_relu(x, state, f"features.{i}.0", f"features.{i}.2", 1, pool, groups=x.shape[1])
        x = conv_norm_relu(x, state, f"features.{i}.4", f"features.{i}.5", 0)
    return x


@torch.no_grad()
@pytest.mark.parametrize("name", PARAMETERS)
def test_logits_and_embedding_are_those_of_the_paper(name):
    """From levels in dB, time by frequency, lowest bin first: written down a second time, as functions."""
    state = published(name)
    levels = -100 + 120 * torch.rand(2, 1, 70, 64)
    x = (levels - state["bn0.running_mean"]) / (state["bn0.running_var"] + 1e-5).sqrt()
    x = x * state["bn0.weight"] + state["bn0.bias"]
    x = (mobilenet if name == "mobilenet_v1" else cnn)(x, state).mean(3)
    x = x.max(2).values + x.mean(2)
    embedding = torch.relu(x @ state["fc1.weight"].T + state["fc1.bias"])
    expected = embedding @ state["fc_audioset.weight"].T + state["fc_audioset.bias"]

    model = create_model(name, 527, 64, db_range=DB_RANGE).eval()
    model.load_state_dict({k: v for k, v in state.items() if k not in FRONT_END})
    image = ((levels + 100) / 135).transpose(2, 3).flip(2)
    assert expected.std() > 1e-3
    torch.testing.assert_close(model(image), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"logmel_extractor.melW": torch.zeros(257, 64)},
            r"'logmel_extractor.melW' has shape 257x64, its front end must have 513x64",
        ),
        ({"bn0.weight": torch.ones(32)}, r"'bn0.weight' has shape 32, this network needs 64"),
        ({"conv_block4.conv2.weight": torch.ones(1)}, r"'conv_block4.conv2.weight' is not in this network"),
    ],
)
def test_files_of_another_network_or_rate_are_refused(tmp_path, change, message):
    path = write(tmp_path / "other.pth", published("cnn6", **change))
    with pytest.raises(WeightsError, match=message) as caught:
        create_model("cnn6", 10, 64, weights=path, db_range=DB_RANGE)
    assert "\n" not in str(caught.value)


def test_a_file_with_more_than_tensors_is_refused_in_one_line(tmp_path):
    torch.save({"model": published("cnn6"), "sampler": {"indexes": np.arange(5)}}, tmp_path / "cnn6.pth")
    with pytest.raises(WeightsError, match=r"cnn6.pth: cannot be read as .*save its state dict alone") as caught:
        create_model("cnn6", 10, 64, weights=str(tmp_path / "cnn6.pth"), db_range=DB_RANGE)
    assert "\n" not in str(caught.value)


def test_published_weights_need_levels(tmp_path):
    path = write(tmp_path / "cnn6.pth", published("cnn6"))
    with pytest.raises(WeightsError, match="cnn6 needs images of known level"):
        create_model("cnn6", 10, 64, weights=path)
    with pytest.raises(WeightsError, match="'audioset': not available for cnn6; give none or a path"):
        create_model("cnn6", 10, 64, weights="audioset", db_range=DB_RANGE)


@pytest.mark.parametrize("placement", ["block", "stage"])
@pytest.mark.parametrize("name", ["cnn6", "mobilenet_v1"])
def test_attention_and_grad_cam_see_frequency_by_time(name, placement):
    model = create_model(name, 3, 64, attention="frequency_se", placement=placement).eval()
    shapes = []
    for module in model.modules():
        if type(module).__name__ == "FrequencySqueezeExcite":
            module.register_forward_hook(lambda _, inputs, output: shapes.append(inputs[0].shape[2:]))
    model.to_image.register_forward_hook(lambda _, inputs, output: shapes.append(output.shape[2:]))  # Grad-CAM's maps
    image = np.random.default_rng(0).integers(0, 256, size=(64, 320), dtype=np.uint8)
    cam = grad_cam(model, image, 1)
    assert len(shapes) > 1 and all(width == 5 * height for height, width in shapes)
    assert cam.shape == image.shape


def test_embeddings_of_files_are_what_the_last_layer_takes(tmp_path, tones):
    path = write(tmp_path / "cnn6.pth", published("cnn6"))
    vector = load_embedder("cnn6", path).embed(next((tones / "high").glob("*.wav")))
    assert vector.shape == (512,) and (vector >= 0).all() and vector.any()
    with pytest.raises(DeployError, match="model 'cnn6': no weights are published under a name; give --weights FILE"):
        load_embedder("cnn6")


def test_the_front_end_is_the_published_one_but_for_both_ends():
    """Against librosa with mirrored padding, which torchlibrosa follows; only frames that reach over an end differ."""
    librosa = pytest.importorskip("librosa")
    config = FrontEndConfig(**PANNS_FRONT_END)
    waveform = 0.2 * np.random.default_rng(0).normal(size=32000).clip(-4, 4).astype(np.float32)
    settings = {"sr": 32000, "n_fft": 1024, "hop_length": 320, "n_mels": 64, "fmin": 50, "fmax": 14000}
    energy = librosa.feature.melspectrogram(y=waveform, pad_mode="reflect", **settings)
    expected = librosa.power_to_db(energy, ref=1.0, amin=1e-10, top_db=None)
    levels = log_mel(waveform, config) + config.reference_db
    assert np.abs(levels - expected)[:, 2:-2].max() < 1e-3
    assert np.abs(levels - expected)[:, [0, -1]].max() > 0.1


def test_the_front_end_is_demanded():
    from dataclasses import replace

    from earmark.config.suite import RunConfig, merge
    from earmark.runs.initial_weights import check_front_end

    config = merge(RunConfig(), {"model": {"name": "cnn14", "weights": "cnn14.pth"}})
    front_end = FrontEndConfig(**PANNS_FRONT_END)
    check_front_end(config, front_end)
    with pytest.raises(ConfigError, match=r"front_end\.f_max = 0\.0: cnn14 was trained with 14000\.0"):
        check_front_end(config, replace(front_end, f_max=0.0))
