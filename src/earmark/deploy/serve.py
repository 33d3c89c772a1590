"""Load the models, listen, and stop in good order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from earmark.deploy.info import DeployError
from earmark.deploy.model import load
from earmark.deploy.server import Limits, Server, name_models
from earmark.runtime.pool import cores

TOKEN_VARIABLE = "EARMARK_TOKEN"


def run_server(paths: Sequence[Path], limits: Limits, host: str, port: int, token: str, page: Path | None) -> None:
    """Serve until interrupted.

    Raises:
        DeployError: there is no model, a file is no exported model, or the server is not installed.
    """
    try:
        import uvicorn
    except ImportError:
        raise DeployError("uvicorn is not installed; `pip install earmark[serve]` gets it") from None
    if not paths:
        raise DeployError("models: name at least one exported file")
    if limits.concurrency < 1 or limits.queue < 0:
        raise DeployError("concurrency is 1 or more, queue 0 or more")
    threads = max(1, cores() // limits.concurrency)
    models = name_models(paths, [load(path, threads=threads) for path in paths])
    text = page.read_text(encoding="utf-8") if page else ""
    server = Server(models, limits, token or os.environ.get(TOKEN_VARIABLE, ""), text)
    uvicorn.run(server.app(), host=host, port=port, log_level="warning", server_header=False, access_log=False)
