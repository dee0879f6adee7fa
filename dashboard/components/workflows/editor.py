"""A workflow as a form and as YAML: the same object, checked while it is typed."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from core import InvalidRequest
from core.domain.generation import MAX_TOKENS, Parameters
from core.domain.workflow import CHECKS, FAILURE_POLICIES, Condition, Step, Workflow
from core.formats import strict_json as json
from core.workflows import spec
from core.workflows.rewriting import rewritten
from dashboard import address, formatting
from dashboard.frames import models
from dashboard.process import manager

_DEFAULT = "(default model)"
_ALWAYS = "(always)"
_WORDS = ["contains", "does not contain"]


def edit(name: str, written: str) -> Workflow | None:
    """Draw the editor; the workflow as it is now, or None while it has problems.

    The YAML text in the session is the one truth, and begins as it was written; the form reads it, and writes it
    only where a field was changed.
    """
    state = st.session_state
    is_edited = "flow_loaded" in state and state["flow_yaml"] != state["flow_base"]
    if state.get("flow_loaded") != name or (state["flow_base"] != written and not is_edited):
        if is_edited:
            state[f"flow_draft_{state['flow_loaded']}"] = state["flow_yaml"]
        state["flow_loaded"], state["flow_base"] = name, written
        state["flow_yaml"] = state.pop(f"flow_draft_{name}", written)
        state["flow_version"] = state.get("flow_version", 0) + 1
    elif state["flow_base"] != written:
        text = "This workflow was saved elsewhere after you started editing. Saving will overwrite that version."
        st.warning(text, icon=":material/sync_problem:")
    form, source, diagram = st.tabs(["Form", "YAML", "Diagram"])
    with source:
        st.text_area(
            "YAML", key="flow_yaml", persist_state="session", height=420, label_visibility="collapsed",
            on_change=_typed, help="Click outside or press Ctrl+Enter to check what you typed.",
        )  # fmt: skip
    try:
        current = spec.from_yaml(state["flow_yaml"])
        with form:
            edited = _form(current, state["flow_version"]) if len(current.steps) <= spec.MAX_STEPS else current
        if edited != current:
            pending = rewritten(state["flow_yaml"], edited)
            spec.from_yaml(pending)  # what cannot be read again stays in the form, with the error
            state["flow_pending"] = pending
            st.rerun()
    except InvalidRequest as error:
        st.error(formatting.plain(error.message), icon=":material/error:")
        return None
    with diagram:
        st.mermaid_chart(spec.to_mermaid(current), alt=f"The steps of {current.name}")
    problems = manager().workflows.definitions.problems(current)
    for problem in problems:
        st.error(formatting.plain(str(problem)), icon=":material/error:")
    return None if problems else current


def prepare(texts: dict[str, str]) -> dict[str, str]:
    """The workflows to choose from. Takes over first what the form changed, which must be done before it is drawn."""
    state = st.session_state
    if pending := state.pop("flow_pending", None):
        state["flow_yaml"] = pending
    name = state.get("flow_loaded")
    if name is None or name in texts or state["flow_yaml"] == state["flow_base"]:
        return texts
    text = f"{name} was deleted elsewhere. Your changes are still here; save to keep them."
    st.warning(formatting.plain(text), icon=":material/delete:")
    return {**texts, name: state["flow_base"]}


def select(name: str) -> None:
    """Show this workflow from the next run on, as it was saved."""
    st.session_state["flow_selected"] = name
    st.session_state.pop(f"flow_draft_{name}", None)
    st.session_state.pop("flow_loaded", None)


def choose(names: list[str]) -> str:
    """Draw the choice of a workflow."""
    selected = st.session_state.pop("flow_selected", None)
    if selected is not None:
        st.session_state["flow_name"] = selected if selected in names else names[0]
    address.check("flow_name", names, "workflow")
    chosen = st.segmented_control(
        "Workflow", names, default=None if selected else names[0], key="flow_name", bind="query-params",
        required=True, format_func=formatting.plain,
    )  # fmt: skip
    return chosen if chosen in names else names[0]


def _typed() -> None:
    st.session_state["flow_version"] += 1


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


def _form(workflow: Workflow, version: int) -> Workflow:
    """Widgets for each field; keys carry the version, so that text typed as YAML shows here at once."""
    top = st.columns([1, 2])
    name = top[0].text_input("Name", workflow.name, key=f"f{version}_name")
    description = top[1].text_input("Description", workflow.description, key=f"f{version}_description")
    lines = inputs_to_lines(workflow.inputs)
    raw = st.text_area(
        "Named inputs", lines, key=f"f{version}_inputs", height=68, placeholder="name = default",
        help="One per line. Used in prompts as {{input.NAME}}; the main input is {{input}}. In quotes, \\n is a line"
        ' break: `"a\\nb"`.',
    )  # fmt: skip
    steps = tuple(_step_form(step, f"f{version}_s{at}", workflow) for at, step in enumerate(workflow.steps))
    row = st.container(horizontal=True)
    if row.button("Add step", icon=":material/add:", key=f"f{version}_add"):
        number = len(steps) + 1
        steps += (Step(name=f"step_{number}", prompt=f"Go on from this:\n\n{{{{steps.{steps[-1].name}.output}}}}"),)
        st.session_state["flow_version"] += 1
    if len(steps) > 1 and row.button("Remove last step", icon=":material/remove:", key=f"f{version}_remove"):
        steps = steps[:-1]
        st.session_state["flow_version"] += 1
    return replace(
        workflow,
        name=name or "",
        description=description or "",
        inputs=_edited(workflow.inputs, lines, raw, lambda given: inputs_from_lines(given or "")),
        steps=steps,
    )


def _step_form(step: Step, key: str, workflow: Workflow) -> Step:
    with st.expander(f"**{formatting.plain(step.name)}**", icon=":material/chevron_right:"):
        row = st.columns([1, 1, 1, 1])
        name = row[0].text_input("Name", step.name, key=f"{key}_name")
        shown = step.model or _DEFAULT
        names = list(dict.fromkeys([_DEFAULT, *models.names_to_ask(), shown]))
        model = row[1].selectbox("Model", names, names.index(shown), key=f"{key}_model")
        check = row[2].selectbox(
            "Check",
            CHECKS,
            CHECKS.index(step.check),
            key=f"{key}_check",
            help="If a check fails, the reason is sent back to the model.",
        )
        attempts = row[3].number_input("Attempts", 1, 10, step.attempts, key=f"{key}_attempts")
        prompt = st.text_area(
            "Prompt",
            step.prompt,
            key=f"{key}_prompt",
            height=140,
            help='For literal braces write {{"{{"}} and {{"}}"}}.',
        )
        system = st.text_area("System prompt", step.system or "", key=f"{key}_system", height=68)
        failure = _failure_form(step, key)
        parameters = _parameters_form(step.parameters, key)
        when = _when_form(step, key, workflow)
    return replace(
        step, name=name or "", check=check, attempts=int(attempts or 1), prompt=prompt or "", parameters=parameters,
        model=_edited(step.model, shown, model),
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
