"""Mixed load on `earmark serve`: failed requests, latency, and the memory of the server before and after.

Clients send clips as raw bodies and as forms, a long recording whose windows are streamed back, and what has to be
refused: noise that is no audio, empty bodies, and uploads that break off. Linux only, for the memory.

    python benchmarks/serve_load.py model.onnx --clips ../shared/data/ESC-10/audio --minutes 30

Exits with 1 when a valid request fails, a bad one is not refused, or memory grows by more than 5 %.
"""

from __future__ import annotations

import argparse
import http.client
import io
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

WARM_UP = 0.2
"""Share of the time after which memory is taken the first time: threads and buffers have their sizes by then."""
MOST_GROWTH = 0.05
LONG_SECONDS = 60


@dataclass
class Tally:
    """What the clients have seen; they share it."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, seconds: float, problem: str) -> None:
        """One request."""
        with self.lock:
            self.seconds.setdefault(kind, []).append(seconds)
            if problem:
                self.wrong[f"{kind}: {problem}"] += 1


class Client:
    """Requests to one server, each on a connection of its own."""

    def __init__(self, port: int, clips: list[bytes], long_wav: bytes, seed: int) -> None:
        self.port, self.clips, self.long_wav = port, clips, long_wav
        self.random = random.Random(seed)
        self.kinds: dict[str, tuple[Callable[[], str], int]] = {
            "clip": (self.clip, 12), "form": (self.form, 4), "windows": (self.windows, 1),
            "no audio": (self.no_audio, 2), "empty": (self.empty, 1), "broken off": (self.broken_off, 1),
        }  # fmt: skip

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def clip(self) -> str:
        status, body = self.post("/predict?top_k=3", self.random.choice(self.clips))
        return "" if status == 200 and b'"top"' in body else f"status {status}"

    def form(self) -> str:
        edge = "earmark-boundary"
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="a.ogg"\r\n\r\n'.encode()
        body = head + self.random.choice(self.clips) + f"\r\n--{edge}--\r\n".encode()
        status, _ = self.post("/predict", body, {"Content-Type": f"multipart/form-data; boundary={edge}"})
        return "" if status == 200 else f"status {status}"

    def windows(self) -> str:
        status, body = self.post("/predict?hop=2.5", self.long_wav)
        n_lines = body.count(b"\n")
        return "" if status == 200 and n_lines >= LONG_SECONDS / 2.5 - 3 else f"status {status}, {n_lines} lines"

    def no_audio(self) -> str:
        status, _ = self.post("/predict", self.random.randbytes(5000))
        return "" if status == 422 else f"status {status}"

    def empty(self) -> str:
        status, _ = self.post("/predict", b"")
        return "" if status == 400 else f"status {status}"

    def broken_off(self) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + bytes(1000))
        return ""

    def run(self, until: float, pause: float, tally: Tally) -> None:
        """Requests in random order until the time is over."""
        names, weights = list(self.kinds), [weight for _, weight in self.kinds.values()]
        while time.monotonic() < until:
            (name,) = self.random.choices(names, weights)
            started = time.monotonic()
            try:
                problem = self.kinds[name][0]()
            except OSError as error:
                problem = type(error).__name__
            tally.add(name, time.monotonic() - started, problem)
            time.sleep(pause)


def resident_mb(pid: int) -> float:
    """Memory of a process that is in RAM."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def long_recording(clips: list[Path]) -> bytes:
    """Clips one after the other as a WAV."""
    samples, rate = soundfile.read(clips[0], dtype="float32")
    file = io.BytesIO()
    soundfile.write(file, np.resize(samples, LONG_SECONDS * rate), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def start(command: list[str], port: int) -> subprocess.Popen[bytes]:
    """The server, once it answers."""
    server = subprocess.Popen([*command, "--port", str(port)])
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return server
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the server does not answer")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two requests of a client")
    parser.add_argument(
        "--earmark", default="", help="another earmark, for example that of an environment without torch"
    )
    a = parser.parse_args()
    paths = sorted(p for p in a.clips.iterdir() if p.suffix in (".wav", ".ogg", ".flac"))[::10]
    clips, long_wav = [path.read_bytes() for path in paths], long_recording(paths)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [a.earmark] if a.earmark else [sys.executable, "-m", "earmark"]
    server = start([*command, "serve", str(a.model)], port)
    try:
        tally, first, last = load(a, port, server.pid, clips, long_wav)
    finally:
        server.terminate()
        server.wait()
    return print_tally(tally, first, last, a.minutes)


def load(a: argparse.Namespace, port: int, pid: int, clips: list[bytes], long_wav: bytes) -> tuple[Tally, float, float]:
    """What the clients saw, and the memory after the warm-up and at the end, each the mean of ten seconds."""
    tally, started = Tally(), time.monotonic()
    until = started + 60 * a.minutes
    clients = [Client(port, clips, long_wav, seed) for seed in range(a.clients)]
    threads = [threading.Thread(target=c.run, args=(until, a.pause, tally), daemon=True) for c in clients]
    print(f"memory at the start {resident_mb(pid):.0f} MB", flush=True)
    for thread in threads:
        thread.start()
    time.sleep(60 * a.minutes * WARM_UP)
    first = np.mean([(resident_mb(pid), time.sleep(1))[0] for _ in range(10)])
    print(f"memory after {a.minutes * WARM_UP:.1f} min {first:.1f} MB", flush=True)
    time.sleep(max(0.0, until - time.monotonic() - 10))
    last = np.mean([(resident_mb(pid), time.sleep(1))[0] for _ in range(10)])
    for thread in threads:
        thread.join(timeout=150)
    return tally, float(first), float(last)


def print_tally(tally: Tally, first: float, last: float, minutes: float) -> int:
    """The figures; 1 if something was wrong."""
    for kind, seconds in sorted(tally.seconds.items()):
        p50, p95 = np.percentile(seconds, [50, 95]) * 1e3
        print(f"{kind:<12}{len(seconds):>7} requests   p50 {p50:7.0f} ms   p95 {p95:7.0f} ms")
    total, growth = sum(map(len, tally.seconds.values())), last / first - 1
    print(
        f"{total} requests in {minutes:g} min, {total / minutes / 60:.1f} a second; {sum(tally.wrong.values())} wrong"
    )
    for problem, count in tally.wrong.items():
        print(f"  {count} x {problem}")
    print(f"memory {first:.1f} MB -> {last:.1f} MB, {100 * growth:+.1f} %")
    return int(bool(tally.wrong) or growth > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
