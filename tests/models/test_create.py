"""The contract of all networks with all attention blocks, and their parameters and MACs."""

import shutil

import numpy as np
import pytest
import torch
from packaging.version import Version
from torch import nn
from torchvision.models import AlexNet_Weights, ResNet50_Weights

from earmark.models import resnet
from earmark.models.attention import ATTENTION
from earmark.models.complexity import count_parameters_and_macs
from earmark.models.create import create_model, model_table
from earmark.models.network import PLACEMENTS, ModelError
from earmark.models.registry import MODELS, architecture_of

N_CLASSES, N_MELS = 5, 64
NAMES = ("baseline_cnn", "alexnet", "resnet50", "mn01", "cnn6", "mobilenet_v1", "timm/test_resnet")
ALL = [
    (name, kind, placement)
    for name in NAMES
    for kind in ATTENTION
    for placement in PLACEMENTS
    if not (name.startswith("timm/") and kind != "none" and placement == "block")
]
ALL.append(("baseline_cnn_small", "cbam", "block"))
LARGE = ("alexnet", "resnet50", "cnn6", "mobilenet_v1")
QUICK = [c for c in ALL if c[0] not in LARGE or c[1:] == ("cbam", "block")]


def combinations():
    return [pytest.param(*c, marks=() if c in QUICK else pytest.mark.slow, id="-".join(c)) for c in ALL]


@pytest.mark.parametrize(("name", "attention", "placement"), combinations())
def test_contract(name, attention, placement):
    torch.manual_seed(3)
    model = create_model(name, N_CLASSES, N_MELS, attention=attention, placement=placement, dropout=0.0)
    check_gradients(model.train())
    model.eval()
    check_sizes(model)
    again = create_model(name, N_CLASSES, N_MELS, attention=attention, placement=placement)
    again.load_state_dict(model.state_dict())
    image = torch.rand(2, 1, N_MELS, 40)
    assert torch.equal(again.eval()(image), model(image))


def check_gradients(model: nn.Module) -> None:
    for module in model.modules():  # timm initializes the last weight of residual branches to zero
        if isinstance(module, nn.BatchNorm2d) and not module.weight.any():
            nn.init.ones_(module.weight)
    for name in model.attention_names() & dict(model.named_parameters()).keys():  # AlexNet starts them at zero
        if not model.get_parameter(name).any():
            nn.init.normal_(model.get_parameter(name), std=0.1)
    model(torch.rand(4, 1, N_MELS, 72)).square().sum().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not silent
    flat = [n for n, p in model.named_parameters() if not p.grad.any()]
    assert not flat


@torch.no_grad()
def check_sizes(model: nn.Module) -> None:
    """Odd and minimal sizes; a clip's logits do not depend on its batch."""
    for n_frames in (16, 17, 53, 101):
        images = torch.rand(3, 1, N_MELS, n_frames)
        logits = model(images)
        assert logits.shape == (3, N_CLASSES) and logits.isfinite().all()
    alone = torch.cat([model(image[None]) for image in images])
    assert (alone - logits).abs().max() < 1e-4 * logits.abs().max().clamp(min=1)


@pytest.mark.parametrize(
    ("name", "attention"),
    [
        ("baseline_cnn", "cbam"),
        *(pytest.param(n, "cbam", marks=pytest.mark.slow) for n in (*LARGE, "mn01", "timm/resnet18")),
    ],
)
@pytest.mark.skipif(Version(torch.__version__) < Version("2.13"), reason="older torch.export constrains the lengths")
def test_exports_with_any_batch_and_length(name, attention):
    model = create_model(name, N_CLASSES, N_MELS, attention=attention, placement="stage").eval()
    time = torch.export.Dim("time", min=model.min_export_frames, max=4000)
    shapes = ({0: torch.export.Dim("batch"), 3: time},)
    program = torch.export.export(model, (torch.rand(2, 1, N_MELS, 110),), dynamic_shapes=shapes).module()
    for shape in ((3, 1, N_MELS, model.min_export_frames), (1, 1, N_MELS, 203)):
        image = torch.rand(shape)
        assert (program(image) - model(image)).abs().max() < 1e-5


@pytest.mark.parametrize("n_mels", [40, 127])
@pytest.mark.parametrize("name", ["baseline_cnn", "mn01", "cnn6", "mobilenet_v1", "timm/test_resnet"])
def test_any_number_of_mel_bins(name, n_mels):
    assert create_model(name, 3, n_mels).eval()(torch.rand(1, 1, n_mels, 31)).shape == (1, 3)


