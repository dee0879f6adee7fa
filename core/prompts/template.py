"""Templates with {{variables}}, and {{"a text as it is"}}; no code. Pure.

A name has letters, digits and _ - . in it. A value is put in once, as it is: braces inside it are text.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import InvalidRequest
from core.formats import strict_json as json

# A text in double quotes first: it may hold braces.
PLACEHOLDER = re.compile(r"\{\{(\s*\"[^\"]*\"\s*|[^{}]*)\}\}")
_LITERAL = re.compile(r'"([^"]*)"')
_NAME = re.compile(r"[\w.-]+")
_BRACES = re.compile(r"\{\{|\}\}")


class TemplateError(InvalidRequest):
    """A template that cannot be filled; the text names the place."""


def names(template: str, is_name: Callable[[str], object], use: str) -> tuple[str, ...]:
    """The names between braces, each once, in their order.

    is_name: Tells whether what stands between braces may.
    use: The names that may, in words.

    Raises:
        TemplateError: Stray braces, or a name that may not stand there.
    """
    found: dict[str, None] = {}
    for match in PLACEHOLDER.finditer(template):
        inner = match[1].strip()
        if is_name(inner):
            found[inner] = None
        elif not _LITERAL.fullmatch(inner):
            raise TemplateError(
                f"{_where(template, match.start())}: {{{{{inner[:60]}}}}} is not a variable;"
                f' use {use}; braces as text are written {{{{"{{{{"}}}} and {{{{"}}}}"}}}}'
            )
    # What is left may hold single braces (JSON), but no half of a placeholder.
    rest = PLACEHOLDER.sub(lambda match: " " * len(match[0]), template)
    for brace in ("{{", "}}"):
        # A JSON text such as {"a": {"b": 1}} ends in }} and is no mistake unless something opened before it.
        at = rest.find(brace)
        if at >= 0 and not (brace == "}}" and _closes_single_braces(rest)):
            raise TemplateError(
                f"{_where(template, at)}: a stray {brace}; a variable is written {{{{input}}}},"
                f' and {brace} as text {{{{"{brace}"}}}}'
            )
    return tuple(found)


def literal(text: str) -> str:
    """The template that gives a text as it is."""
    return _BRACES.sub(lambda match: f'{{{{"{match[0]}"}}}}', text)


def filled(template: str, value: Callable[[str], str]) -> str:
    """A template that `names` takes, with the value of each name."""

    def text(match: re.Match[str]) -> str:
        inner = match[1].strip()
        literal = _LITERAL.fullmatch(inner)
        return literal[1] if literal else value(inner)

    return PLACEHOLDER.sub(text, template)


def variables(template: str) -> tuple[str, ...]:
    """The names of the variables, each once, in their order. Raises: TemplateError"""
    return names(template, _NAME.fullmatch, "names of letters, digits and _ - .")


def render(template: str, values: Mapping[str, Any]) -> str:
    """The template with its variables' values; what is no text as compact JSON.

    Raises:
        TemplateError: A variable has no value; the message names it.
    """
    variables(template)
    return filled(template, lambda name: as_text(value_of(name, values)))


def value_of(name: str, values: Mapping[str, Any]) -> Any:
    """The value of a name, or what a dotted path leads to in objects and lists. Raises: TemplateError"""
    if name in values:
        return values[name]
    found: Any = values
    for part in name.split("."):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list | tuple) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            known = f"given are {', '.join(map(str, values))}"[:300] if values else "none is given"
            raise TemplateError(f"The variable {name!r} has no value; {known}.")
    return found


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.encoded(value).decode()


def _closes_single_braces(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def _where(template: str, at: int) -> str:
    line = template.count("\n", 0, at) + 1
    column = at - (template.rfind("\n", 0, at) + 1) + 1
    return f"line {line}, column {column}"
