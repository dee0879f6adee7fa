"""The formats of texts in JSON schemas, each as Ajv tests it. Pure."""

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address
from typing import Any

from core.checks import javascript as js
from core.checks import regular

_PCHAR = r"(?:[a-z0-9\-._~!$&'\"()*+,;=:@]|%[0-9a-f]{2})"
_HIER = rf"(?://(?:[^\s/?#\[\]<>\\^`{{|}}]|\[[0-9a-f:.v]+\])*(?:/{_PCHAR}*)*|/?{_PCHAR}*(?:/{_PCHAR}*)*)"
_TAIL = rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
_ATOM, _LABEL = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+", "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_PATTERNS = {
    "duration": r"P(?!$)((\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?|(\d+W)?)",
    "uri": rf"(?i:[a-z][a-z0-9+\-.]*:(?=[^?#]){_HIER}{_TAIL})",
    "uri-reference": rf"(?i:(?:[a-z][a-z0-9+\-.]*:)?{_HIER}{_TAIL})",
    "uri-template": r"(?i:(?:[^\x00-\x20\"'<>%\\^`{|}]|%[0-9a-f]{2}|\{[+#./;?&=,!@|]?[a-z0-9_%:*,]+\})*)",
    "url": r"(?i:(?:https?|ftp)://(?:\S+@)?(?!10\.|127\.|169\.254\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.)"
    r"(?:[a-z0-9\u00a1-\uffff][a-z0-9\u00a1-\uffff-]*\.)+"
    r"(?:[a-z\u00a1-\uffff]{2,}|\d{1,3})(?::\d{2,5})?(?:/\S*)?)",
    "email": rf"(?i:{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL})",
    "hostname": rf"(?i:(?=.{{1,253}}\.?$){_HOST}(?:\.{_HOST})*\.?)",
    "ipv4": rf"(?:{_BYTE}\.){{3}}{_BYTE}",
    "uuid": r"(?i:(?:urn:uuid:)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})",
    "json-pointer": r"(?:/(?:[^~/]|~0|~1)*)*",
    "json-pointer-uri-fragment": r"(?i:#(?:/(?:[a-z0-9_\-.!$&'()*+,;:=@]|%[0-9a-f]{2}|~0|~1)*)*)",
    "relative-json-pointer": r"(?:0|[1-9][0-9]*)(?:#|(?:/(?:[^~/]|~0|~1)*)*)",
    "byte": r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
    "password": r"[\s\S]*",
    "binary": r"[\s\S]*",
}
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d(?:\.\d+)?)(z|([+-])(\d\d)(?::?(\d\d))?)?", re.ASCII | re.IGNORECASE)
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _is_date(text: str) -> bool:
    found = _DATE.fullmatch(text)
    if found is None or not 1 <= int(found[2]) <= 12:
        return False
    year, month, day = map(int, found.groups())
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 1 <= day <= (28 if month == 2 and not is_leap else _DAYS[month - 1])


def _is_time(text: str, *, needs_zone: bool = True) -> bool:
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    hour, minute, second, zone = int(found[1]), int(found[2]), float(found[3]), found[4]
    sign, zone_hour, zone_minute = -1 if found[5] == "-" else 1, int(found[6] or 0), int(found[7] or 0)
    if zone_hour > 23 or zone_minute > 59 or (needs_zone and not zone):
        return False
    if hour <= 23 and minute <= 59 and second < 60:
        return True
    utc_minute = minute - zone_minute * sign
    utc_hour = hour - zone_hour * sign - (utc_minute < 0)
    return utc_hour in (23, -1) and utc_minute in (59, -1) and second < 61  # a leap second


def _is_moment(text: str, *, needs_zone: bool = True) -> bool:
    parts = re.split(f"[tT{js.WHITESPACE}]", text)
    return len(parts) == 2 and _is_date(parts[0]) and _is_time(parts[1], needs_zone=needs_zone)


def _is_ipv6(text: str) -> bool:
    try:
        return bool(IPv6Address(text)) and "%" not in text
    except AddressValueError:
        return False


def _is_pattern(text: str) -> bool:
    try:
        regular.compiled(text)
    except (regular.PatternError, regular.PatternTooSlow):
        return False
    return re.search(r"[^\\]\\Z", text) is None


def _matcher(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


FORMATS: dict[str, Callable[[str], bool]] = {
    **{name: _matcher(pattern) for name, pattern in _PATTERNS.items()},
    "date": _is_date,
    "time": _is_time,
    "date-time": _is_moment,
    "iso-time": lambda text: _is_time(text, needs_zone=False),
    "iso-date-time": lambda text: _is_moment(text, needs_zone=False),
    "ipv6": _is_ipv6,
    "regex": _is_pattern,
    **dict.fromkeys(("int32", "int64", "float", "double"), lambda _: True),
}


def fits(name: str, value: Any) -> bool:
    """True if a value is of the format; texts and numbers alone can fail."""
    if isinstance(value, str):
        return FORMATS[name](value)
    if isinstance(value, int | float) and not isinstance(value, bool) and name in ("int32", "int64"):
        return value == int(value) and (name == "int64" or -(2**31) <= value < 2**31)
    return True
