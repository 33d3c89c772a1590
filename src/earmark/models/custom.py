"""Your own network: `model.name = "my_package.my_module:create"` names a function that creates a `torch.nn.Module`.

The function is called as ``create(n_classes, n_mels)``. What the module must do: docs/models.md, "Your own network";
`earmark check-model` checks it. The module is imported from the environment or the working folder.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from torch import Tensor, nn

from earmark.models.network import ModelError, ModelOptions, Network
from earmark.models.prefixes import HUB, NPZ, ONNX, TRANSFORMERS
from earmark.runtime.errors import suggest
from earmark.runtime.files import digest

SHARED_FOLDERS = ("site-packages", "dist-packages")
"""Folders of installed packages: what lies beside a package there does not belong to it."""
_imported: dict[str, str] = {}
"""The source that each module had when it was imported, as its digest."""


def is_custom(name: str) -> bool:
    """Whether a `model.name` is ``module:function``."""
    return not name.startswith((NPZ, ONNX, TRANSFORMERS, HUB)) and bool(re.fullmatch(r"[^\W\d][\w.]*:\w+", name))


class CustomNetwork(Network):
    """A module of the user; its weights have the module's names, prefixed by `module.`.

    `output` is the layer that the module names by the string `output_layer`. Without it, embeddings are the logits.
    """

    recordable = False  # its forward may do something else each time

    def __init__(self, module: nn.Module, name: str) -> None:
        super().__init__()
        self.module = module
        self.logits = nn.Identity()
        layer = getattr(module, "output_layer", "")
        names = [known for known, _ in module.named_modules() if known]
        if layer and layer not in names:
            raise ModelError(
                f"model.name = {name!r}: output_layer = {layer!r} is not one of its layers{suggest(layer, names)}"
            )
        self.output = self.head = f"module.{layer}" if layer else "logits"
        self.last_stage = ""

    def forward(self, image: Tensor) -> Tensor:
        """Images (B, 1, F, T) in [0, 1], row 0 the highest bin, to logits (B, K)."""
        logits: Tensor = self.logits(self.module(image))
        return logits

    def freeze_before(self, module: str) -> None:
        """As in `Network`, where the last layer is known."""
        if module == "logits":
            raise ModelError("model.train = 'head': your network names no output_layer; name it, or give 'all'")
        super().freeze_before(module)

    def state_dict_name(self, published: str) -> str:
        """Weights of the module alone get the prefix, also where a part of it is called `module`."""
        whole = published.startswith("module.") and f"module.{published}" not in self.state_dict()
        return published if whole else f"module.{published}"


def create_custom(n_classes: int, n_mels: int, options: ModelOptions, *, name: str) -> CustomNetwork:
    """Import the function that a name stands for, and call it.

    Raises:
        ModelError: it cannot be imported or fails, or returns no module with parameters.
    """
    if options.attention != "none":
        raise ModelError(
            f"model.attention = {options.attention!r}: {name} has no place for it; give none, and put attention into "
            "your network"
        )
    factory = import_factory(name)
    try:
        module = factory(n_classes, n_mels)
    except (Exception, SystemExit) as error:
        raise ModelError(f"model.name = {name!r}: {describe_failure(error)}") from error
    if not isinstance(module, nn.Module) or not list(module.parameters()):
        what = "a module without parameters" if isinstance(module, nn.Module) else f"a {type(module).__name__}"
        raise ModelError(f"model.name = {name!r}: returned {what}; return a torch.nn.Module with parameters")
    lazy = [known for known, p in module.named_parameters() if isinstance(p, nn.UninitializedParameter)]
    if lazy:
        raise ModelError(f"model.name = {name!r}: {lazy[0]} has no shape yet; give its size instead of a lazy layer")
    return CustomNetwork(module, name)


def import_factory(name: str) -> Callable[[int, int], object]:
    """The function that ``module:function`` names.

    Raises:
        ModelError: there is no such module or function, its import fails, or it has changed since it was imported.
    """
    module_name, _, function = name.partition(":")
    source = source_digest(name)
    if _imported.setdefault(name, source) != source:
        raise ModelError(f"model.name = {name!r}: its source has changed since it was imported; restart Python")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        del _imported[name]
        raise ModelError(f"model.name = {name!r}: {describe_failure(error)}") from error
    factory = getattr(module, function, None)
    if not callable(factory):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ModelError(f"model.name = {name!r}: {module_name} has no function {function!r}{suggest(function, known)}")
    return factory


def describe_failure(error: BaseException) -> str:
    """An error of the user's code in one line, with the place where it was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    try:
        text = (str(error).splitlines() or [""])[0]
    except Exception:  # of its own __str__
        text = "without a message"
    return f"{type(error).__name__}: {text} ({Path(place.filename).name}, line {place.lineno})"


def source_digest(name: str) -> str:
    """Sixteen hex digits that stand for the source of a custom network; empty for any other name.

    The source is that of the module and of all modules of its package, or beside it, that it imports, directly or not.
    Nothing is imported to find it.

    Raises:
        ModelError: there is no such module, or a file is not valid Python.
    """
    if not is_custom(name):
        return ""
    files = source_files(name)
    return digest(json.dumps([[module, files[module].read_text(encoding="utf-8")] for module in sorted(files)]))


def source_files(name: str) -> dict[str, Path]:
    """The files that `source_digest` reads, by module."""
    module = name.partition(":")[0]
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names:
        raise ModelError(f"model.name = {name!r}: {root} is a module of Python, not of yours")
    _search_working_folder()
    if _file_of(module) is None:
        raise ModelError(
            f"model.name = {name!r}: no module {module!r} in this folder or environment; call earmark where it can be "
            "imported"
        )
    found: dict[str, Path] = {}
    todo = [module]
    while todo:
        current = todo.pop()
        file = None if current in found else _file_of(current)
        if file is not None and file.suffix == ".py" and _belongs(current, root):
            found[current] = file
            todo += [*_parents(current), *_imports(current, file)]
    return found


def _search_working_folder() -> None:
    """Let Python import from the working folder, after everything else; the command line does not by itself."""
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
    importlib.invalidate_caches()


def _file_of(module: str) -> Path | None:
    """The file of a module; None for what does not exist or is no file. Imports nothing."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.has_location and spec.origin else None
    bases = [Path(folder, *rest) for folder in spec.submodule_search_locations or ()]
    files = [file for base in bases for file in (base / "__init__.py", base.with_suffix(".py"))]
    return next((file for file in files if file.is_file()), None)


def _belongs(module: str, root: str) -> bool:
    """Whether a module is of the package `root`, or lies beside it in a folder of the user."""
    top = module.partition(".")[0]
    places = [_folder_of(top), _folder_of(root)]
    return top == root or (places[0] == places[1] and places[0] is not None and places[0].name not in SHARED_FOLDERS)


def _folder_of(top: str) -> Path | None:
    """The folder that a top-level module or package lies in."""
    spec = importlib.util.find_spec(top)
    if spec is None or not (spec.has_location or spec.submodule_search_locations):
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).parent
    return Path(str(spec.origin)).parent


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _imports(module: str, file: Path) -> Iterator[str]:
    """Names of everything that a file imports anywhere in it, and of what might be a submodule."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ModelError(f"model.name: {file.name}{line}: not valid Python ({error.args[0]})") from None
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))
