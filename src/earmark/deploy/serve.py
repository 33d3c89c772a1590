"""Load the models, listen, and stop in good order."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path

from earmark.deploy.info import DeployError
from earmark.deploy.model import load
from earmark.deploy.server import Limits, Server, name_models
from earmark.runtime.errors import missing_extra
from earmark.runtime.pool import cores
from earmark.runtime.schema import read_text

TOKEN_VARIABLE = "EARMARK_TOKEN"
STOP_SECONDS = 10
"""How long a stop waits for answers that are being sent."""


def run_server(paths: Sequence[Path], limits: Limits, host: str, port: int, token: str, page: Path | None) -> None:
    """Serve until interrupted.

    Raises:
        DeployError: there is no model, a file is no exported model, or the server is not installed.
    """
    try:
        import uvicorn
    except ImportError:
        raise DeployError(missing_extra("uvicorn", "serve")) from None
    if not paths:
        raise DeployError("models: name at least one exported file")
    _check_address(host, port)
    text = read_text(page) if page else ""
    threads = max(1, cores() // limits.concurrency)
    models = name_models(paths, [load(path, threads=threads) for path in paths])
    server = Server(models, limits, token or os.environ.get(TOKEN_VARIABLE, ""), text)
    shown_host = f"[{host}]" if ":" in host else host
    print(f"serving {', '.join(models)} at http://{shown_host}:{port}; Ctrl-C stops", flush=True)
    config = uvicorn.Config(
        server.app(),
        host,
        port,
        log_level="warning",
        server_header=False,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    uvicorn.Server(config).run()  # uvicorn.run would hide how it was stopped


def _check_address(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on, before a model is loaded."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise DeployError(f"host = {host!r}, port = {port}: {error.strerror}; give another port or host") from None
