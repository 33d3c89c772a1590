"""HTML and SVG as nested calls of `tag`: what is not made by it is text, and is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An element with its children and attributes.

    Children are `Html`, text (escaped), numbers, None (left out) or iterables of these. In attribute names, a
    trailing underscore is dropped and others become hyphens; None and False leave the attribute out; floats are
    written to two decimals, which is plenty for coordinates.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    inside = join(children)
    return Html(f"<{name}{written}>" if name in _VOID else f"<{name}{written}>{inside}</{name}>")


def join(children: Any) -> Html:
    """The children of one element, one after the other; text among them is escaped."""
    if children is None:
        return Html("")
    if isinstance(children, Html):
        return children
    if isinstance(children, Iterable) and not isinstance(children, str):
        return Html("".join(join(child) for child in children))
    return Html(html.escape(str(children)))


def prose(text: str) -> Html:
    """Text whose parts between backticks are code."""
    return join(tag("code", part) if i % 2 else part for i, part in enumerate(text.split("`")))


def data(value: float | None, text: str) -> Html:
    """A printed number that carries its full value: ``<data value="0.8231456">82.3</data>``; text alone for None."""
    return join(text) if value is None else tag("data", text, value=repr(value))


_VOID = frozenset({"br", "img", "input", "meta"})


def _attribute(key: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    if isinstance(value, float):
        value = f"{value:.2f}".rstrip("0").rstrip(".")
    return f' {name}="{html.escape(str(value))}"'
