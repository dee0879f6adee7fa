"""Prompt templates: {{input}}, {{input.NAME}}, {{steps.NAME.output}}, and {{"a text as it is"}}; no code."""

import re
from collections.abc import Mapping

from core.prompts.template import PLACEHOLDER, TemplateError, filled, names

_INPUT = re.compile(r"input(?:\.([A-Za-z_]\w*))?")
_STEP = re.compile(r"steps\.([A-Za-z_][\w-]*)\.output")


def references(template: str) -> tuple[set[str], set[str]]:
    """Names of the inputs and of the steps that a template uses; the main input has the name ''.

    Raises:
        TemplateError: Stray braces, or a placeholder that is none of the known forms.
    """
    inputs: set[str] = set()
    steps: set[str] = set()
    for name in names(template, _is_known, "{{input}}, {{input.NAME}} or {{steps.NAME.output}}"):
        if found := _INPUT.fullmatch(name):
            inputs.add(found[1] or "")
        elif found := _STEP.fullmatch(name):
            steps.add(found[1])
    return inputs, steps


def with_step_renamed(template: str, old: str, new: str) -> str:
    """The template with another name for a step whose output it uses."""

    def renamed(match: re.Match[str]) -> str:
        found = _STEP.fullmatch(match[1].strip())
        return match[0].replace(f"steps.{old}.", f"steps.{new}.") if found and found[1] == old else match[0]

    return PLACEHOLDER.sub(renamed, template)


def render(template: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    """Fill a template. Values are put in as they are: braces inside them are text.

    inputs: By name, the main one under ''.
    outputs: Step name -> output.

    Raises:
        TemplateError: A variable has no value.
    """
    references(template)

    def value(inner: str) -> str:
        if found := _INPUT.fullmatch(inner):
            name = found[1] or ""
            if name not in inputs:
                raise TemplateError(f"there is no input {name!r}")
            return inputs[name]
        step = _STEP.fullmatch(inner)
        if step is None or step[1] not in outputs:
            raise TemplateError(f"there is no output for {inner!r}")
        return outputs[step[1]]

    return filled(template, value)


def _is_known(inner: str) -> bool:
    return bool(_INPUT.fullmatch(inner) or _STEP.fullmatch(inner))
