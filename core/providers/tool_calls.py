"""Calls of tools as servers of the OpenAI wire send them, and arguments as Gemini streams them, put together."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from core.domain.generation import ToolDelta
from core.domain.message import read_arguments, to_arguments
from core.formats import strict_json as json


@dataclass(slots=True)
class _Call:
    """A call as far as it was read. number: The vendor's own; None = it gave none."""

    position: int
    number: int | None
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    is_custom: bool = False

    @property
    def is_whole(self) -> bool:
        """True once its arguments are a whole object, so that more of them belong to another call."""
        return (
            bool(self.arguments) and bool(text := "".join(self.arguments).strip()) and read_arguments(text) is not None
        )


@dataclass(frozen=True, slots=True)
class _Fragment:
    number: int | None
    place: int
    id: str
    name: str
    text: str
    is_custom: bool


class CallReader:
    """Reads the fragments of one answer.

    Some servers number all calls 0 or none at all, repeat ids and names, or send an id late: another call begins where
    the id changes, or where a name comes after arguments. The numbers that are given on are our own.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def read(self, given: Any, *, is_whole: bool) -> list[ToolDelta]:
        """The `tool_calls` of a delta or, is_whole, of a message, in which each entry is a call."""
        found: list[ToolDelta] = []
        touched: set[int] = set()
        for place, entry in enumerate(given if isinstance(given, list) else ()):
            if not isinstance(entry, dict):
                continue
            fragment = _to_fragment(entry, place)
            call = None if is_whole else self._belongs_to(fragment, touched)
            if call is None:
                call = _Call(len(self._calls), fragment.number, is_custom=fragment.is_custom)
                self._calls.append(call)
            touched.add(call.position)
            found.append(_added(call, fragment))
        return found

    def read_legacy(self, given: Any) -> list[ToolDelta]:
        """The `function_call` of a delta or message, which is the only one."""
        return self.read([{"index": 0, "function": given}], is_whole=False) if isinstance(given, dict) else []

    def end(self, *, is_cut: bool) -> list[ToolDelta]:
        """The ends of the texts of free-form tools. is_cut: The answer ended at its length."""
        open_ones = [call for call in self._calls if call.is_custom and not is_cut]
        for call in open_ones:
            call.is_custom = False
        return [ToolDelta(index=call.position, arguments='"}') for call in open_ones]

    def _belongs_to(self, fragment: _Fragment, touched: set[int]) -> _Call | None:
        call = self._named_by(fragment, reversed(self._calls))
        if call is None or not fragment.name or not call.name:
            return call
        has_new_id = fragment.id not in ("", call.id)
        begins = call.position in touched or (fragment.name != call.name and (call.arguments or has_new_id))
        return None if begins or (fragment.text.strip() and call.is_whole) else call

    def _named_by(self, fragment: _Fragment, calls: Iterable[_Call]) -> _Call | None:
        """The call that a fragment names by id or number; without either, the last."""
        for call in calls:
            if fragment.id and call.id:
                is_apart = None not in (fragment.number, call.number) and fragment.number != call.number
                if fragment.id == call.id and not is_apart:
                    return call
            elif fragment.number is not None and call.number is not None:
                if fragment.number == call.number:
                    return call
            elif not fragment.name or not call.name or fragment.id:
                return call
            else:
                return call if fragment.place == 0 else None
        return None


def _to_fragment(entry: Mapping[str, Any], place: int) -> _Fragment:
    function, custom = entry.get("function"), entry.get("custom")
    inner: Mapping[str, Any] = next((each for each in (function, custom) if isinstance(each, dict)), {})
    number, given_id, name = entry.get("index"), entry.get("id"), inner.get("name")
    is_custom = not isinstance(function, dict) and isinstance(custom, dict)
    return _Fragment(
        number=number if isinstance(number, int) and not isinstance(number, bool) else None,
        place=place,
        id=str(given_id) if isinstance(given_id, str | int) else "",
        name=name if isinstance(name, str) else "",
        text=to_arguments(inner.get("input") if is_custom else inner.get("arguments")),
        is_custom=is_custom,
    )


def _added(call: _Call, fragment: _Fragment) -> ToolDelta:
    """The addition of a fragment to a call. A free-form tool's text becomes its one argument; `end` closes it."""
    new_id = fragment.id if not call.id else ""
    new_name = "" if fragment.name == call.name else fragment.name
    text = fragment.text
    if call.is_custom:
        text = ("" if call.arguments else '{"input": "') + json.dumps(text)[1:-1]
    call.id, call.name = call.id or new_id, call.name + new_name
    if text:
        call.arguments.append(text)
    return ToolDelta(index=call.position, id=new_id, name=new_name, arguments=text)


_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,4})\]|\['([^'\\]*)'\]|\["([^"\\]*)"\]""")


class PartialArguments:
    """Arguments that come value by value (`partialArgs`), each under its JSON path, texts in fragments."""

    def __init__(self) -> None:
        self._fragments: list[Any] = []
        self._root: dict[str, Any] = {}
        self._is_odd = False

    def add(self, given: Any) -> None:
        for fragment in given if isinstance(given, list) else ():
            self._fragments.append(fragment)
            try:
                self._put(fragment)
            except (LookupError, TypeError, ValueError):
                self._is_odd = True

    def text(self, *, is_cut: bool) -> str:
        """Their JSON, without its last bracket where more was to come; or the fragments if they fit nowhere."""
        if self._is_odd:
            return json.dumps(self._fragments, ensure_ascii=False)
        return json.dumps(self._root, ensure_ascii=False)[: -1 if is_cut else None]

    def _put(self, fragment: Mapping[str, Any]) -> None:
        path = fragment["jsonPath"]
        steps = list(_STEP.finditer(path))
        if path != "$" + "".join(step[0] for step in steps):
            raise ValueError("not a path that is understood")
        keys = [int(step[2]) if step[2] else step[1] or step[3] or step[4] for step in steps]
        [value] = [
            fragment[f"{kind}Value"] for kind in ("string", "number", "bool", "null") if f"{kind}Value" in fragment
        ]
        value = None if "nullValue" in fragment else value
        at: Any = self._root
        for key, following in pairwise(keys):
            at = _within(at, key, [] if isinstance(following, int) else {})
        before = _within(at, keys[-1], "" if isinstance(value, str) else value)
        at[keys[-1]] = before + value if isinstance(value, str) else value


def _within(holder: Any, key: Any, default: Any) -> Any:
    """The value at a key, made where it is new. Raises: LookupError, TypeError: It is no key of this holder."""
    if isinstance(holder, list):
        if key == len(holder):
            holder.append(default)
    elif isinstance(key, int):
        raise TypeError("a number is no name")
    else:
        holder.setdefault(key, default)
    return holder[key]
