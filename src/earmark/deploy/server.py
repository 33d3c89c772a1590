"""A server for exported models: `POST /predict` with a file or raw bytes, JSON back; ONNX Runtime only, no torch.

Requests are decoded and scored in threads; at most `concurrency` at a time, and `queue` more may wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import earmark
from earmark.audio.io import AudioError, audio_info
from earmark.deploy.info import DeployError
from earmark.deploy.metrics import Metrics
from earmark.deploy.model import Answer, Model, TooLongError
from earmark.deploy.openapi import openapi_description
from earmark.deploy.tables import answer_content, window_json
from earmark.runtime.errors import missing_extra

try:
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route
except ImportError:
    raise DeployError(missing_extra("starlette", "serve")) from None

LOG = logging.getLogger("earmark")
PARAMETERS = ("model", "top_k", "hop")
"""Of /predict."""


@dataclass(frozen=True)
class Limits:
    """What a server accepts."""

    max_megabytes: float = 64.0
    """Largest upload."""
    max_seconds: float = 3600.0
    """Longest recording."""
    timeout_seconds: float = 60.0
    """Longest time for the upload, and for an answer without windows."""
    concurrency: int = 2
    """Requests that are scored at the same time."""
    queue: int = 64
    """Requests that may wait besides; further ones get 503."""


class RequestError(Exception):
    """A request that is answered with a 4xx or 503 and one line."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class WindowLines(StreamingResponse):
    """Lines of JSON; what is in `at_end` is called at the end, also when the client goes away before the first line."""

    def __init__(self, lines: AsyncIterator[str], finish: Callable[[], None]) -> None:
        super().__init__(lines, media_type="application/x-ndjson")
        self.at_end = [finish]

    async def __call__(self, *arguments: Any) -> None:
        """Send the lines."""
        try:
            with contextlib.suppress(asyncio.CancelledError):  # the server stops
                await super().__call__(*arguments)
        finally:
            for finish in self.at_end:
                finish()


class Server:
    """What the routes use: models, limits and counters."""

    def __init__(self, models: Mapping[str, Model], limits: Limits, token: str = "", page: str = "") -> None:
        self.models, self.limits, self.page = dict(models), limits, page
        self.metrics = Metrics()
        self._token = token.encode()
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._waiting = 0

    def app(self) -> Starlette:
        """The application."""
        routes = [
            Route("/", self.index),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/healthz", self.health),
            Route("/metrics", self.metrics_text),
            Route("/openapi.json", self.openapi),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _refuse})

    async def index(self, request: Request) -> Response:
        """The page, or a sentence on how to ask."""
        if self.page:
            return HTMLResponse(self.page)
        return PlainTextResponse(f"earmark {earmark.__version__}: POST audio to /predict; see /openapi.json\n")

    async def health(self, request: Request) -> Response:
        """Alive, and with which models."""
        return JSONResponse({"status": "ok", "models": list(self.models)})

    async def openapi(self, request: Request) -> Response:
        """The description of the interface."""
        return JSONResponse(openapi_description(list(self.models)))

    async def metrics_text(self, request: Request) -> Response:
        """Counters in Prometheus' text format."""
        return PlainTextResponse(self.metrics.text(self._waiting))

    async def predict(self, request: Request) -> Response:
        """Score the audio of the body."""
        started = time.perf_counter()
        try:
            response = await self._predict(request)
        except RequestError as refusal:
            response = _refused(refusal)
        except ClientDisconnect:
            response = _refused(RequestError(400, "the upload ended early"))
        except OSError as error:  # no space, or no permission, where uploads are stored
            LOG.error("an upload cannot be stored: %s", error)
            response = _refused(RequestError(507, "the server cannot store the recording; try again later"))

        def count() -> None:
            self.metrics.count(response.status_code, time.perf_counter() - started)

        if isinstance(response, WindowLines):
            response.at_end.append(count)
        else:
            count()
        return response

    async def _predict(self, request: Request) -> Response:
        self._check_token(request)
        if unknown := [name for name in request.query_params if name not in PARAMETERS]:
            raise RequestError(400, f"{unknown[0]!r}: no such parameter; choose from {', '.join(PARAMETERS)}")
        model = self._model(request)
        top_k, hop_seconds = _number(request, "top_k", 5, 1, 1000), _number(request, "hop", 0.0, 0.01, 3600.0)
        if self._waiting >= self.limits.queue + self.limits.concurrency:
            raise RequestError(503, "too many requests are waiting; try again later")
        self._waiting += 1
        path = response = None
        try:
            path = await self._receive_in_time(request)
            response = await self._answer(model, path, int(top_k), hop_seconds)
            return response
        finally:
            if not isinstance(response, WindowLines):
                self._finish(path)

    async def _answer(self, model: Model, path: Path, top_k: int, hop_seconds: float) -> Response:
        """Score an uploaded file."""
        try:
            await run_in_threadpool(_check_length, path, self.limits.max_seconds)
            if hop_seconds:
                return WindowLines(self._lines(model, path, hop_seconds), partial(self._finish, path))
            work = partial(model.predict, path, warn_if_long=False)  # the length is in the hands of the client
            async with asyncio.timeout(self.limits.timeout_seconds):
                return JSONResponse(answer_json(await self._in_slot(work), top_k))
        except TimeoutError:
            raise RequestError(503, f"the answer took longer than {self.limits.timeout_seconds:g} s") from None
        except TooLongError as error:
            remedy = "add the parameter hop=SECONDS for one answer per window"
            raise RequestError(422, f"{_without_path(error.problem, path)}; {remedy}") from None
        except (AudioError, DeployError) as error:
            raise RequestError(422, _without_path(error, path)) from None

    async def _in_slot(self, work: Callable[[], Answer]) -> Answer:
        """The result of `work` in a thread, whose slot is free when it ends: a timeout does not end a thread."""
        await self._slots.acquire()
        scoring = asyncio.ensure_future(run_in_threadpool(work))

        def free(done: asyncio.Future[Answer]) -> None:
            self._slots.release()
            if not done.cancelled():
                done.exception()  # nobody asks for it after a timeout

        scoring.add_done_callback(free)
        return await asyncio.shield(scoring)

    async def _lines(self, model: Model, path: Path, hop_seconds: float) -> AsyncIterator[str]:
        """One line of JSON per window; an error in the middle of a file is the last line.

        Each window takes a slot of its own, so that a client who reads slowly holds up nobody else.
        """
        windows = model.predict_windows(path, hop_seconds=hop_seconds)
        try:
            while True:
                async with self._slots:
                    window = await run_in_threadpool(next, windows, None)
                if window is None:
                    return
                yield window_json(window) + "\n"
        except (AudioError, DeployError) as error:
            yield json.dumps({"error": _without_path(error, path)}) + "\n"

    def _finish(self, path: Path | None) -> None:
        self._waiting -= 1
        if path is not None:
            path.unlink(missing_ok=True)

    def _check_token(self, request: Request) -> None:
        if not self._token:
            return
        given = request.headers.get("authorization", "").removeprefix("Bearer ").encode("latin-1")  # as they were sent
        if not hmac.compare_digest(given, self._token):
            raise RequestError(401, "give the token as `Authorization: Bearer TOKEN`")

    def _model(self, request: Request) -> Model:
        name = request.query_params.get("model", next(iter(self.models)))
        if name not in self.models:
            raise RequestError(404, f"model = {name!r}: no such model; choose from {', '.join(self.models)}")
        return self.models[name]

    async def _receive_in_time(self, request: Request) -> Path:
        try:
            async with asyncio.timeout(self.limits.timeout_seconds):
                return await self._receive(request)
        except TimeoutError:
            raise RequestError(408, f"the upload took longer than {self.limits.timeout_seconds:g} s") from None

    async def _receive(self, request: Request) -> Path:
        """The body, or the first file of a form, as a temporary file."""
        limit = int(self.limits.max_megabytes * 1e6)
        if int(request.headers.get("content-length") or 0) > limit:
            raise self._too_large()
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            return await self._receive_form(request, limit)
        return await _spool(request.stream(), limit, self._too_large())

    async def _receive_form(self, request: Request, limit: int) -> Path:
        from starlette.datastructures import UploadFile

        if "content-length" not in request.headers:
            raise RequestError(411, "a form needs a Content-Length; or send the file as the raw body")
        try:
            async with request.form(max_files=1, max_fields=10) as form:
                file = next((value for value in form.values() if isinstance(value, UploadFile)), None)
                if file is None:
                    raise RequestError(400, "the form holds no file; send it as field `file`")
                return await _spool(_chunks(file), limit, self._too_large())
        except HTTPException as error:
            raise RequestError(400, str(error.detail)) from None

    def _too_large(self) -> RequestError:
        return RequestError(413, f"the file is larger than {self.limits.max_megabytes:g} MB")


