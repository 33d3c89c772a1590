"""Pretrained weights: downloaded, cached, refused, loaded, frozen."""

import dataclasses
import hashlib
import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import nn

from earmark.models.create import create_model
from earmark.models.registry import AUDIOSET_FILES, MODELS
from earmark.models.weights import WeightsError, fetch_weights, read_weights

DB_RANGE = (-50.0, 40.0)
REMEDIES = r"go online once, or copy the file from elsewhere to .*, or set model.weights to the path"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of PyTorch's hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hub" / "checkpoints"


@pytest.fixture
def server(tmp_path):
    """A local server of the folder `www`: its address, the folder and the requested paths."""
    www, asked = tmp_path / "www", []
    www.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(www))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", www, asked
        httpd.shutdown()
        thread.join()


def mn01(n_classes=527, **kwargs):
    torch.manual_seed(7)
    return create_model("mn01", n_classes, 128, **kwargs)


def published_mn01():
    """Weights of EfficientAT's kind with statistics that are not those of a fresh network."""
    model = mn01()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model


@pytest.fixture
def mn01_file(tmp_path):
    path = tmp_path / "mn01.pt"
    torch.save(published_mn01().state_dict(), path)
    return path


def test_audioset_weights_are_downloaded_once(cache, server, monkeypatch):
    address, www, asked = server
    published = published_mn01()
    torch.save(published.state_dict(), www / "mn01_as.pt")
    fetch = partial(fetch_weights, f"{address}/mn01_as.pt", sha256=None)
    monkeypatch.setitem(MODELS, "mn01", dataclasses.replace(MODELS["mn01"], weights={"audioset": fetch}))
    for _ in range(2):
        model = mn01(10, weights="audioset", db_range=DB_RANGE)
    assert len(asked) == 1 and (cache / "mn01_as.pt").is_file()
    theirs = published.state_dict()
    for name, tensor in model.state_dict().items():
        assert name.startswith("classifier.5.") or torch.equal(tensor, theirs[name])
    named = set(dict(model.named_parameters()))
    assert model.pretrained == named - {"classifier.5.weight", "classifier.5.bias"}


def test_downloads_are_checked_against_their_hash(cache, server):
    address, www, _ = server
    torch.save({"fc.weight": torch.zeros(2, 2)}, www / "good.pth")
    content = (www / "good.pth").read_bytes()
    digits = hashlib.sha256(content).hexdigest()[:8]
    (www / f"net-{digits}.pth").write_bytes(content)
    (www / "net-00000000.pth").write_bytes(content)
    assert fetch_weights(f"{address}/net-{digits}.pth", sha256=digits)["fc.weight"].shape == (2, 2)
    with pytest.raises(WeightsError, match=r"invalid hash value"):
        fetch_weights(f"{address}/net-00000000.pth", sha256="00000000")
    assert [path.name for path in cache.iterdir()] == [f"net-{digits}.pth"]


def test_the_registry_knows_the_hash_of_the_published_file(mn04_file):
    name, sha256 = AUDIOSET_FILES["mn04"]
    assert mn04_file.name == name and hashlib.sha256(mn04_file.read_bytes()).hexdigest() == sha256


def test_audioset_weights_with_a_wrong_hash_are_refused(cache, server, monkeypatch):
    """A changed file of the right structure at the published address."""
    address, www, _ = server
    torch.save(create_model("mn04", 527, 128).state_dict(), www / "mn04_as_mAP_432.pt")
    download = torch.hub.download_url_to_file
    moved = lambda url, *args, **kwargs: download(f"{address}/{url.rpartition('/')[2]}", *args, **kwargs)  # noqa: E731
    monkeypatch.setattr(torch.hub, "download_url_to_file", moved)
    with pytest.raises(WeightsError, match=r"mn04_as_mAP_432.pt: cannot be fetched \(invalid hash value .*899a8c62"):
        create_model("mn04", 10, 128, weights="audioset", db_range=DB_RANGE)
    assert not list(cache.iterdir())


def test_a_truncated_download_is_refused_and_not_kept(cache, server):
    address, www, _ = server
    torch.save(published_mn01().state_dict(), www / "whole.pt")
    (www / "half.pt").write_bytes((www / "whole.pt").read_bytes()[:50_000])
    with pytest.raises(WeightsError, match=r"half.pt: cannot be read"):
        fetch_weights(f"{address}/half.pt", sha256=None)
    assert not list(cache.iterdir())


