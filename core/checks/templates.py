"""Templates in the values of checks: {{name}}, {{a.b}}, {{a[0]}}, {{name | upper}}; filled once, and no code. Pure.

What a variable holds is data: braces in it are text.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from core.checks import javascript as js
from core.checks.model import ABSENT, CheckError, shown

_PLACEHOLDER = re.compile(
    r"(?:\s*\{\{-|\{\{)((?:\"[^\"]*\"|'[^']*'|[^{}\"'])*?)(?:-\}\}\s*|\}\})|\{#[\s\S]*?#\}|\{%|\{\{"
)
_EXPRESSION = re.compile(
    r"\s*(?:(?P<text>\"[^\"]*\"|'[^']*')"
    r"|(?P<path>[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*|\[\s*(?:\d+|\"[^\"]*\"|'[^']*')\s*\])*))"
    r"(?P<filters>(?:\s*\|\s*[A-Za-z_]\w*)*)\s*"
)
_STEP = re.compile(r"\.([\w$]+)|\[\s*(?:(\d+)|\"([^\"]*)\"|'([^']*)')\s*\]|^([A-Za-z_$][\w$]*)")
_FILTERS: dict[str, Callable[[Any], Any]] = {
    "upper": lambda value: _text(value).upper(),
    "lower": lambda value: _text(value).lower(),
    "trim": lambda value: js.trim(_text(value)),
    "capitalize": lambda value: _text(value)[:1].upper() + _text(value)[1:].lower(),
    "title": lambda value: re.sub(r"[^ ]+", lambda word: word[0].capitalize(), _text(value)),
    "length": lambda value: len(value) if isinstance(value, str | list | dict) else 0 if value is ABSENT else "",
    "dump": lambda value: "" if value is ABSENT else js.json_text(value),
    "safe": lambda value: value,
    "string": lambda value: _plain(value),
    "join": lambda value: "".join(map(_plain, value)) if isinstance(value, list) else value,
    "first": lambda value: value[0] if isinstance(value, str | list) and value else ABSENT,
    "last": lambda value: value[-1] if isinstance(value, str | list) and value else ABSENT,
}


def render(template: str, variables: Mapping[str, Any]) -> str:
    """Fill a template. A variable that is not there is an empty text, an object "[object Object]".

    Raises:
        CheckError: An expression or a tag that is more than a variable with filters.
    """
    return _PLACEHOLDER.sub(lambda match: _filled(match, variables), template) if "{" in template else template


def names_in(template: str) -> set[str]:
    """The variables that a template uses. Raises: CheckError, as `render`"""
    found = (_parsed(match) for match in _PLACEHOLDER.finditer(template) if not match[0].startswith("{#"))
    return {_steps(path)[0] for path, _, _ in found if path}


def _filled(match: re.Match[str], variables: Mapping[str, Any]) -> str:
    if match[0].startswith("{#"):
        return ""
    path, text, filters = _parsed(match)
    value: Any = text if not path else variables
    for step in _steps(path):
        value = _member(value, step)
    for name in filters:
        value = _FILTERS[name](value)
    return _plain(value)


def _parsed(match: re.Match[str]) -> tuple[str, str, list[str]]:
    """Path, literal text and filters of one placeholder."""
    found = _EXPRESSION.fullmatch(match[1] or "")
    if found is None:
        raise CheckError(f"{match[0][:80]} is not a variable; a value may hold {{{{name}}}} and {{{{name | filter}}}}")
    filters = [each.strip() for each in found["filters"].split("|")[1:]]
    for name in filters:
        if name not in _FILTERS:
            raise CheckError(f"{match[0][:80]}: there is no filter {name!r}; known are {', '.join(sorted(_FILTERS))}")
    return found["path"] or "", (found["text"] or "")[1:-1], filters


def _steps(path: str) -> list[str]:
    return [next(part for part in match.groups() if part is not None) for match in _STEP.finditer(path)]


def _member(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name, ABSENT)
    if isinstance(value, list | str) and name == "length":
        return len(value)
    if isinstance(value, list | str) and name.isdigit() and int(name) < len(value):
        return value[int(name)]
    return ABSENT


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is ABSENT or value is None:
        return ""
    raise CheckError(f"a filter for texts was given {shown(value)}")


def _plain(value: Any) -> str:
    return "" if value is ABSENT or value is None else js.text_of(value)
