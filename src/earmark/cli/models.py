"""Verbs on networks: models, predict."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from earmark.cli.arguments import Given, Names, Paths
from earmark.config.sections import ConfigError


def predict(
    checkpoint: Given,
    paths: Paths,
    csv: Path | None = None,
    json: Path | None = None,
    device: str = "auto",
) -> None:
    """Label and probability of every file; bad files get a line each and exit status 2.

    Example: earmark predict runs/esc10/base-fold1-seed42 recordings/ --csv predictions.csv

    Args:
        checkpoint: A .safetensors file or a run folder, whose id may be left out.
        paths: Audio files, or folders of them.
        csv: Write all class probabilities to this CSV file.
        json: Write all class probabilities to this JSON file.
        device: Where to compute: auto, cpu, cuda.
    """
    from earmark.deploy import predict as road
    from earmark.training.checkpoint import load_checkpoint
    from earmark.training.loop import select_device

    model, header = load_checkpoint(checkpoint)
    found = road.find_audio(paths)
    predictions = []
    for prediction in road.predict(model.to(select_device(device)), header, found):
        predictions.append(prediction)
        _print_prediction(prediction, header.class_names)
    if csv:
        road.write_predictions_csv(csv, predictions, header.class_names)
    if json:
        road.write_predictions_json(json, predictions, header.class_names)
    bad = sum(1 for prediction in predictions if prediction.error)
    if bad:
        raise ConfigError(f"{bad} of {len(predictions)} files could not be read, see above; the others are answered")


def _print_prediction(prediction: Any, class_names: Sequence[str]) -> None:
    if prediction.error:
        print(f"error: {prediction.error}", file=sys.stderr)
        return
    label, probability = prediction.best(class_names)
    print(f"{prediction.path}\t{label}\t{probability:.4f}")


def models(
    names: Names = (), attention: str = "none", placement: Literal["block", "stage"] = "block", n_classes: int = 50
) -> None:
    """List the networks with their parameters and MACs for one image of 128 x 431.

    Example: earmark models resnet50 baseline_cnn --attention se

    Args:
        names: Networks; all if none is named. Any of timm's goes as timm/<name>.
        attention: Attention block to count in.
        placement: Where the block sits.
        n_classes: Number of classes.
    """
    from earmark.models.attention import ATTENTION
    from earmark.models.registry import MODELS
    from earmark.models.create import model_table

    rows = model_table(names or tuple(MODELS), n_classes, attention=attention, placement=placement)
    print(f"{'name':<14}{'parameters':>12}{'MACs':>15}  weights")
    for row in rows:
        weights = ", ".join((*row.weights, "a path"))
        print(f"{row.name:<14}{row.n_parameters / 1e6:>10.2f} M{row.macs / 1e9:>13.2f} G  {weights}")
        print(f"{'':<14}{row.summary}")
    print(f"\nattention: {', '.join(ATTENTION)}")
