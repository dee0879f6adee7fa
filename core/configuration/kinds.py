"""The kinds of values that the fields of a thing take, by the types of its noun. Pure."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import datetime
from decimal import Decimal
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from core.errors import InvalidRequest


def check_kinds(given: Mapping[str, Any], noun: type) -> None:
    """Raises: InvalidRequest: A field's value is of another kind than the noun's, such as a text for a number."""
    hints = get_type_hints(noun)
    for name, value in given.items():
        if value is not None and name in hints and not _fits(value, hints[name]):
            raise InvalidRequest(f"{name} == {str(value)[:60]!r}, must be {_told(hints[name])}")


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(each, get_args(hint)[0]) for each in value)
    if origin is Literal or hint is datetime:
        return isinstance(value, str | datetime)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(_fits(each, get_args(hint)[1]) for each in value.values())
    if is_dataclass(hint):
        return isinstance(value, Mapping)
    if hint in (float, Decimal):
        return isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return type(value) is hint


def _told(hint: Any) -> str:
    if isinstance(hint, UnionType) or get_origin(hint) is Union:
        return " or ".join(_told(each) for each in get_args(hint) if each is not type(None))
    if get_origin(hint) is tuple:
        return f"a list, of which each is {_told(get_args(hint)[0])}"
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if hint is datetime:
        return "a moment, such as 2027-01-01T00:00:00Z"
    words = {bool: "true or false", int: "a whole number", float: "a number", Decimal: "a number"}
    return words.get(hint) or ("a text; in quotes, if it looks like a number" if hint is str else "fields with values")
