"""A hub on this machine: as much of the Hugging Face API as an upload and a download need."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "a" * 40


@dataclass
class Hub:
    """Its only repository."""

    files: dict[str, bytes] = field(default_factory=dict)
    created: dict = field(default_factory=dict)
    downloaded: list[str] = field(default_factory=list)
    address: str = ""


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *args):
        pass

    def _send(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, content: object, status: int = 200) -> None:
        self._send(status, json.dumps(content).encode(), Content_Type="application/json")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path == "/api/repos/create":
            self.hub.created = json.loads(body)
            self._json({"url": f"{self.hub.address}/me/sounds", "name": "me/sounds"})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            self._json({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]})
        elif "/commit/" in self.path:
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.hub.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            self._json({"commitUrl": f"{self.hub.address}/me/sounds/commit/{COMMIT}", "commitOid": COMMIT})
        else:
            self._json({}, 200)

    def do_GET(self):
        found = re.search(r"/resolve/\w+/([^?]+)", self.path)
        if "/me/sounds" not in self.path:
            self._send(404, b"", X_Error_Code="RepoNotFound", X_Error_Message="Repository Not Found")
        elif found:
            content = self.hub.files[found[1]]
            if self.command == "GET":
                self.hub.downloaded.append(found[1])
            self._send(200, content, ETag=f'"{hash(content):x}"', X_Repo_Commit=COMMIT)
        elif "/tree/" in self.path:
            self._json([{"type": "file", "path": p, "size": len(c), "oid": "0"} for p, c in self.hub.files.items()])
        else:
            names = [{"rfilename": name} for name in self.hub.files]
            self._json({"id": "me/sounds", "modelId": "me/sounds", "sha": COMMIT, "siblings": names, "tags": []})

    do_HEAD = do_GET  # noqa: N815 (the name that the server calls)


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """An empty hub."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
