"""Parts of a request that several wires write alike: media by their data or their address, and tools."""

import re
from collections.abc import Mapping
from typing import Any

from core import Media, Tool

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.-]+)*;base64,", re.ASCII)
_KINDS = {
    "png": "image/png", "webp": "image/webp", "gif": "image/gif", "pdf": "application/pdf", "txt": "text/plain",
}  # fmt: skip
_FREE = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def medium(given: Any, usual: str, detail: str = "") -> Media | None:
    """The medium of a data URL or at an address; None = it is neither. usual: Its type where neither says it."""
    if not isinstance(given, str):
        return None
    if found := _DATA_URL.match(given):
        kind = "image/jpeg" if found[1] == "image/jpg" else found[1]
        return Media(kind, data=given[found.end() :], detail=detail)
    if not given.startswith(("https://", "http://")):
        return None
    return Media(kind_of(given.partition("?")[0]) or usual, url=given, detail=detail)


def kind_of(name: str) -> str:
    """The type of a file by its name; empty = the name does not say it."""
    return _KINDS.get(name.rpartition(".")[2].lower(), "")


def tool_of(given: Mapping[str, Any], name: str, *, is_custom: bool, cache: str = "") -> Tool:
    """A function, or a free-form tool with its grammar in its description, for vendors that know none."""
    described, shape = str(given.get("description") or ""), given.get("format")
    shape = shape.get("grammar", shape) if isinstance(shape, dict) else None
    if isinstance(shape, dict) and shape.get("definition"):
        described += f"\n\nThe input must follow this {shape.get('syntax')} grammar:\n{shape['definition']}"
    schema = _FREE if is_custom else given.get("parameters")
    return Tool(
        name=name,
        description=described,
        parameters=schema if isinstance(schema, dict) else {},
        is_custom=is_custom,
        is_strict=given.get("strict") is True,
        cache=cache,
    )
