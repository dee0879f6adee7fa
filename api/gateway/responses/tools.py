"""Tools as Responses has them: functions, free-form tools, and both of them in namespaces."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from api.gateway.parts import tool_of
from core import Tool

LONGEST_NAME = 64  # that all vendors take


class Offered(NamedTuple):
    """A tool that a caller runs. tool: As all vendors take it, under a name without a namespace."""

    tool: Tool
    name: str
    namespace: str


class Tools:
    """The tools of a request. others: Those that only OpenAI knows or runs, as they came."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.offered: dict[str, Offered] = {}
        self.others: list[dict[str, Any]] = []
        given = body.get("tools")
        for each, namespace in _flat(given if isinstance(given, list) else []):
            if each.get("type") in ("function", "custom") and isinstance(each.get("name"), str):
                name = self._free_name(f"{namespace}__{each['name']}" if namespace else each["name"])
                tool = tool_of(each, name, is_custom=each["type"] == "custom")
                self.offered[name] = Offered(tool, each["name"], namespace)
            else:
                self.others.append(each)

    def _free_name(self, wanted: str) -> str:
        name, n = wanted[-LONGEST_NAME:], 1
        while name in self.offered:
            n += 1
            name = f"{wanted[-LONGEST_NAME + 4 :]}_{n}"
        return name

    def flat_name(self, name: Any, namespace: Any) -> str:
        """The name under which a vendor knows a tool that the caller names."""
        for flat, each in self.offered.items():
            if each.name == name and (each.namespace == namespace or not namespace):
                return flat
        return str(name or "")


def _flat(given: list[Any], namespace: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    for each in given:
        if not isinstance(each, dict):
            continue
        if each.get("type") == "namespace" and isinstance(each.get("tools"), list):
            yield from _flat(each["tools"], str(each.get("name") or ""))
        else:
            yield each, namespace
