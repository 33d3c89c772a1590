"""The OpenAPI description of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import earmark

REFUSALS = {
    "400": "no file, an empty one, or a parameter that cannot be used",
    "401": "no token, or a wrong one",
    "404": "no such model",
    "408": "the upload took too long",
    "413": "the file is too large, or the recording too long",
    "422": "not audio, or audio that cannot be used",
    "503": "too many requests at the moment",
    "507": "no space for the recording",
}


def openapi_description(models: Sequence[str]) -> dict[str, Any]:
    """OpenAPI 3.1 as plain data."""
    number = {"type": "number"}
    top = {"type": "object", "properties": {"label": {"type": "string"}, "probability": number}}
    answer = {
        "type": "object",
        "required": ["label", "probability", "silent", "level_dbfs", "top"],
        "properties": {
            "label": {"type": "string"},
            "probability": number,
            "silent": {"type": "boolean", "description": "too quiet: the probabilities mean nothing"},
            "level_dbfs": number,
            "unknown_score": {"type": "number", "description": "distance to all training clips; not in every model"},
            "unknown": {"type": "boolean", "description": "silent, or beyond the threshold: none of the classes"},
            "top": {"type": "array", "items": top},
        },
    }
    parameters = [
        _parameter("model", "which model", {"type": "string", "enum": list(models)}),
        _parameter("top_k", "how many classes are listed", {"type": "integer", "minimum": 1, "default": 5}),
        _parameter("hop", "seconds between windows: one JSON line for each", {"type": "number", "minimum": 0.01}),
    ]
    binary = {"schema": {"type": "string", "format": "binary"}}
    form = {"schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}}
    refusals = {status: _refusal(text) for status, text in REFUSALS.items()}
    predict = {
        "summary": "Classify an audio file",
        "parameters": parameters,
        "requestBody": {"required": True, "content": {"audio/*": binary, "multipart/form-data": form}},
        "responses": {
            "200": {
                "description": "the answer, or with `hop` a line for each window",
                "content": {"application/json": {"schema": answer}, "application/x-ndjson": {}},
            },
            **refusals,
        },
    }
    plain = {"responses": {"200": {"description": "fine"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "earmark", "version": earmark.__version__},
        "paths": {
            "/predict": {"post": predict},
            "/healthz": {"get": {"summary": "Whether the server is alive", **plain}},
            "/metrics": {"get": {"summary": "Counters in Prometheus' text format", **plain}},
        },
    }


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _refusal(text: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"error": {"type": "string"}}}
    return {"description": text, "content": {"application/json": {"schema": schema}}}
