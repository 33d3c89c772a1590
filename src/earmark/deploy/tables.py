"""Answers as CSV and as JSON lines, one row for a file or for each window of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from typing import Any, TextIO

from earmark.deploy.model import Answer, WindowAnswer
from earmark.deploy.predict import Prediction

COLUMNS = ("path", "start", "end", "prediction", "probability", "error", "level_dbfs", "silent")
UNKNOWN_COLUMNS = ("unknown_score", "unknown")


class CsvTable:
    """Rows of a CSV: time, prediction, level and unknown score, then the probability of every class."""

    def __init__(self, file: TextIO, class_names: Sequence[str], say_unknown: bool = False) -> None:
        self._writer, self._n_classes, self._say_unknown = csv.writer(file), len(class_names), say_unknown
        self._writer.writerow([*COLUMNS, *UNKNOWN_COLUMNS, *(f"prob:{name}" for name in class_names)])

    def write(self, prediction: Prediction) -> None:
        """One row; an error has no numbers."""
        answer, path = prediction.answer, prediction.path.as_posix()
        if answer is None:
            self._writer.writerow([path, *[""] * 4, prediction.error, *[""] * (4 + self._n_classes)])
            return
        label = answer.label_or_unknown() if self._say_unknown else answer.label
        cells = [path, f"{answer.start:.4f}", f"{answer.end:.4f}", label, f"{answer.probability:.6g}", ""]
        score = answer.unknown_score
        unknown = ["", ""] if score is None else [f"{score:.6f}", str(int(answer.unknown))]
        cells += [f"{answer.level_dbfs:.1f}", str(int(answer.silent)), *unknown]
        self._writer.writerow([*cells, *(f"{p:.9g}" for p in answer.probs)])


class JsonLines:
    """Lines of JSON with the same content."""

    def __init__(self, file: TextIO, say_unknown: bool = False) -> None:
        self._file, self._say_unknown = file, say_unknown

    def write(self, prediction: Prediction) -> None:
        """One line."""
        content: dict[str, Any] = {"path": prediction.path.as_posix()}
        if prediction.answer is None:
            content["error"] = prediction.error
        else:
            content |= window_content(prediction.answer, self._say_unknown)
        self._file.write(json.dumps(content, ensure_ascii=False) + "\n")


def window_json(window: WindowAnswer, say_unknown: bool = False) -> str:
    """The answer for a window as one line of JSON."""
    return json.dumps(window_content(window, say_unknown), ensure_ascii=False)


def window_content(window: WindowAnswer, say_unknown: bool = False) -> dict[str, Any]:
    """The answer for a window as plain data."""
    return {
        "start": round(window.start, 4),
        "end": round(window.end, 4),
        **answer_content(window, say_unknown),
        "probs": {name: round(float(p), 6) for name, p in zip(window.class_names, window.probs, strict=True)},
    }


def answer_content(answer: Answer, say_unknown: bool = False) -> dict[str, Any]:
    """Label, probability, level and unknown score as plain data."""
    score = answer.unknown_score
    return {
        "label": answer.label_or_unknown() if say_unknown else answer.label,
        "probability": round(answer.probability, 6),
        "level_dbfs": round(answer.level_dbfs, 1),
        "silent": answer.silent,
        **({} if score is None else {"unknown_score": round(score, 6), "unknown": answer.unknown}),
    }
