"""`earmark doctor`: one page about the installation, to paste into an issue."""

from __future__ import annotations

import os
import platform
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import earmark
from earmark.runtime import machine
from earmark.runtime.errors import first_line
from earmark.runtime.pool import cores

Section = dict[str, Any]
"""Facts by name: text, numbers, lists of text; None is unknown or absent."""
LEAST_FREE_GIB = 1.0
FEATURES = ("avx2", "avx512_f", "avx512_bf16", "avx512_vnni", "amx_bf16", "neon", "sve", "bf16")
"""Processor features that matter for speed, under the names that PyTorch gives them."""
VARIABLES = ("EARMARK_DATA", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "NO_COLOR")
DATA_SETS = {
    "meta/esc50.csv": "ESC-50",
    "wav/03a01Fa.wav": "EmoDB",
    "03a01Fa.wav": "EmoDB",
    "metadata/UrbanSound8K.csv": "UrbanSound8K",
    "testing_list.txt": "Speech Commands",
    "AudioWAV": "CREMA-D",
    "Actor_01": "RAVDESS",
    "recordings/0_jackson_0.wav": "FSDD",
    "genres": "GTZAN",
    "genres_original": "GTZAN",
    "evaluation_setup": "DCASE acoustic scenes",
}
"""Files that a data set is recognized by."""


def examine(work: Path) -> tuple[dict[str, Section], list[str]]:
    """The facts by section, and the problems among them."""
    problems: list[str] = []
    sections: dict[str, Callable[[list[str]], Section]] = {
        "earmark": lambda _: _installation(),
        "packages": _packages,
        "extras": lambda _: _extras(),
        "processor": _processor,
        "GPU": _gpu,
        "caches": lambda _: _caches(),
        "work folder": lambda found: _work_folder(work, found),
        "data": lambda _: _data(),
        "environment": lambda _: {
            "variables": [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
        },
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns about old drivers; the section GPU says so, too
        return {name: section(problems) for name, section in sections.items()}, problems


def format_page(sections: dict[str, Section], problems: list[str]) -> str:
    """The page as text; the home folder is written as ~."""
    lines = []
    for title, section in sections.items():
        lines += [title, *(f"  {name:<16} {_text(value)}" for name, value in section.items()), ""]
    lines += [f"problem: {problem}" for problem in problems] or ["no problems found"]
    home, text = Path.home(), "\n".join(lines)
    return text if home == home.parent else text.replace(str(home), "~")  # in a container, home may be /


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


def _installation() -> Section:
    return {
        "version": earmark.__version__,
        "folder": str(Path(earmark.__file__).parent),
        "Python": f"{platform.python_version()} ({platform.python_implementation()}) {sys.executable}",
        "system": platform.platform(),
    }


def _requirements() -> Iterator[tuple[str, str, str]]:
    """Package, least version and extra of everything that earmark names in its metadata."""
    try:
        lines = metadata.requires("earmark") or ()
    except metadata.PackageNotFoundError:  # run from its sources
        lines = ()
    for line in lines:
        match = re.match(r"([\w.-]+)(?:\[[^]]*\])?(?:>=([\w.]+))?.*?(?:extra == ['\"](\w+)['\"])?$", line)
        if match and match[1] != "earmark":
            yield match[1], match[2] or "0", match[3] or ""


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])


def _packages(problems: list[str]) -> Section:
    found: Section = {}
    for package, least, extra in _requirements():
        if extra:
            continue
        found[package] = version = _version(package)
        if version is None:
            problems.append(f"{package} is not installed; run `pip install {package}`")
        elif _numbers(version) < _numbers(least):
            problems.append(f"{package} {version} is older than {least}; run `pip install --upgrade {package}`")
    return found


def _extras() -> Section:
    """Each extra with the versions of its packages, or with what is missing."""
    packages: dict[str, list[str]] = {}
    for package, _, extra in _requirements():
        if extra and extra != "all":
            packages.setdefault(extra, []).append(package)
    return {
        extra: [f"{name} {_version(name) or 'not installed'}" for name in names]
        for extra, names in sorted(packages.items())
    }


