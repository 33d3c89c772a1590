"""One HTML page that holds a model and its runtime, and runs from disk with the network off.

The runtime is ONNX Runtime Web, whose package the user downloads once; docs/decisions/0004-browser-runtime.md says why.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
import tarfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from earmark.deploy.export import Exported, checked
from earmark.deploy.info import DeployError
from earmark.runtime.files import write_text

RUNTIME_VERSION = "1.30.0"
MAX_RUNTIME_BYTES = 2**28
"""Of one file of the runtime, whose WebAssembly has 12 MB."""
RUNTIME_FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""Files of `dist` in the npm package, and their SHA-256: what goes into a page is what was tested."""
APP_FILES = ("audio.js", "model.js", "recorder.js", "view.js")


@dataclass(frozen=True)
class BrowserRuntime:
    """ONNX Runtime Web."""

    script: str
    wasm: bytes


def read_runtime(path: Path) -> BrowserRuntime:
    """The runtime from what `npm pack` or `npm install` gives: the .tgz, or a folder that holds the package.

    Raises:
        DeployError: it is not there, a file is missing, or is not of the version that the page was tested with.
    """
    if not path.exists():
        raise DeployError(f"runtime {path}: no such file or folder; {_remedy()}")
    contents = []
    for name, expected in RUNTIME_FILES.items():
        content = _read_member(path, name)
        if hashlib.sha256(content).hexdigest() != expected:
            raise DeployError(f"{path}: {name} is not that of onnxruntime-web {RUNTIME_VERSION}; {_remedy()}")
        contents.append(content)
    return BrowserRuntime(contents[0].decode(), contents[1])


def _read_member(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            folders = (
                path,
                path / "dist",
                path / "package" / "dist",
                path / "node_modules" / "onnxruntime-web" / "dist",
            )
            return next(folder / name for folder in folders if (folder / name).is_file()).read_bytes()
        with tarfile.open(path) as archive:
            entry = archive.getmember(f"package/dist/{name}")
            member = archive.extractfile(entry)
            if member is not None and entry.size <= MAX_RUNTIME_BYTES:
                return member.read()
    except (OSError, KeyError, StopIteration, tarfile.TarError):
        pass
    raise DeployError(f"runtime {path}: holds no {name} of onnxruntime-web; {_remedy()}")


def _remedy() -> str:
    return f"`npm pack onnxruntime-web@{RUNTIME_VERSION}` downloads it, once for all pages"


def build_page(exported: Exported, runtime: BrowserRuntime) -> str:
    """The page."""
    info = exported.info
    about = {
        "class_names": info.class_names,
        "sample_rate": info.sample_rate,
        "window_samples": info.window_samples,
        "window_seconds": info.window_seconds,
        "min_seconds": info.min_seconds,
        "silence_dbfs": info.silence_dbfs,
        "unknown_threshold": None if info.unknown is None else info.unknown.threshold,
        "architecture": info.architecture,
        "run_id": info.run_id,
        "precision": exported.precision,
        "expected_score": info.expected_score.sentence() if info.expected_score else "not measured",
    }
    scripts = {"ort": as_inline_module(runtime.script), "app": _read_app()}
    style = _asset("style.css")
    values = {
        "title": html.escape(f"{info.architecture}, {len(info.class_names)} classes"),
        "style": style,
        "csp": content_security_policy(list(scripts.values()), style),
        "about": json.dumps(about, ensure_ascii=False).replace("<", "\\u003c"),
        "runtime_version": RUNTIME_VERSION,
        "runtime": packed(runtime.wasm),
        "model": packed(checked(exported.whole(with_image=True))),
        **scripts,
    }
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], _asset("page.html"))


def write_page(exported: Exported, runtime: BrowserRuntime, path: Path) -> None:
    """Write the page."""
    write_text(path, build_page(exported, runtime))


def content_security_policy(scripts: list[str], style: str) -> str:
    """Nothing is loaded from anywhere: only the scripts and the style of the page itself.

    `data:` is for the worklet that reads the microphone, `wasm-unsafe-eval` allows WebAssembly, `blob:` is for playing
    the recording that was classified.
    """
    script_hashes = " ".join(_hash_source(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {script_hashes} 'wasm-unsafe-eval' data:; style-src {_hash_source(style)}; "
        "img-src data:; media-src blob:; base-uri 'none'; form-action 'none'"
    )


def _hash_source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def as_inline_module(script: str) -> str:
    """An ES module that puts its exports into `globalThis.ort` instead, because an inline module cannot be imported."""
    found = re.search(r"export\{([^}]*)\};", script)
    assert found is not None, "the checksum has made sure of the version"
    pairs = [re.fullmatch(r"\s*(\w+)(?:\s+as\s+(\w+))?\s*", pair) for pair in found[1].split(",")]
    names = ",".join(f"{pair[2] or pair[1]}:{pair[1]}" for pair in pairs if pair)
    script = script[: found.start()] + f"globalThis.ort={{{names}}};" + script[found.end() :]
    return re.sub(r"//# sourceMappingURL=.*", "", script).replace("</script", "<\\/script")


def packed(content: bytes) -> str:
    """Gzipped, in base64."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def _read_app() -> str:
    return "\n".join(_asset(name) for name in APP_FILES)


def _asset(name: str) -> str:
    return resources.files("earmark.deploy").joinpath("page_assets", name).read_text(encoding="utf-8")
