"""Ctrl-C and SIGTERM, the usual ends of `listen` and `serve`: one line, and nothing that was heard is lost."""

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals like these")
COMMAND = """import signal, sys
from earmark.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it
main(sys.argv[1:])"""


@contextmanager
def started(*arguments):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", COMMAND, *map(str, arguments)], **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_listen_answers_what_it_has_heard_and_says_one_line(onnx_file):
    with started("listen", onnx_file, "--sample-rate", 8000, "--hop", 0.2, "--json") as process:
        process.stdin.write(np.full(8000, 0.1, "<f4").tobytes())
        process.stdin.flush()
        heard = [process.stdout.readline() for _ in range(4)]
        time.sleep(0.5)  # it waits for samples
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    assert heard[3].startswith(b'{"start": 0.6, "end": 0.9')
    assert rest.startswith(b'{"start": 0.8, "end": 1.0')
    assert errors == b"listening at 8000 Hz; Ctrl-C stops\n\nearmark listen: stopped\n"
    assert process.returncode == 130


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_serve_says_where_it_is_and_that_it_was_stopped(onnx_file, sent, status):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with started("serve", onnx_file, "--port", port) as process:
        assert process.stdout.readline().decode() == f"serving model at http://127.0.0.1:{port}; Ctrl-C stops\n"
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10).close()
                break
            except OSError:
                time.sleep(0.1)
        process.send_signal(sent)
        _, errors = process.communicate(timeout=30)
    assert errors == b"\nearmark serve: stopped\n"
    assert process.returncode == status
