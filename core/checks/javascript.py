"""Texts and values as JavaScript has them: what checks compare was defined there. Pure."""

import json  # noqa: TID251 - numbers beyond a double are infinite there, and deep nesting is read
import math
import re
from decimal import Decimal
from typing import Any, NoReturn

WHITESPACE = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_BLANKS = re.compile(f"[{WHITESPACE}]+")
_SAFE_INTEGER = 2**53
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_NUMBER = re.compile(r"[-+]?(?:Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)|0[xX][0-9a-fA-F]+|")


def trim(text: str) -> str:
    return re.sub(f"^[{WHITESPACE}]+|[{WHITESPACE}]+\\Z", "", text)


def words(text: str) -> list[str]:
    """The parts between whitespace. A text of none is one empty part, as `split` has it."""
    return _BLANKS.split(trim(text))


def units(text: str) -> str:
    """One character a UTF-16 code unit: what JavaScript counts and matches."""
    if text.isascii() or max(text) <= "\uffff":
        return text
    data = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(data[i] | data[i + 1] << 8) for i in range(0, len(data), 2))


def text_of(value: object) -> str:
    """`String(value)`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, list | tuple):
        return ",".join("" if each is None else text_of(each) for each in value)
    return "null" if value is None else "[object Object]"


def number_text(value: float) -> str:
    number = float(value)
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    mantissa, _, exponent = repr(number).removesuffix(".0").partition("e")
    power = int(exponent or 0)
    if not power:
        return mantissa if number else "0"
    if -7 < power < 21:
        return format(Decimal(repr(number)), "f")
    return f"{mantissa}e{power:+d}"


def number_of(value: object) -> float:
    """`Number(value)` of a text or a number; nan = none."""
    if isinstance(value, int | float):
        return float(value)
    text = trim(value) if isinstance(value, str) else "x"
    if not _NUMBER.fullmatch(text):
        return math.nan
    return float(int(text, 16)) if text[:2] in ("0x", "0X") else float(text or 0)


def parse_json(text: str) -> Any:
    """`JSON.parse`, of numbers as JavaScript holds them.

    Raises:
        ValueError: It is not JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(text, parse_int=_integer, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _integer(digits: str) -> float:
    value = float(digits)
    return int(value) if abs(value) < _SAFE_INTEGER and digits != "-0" else value


def json_text(value: object) -> str:
    """`JSON.stringify`: compact, whole numbers first among the keys."""
    if isinstance(value, dict):
        members = (f"{_quoted(str(key))}:{json_text(each)}" for key, each in _in_order(value))
        return f"{{{','.join(members)}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(json_text, value))}]"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_text(value) if math.isfinite(value) else "null"
    return text_of(value)


def _in_order(value: dict[Any, Any]) -> list[tuple[Any, Any]]:
    indices = {key: int(key) for key in value if isinstance(key, str) and _INDEX.fullmatch(key)}
    return sorted(value.items(), key=lambda pair: indices.get(pair[0], math.inf)) if indices else list(value.items())


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub("[\ud800-\udfff]", lambda lone: f"\\u{ord(lone[0]):04x}", quoted)


def is_same(one: object, other: object) -> bool:
    """Deep equality: 1 is 1.0, "1" and true are not 1, the order of keys does not matter."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return (one == other and math.copysign(1, one) == math.copysign(1, other)) or (one != one and other != other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return type(one) is type(other) and one == other
