"""JSON as RFC 8259 has it, used like the standard module: NaN, Infinity and numbers beyond a double are refused."""

import json
import math
import sys
from collections.abc import Callable
from json import JSONDecodeError as JSONDecodeError
from typing import Any

from core.formats.text import is_storable, mended

MAX_LEVELS = 200  # more could be read here and fail elsewhere: Python counts what it has been through before
_MARK = "\ufeff"  # which some programs begin a text in UTF-8 with
_TOO_DEEP = f"nested more than {MAX_LEVELS} levels deep"
_TOO_LONG = f"a whole number has more than {sys.get_int_max_str_digits():,} digits"


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is beyond a double")
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for at, (key, _) in enumerate(pairs) if key in dict(pairs[:at]))
        raise ValueError(f"the key {twice[:60]!r} is there twice")
    return found


_decode = json.JSONDecoder(parse_constant=_constant, parse_float=_float).decode
_decode_once = json.JSONDecoder(parse_constant=_constant, parse_float=_float, object_pairs_hook=_each_once).decode
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def loads(text: str | bytes, *, parse_float: Callable[[str], Any] | None = None, has_keys_once: bool = False) -> Any:
    """The value of a JSON text. has_keys_once: Refuse an object that has a key twice, else the last one counts.

    Raises:
        JSONDecodeError: A ValueError, whatever is wrong with it; without its text where the place is not known.
    """
    decode = _decode_once if has_keys_once else _decode
    if parse_float is not None:
        decode = json.JSONDecoder(parse_constant=_constant, parse_float=parse_float).decode
    try:
        said = text if isinstance(text, str) else text.decode().removeprefix(_MARK)
        value = decode(said)
    except JSONDecodeError:
        raise
    except RecursionError:
        raise JSONDecodeError(_TOO_DEEP, "", 0) from None
    except ValueError as error:
        is_long = "int_max_str_digits" in str(error)
        raise JSONDecodeError(_TOO_LONG if is_long else str(error), "", 0) from None
    if len(said) > MAX_LEVELS and said.count("[") + said.count("{") > MAX_LEVELS and _is_deep(value):
        raise JSONDecodeError(_TOO_DEEP, "", 0)
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_LEVELS):
        level = [
            each
            for part in level
            for each in (part.values() if isinstance(part, dict) else part)
            if isinstance(each, dict | list)
        ]
        if not level:
            return False
    return True


def dumps(value: Any, **options: Any) -> str:
    """The JSON text of a value; options as of the standard module. Raises: ValueError: JSON cannot say it."""
    try:
        return json.dumps(value, allow_nan=False, **options)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def encoded(value: Any) -> bytes:
    """The shortest JSON of a value in UTF-8; half a character becomes U+FFFD. Raises: ValueError: there is none."""
    try:
        text = _compact(value)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return mended(text).encode()


def problem_of(value: Any) -> str:
    """The part of a decoded value that no database can keep, at any depth, in words; empty = there is none."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, str) and not is_storable(part):
            return "A text holds a NUL or half of a surrogate pair."
        if isinstance(part, dict):
            left += [*part.keys(), *part.values()]
        elif isinstance(part, list):
            left += part
    return ""


def unwritable(value: Any) -> str:
    """The reason that JSON cannot say a value; empty = it can."""
    try:
        dumps(value)
    except (TypeError, ValueError) as error:
        return f"cannot be written as JSON: {error}"
    return ""
