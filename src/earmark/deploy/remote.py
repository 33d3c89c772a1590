"""Models named `hf:REPO`: their files from the Hugging Face hub. Needs the extra `hub`."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

from earmark.deploy.info import DeployError
from earmark.models.prefixes import HUB, is_external
from earmark.runtime.errors import first_line, missing_extra

FILES = ("*.safetensors", "model.json", "result.json")
"""What a model consists of: tensors and JSON. Nothing else is downloaded."""
OF_EARMARK = ("model.json", "best.safetensors", "last.safetensors")
"""One of these files is in every model of earmark."""


def local_path(path: str | Path) -> Path:
    """The path itself; for `hf:REPO` or `hf:REPO@REVISION` the folder of its files, downloaded if they are not cached.

    Raises:
        DeployError: it is no path, the extra `hub` is not installed, there is no such repository, it cannot be
            reached, it holds no model of earmark, or the name is that of a local folder or of a backbone.
    """
    if not isinstance(path, str | os.PathLike):
        raise DeployError(f"model of type {type(path).__name__}: give the path of a model or run, or hf:REPO")
    name = Path(path).as_posix()
    if is_external(name):
        raise DeployError(
            f"{name}: is a frozen backbone, for model.name of a probe and for `earmark embed`; "
            "give a run folder, a model folder, a checkpoint, an exported .onnx file or hf:REPO"
        )
    if not name.startswith(HUB):
        return Path(path)
    repository, _, revision = name.removeprefix(HUB).partition("@")
    if Path(repository).exists():
        raise DeployError(
            f"{name}: {HUB} is a repository of the Hugging Face hub, and {repository} is on this machine; leave {HUB} "
            "out for a model of earmark, write transformers: instead for a backbone"
        )
    hub = import_hub()
    try:
        folder = hub.snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=list(FILES),
            endpoint=os.environ.get("HF_ENDPOINT"),
            library_name="earmark",
        )
    except hub.errors.LocalEntryNotFoundError:  # whatever the network, the hub or its client said
        remedy = f"go online once, or copy its files to this machine and give their folder instead of {name}"
        raise DeployError(f"{name}: the hub cannot be reached, and the model is not cached here; {remedy}") from None
    except Exception as error:  # of the hub and its client
        remedy = "check the name, go online, or log in with `hf auth login`"
        raise DeployError(f"{name}: {first_line(error)}; {remedy}") from None
    if not any((Path(folder) / file).is_file() for file in OF_EARMARK):
        raise DeployError(
            f"{name}: holds no model of earmark ({', '.join(OF_EARMARK)}); for a network of transformers: "
            f"`hf download {repository} --local-dir FOLDER`, then model.name = 'transformers:FOLDER' in a probe"
        )
    return Path(folder)


def import_hub() -> ModuleType:
    """The package huggingface_hub.

    Raises:
        DeployError: it is not installed.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise DeployError(missing_extra("huggingface_hub", "hub")) from None
    module: ModuleType = huggingface_hub
    return module
