"""Your own network: found without an import, recorded by its source, held to the contract of all networks."""

import importlib
import json
import logging
import sys
from dataclasses import replace

import pytest

import earmark
from earmark.cli.main import main
from earmark.config.sections import ConfigError, Options
from earmark.config.suite import merge
from earmark.models import custom
from earmark.models.contract import ImageSize, check_contract
from earmark.models.create import create_model
from earmark.models.custom import source_digest, source_files
from earmark.models.network import ModelError
from earmark.models.weights import load_weights
from earmark.runs.plan import plan_suite
from earmark.training.checkpoint_files import CheckpointError

LAYERS = """
from torch import nn


def block(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(), nn.AvgPool2d(2))
"""
NETWORK = """
from torch import nn
from .layers import block


class Small(nn.Module):
    output_layer = "classify"

    def __init__(self, n_classes, n_mels):
        super().__init__()
        self.body = nn.Sequential(block(1, 4), block(4, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classify = nn.Linear(8, n_classes)

    def forward(self, image):
        return self.classify(self.body(image))


def create(n_classes, n_mels):
    return Small(n_classes, n_mels)
"""


def test_a_head_without_parameters_cannot_be_the_one_that_is_trained(package):
    source = package / "net.py"
    source.write_text(NETWORK.replace('output_layer = "classify"', 'output_layer = "body.3"'), encoding="utf-8")
    network = create_model(f"{package.name}.net:create", 3, 16)
    with pytest.raises(ModelError, match=r"layer 'module\.body\.3' of this network has no parameters to train"):
        network.freeze_before(network.head)


