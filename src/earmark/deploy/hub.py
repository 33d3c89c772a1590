"""The Hugging Face hub: push a run or a model, load `hf:REPO`. Needs the extra `hub`.

Only safetensors and JSON are uploaded and downloaded, so that nothing is ever unpickled.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from earmark.analysis.classes import score_as_it_is
from earmark.analysis.records import RunRecord, read_runs
from earmark.deploy.card import CARD_FILE, format_card
from earmark.deploy.info import DeployError, ExpectedScore
from earmark.deploy.provenance import describe_provenance
from earmark.deploy.remote import import_hub
from earmark.deploy.torch_engine import MODEL_FILE, describe_checkpoint, model_files
from earmark.runtime.errors import first_line
from earmark.runtime.files import write_text
from earmark.training.checkpoint import load_checkpoint, publish_checkpoint
from earmark.training.checkpoint_files import checkpoint_of


def model_card(path: Path, name: str = "") -> str:
    """The card of a run, a checkpoint or a model folder, as Markdown.

    Raises:
        CheckpointError: there is no checkpoint.
        DeployError: the model cannot take audio, or the model folder has no card.
    """
    if (path / MODEL_FILE).is_file():
        card = path / CARD_FILE
        if not card.is_file():
            raise DeployError(f"{card}: not found; finalize the suite again, which writes it")
        return card.read_text(encoding="utf-8")
    file = checkpoint_of(path)
    info = describe_checkpoint(file, load_checkpoint(file)[1])
    folder = file.parent
    if not (folder / "result.json").is_file():
        return format_card(info, name or file.stem)
    (record,) = read_runs(folder)
    info = info if record.imported else replace(info, expected_score=_score(record))
    return format_card(info, name or folder.resolve().name, provenance=describe_provenance([record]))


def _score(record: RunRecord) -> ExpectedScore:
    """The accuracy of a run on its test clips, with its 95 % interval over their groups."""
    value, low, high = score_as_it_is(record, "accuracy")
    subset, fold, n_groups = record.result["reported_subset"], record.config.fold, len(set(record.groups))
    source = f"the {subset} clips of fold {fold} in {n_groups} groups, which this network was not trained on"
    return ExpectedScore("accuracy", value, len(record.clip_ids), low, high, source)


def model_folder(path: Path) -> Path:
    """The folder of a run, a checkpoint or a model."""
    return path if (path / MODEL_FILE).is_file() else checkpoint_of(path).parent


def push(path: Path, repository: str, public: bool = False) -> str:
    """Upload a run (its selected weights, result and card) or a model folder to the hub; returns its address.

    Args:
        repository: `user/name`; it is created if it does not exist.
        public: create it public instead of private.

    Raises:
        DeployError: the hub cannot be reached, or refuses.
    """
    check_repository(repository)
    hub = import_hub()
    with tempfile.TemporaryDirectory(prefix="earmark-") as staged:
        stage(path, Path(staged), repository.rpartition("/")[2])
        try:
            api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
            api.create_repo(repository, private=not public, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=staged, commit_message="Upload a model of earmark")
        except Exception as error:  # of the network, the hub and its client
            raise DeployError(f"push {repository}: {first_line(error)}; log in with `hf auth login`") from None
    return f"{api.endpoint}/{repository}"


def check_repository(repository: str) -> None:
    """Raise `DeployError` unless the name is that of a repository."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise DeployError(f"repository = {repository!r}: give user/name")


def stage(path: Path, folder: Path, name: str) -> None:
    """Copy what is uploaded into a folder: weights without the optimizer's state, description, card."""
    write_text(folder / CARD_FILE, model_card(path, name))
    if (path / MODEL_FILE).is_file():
        for file in model_files(path):
            shutil.copy(file, folder)
        return
    file = checkpoint_of(path)
    publish_checkpoint(file, folder / "best.safetensors")
    if (file.parent / "result.json").is_file():
        shutil.copy(file.parent / "result.json", folder)
