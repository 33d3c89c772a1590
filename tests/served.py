"""A server on this machine that can misbehave, and zip archives to serve."""

import io
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What the server sends, and what it has been asked for."""

    content: bytes
    etag: str = '"v1"'
    ranges: bool = True
    chunked: bool = False
    stop_after: list[int] = field(default_factory=list)
    """Bytes after which the connection is cut, one for each request; the later ones are whole."""
    status: int = 200
    wrong_range: bool = False
    asked: list[str | None] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        served = self.server.served
        served.asked.append(self.headers["Range"])
        if served.status != 200:
            return self.send_error(served.status)
        first = self.first_byte(served)
        if first is None:
            return self.send_error(416)
        return self.send_content(served, served.content[first:], first)

    def first_byte(self, served):
        asked = self.headers["Range"]
        if not asked or not served.ranges or self.headers["If-Range"] != served.etag:
            return 0
        first = int(asked.removeprefix("bytes=").removesuffix("-"))
        return first if first < len(served.content) else None

    def send_content(self, served, body, first):
        self.send_response(206 if first else 200)
        self.send_header("ETag", served.etag)
        if first:
            shown = first + served.wrong_range
            last = len(served.content) - 1
            self.send_header("Content-Range", f"bytes {shown}-{last}/{last + 1}")
        length = ("Transfer-Encoding", "chunked") if served.chunked else ("Content-Length", str(len(body)))
        self.send_header(*length)
        self.end_headers()
        cut = served.stop_after.pop(0) if served.stop_after else len(body)
        part = body[:cut]
        if served.chunked:
            part = b"%x\r\n%b\r\n" % (len(part), part) + (b"0\r\n\r\n" if cut == len(body) else b"")
        self.wfile.write(part)
        self.close_connection = True


@contextmanager
def serve(served: Served):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.served = served
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/archive.zip"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def zipped(files: dict[str | zipfile.ZipInfo, bytes], method=zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
