"""Addresses as their callers meant them, and the methods that each takes."""

import re
from collections.abc import Mapping, Sequence
from functools import cache

from api.errors import Nowhere, Unserved
from api.gateway.registry import WIRES, wire_of
from core import AimmError

_SLASHES = re.compile(r"//+")
_BEFORE = re.compile(r"^/(?:api|openai|anthropic)(?=/v1(?:/|$))")
_VERSIONS = re.compile(r"(?<=/)(?:v1(?:beta|alpha)?/)+(?=v1(?:beta|alpha)?(?:/|$))")
_GEMINI = re.compile(r"/v1(?:beta|alpha)(?:/.*)?|/v1/models/.+:[a-z]+[A-Z]\w+", re.DOTALL)
_GEMINI_VERSION = re.compile(r"(?<=^/gemini/)v1(?:alpha)?(?=/)")
_NAME = re.compile(r"\{\w+\}")
_METHODS = ("post", "put", "patch", "delete")


def meant(method: str, path: str) -> str:
    """The address that is meant where slashes are too many, or a client's base URL is another wire's or gateway's.

    Nothing else can be meant by these: a version twice, /api or a vendor before it, Gemini's addresses without /gemini,
    and what is posted to an address of /v1 without that. What a browser would open as a page stays as it is.
    """
    if path in _described():
        return path
    path = _BEFORE.sub("", _SLASHES.sub("/", path).rstrip("/") or "/")
    if path.startswith(("/v1", "/gemini/v1")):
        path = _VERSIONS.sub("", path, count=1)
    if path == "/api/hello":  # a client of Anthropic looks there whether it can connect
        return "/health"
    if _GEMINI.fullmatch(path):
        return f"/gemini{path}"
    if method == "POST" and wire_of(path) is None and methods_at(f"/v1{path}"):
        return f"/v1{path}"
    return path


def methods_at(path: str, paths: Mapping[str, Mapping[str, object]] | None = None) -> list[str]:
    """The methods that an address takes, by what the OpenAPI document says of `paths` (None: the gateway's)."""
    path = _GEMINI_VERSION.sub("v1beta", path)
    described = _described() if paths is None else paths
    fitting = [pattern for pattern in described if _pattern(pattern).fullmatch(path)]
    if not fitting:
        return []
    methods = described[max(fitting, key=lambda pattern: len(_NAME.sub("", pattern)))]  # a name may look like an action
    found = ["GET", "HEAD"] * ("get" in methods) + [each.upper() for each in _METHODS if each in methods]
    return [*found, "OPTIONS"]


def unserved(method: str, methods: Sequence[str]) -> AimmError:
    """The error for a method that an address does not take, or for an address that takes none."""
    if not methods or method in methods:  # it only looks like an address: a name holds slashes
        return Nowhere()
    told = f"This address takes {', '.join(methods)}, not {method[:20]}."
    return Unserved(told, 405, {"allow": ", ".join(methods)})


@cache
def _described() -> dict[str, dict[str, object]]:
    return {path: methods for wire in WIRES for path, methods in wire.paths().items()}


@cache
def _pattern(path: str) -> re.Pattern[str]:
    """An address of the document as an expression; names of models hold slashes."""
    return re.compile(".+".join(re.escape(part) for part in _NAME.split(path)), re.DOTALL)
