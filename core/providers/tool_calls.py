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
class _Piece:
    number: int | None
    place: int
    id: str
    name: str
    text: str
    is_custom: bool


class CallReader:
    """Reads the pieces of one answer.

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
            piece = _to_piece(entry, place)
            call = None if is_whole else self._belongs_to(piece, touched)
            if call is None:
                call = _Call(len(self._calls), piece.number, is_custom=piece.is_custom)
                self._calls.append(call)
            touched.add(call.position)
            found.append(_added(call, piece))
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

    def _belongs_to(self, piece: _Piece, touched: set[int]) -> _Call | None:
        call = self._named_by(piece, reversed(self._calls))
        if call is None or not piece.name or not call.name:
            return call
        has_new_id = piece.id not in ("", call.id)
        begins = call.position in touched or (piece.name != call.name and (call.arguments or has_new_id))
        return None if begins or (piece.text.strip() and call.is_whole) else call

    def _named_by(self, piece: _Piece, calls: Iterable[_Call]) -> _Call | None:
        """The call that a piece names by id or number; without either, the last."""
        for call in calls:
            if piece.id and call.id:
                is_apart = None not in (piece.number, call.number) and piece.number != call.number
                if piece.id == call.id and not is_apart:
                    return call
            elif piece.number is not None and call.number is not None:
                if piece.number == call.number:
                    return call
            elif not piece.name or not call.name or piece.id:
                return call
            else:
                return call if piece.place == 0 else None
        return None


def _to_piece(entry: Mapping[str, Any], place: int) -> _Piece:
    function, custom = entry.get("function"), entry.get("custom")
    inner: Mapping[str, Any] = next((each for each in (function, custom) if isinstance(each, dict)), {})
    number, given_id, name = entry.get("index"), entry.get("id"), inner.get("name")
    is_custom = not isinstance(function, dict) and isinstance(custom, dict)
    return _Piece(
        number=number if isinstance(number, int) and not isinstance(number, bool) else None,
        place=place,
        id=str(given_id) if isinstance(given_id, str | int) else "",
        name=name if isinstance(name, str) else "",
        text=to_arguments(inner.get("input") if is_custom else inner.get("arguments")),
        is_custom=is_custom,
    )


def _added(call: _Call, piece: _Piece) -> ToolDelta:
    """The addition of a piece to a call. A free-form tool's text becomes its one argument, whose end `end` writes."""
    new_id = piece.id if not call.id else ""
    new_name = "" if piece.name == call.name else piece.name
    text = piece.text
    if call.is_custom:
        text = ("" if call.arguments else '{"input": "') + json.dumps(text)[1:-1]
    call.id, call.name = call.id or new_id, call.name + new_name
    if text:
        call.arguments.append(text)
    return ToolDelta(index=call.position, id=new_id, name=new_name, arguments=text)


_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,4})\]|\['([^'\\]*)'\]|\["([^"\\]*)"\]""")


class PartialArguments:
    """Arguments that come value by value (`partialArgs`), each under its JSON path, texts in pieces."""

    def __init__(self) -> None:
        self._pieces: list[Any] = []
        self._root: dict[str, Any] = {}
        self._is_odd = False

    def add(self, given: Any) -> None:
        for piece in given if isinstance(given, list) else ():
            self._pieces.append(piece)
            try:
                self._put(piece)
            except (LookupError, TypeError, ValueError):
                self._is_odd = True

    def text(self, *, is_cut: bool) -> str:
        """Their JSON, without its last bracket where more was to come; or the pieces themselves if they fit nowhere."""
        if self._is_odd:
            return json.dumps(self._pieces, ensure_ascii=False)
        return json.dumps(self._root, ensure_ascii=False)[: -1 if is_cut else None]

    def _put(self, piece: Mapping[str, Any]) -> None:
        path = piece["jsonPath"]
        steps = list(_STEP.finditer(path))
        if path != "$" + "".join(step[0] for step in steps):
            raise ValueError("not a path that is understood")
        keys = [int(step[2]) if step[2] else step[1] or step[3] or step[4] for step in steps]
        [value] = [piece[f"{kind}Value"] for kind in ("string", "number", "bool", "null") if f"{kind}Value" in piece]
        value = None if "nullValue" in piece else value
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
