"""The fields of a workflow and of one of its steps; what is not changed stays as it was written, to the last space."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from core import InvalidRequest
from core.domain.generation import MAX_TOKENS, Parameters
from core.domain.workflow import CHECKS, FAILURE_POLICIES, Condition, Step, Workflow
from core.formats import strict_json as json
from dashboard import formatting
from dashboard.frames import models

_DEFAULT = "(default model)"
_ALWAYS = "(always)"
_WORDS = ["contains", "does not contain"]


def _edited(old: Any, shown: Any, given: Any, read: Callable[[Any], Any] = lambda given: given) -> Any:
    """The value of a field: the old one, to the last space, unless the field was changed."""
    return old if given == shown else read(given)


def inputs_to_lines(inputs: Mapping[str, str]) -> str:
    """One a line: name = default; a default that a line cannot hold as it is, in quotes as in JSON."""
    return "\n".join(f"{name} = {value if _fits(value) else json.dumps(value)}" for name, value in inputs.items())


def _fits(value: str) -> bool:
    return value == value.strip() and len(value.splitlines()) < 2 and not value.startswith('"')


def inputs_from_lines(lines: str) -> dict[str, str]:
    """Raises: InvalidRequest: A name is there twice, or quotes hold no JSON text."""
    found: dict[str, str] = {}
    for line in filter(str.strip, lines.split("\n")):
        name, _, value = (part.strip() for part in line.partition("="))
        if name in found:
            raise InvalidRequest(f"The input {name[:60]!r} is listed twice.")
        try:
            found[name] = json.loads(value) if value.startswith('"') else value
        except ValueError:
            raise InvalidRequest(f'The default of the input {name[:60]!r} must be like "two\\nlines".') from None
    return found


def of_workflow(workflow: Workflow, key: str) -> Workflow:
    """The fields beside the steps. Keys carry the version, so that text typed as YAML shows here at once."""
    top = st.columns([1, 2])
    name = top[0].text_input("Name", workflow.name, key=f"{key}_name")
    description = top[1].text_input("Description", workflow.description, key=f"{key}_description")
    lines = inputs_to_lines(workflow.inputs)
    raw = st.text_area(
        "Named inputs", lines, key=f"{key}_inputs", height=68, placeholder="name = default",
        help="One per line. Used in prompts as {{input.NAME}}; the main input is {{input}}. In quotes, \\n is a line"
        ' break: `"a\\nb"`.',
    )  # fmt: skip
    inputs = workflow.inputs
    try:
        inputs = _edited(inputs, lines, raw, lambda given: inputs_from_lines(given or ""))
    except InvalidRequest as error:
        st.error(formatting.plain(error.message), icon=":material/error:")
    return replace(workflow, name=name or "", description=description or "", inputs=inputs)


def of_step(step: Step, key: str, workflow: Workflow) -> Step:
    """All fields of a step."""
    row = st.columns(4)
    name = row[0].text_input("Name", step.name, key=f"{key}_name", help="Steps that use this one follow its new name.")
    shown = step.model or _DEFAULT
    names = list(dict.fromkeys([_DEFAULT, *models.names_to_ask(), shown]))
    model = row[1].selectbox("Model", names, names.index(shown), key=f"{key}_model")
    check = row[2].selectbox(
        "Check", CHECKS, CHECKS.index(step.check), key=f"{key}_check",
        help="If a check fails, the reason is sent back to the model.",
    )  # fmt: skip
    attempts = row[3].number_input("Attempts", 1, 10, step.attempts, key=f"{key}_attempts")
    prompt = st.text_area(
        "Prompt", step.prompt, key=f"{key}_prompt", height=140,
        help='{{input}}, {{input.NAME}} and {{steps.NAME.output}}; for literal braces write {{"{{"}} and {{"}}"}}.',
    )  # fmt: skip
    system = st.text_area("System prompt", step.system or "", key=f"{key}_system", height=68)
    when = _when_form(step, key, workflow)
    failure = _failure_form(step, key)
    parameters = _parameters_form(step.parameters, key)
    approval = st.toggle(
        "Wait for approval", step.approval, key=f"{key}_approval",
        help="The run pauses before this step, until a person lets it through.",
    )  # fmt: skip
    return replace(
        step, name=name or "", check=check, attempts=int(attempts or 1), prompt=prompt or "", parameters=parameters,
        model=_edited(step.model, shown, model), approval=approval,
        system=_edited(step.system, step.system or "", system, lambda given: given or None), when=when, **failure,
    )  # fmt: skip


def _failure_form(step: Step, key: str) -> dict[str, Any]:
    row = st.columns([1, 1, 2])
    policy = row[0].selectbox(
        "On failure", FAILURE_POLICIES, FAILURE_POLICIES.index(step.on_failure), key=f"{key}_policy"
    )
    fallback = row[1].text_input(
        "Fallback model", step.fallback_model or "", key=f"{key}_fallback", disabled=policy != "fallback"
    )
    default = row[2].text_area(
        "Default output", step.default or "", key=f"{key}_default", height=68, disabled=policy != "default"
    )
    # Choosing the policy is enough: an empty output is a default too.
    old_default = "" if policy == "default" and step.default is None else step.default
    return {
        "on_failure": policy,
        "fallback_model": _edited(
            step.fallback_model, step.fallback_model or "", fallback, lambda given: given or None
        ),
        "default": _edited(old_default, step.default or "", default),
    }


def _parameters_form(parameters: Parameters, key: str) -> Parameters:
    old = parameters.temperature
    row = st.columns([1, 1, 2])
    temperature = row[0].number_input(
        "Temperature", 0.0, 2.0, None if old is None else float(old), 0.1,
        key=f"{key}_temperature", placeholder="default",
    )  # fmt: skip
    limit = row[1].number_input(
        "Max output tokens", 1, MAX_TOKENS, parameters.max_tokens, key=f"{key}_max", placeholder="default"
    )
    return replace(parameters, temperature=_edited(old, old, temperature), max_tokens=limit)


def _when_form(step: Step, key: str, workflow: Workflow) -> Condition | None:
    old = step.when
    others = [_ALWAYS, *(other.name for other in workflow.steps if other.name != step.name)]
    others += [old.step] if old and old.step not in others else []
    row = st.columns([1, 1, 2])
    name = row[0].selectbox(
        "Run only if the output of", others, others.index(old.step) if old else 0, key=f"{key}_when"
    )
    if name in (None, _ALWAYS):
        return None
    word = row[1].selectbox(
        "word", _WORDS, int(old.negate) if old else 0, key=f"{key}_negate", label_visibility="hidden"
    )
    text = row[2].text_input("text", old.contains if old else "yes", key=f"{key}_contains", label_visibility="hidden")
    return Condition(step=name, contains=text or "", negate=word == _WORDS[1])