@pytest.mark.parametrize("name", ["transformers:wavlm", "onnx:net", "npz:vectors", "hf:net"])
def test_a_backbone_in_the_working_folder_is_no_module_of_yours(name):
    assert not custom.is_custom(name) and source_digest(name) == ""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `mine_<n>` in the working folder, whose module `net` has `create`; returns its folder."""
    name = f"mine_{tmp_path.name.removesuffix('0').replace('-', '_')}"
    folder = tmp_path / name
    folder.mkdir()
    for file, text in {"__init__.py": "", "layers.py": LAYERS, "net.py": NETWORK}.items():
        (folder / file).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    importlib.invalidate_caches()
    return folder


def test_the_source_of_all_that_is_imported_is_recorded_without_an_import(package):
    name = f"{package.name}.net:create"
    (package.parent / "beside.py").write_text("import torch\n", encoding="utf-8")
    before = source_digest(name)
    assert set(source_files(name)) == {package.name, f"{package.name}.net", f"{package.name}.layers"}
    assert package.name not in sys.modules
    (package / "unused.py").write_text("x = 1\n", encoding="utf-8")
    assert source_digest(name) == before
    (package / "layers.py").write_text(LAYERS + "\nimport beside\n", encoding="utf-8")
    assert source_digest(name) != before and "beside" in source_files(name)
    assert source_digest("baseline_cnn") == source_digest("npz:vectors") == ""


def test_meets_the_contract_and_the_checks_find_what_they_are_for(package):
    def failed(name: str) -> set[str]:
        create = lambda: create_model(f"{package.name}.{name}", 3, 32)  # noqa: E731
        return {check for check, problem in check_contract(create, ImageSize(3, 32, 41)) if problem}

    assert failed("net:create") == set()
    (package / "bad.py").write_text(
        "import numpy, torch\nfrom torch import nn\nfrom .net import Small\n\n"
        "class Wrong(Small):\n    def forward(self, x):\n        return super().forward(x - 100 * x.mean())\n\n"
        "def wrong(k, m):\n    net = Wrong(k, m)\n    net.extra = nn.Linear(2, 2)\n"
        "    net.classify.bias.data += float(numpy.random.randn())\n    return net\n\n"
        "def fixed(k, m):\n    return nn.Sequential(nn.Flatten(), nn.Linear(m * 41, k))\n\n"
        "def dropping(k, m):\n    net = Small(k, m)\n    net.body[3].train = lambda mode=True: net.body[3]\n"
        "    net.body.append(nn.Dropout(0.5))\n    net.body[4].forward = lambda x: nn.functional.dropout(x)\n"
        "    return net\n\n"
        "class Viewing(Small):\n    def forward(self, x):\n        x = self.body[0](x)\n"
        "        return self.classify(self.body[1](x).view(len(x), -1).view(len(x), 8, -1).mean(2))\n\n"
        "def shape(k, m):\n    return Small(k + 1, m)\n\n"
        "class Scaled(Small):\n    def __init__(self, k, m):\n        super().__init__(k, m)\n"
        "        self.scale = nn.Parameter(torch.ones(()))\n"
        "    def forward(self, x):\n        return super().forward(x) * self.scale\n",
        encoding="utf-8",
    )
    assert failed("bad:wrong") == {"batch independence", "seed", "gradients"}
    assert failed("bad:fixed") == {"any width"}
    assert {"repeatable", "batch independence"} <= failed("bad:dropping")
    assert failed("bad:Viewing") == {"channels last"}
    assert failed("bad:shape") == {"logits"}
    assert failed("bad:Scaled") == {"output layer"}, "the factor is 1 before training only"


@pytest.mark.parametrize("name", ["baseline_cnn", "mn01", "timm/test_resnet"])
def test_built_in_networks_meet_the_same_contract(name):
    checks = dict(check_contract(lambda: create_model(name, 5, 64, dropout=0.5), ImageSize()))
    assert len(checks) == 10 and not any(checks.values()), checks


def test_what_cannot_be_used_is_refused_in_one_line(package):
    (package / "odd.py").write_text(
        "from torch import nn\n\ndef number(k, m):\n    return k\n\ndef lazy(k, m):\n    return nn.LazyLinear(k)\n\n"
        "def raises(k, m):\n    return nn.Linear(k, undefined)\n\n"
        "def layer(k, m):\n    net = nn.Linear(m, k)\n    net.output_layer = 'fc'\n    return net\n",
        encoding="utf-8",
    )
    for name, message in {
        "nowhere.net:create": "no module 'nowhere.net' in this folder or environment",
        "subprocess:call": "subprocess is a module of Python, not of yours",
        f"{package.name}.odd:numbr": "has no function 'numbr'; did you mean 'number'",
        f"{package.name}.odd:number": "returned a int; return a torch.nn.Module",
        f"{package.name}.odd:lazy": "weight has no shape yet; give its size",
        f"{package.name}.odd:raises": r"NameError: name 'undefined' is not defined \(odd.py, line 10\)",
        f"{package.name}.odd:layer": "output_layer = 'fc' is not one of its layers",
    }.items():
        with pytest.raises(ModelError, match=message) as caught:
            create_model(name, 3, 32)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=r"model.attention = 'se': .* has no place for it"):
        create_model(f"{package.name}.net:create", 3, 32, attention="se")


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("body", ["body", "module"])
def test_weights_of_another_task_are_loaded_except_for_the_output_layer(package, body, whole):
    """Weights of the network alone and of a checkpoint, also where a part of it has the name of the prefix."""
    (package / f"of_{body}.py").write_text(NETWORK.replace("self.body", f"self.{body}"), encoding="utf-8")
    name, first = f"{package.name}.of_{body}:create", f"module.{body}.0.0.weight"
    trained, network = create_model(name, 7, 32), create_model(name, 3, 32)
    prefix = "" if whole else "module."
    weights = {key.removeprefix(prefix): tensor for key, tensor in trained.state_dict().items()}
    load_weights(network, weights, "theirs")
    assert network.get_parameter(first).equal(trained.get_parameter(first))
    assert network.pretrained and "module.classify.weight" not in network.pretrained


def test_a_suite_records_the_source_and_a_checkpoint_needs_it(package, small_suite, tones, tmp_path, monkeypatch):
    name = f"{package.name}.net:create"
    variants = {"mine": {"model": {"name": name}}}
    suite = merge(replace(small_suite, folds=(1,), variants={}), {"variants": variants, "train": {"epochs": 1}})
    options = Options(runs=tmp_path / "runs", work=tmp_path / "work", threads=1)
    assert earmark.run_suite(suite, options) == {}
    (run,) = (tmp_path / "runs" / "tones").glob("mine-*")
    recorded = json.loads((run / "config.json").read_text(encoding="utf-8"))["model_source"]
    assert recorded == source_digest(name)
    model = earmark.load(run)
    assert model.embed(tones / "high" / "h00.wav").shape == (8,)

    (package / "layers.py").write_text(LAYERS + "# changed\n", encoding="utf-8")
    with pytest.raises(ModelError, match="has changed since it was imported; restart Python"):
        create_model(name, 3, 32)
    with pytest.raises(CheckpointError, match=rf"the source of {name} has changed since it was trained; restore it"):
        earmark.load(run)
    monkeypatch.setattr(custom, "_imported", {})  # as in a new process
    with pytest.raises(ConfigError, match=f"was trained with another source of {name}; give --name NEW"):
        earmark.run_suite(suite, options)
    (package / "layers.py").write_text(LAYERS, encoding="utf-8")
    (planned,) = plan_suite(suite, options).runs
    assert planned.finished and planned.folder == run
    (package / "net.py").rename(package / "moved.py")
    with pytest.raises(ModelError, match=f"no module '{package.name}.net' in this folder or environment"):
        earmark.load(run)


def test_the_command_prints_every_check(package, capsys):
    main(["check-model", f"{package.name}.net:create", "--no-onnx"])
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 10 and all(line.startswith("ok ") for line in printed)
    (package / "wide.py").write_text(
        "from torch import nn\n\ndef fixed(k, m):\n    return nn.Sequential(nn.Flatten(), nn.Linear(m * 101, k))\n",
        encoding="utf-8",
    )
    with pytest.raises(SystemExit) as ended:
        main(["check-model", f"{package.name}.wide:fixed", "--no-onnx"])
    assert ended.value.code == 1
    assert "FAILED  any width: 16 frames: RuntimeError" in capsys.readouterr().out


def test_a_network_that_cannot_be_exported_is_one_line_and_a_failed_one_is_not_tried(package, capfd):
    (package / "odd.py").write_text(
        "from torch import nn\n\nclass Net(nn.Module):\n"
        "    def __init__(self, k, m):\n        super().__init__()\n        self.head = nn.Linear(m, k)\n"
        "    def forward(self, x):\n        x = x.mean((1, 3))\n"
        "        return self.head(x * float(x.max()) if x.sum() > 1e9 else x)\n\n"
        "def wrong(k, m):\n    return nn.Sequential(nn.Flatten(), nn.Linear(7, k))\n",
        encoding="utf-8",
    )
    level = logging.getLogger("torch").level
    main(["check-model", f"{package.name}.odd:Net"])
    assert logging.getLogger("torch").level == level, "PyTorch says what it has to say afterwards"
    printed = capfd.readouterr()
    assert "ONNX export: not possible (" in printed.out.splitlines()[-1] and printed.err == ""
    with pytest.raises(SystemExit):
        main(["check-model", f"{package.name}.odd:wrong"])
    printed = capfd.readouterr()
    assert len(printed.out.splitlines()) == 1 and printed.err == "", "what fails at once is not exported"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import sys\ndef create(a, b): sys.exit(0)", "SystemExit: 0"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("class E(Exception):\n  def __str__(self): raise ValueError\ndef create(a, b): raise E", "without a message"),
    ],
)
def test_code_that_exits_or_has_no_message_is_named(package, code, problem):
    (package / "bad.py").write_text(code, encoding="utf-8")
    with pytest.raises(ModelError, match=problem):
        create_model(f"{package.name}.bad:create", 2, 32)