def test_bfloat16_channels_last_training_step(monkeypatch):
    """Logits and gradients in bfloat16 and channels last are close to those in float32."""
    monkeypatch.setattr(resnet, "BLOCKS", [1, 1, 1, 1])
    torch.manual_seed(0)
    model = create_model("resnet50", N_CLASSES, N_MELS, attention="cbam", dropout=0.0)
    fast = create_model("resnet50", N_CLASSES, N_MELS, attention="cbam", dropout=0.0)
    fast.load_state_dict(model.state_dict())
    fast.to(memory_format=torch.channels_last)
    image, targets = torch.rand(8, 1, N_MELS, 80), torch.arange(8) % N_CLASSES
    nn.functional.cross_entropy(expected := model(image), targets).backward()
    with torch.autocast("cpu", torch.bfloat16):
        logits = fast(image)
    nn.functional.cross_entropy(logits.float(), targets).backward()
    assert (logits - expected).abs().max() < 0.1 * expected.abs().max()
    a, b = (torch.cat([p.grad.flatten() for p in m.parameters()]) for m in (model, fast))
    assert nn.functional.cosine_similarity(a, b, dim=0) > 0.97


def test_attention_is_where_the_placement_says():
    def blocks(placement: str) -> set[str]:
        model = create_model("resnet50", N_CLASSES, N_MELS, attention="se", placement=placement)
        return {name.rpartition(".")[0].partition(".squeeze")[0] for name in model.attention_names()}

    inside = {name for name in blocks("block") if name.endswith(".attention")}
    assert len(inside) == 16 and "layer3.5.attention" in inside
    assert {"attention_after.0", "attention_after.3"} <= blocks("stage") and not any(
        n.endswith(".attention") for n in blocks("stage")
    )


def test_a_fresh_alexnet_has_different_features_for_different_images():
    """Neither PyTorch's initialization nor gates of 1/2 may shrink the signal: there are no batch norms."""
    torch.manual_seed(0)
    model, gated = (create_model("alexnet", N_CLASSES, N_MELS, attention=a).eval() for a in ("none", "cbam"))
    gated.load_state_dict(model.state_dict(), strict=False)
    images = torch.rand(8, 1, 1, 1) + torch.rand(8, 1, N_MELS, 128)
    with torch.no_grad():
        logits = model(images)
        assert (gated(images) - logits).abs().max() < 1e-5 * logits.abs().max()
    assert logits.std(0).mean() > 0.1 * logits.mean(0).std()


def test_vgg_has_no_last_stage():
    with torch.device("meta"), pytest.raises(ModelError, match=r"model.train = 'last_stage': .*give 'head'"):
        create_model("timm/vgg11", N_CLASSES, N_MELS, train="last_stage")


def test_stages_that_timm_names_but_the_network_lacks_are_refused():
    with pytest.raises(ModelError, match="timm names no stages of hrnet_w18_small"):
        create_model("timm/hrnet_w18_small", N_CLASSES, N_MELS, attention="se", placement="stage")


def test_cost_is_what_torchvision_publishes():
    """Parameters and MACs at 224x224, without two of the three input channels of the stem."""
    for name, weights in (("resnet50", ResNet50_Weights.IMAGENET1K_V2), ("alexnet", AlexNet_Weights.IMAGENET1K_V1)):
        with torch.device("meta"):
            model = create_model(name, 1000, 224)
        kernel, places = {"resnet50": (64 * 49, 112**2), "alexnet": (64 * 121, 55**2)}[name]
        n_parameters, macs = count_parameters_and_macs(model, 224, 224)
        assert n_parameters == weights.meta["num_params"] - 2 * kernel
        assert abs(macs + 2 * kernel * places - weights.meta["_ops"] * 1e9) < 1e6


def test_cost_is_what_efficient_at_publishes():
    """Its README: 0.98 M parameters and 0.11 G MACs for ten seconds (mn04), 4.88 M and 0.54 G (mn10)."""
    for name, parameters, macs in (("mn04", 0.98, 0.11), ("mn10", 4.88, 0.54)):
        with torch.device("meta"):
            cost = count_parameters_and_macs(create_model(name, 527, 128), 128, 1000)
        assert round(cost[0] / 1e6, 2) == parameters
        assert abs(cost[1] / 1e9 - macs) < 0.006


