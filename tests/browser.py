"""A headless Chromium for tests, driven through the HTTP interface of chromedriver, without further packages."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio", "--disable-background-networking"]
ARGUMENTS += ["--autoplay-policy=no-user-gesture-required", "--disable-component-update", "--disable-sync"]
ARGUMENTS += ["--no-first-run"]


class Browser:
    """One tab. `run` evaluates JavaScript, `events` are console messages, errors and requests since the last `open`."""

    def __init__(self, address: str) -> None:
        self._address = address
        options = {"binary": CHROMIUM, "args": ARGUMENTS}
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs}
        self._session = f"/session/{self._post('/session', {'capabilities': {'alwaysMatch': wanted}})['sessionId']}"

    def _post(self, path: str, body: dict) -> dict:
        request = urllib.request.Request(self._address + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)["value"]

    def open(self, path: Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.command("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.logs("browser"), self.logs("performance")
        self._post(f"{self._session}/url", {"url": path.resolve().as_uri()})

    def run(self, script: str):
        """The value of `script`'s return statement; a promise is waited for."""
        return self._post(f"{self._session}/execute/sync", {"script": script, "args": []})

    def logs(self, kind: str) -> list[dict]:
        return self._post(f"{self._session}/se/log", {"type": kind})

    def requests(self) -> list[str]:
        """Addresses asked for since the page was opened."""
        messages = [json.loads(entry["message"])["message"] for entry in self.logs("performance")]
        sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith("data:")]

    def command(self, name: str, parameters: dict) -> dict:
        return self._post(f"{self._session}/goog/cdp/execute", {"cmd": name, "params": parameters})

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        shot = self.command("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        request = urllib.request.Request(self._address + self._session, method="DELETE")
        urllib.request.urlopen(request, timeout=60).close()


@contextmanager
def open_browser():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen([DRIVER, f"--port={port}", "--silent"])
    try:
        browser = _connect(f"http://127.0.0.1:{port}")
        yield browser
        browser.close()
    finally:
        driver.terminate()
        driver.wait()


def _connect(address: str) -> Browser:
    for _ in range(100):
        try:
            return Browser(address)
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError:
            time.sleep(0.1)
    raise TimeoutError("chromedriver does not answer")
