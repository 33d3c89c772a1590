"""Classify audio files: predict."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from earmark.cli.arguments import OptionalPath, Paths, RequiredPath
from earmark.cli.errors import FOUND
from earmark.runtime.console import pluralize

if TYPE_CHECKING:
    from earmark.deploy.predict import Prediction


def predict(
    checkpoint: RequiredPath,
    paths: Paths,
    csv: OptionalPath = None,
    json: OptionalPath = None,
    device: str = "auto",
) -> int:
    """Classify audio files.

    Prints path, label and probability of each file. Exit status 1 if a file could not be read.

    Example: earmark predict runs/esc10/base-fold1-seed42 recordings/ --csv predictions.csv

    Args:
        checkpoint: A .safetensors file or a run folder, whose id may be left out.
        paths: Audio files or folders of them.
        csv: Write all class probabilities to this CSV file.
        json: Write all class probabilities to this JSON file.
        device: Device to run on: auto, cpu or cuda.
    """
    from earmark.deploy import predict as deploy
    from earmark.training.checkpoint import load_checkpoint
    from earmark.training.loop import select_device

    model, metadata = load_checkpoint(checkpoint)
    predictions = []
    for prediction in deploy.predict(model.to(select_device(device)), metadata, deploy.find_audio(paths)):
        predictions.append(prediction)
        _print_prediction(prediction, metadata.class_names)
    if csv:
        deploy.write_predictions_csv(csv, predictions, metadata.class_names)
    if json:
        deploy.write_predictions_json(json, predictions, metadata.class_names)
    bad = sum(1 for prediction in predictions if prediction.error)
    if not bad:
        return 0
    print(f"earmark predict: {bad} of {pluralize(len(predictions), 'file')} could not be read", file=sys.stderr)
    return FOUND


def _print_prediction(prediction: Prediction, class_names: Sequence[str]) -> None:
    if prediction.error:
        print(f"error: {prediction.error}", file=sys.stderr)
        return
    label, probability = prediction.best(class_names)
    print(f"{prediction.path}\t{label}\t{probability:.4f}")