def test_attention_is_counted_and_the_model_is_unchanged():
    model = create_model("baseline_cnn", 10, 128, attention="cbam").train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plain = count_parameters_and_macs(create_model("baseline_cnn", 10, 128), 128, 431)
    with_cbam = count_parameters_and_macs(model, 128, 431)
    spatial = 2 * 49 * sum(-(-64 // 2**i) * -(-216 // 2**i) for i in range(5))
    shared = 2 * sum(2 * c * max(8, c // 16) for c in (24, 48, 96, 192, 320))
    assert with_cbam[1] - plain[1] == spatial + shared
    assert model.training and all(torch.equal(state[n], t) for n, t in model.state_dict().items())


def test_model_table_names_size_cost_and_weights():
    rows = {row.name: row for row in model_table(("baseline_cnn", "mn04", "resnet50"), n_classes=50)}
    assert rows["baseline_cnn"].n_parameters == 2157402 and rows["baseline_cnn"].macs == 551390848
    assert rows["mn04"].weights == ("audioset",) and rows["resnet50"].weights == ("imagenet",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "resnet5"}, r"model.name = 'resnet5': .*did you mean 'resnet50'"),
        ({"name": "hf:user/net"}, r"hf: is a trained model of earmark .* write transformers:FOLDER"),
        ({"name": "perceiver"}, r"model.name = 'perceiver': unknown name; choose from baseline_cnn"),
        ({"name": "timm/resnt18"}, r"timm has no such network; did you mean 'timm/resnet18'"),
        ({"name": "timm/vit_tiny_patch16_224"}, r"does not take images of any size"),
        ({"name": "timm/test_resnet", "attention": "se"}, r"model.placement = 'block': .*give 'stage'"),
        ({"attention": "ce"}, r"model.attention = 'ce': unknown name; .*'?se"),
        ({"placement": "blok"}, r"model.placement = 'blok': .*did you mean 'block'"),
        ({"train": "heads"}, r"model.train = 'heads': .*did you mean 'head'"),
    ],
)
def test_wrong_names_are_refused_in_one_line(changes, message):
    with pytest.raises(ModelError, match=message) as caught:
        create_model(**{"name": "baseline_cnn", "n_classes": 5, "n_mels": 64} | changes)
    assert "\n" not in str(caught.value)


def test_without_timm_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ModelError, match=r'timm is not installed; install it with `pip install "earmark\[timm\]"`'):
        architecture_of("timm/resnet18")


@pytest.mark.parametrize("name", [*MODELS, "timm/resnet18"])
def test_every_name_has_an_architecture(name):
    architecture = architecture_of(name)
    assert architecture.summary and set(architecture.weights) <= {"imagenet", "audioset"}


def test_attention_is_never_left_out_in_silence(monkeypatch):
    monkeypatch.setattr("earmark.models.timm_models._stages", lambda body: iter(()))
    with pytest.raises(ModelError, match=r"model.attention = 'se': timm names no stages of test_resnet"):
        create_model("timm/test_resnet", 5, 64, attention="se", placement="stage")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("attention", ["none", "se", "cbam", "coordinate"])
def test_compiled_in_bfloat16_the_gradients_are_those_of_the_network(attention):
    """The compiler rounds differently: the gradient of `amax`, which compares intermediate results, would be NaN."""
    images, gradients = torch.rand(8, 1, N_MELS, 100), []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = create_model("baseline_cnn", N_CLASSES, N_MELS, attention=attention, dropout=0.0)
        network = torch.compile(model) if compiled else model
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.cross_entropy(network(images).float(), torch.arange(8) % N_CLASSES)
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert torch.isfinite(gradients[1]).all()
    assert torch.cosine_similarity(*gradients, dim=0) > 0.95


def test_stochastic_depth_drops_whole_branches_per_image_and_keeps_their_mean():
    block = create_model("resnet50", N_CLASSES, N_MELS, stochastic_depth=0.5).layer4[2]
    assert block.drop_rate == 0.5
    images = torch.rand(400, 2048, 1, 1)
    for module in block.modules():
        module.eval()
    whole = block(images)
    block.training = True
    dropped = block(images)
    kept = ~torch.isclose(dropped, torch.relu(images), atol=1e-6).flatten(1).all(dim=1)
    assert 0.4 < float(kept.float().mean()) < 0.6
    branch = block.bn3(block.conv3(block.relu(block.bn2(block.conv2(block.relu(block.bn1(block.conv1(images))))))))
    torch.testing.assert_close(dropped[kept], torch.relu(images + 2 * branch)[kept])
    torch.testing.assert_close(whole, torch.relu(images + branch))


@pytest.mark.parametrize("name", ["resnet50", "mn01"])
def test_stochastic_depth_grows_with_the_depth(name):
    model = create_model(name, N_CLASSES, N_MELS, stochastic_depth=0.3)
    rates = [module.drop_rate for module in model.modules() if hasattr(module, "drop_rate")]
    np.testing.assert_allclose(rates, 0.3 * np.arange(1, len(rates) + 1) / len(rates))
    assert len(rates) == {"resnet50": 16, "mn01": 15}[name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("baseline_cnn", "model.stochastic_depth = 0.1: baseline_cnn has no residual blocks; give 0"),
        ("timm/vgg11", "model.stochastic_depth = 0.1: timm/vgg11 does not take it; give 0"),
    ],
)
def test_networks_without_residual_blocks_refuse_stochastic_depth(name, message):
    with pytest.raises(ModelError, match=message):
        create_model(name, N_CLASSES, N_MELS, stochastic_depth=0.1)