@pytest.mark.parametrize("where", ["nothing there", "nobody answers"])
def test_a_failed_download_is_reported_in_one_line_with_three_remedies(cache, server, capfd, where):
    address = server[0] if where == "nothing there" else "http://127.0.0.1:9"
    with pytest.raises(WeightsError, match=REMEDIES) as caught:
        fetch_weights(f"{address}/resnet50-11ad3fa6.pth", sha256="11ad3fa6")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_timm_weights_are_read_from_its_cache(tmp_path, monkeypatch):
    """timm loads the cached file; the gray network gives the features of the color network for a gray image."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    theirs = timm.create_model("test_resnet", num_classes=7).eval()
    repository = timm.get_pretrained_cfg("test_resnet").hf_hub_id
    folder = tmp_path / f"models--{repository.replace('/', '--')}"
    (folder / "snapshots" / "1").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("1")
    published = timm.create_model("test_resnet").state_dict() | {
        name: tensor for name, tensor in theirs.state_dict().items() if not name.startswith("fc.")
    }
    save_file({k: v.contiguous() for k, v in published.items()}, folder / "snapshots" / "1" / "model.safetensors")

    ours = create_model("timm/test_resnet", 3, 64, attention="cbam", placement="stage", weights="imagenet").eval()
    image = torch.rand(2, 1, 64, 90)
    normalized = (image - 0.5) / 0.5  # this network's statistics
    expected = theirs.forward_features(normalized.expand(-1, 3, -1, -1))
    assert (ours.body.forward_features(normalized) - expected).abs().max() < 1e-4 * expected.abs().max()
    assert not any("fc." in name for name in ours.pretrained)


def test_timm_offline_is_reported_in_one_line_with_three_remedies(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=rf"timm/test_resnet: cannot be fetched .*{REMEDIES}"):
        create_model("timm/test_resnet", 3, 64, weights="imagenet")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["resnet50", pytest.param("alexnet", marks=pytest.mark.slow)])
def test_the_gray_network_equals_the_color_network_on_gray_images(tmp_path, name):
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, num_classes=4).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = create_model(name, 4, 128, weights=str(tmp_path / "weights.pth")).eval()
    output = ours.get_submodule(ours.output)
    output.load_state_dict(theirs.get_submodule(ours.output).state_dict())
    image = torch.rand(2, 1, 128, 130)
    expected = theirs(((image - 0.449) / 0.226).expand(-1, 3, -1, -1))
    assert (ours(image) - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("kind", ["se", "cbam", "eca", "coordinate", "frequency_se"])
@pytest.mark.parametrize("placement", ["block", "stage"])
def test_attention_in_a_pretrained_network_starts_as_the_identity(mn01_file, kind, placement):
    plain = mn01(10, weights=str(mn01_file), db_range=DB_RANGE).eval()
    gated = mn01(10, weights=str(mn01_file), db_range=DB_RANGE, attention=kind, placement=placement).eval()
    gated.load_state_dict(plain.state_dict(), strict=False)  # the same output layer
    image = torch.rand(2, 1, 128, 64)
    assert (gated(image) - plain(image)).abs().max() < 1e-6
    assert not gated.pretrained & gated.attention_names()
    again = mn01(10, attention=kind, placement=placement, db_range=DB_RANGE).eval()
    again.load_state_dict(gated.state_dict())  # as a checkpoint does, without the pretrained file
    assert torch.equal(again(image), gated(image))


def test_parameters_trained_with_head(mn01_file):
    model = mn01(10, weights=str(mn01_file), db_range=DB_RANGE, attention="cbam", train="head").train()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in model.named_parameters() if ".attention." in n or n.startswith("classifier.")}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(torch.rand(4, 1, 128, 64)).square().sum().backward()
    optimizer.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert all(".attention." in name or name.startswith("classifier.") for name in changed)
    assert any("spatial_norm.running_mean" in name for name in changed), "batch norms of attention blocks train"
    norms = {name: m for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert {name for name, m in norms.items() if m.training} == {name for name in norms if ".attention." in name}


@pytest.mark.parametrize(
    ("name", "first"), [("mn01", "features.13."), ("baseline_cnn", "stages.4."), ("resnet50", "layer4.")]
)
def test_parameters_trained_with_last_stage(name, first):
    model = create_model(name, 4, 64, train="last_stage")
    names = [n for n, _ in model.named_parameters()]
    start = next(i for i, n in enumerate(names) if n.startswith(first))
    flags = [p.requires_grad for p in model.parameters()]
    assert start > 0 and not any(flags[:start]) and all(flags[start:])


def test_weights_can_be_a_checkpoint_of_earmark(tmp_path):
    source = create_model("baseline_cnn", 50, 64, attention="se")
    tensors = {f"model.{k}": v.contiguous() for k, v in source.state_dict().items()}
    save_file(tensors | {"optimizer.0.step": torch.zeros(1)}, tmp_path / "last.safetensors")
    model = create_model("baseline_cnn", 7, 64, attention="se", weights=str(tmp_path / "last.safetensors"))
    assert torch.equal(model.stages[2][0][0].weight, source.stages[2][0][0].weight)
    assert "stages.0.2.squeeze.weight" in model.pretrained
    assert model.stages[0][2].gate.gain == 1.0, "the gain is that of the checkpoint"


class Evil:
    def __reduce__(self):
        return (print, ("unpickled",))


def write_evil(path):
    path.write_bytes(pickle.dumps(Evil(), protocol=2))


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("gone.pt", lambda path: None, r"no such file; give a path, none, imagenet or audioset"),
        ("text.pt", lambda path: path.write_text("weights"), r"cannot be read"),
        ("empty.pt", lambda path: path.write_bytes(b""), r"cannot be read"),
        ("text.safetensors", lambda path: path.write_text("weights"), r"cannot be read"),
        ("evil.pt", write_evil, r"cannot be read"),
        ("nested.pt", lambda path: torch.save({"net": {"a": torch.ones(1)}}, path), r"holds no plain state dict"),
    ],
)
def test_files_without_weights_are_refused(tmp_path, capsys, name, write, message):
    write(tmp_path / name)
    with pytest.raises(WeightsError, match=message) as caught:
        read_weights(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("features.3.block.0.0.weight"), r"'features.3.block.0.0.weight' is missing"),
        (lambda s: s.update(extra=torch.ones(1)), r"'extra' is not in this network"),
        (
            lambda s: s.update({"features.0.0.weight": torch.ones(16, 1, 3, 3)}),
            r"'features.0.0.weight' has shape 16x1x3x3, this network needs 8x1x3x3",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, change, message):
    state = mn01().state_dict()
    change(state)
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=message):
        mn01(10, weights=str(tmp_path / "other.pt"), db_range=DB_RANGE)


def test_weights_that_a_network_does_not_have_are_refused():
    with pytest.raises(WeightsError, match=r"'audioset': not available for resnet50; give none, imagenet or"):
        create_model("resnet50", 5, 64, weights="audioset")


def test_audioset_weights_need_images_of_known_level(mn01_file):
    with pytest.raises(WeightsError, match=r"set front_end.reference = 'fixed'"):
        mn01(10, weights=str(mn01_file))


def test_audio_networks_compute_on_natural_logarithms_lowest_bin_first():
    """The inverse of the 8-bit image of the front end, from its definition."""
    energy = torch.tensor([1e-3, 0.5, 20.0, 3e3]).log()  # natural logarithm, lowest bin first
    decibels = energy * 10 / torch.log(torch.tensor(10.0))
    image = ((decibels - DB_RANGE[0]) / (DB_RANGE[1] - DB_RANGE[0])).flip(0).view(1, 1, 4, 1)
    got = mn01(2, db_range=DB_RANGE).normalize(image).flatten()
    assert (got - (energy + 4.5) / 5).abs().max() < 1e-5


@pytest.fixture
def mn04_file(real_data):
    path = real_data.parent / "weights" / "mn04_as_mAP_432.pt"
    if not path.is_file():
        pytest.skip(f"weights not found at {path}")
    return path


def test_published_weights_load_strictly(mn04_file):
    """All tensors of EfficientAT's file, under its names, also the classifier when the classes are AudioSet's."""
    model = create_model("mn04", 527, 128, weights=str(mn04_file), db_range=DB_RANGE)
    model.load_state_dict(torch.load(mn04_file, weights_only=True), strict=True)


@pytest.mark.slow
def test_published_weights_classify_esc10(mn04_file, real_data):
    """A linear probe on the pooled features, 5 published folds of ESC-10: reference 98.5 %."""
    probe = pytest.importorskip("sklearn.linear_model").LogisticRegression
    features, targets, folds = probe_features(mn04_file, real_data / "ESC-10")
    right = 0
    for fold in range(1, 6):
        test = folds == fold
        fitted = probe(max_iter=2000).fit(features[~test], targets[~test])
        right += (fitted.predict(features[test]) == targets[test]).sum()
    assert right / len(targets) >= 0.98


@torch.no_grad()
def probe_features(weights, root):
    import numpy as np

    from earmark.config.sections import FrontEndConfig
    from earmark.datasets.esc50 import read_esc50
    from earmark.features.log_mel import load_image
    from earmark.models.registry import AUDIOSET_FRONT_END

    config = FrontEndConfig(**AUDIOSET_FRONT_END)
    db_range = (config.reference_db - config.range_db, config.reference_db)
    model = create_model("mn04", 10, config.n_mels, weights=str(weights), db_range=db_range).eval()
    clips = read_esc50(root)
    rows = []
    for clip in clips:
        image = torch.from_numpy(load_image(clip.path, config).copy())[None, None] / 255
        rows.append(model.features(model.normalize(image)).mean((2, 3))[0].numpy())
    return np.stack(rows), np.array([clip.label for clip in clips]), np.array([clip.fold for clip in clips])
