"""Prompt templates: {{input}}, {{input.NAME}}, {{steps.NAME.output}}, and {{"a text as it is"}}; no code."""

import re
from collections.abc import Mapping

from core.errors import InvalidRequest

# A text in double quotes first: it may hold braces.
_PLACEHOLDER = re.compile(r"\{\{(\s*\"[^\"]*\"\s*|[^{}]*)\}\}")
_LITERAL = re.compile(r'"([^"]*)"')
_INPUT = re.compile(r"input(?:\.([A-Za-z_]\w*))?")
_STEP = re.compile(r"steps\.([A-Za-z_][\w-]*)\.output")


class TemplateError(InvalidRequest):
    """A template that cannot be filled; the text names the place."""


def references(template: str) -> tuple[set[str], set[str]]:
    """Names of the inputs and of the steps that a template uses; the main input has the name ''.

    Raises:
        TemplateError: Stray braces, or a placeholder that is none of the known forms.
    """
    inputs: set[str] = set()
    steps: set[str] = set()
    for match in _PLACEHOLDER.finditer(template):
        inner = match[1].strip()
        if found := _INPUT.fullmatch(inner):
            inputs.add(found[1] or "")
        elif found := _STEP.fullmatch(inner):
            steps.add(found[1])
        elif not _LITERAL.fullmatch(inner):
            raise TemplateError(
                f"{_where(template, match.start())}: {{{{{inner[:60]}}}}} is not a variable;"
                " use {{input}}, {{input.NAME}} or {{steps.NAME.output}}; braces as text are written"
                ' {{"{{"}} and {{"}}"}}'
            )
    # What is left may hold single braces (JSON), but no half of a placeholder.
    rest = _PLACEHOLDER.sub(lambda match: " " * len(match[0]), template)
    for brace in ("{{", "}}"):
        # A JSON text such as {"a": {"b": 1}} ends in }} and is no mistake unless something opened before it.
        at = rest.find(brace)
        if at >= 0 and not (brace == "}}" and _closes_single_braces(rest)):
            raise TemplateError(
                f"{_where(template, at)}: a stray {brace}; a variable is written {{{{input}}}},"
                f' and {brace} as text {{{{"{brace}"}}}}'
            )
    return inputs, steps


def with_step_renamed(template: str, old: str, new: str) -> str:
    """The template with another name for a step whose output it uses."""

    def renamed(match: re.Match[str]) -> str:
        found = _STEP.fullmatch(match[1].strip())
        return match[0].replace(f"steps.{old}.", f"steps.{new}.") if found and found[1] == old else match[0]

    return _PLACEHOLDER.sub(renamed, template)


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


def render(template: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    """Fill a template. Values are put in as they are: braces inside them are text.

    inputs: By name, the main one under ''.
    outputs: Step name -> output.

    Raises:
        TemplateError: A variable has no value.
    """
    references(template)

    def value(match: re.Match[str]) -> str:
        inner = match[1].strip()
        if found := _INPUT.fullmatch(inner):
            name = found[1] or ""
            if name not in inputs:
                raise TemplateError(f"there is no input {name!r}")
            return inputs[name]
        if literal := _LITERAL.fullmatch(inner):
            return literal[1]
        step = _STEP.fullmatch(inner)
        if step is None or step[1] not in outputs:
            raise TemplateError(f"there is no output for {inner!r}")
        return outputs[step[1]]

    return _PLACEHOLDER.sub(value, template)
