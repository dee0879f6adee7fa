"""Rules as they are written: a YAML file with `rules:`, the same keys in a request, and how two sets differ. Pure."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

from core.domain.alert import EVENTS, MAIL, RULE_KINDS, SHARES, TIMES, AlertRule
from core.domain.log.filter import LogFilter
from core.errors import InvalidRequest
from core.formats import yaml_text
from core.formats.spans import seconds_of, shown_span
from core.formats.text import is_storable

KEYS = ("name", "kind", "above", "over", "for", "at_least", "where", "channels", "on")
WHERE = ("model", "vendor", "key", "tag", "source", "user")
CHANNELS = ("webhook", "slack", "email", "pagerduty")
OVER_S, FOR_S = (900, 86_400), (0, 86_400)  # the least and the most
MAX_AT_LEAST, MAX_RULES = 1_000_000, 500
_USUAL = AlertRule(name="", kind="error_rate")  # of which are the values that a rule leaves out
_NAME = re.compile(r"[^\W_][\w.-]{0,79}")
_ADDRESS = re.compile(r"[^\s@,;:<>\"]+@[^\s@,;:<>\"]+")
_TIME = re.compile(r"([0-9]*\.?[0-9]+) ?(ms|s|m)?")


def read_rules(document: Any) -> list[AlertRule]:
    """The rules of a document as `yaml_text.read` gives it.

    Raises:
        InvalidRequest: A key, a kind, a channel or a value is none; the message names the rule and its line.
    """
    if not isinstance(document, Mapping):
        raise InvalidRequest("The file holds no keys; it begins with `rules:`.")
    _known(document, ("rules",), "a file of rules")
    given = document.get("rules")
    if yaml_text.is_null(given):
        return []
    if not isinstance(given, list):
        raise InvalidRequest(f"rules == {str(given)[:60]!r}, must be a list; each rule begins with `- name:`.")
    if len(given) > MAX_RULES:
        raise InvalidRequest(f"rules has {len(given):,} rules, at most {MAX_RULES} are taken.")
    found: dict[str, AlertRule] = {}
    for number, each in enumerate(given, start=1):
        if not isinstance(each, Mapping):
            raise InvalidRequest(f"{_line(each)}rule {number} is no set of keys; it begins with `- name:`.")
        rule = read_rule(each)
        if rule.name in found:
            raise InvalidRequest(f"{_line(each.get('name'))}there are two rules named {rule.name!r}.")
        found[rule.name] = rule
    return list(found.values())


def read_rule(given: Mapping[str, Any], name: str | None = None) -> AlertRule:
    """One rule from its keys. name: Where it is not among them.

    Raises:
        InvalidRequest
    """
    _known(given, KEYS, "a rule")
    named = given.get("name", name)
    if name is not None and named != name:
        raise InvalidRequest(f"name == {str(named)[:60]!r}, and the address says {name[:60]!r}.", param="name")
    if not isinstance(named, str) or not _NAME.fullmatch(named):
        _refuse("name", named, "at most 80 letters, digits, . _ -, not first a sign")
    kind = _one_of(given, "kind", RULE_KINDS)
    is_window = kind in (*SHARES, *TIMES)
    for key in ("above", "over", "at_least") if not is_window else ():
        if not yaml_text.is_null(given.get(key)):
            _refuse(key, given[key], f"left out: a rule of kind {kind} has none")
    if kind in EVENTS and not yaml_text.is_null(given.get("for")):
        _refuse("for", given["for"], f"left out: a rule of kind {kind} fires at once")
    return AlertRule(
        name=str(named),
        kind=kind,
        above=_above(kind, given.get("above")) if is_window else None,
        over_s=_span(given, "over", OVER_S, _USUAL.over_s),
        for_s=_span(given, "for", FOR_S, _USUAL.for_s),
        at_least=_count(given.get("at_least"), _USUAL.at_least),
        where=_where(kind, given.get("where")),
        channels=_channels(given.get("channels")),
        is_on=_switch(given.get("on")),
    )


def as_document(rule: AlertRule) -> dict[str, Any]:
    """The keys of a rule as they are written in a file, without those that say what holds anyway."""
    whole, usual = _whole(rule), _whole(_USUAL)
    said = ("over", "at_least") if rule.is_window else ()
    return {key: value for key, value in whole.items() if key in ("name", "kind", *said) or value != usual[key]}


def usual() -> dict[str, Any]:
    """The values of the keys that a rule may leave out, as they are written."""
    return {key: value for key, value in _whole(_USUAL).items() if key not in ("name", "kind")}


def _whole(rule: AlertRule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "kind": rule.kind,
        "above": None if rule.above is None else shown_limit(rule),
        "over": shown_span(rule.over_s),
        "at_least": rule.at_least,
        "for": shown_span(rule.for_s),
        "where": dict(rule.where),
        "channels": list(rule.channels),
        "on": rule.is_on,
    }


def shown_limit(rule: AlertRule) -> str:
    """The limit of a rule as it is written: 5% or 2.5s."""
    above = rule.above or 0.0
    return f"{100 * above:.10g}%" if rule.kind in SHARES else f"{above:.10g}s"


class Difference(NamedTuple):
    """One rule that changes. rule: None = it goes."""

    name: str
    rule: AlertRule | None
    text: str


def differences(known: Iterable[AlertRule], wanted: Iterable[AlertRule], *, prunes: bool = False) -> list[Difference]:
    """The changes that make known rules the wanted ones. prunes: Those that are not wanted go; else they stay."""
    before, after = ({rule.name: rule for rule in rules} for rules in (known, wanted))
    found = []
    for name, rule in after.items():
        if name not in before:
            found.append(Difference(name, rule, f"+ {name}: {_said(as_document(rule))}"))
        elif rule != before[name]:
            old, new = as_document(before[name]), as_document(rule)
            changes = [
                f"{key}: {_plain(old.get(key))} -> {_plain(new.get(key))}"
                for key in KEYS
                if old.get(key) != new.get(key)
            ]
            found.append(Difference(name, rule, f"~ {name}: {', '.join(changes)}"))
    if prunes:
        found += [Difference(name, None, f"- {name}") for name in before if name not in after]
    return found


def _said(document: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_plain(value)}" for key, value in document.items() if key != "name")


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={each}" for name, each in value.items())
    if isinstance(value, list):
        return " ".join(value)
    return "–" if value is None else str(value)


def _above(kind: str, given: Any) -> float:
    if yaml_text.is_null(given):
        raise InvalidRequest(f"above is missing: a rule of kind {kind} needs a limit, such as {_example(kind)}.")
    text = str(given).strip().lower()
    if kind in SHARES:
        number = _number(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        if not 0 <= number < 1 or isinstance(given, bool):
            _refuse("above", given, "a share below 100%, such as 5% or 0.05")
        return number
    found = _TIME.fullmatch(text)
    seconds = float(found[1]) * {"ms": 0.001, "m": 60.0}.get(found[2] or "s", 1.0) if found else math.nan
    if not 0 < seconds <= 86_400 or isinstance(given, bool):
        _refuse("above", given, "a time of more than 0 s, such as 3s or 800ms")
    return seconds


def _number(text: str) -> float:
    try:
        return float(text) if yaml_text.NUMBER.fullmatch(text) else math.nan
    except ValueError:
        return math.nan


def _example(kind: str) -> str:
    return "5%" if kind in SHARES else "3s"


def _span(given: Mapping[str, Any], key: str, bounds: tuple[int, int], default: int) -> int:
    value = given.get(key)
    if yaml_text.is_null(value):
        return default
    try:
        return seconds_of(str(value), key, *bounds)
    except InvalidRequest as error:
        raise InvalidRequest(f"{_line(value)}{error.message}", param=key) from None


def _count(given: Any, default: int) -> int:
    if yaml_text.is_null(given):
        return default
    text = str(given)
    if not re.fullmatch(r"[0-9]{1,7}", text) or not 1 <= int(text) <= MAX_AT_LEAST:
        _refuse("at_least", given, f"a number of calls, 1 to {MAX_AT_LEAST:,}")
    return int(text)


def _where(kind: str, given: Any) -> dict[str, str]:
    if yaml_text.is_null(given):
        return {}
    names = WHERE if kind in (*SHARES, *TIMES) else ("model", "vendor") if kind == "circuit_open" else ("name",)
    if not isinstance(given, Mapping):
        _refuse("where", given, f"keys such as `where: {{{names[0]}: …}}`")
    _known(given, names, f"where of a rule of kind {kind}")
    found: dict[str, str] = {}
    for name, value in given.items():
        if isinstance(value, Mapping | list) or yaml_text.is_null(value) or not str(value).strip():
            _refuse(f"where.{name}", value, "one text")
        if len(str(value)) > 200 or not is_storable(str(value)):
            _refuse(f"where.{name}", value, "at most 200 characters that can be kept")
        found[str(name)] = str(value)
    if "source" in found:
        LogFilter(source=found["source"])  # which knows them
    return found


def _channels(given: Any) -> tuple[str, ...]:
    if yaml_text.is_null(given):
        return ()
    found = []
    for each in given if isinstance(given, list) else [given]:
        text = str(each)
        is_mail = text.startswith(MAIL) and _ADDRESS.fullmatch(text.removeprefix(MAIL)) and len(text) <= 254
        if text not in CHANNELS and not (is_mail and is_storable(text)):
            _refuse("channels", each, f"{', '.join(CHANNELS)} or {MAIL}NAME@HOST", _meant(text, CHANNELS))
        found.append(text)
    return tuple(dict.fromkeys(found))


def _switch(given: Any) -> bool:
    if yaml_text.is_null(given):
        return True
    text = str(given).lower()
    if text not in ("true", "false"):
        _refuse("on", given, "true or false")
    return text == "true"


def _one_of(given: Mapping[str, Any], key: str, choices: tuple[Any, ...]) -> Any:
    value = given.get(key)
    if not isinstance(value, str) or value not in choices:
        _refuse(key, value, f"one of {', '.join(choices)}", _meant(str(value), choices))
    return str(value)


def _known(given: Mapping[str, Any], keys: tuple[str, ...], what: str) -> None:
    for key in given:
        if key not in keys:
            told = f"{_line(key)}{what} has no {str(key)[:60]!r}; it has {', '.join(keys)}."
            raise InvalidRequest(told, hint=_meant(str(key), keys), param=str(key)[:60])


def _meant(text: str, choices: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(text.lower().replace("-", "_").replace(" ", "_"), choices, n=2)
    return f"Did you mean {' or '.join(close)}?" if close else ""


def _refuse(key: str, value: Any, accepted: str, hint: str = "") -> NoReturn:
    shown = "nothing" if yaml_text.is_null(value) else repr(str(value)[:60])
    raise InvalidRequest(f"{_line(value)}{key} == {shown}, must be {accepted}.", hint=hint, param=key)


def _line(value: Any) -> str:
    line = getattr(value, "line", None)
    if line is None and isinstance(value, Mapping):
        line = next((getattr(key, "line", None) for key in value), None)
    return "" if line is None else f"line {line}: "