def _processor(problems: list[str]) -> Section:
    facts: Section = {
        "name": machine.processor_name(),
        "cores": f"{cores()} usable of {os.cpu_count()}",
        "affinity": machine.affinity(),
        "memory (GiB)": machine.memory_gib(),
    }
    try:
        import torch

        from earmark.training.devices import resolve_precision
    except (ImportError, OSError) as error:
        problems.append(f"PyTorch cannot be imported: {first_line(error)}; install it again")
        return facts
    capabilities: Section = getattr(torch.cpu, "get_capabilities", dict)()
    return facts | {
        "features": [name for name in FEATURES if capabilities.get(name)],
        "PyTorch kernels": torch.backends.cpu.get_cpu_capability(),
        "PyTorch threads": torch.get_num_threads(),
        "precision auto": resolve_precision("auto", torch.device("cpu")),
    }


def _gpu(problems: list[str]) -> Section:
    try:
        import torch

        from earmark.training.devices import resolve_precision, select_device
    except (ImportError, OSError):
        return {}
    facts: Section = {"CUDA of PyTorch": torch.version.cuda, "device auto": str(select_device("auto"))}
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        precision = resolve_precision("auto", torch.device("cuda", index))
        facts[f"cuda:{index}"] = f"{about.name}, {about.total_memory / 2**30:.0f} GiB, precision auto = {precision}"
    if torch.cuda.device_count() and not torch.cuda.is_available():
        problems.append("there is a GPU, but PyTorch cannot use it; install the PyTorch build for your driver")
    return facts | {"Apple MPS": torch.backends.mps.is_available()}


def _caches() -> Section:
    """The folders of downloaded weights with their sizes."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    torch_home = Path(os.environ.get("TORCH_HOME", home / "torch"))
    hub = Path(os.environ.get("HF_HOME", home / "huggingface")) / "hub"
    return {"PyTorch": _size(torch_home / "hub" / "checkpoints"), "Hugging Face": _size(hub)}


def _size(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} (does not exist)"
    mib, complete = machine.folder_mib(folder)
    return f"{folder} ({'' if complete else 'more than '}{mib:.0f} MiB)"


def _work_folder(work: Path, problems: list[str]) -> Section:
    facts: Section = {"folder": _size(work), "free (GiB)": machine.free_gib(work)}
    if facts["free (GiB)"] < LEAST_FREE_GIB:
        problems.append(f"{work}: {facts['free (GiB)']:.1f} GiB free; free some space or choose another folder")
    try:
        facts["write (MiB/s)"] = machine.write_speed(work)
    except OSError as error:
        problems.append(f"{work}: cannot be written to ({error.strerror}); choose another folder with --work")
    return facts


def _data() -> Section:
    """Data sets in $EARMARK_DATA and in ./data, manifests and runs in this folder."""
    bases = [Path(os.environ["EARMARK_DATA"])] if "EARMARK_DATA" in os.environ else []
    facts: Section = {str(base): _data_sets(base) for base in (*bases, Path("data"))}
    facts["manifests"] = sorted(path.name for path in Path().glob("*.csv") if _is_manifest(path))
    return facts | {"finished runs": sum(1 for _ in Path("runs").glob("*/*/result.json"))}


def _data_sets(base: Path) -> list[str] | str:
    if not base.is_dir():
        return "does not exist"
    names = []
    for folder in sorted(path for path in base.iterdir() if path.is_dir()):
        known = next((name for file, name in DATA_SETS.items() if (folder / file).exists()), "")
        names.append(f"{folder.name} ({known})" if known and known != folder.name else folder.name)
    return names


def _is_manifest(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(100).startswith("clip_id,path,label")
    except OSError:  # a folder, or a file that may not be read
        return False