async def _refuse(request: Request, error: Exception) -> Response:
    """What is said of another path or method."""
    assert isinstance(error, HTTPException), "it handles no others"
    message = f"{request.method} {request.url.path}: {error.detail}; POST audio to /predict, see /openapi.json"
    return JSONResponse({"error": message}, status_code=error.status_code, headers=error.headers)


async def _chunks(file: Any) -> AsyncIterator[bytes]:
    while chunk := await file.read(1 << 16):
        yield chunk


async def _spool(chunks: AsyncIterator[bytes], limit: int, too_large: RequestError) -> Path:
    """Chunks as a temporary file; no more than `limit` bytes are ever written."""
    size = 0
    with tempfile.NamedTemporaryFile(prefix="earmark-", delete=False) as file:
        path = Path(file.name)
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise too_large
                file.write(chunk)
            if not size:
                raise RequestError(400, "the body is empty; send an audio file")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return path


def _check_length(path: Path, max_seconds: float) -> None:
    """Refuse what is no audio, or too long, by its header."""
    duration = audio_info(path).duration
    if duration > max_seconds:
        raise RequestError(413, f"the recording has {duration:.0f} s, more than {max_seconds:g} s")


def answer_json(answer: Answer, top_k: int) -> dict[str, Any]:
    """An answer as plain data."""
    top = [{"label": label, "probability": round(p, 6)} for label, p in answer.top(top_k)]
    return answer_content(answer) | {"top": top}


def _without_path(error: Exception | str, path: Path) -> str:
    """The message without the name of the temporary file."""
    return str(error).replace(f"audio {path}", "the audio").replace(str(path), "the audio")


def _number(request: Request, name: str, default: float, low: float, high: float) -> float:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise RequestError(400, f"{name} = {text!r}: give a number from {low:g} to {high:g}")
    return value


def _refused(refusal: RequestError) -> Response:
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}.get(refusal.status)
    return JSONResponse({"error": refusal.message}, refusal.status, headers)


def name_models(paths: Sequence[Path], models: Sequence[Model]) -> dict[str, Model]:
    """Models by the names of their files, without the ending.

    Raises:
        DeployError: two have one name.
    """
    named = {path.name.removesuffix(".onnx"): model for path, model in zip(paths, models, strict=True)}
    if len(named) < len(paths):
        raise DeployError("two models have one name; rename a file")
    return named
