"""One small model, exported once."""

from pathlib import Path

import pytest

from deploy_audio import write_model


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """A run folder with a baseline CNN."""
    return write_model(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def exported(run_folder):
    """Its graphs."""
    from earmark.deploy.export import build_graphs
    from earmark.deploy.torch_engine import load_networks

    return build_graphs(load_networks(run_folder))


@pytest.fixture(scope="session")
def onnx_file(exported, tmp_path_factory) -> Path:
    """Its whole model as a file."""
    from earmark.deploy.export import write_onnx

    return write_onnx(exported, tmp_path_factory.mktemp("onnx") / "model.onnx")[0]
