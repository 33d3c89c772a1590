"""Commands on published models: card, push."""

from __future__ import annotations

from typing import Annotated

import tyro

from earmark.cli.arguments import ModelPath, OptionalOutput


def card(model: ModelPath, output: OptionalOutput = None) -> None:
    """Write the model card of a run or model.

    Markdown with the metadata that the Hugging Face hub reads.

    Example: earmark card runs/esc10/base-fold1-seed42

    Args:
        model: A run folder, a checkpoint or a model folder.
        output: The file; defaults to README.md beside the model.
    """
    from earmark.deploy.card import CARD_FILE, check_own_card
    from earmark.deploy.hub import model_card, model_folder
    from earmark.runtime.files import write_text

    output = output or model_folder(model) / CARD_FILE
    check_own_card(output)
    write_text(output, model_card(model))
    print(output)


def push(
    model: ModelPath,
    repository: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="REPOSITORY")],
    public: bool = False,
) -> None:
    """Upload a run or model to the Hugging Face hub.

    Its weights, description and card; no recordings and no predictions. Log in with `hf auth login` first.

    Example: earmark push model user/my-sounds

    Args:
        model: A run folder, a checkpoint or a model folder.
        repository: USER/NAME; created if it does not exist.
        public: Create it public instead of private.
    """
    from earmark.deploy.hub import push as upload

    print(upload(model, repository, public))
    print(f"to use it: earmark predict hf:{repository} new-recordings/")
