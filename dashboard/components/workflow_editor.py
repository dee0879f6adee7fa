"""A workflow as a form and as YAML: the same object, checked while it is typed."""

from dataclasses import replace
from typing import Any

import streamlit as st

from core import InvalidRequest
from core.domain.generation import MAX_TOKENS, Parameters
from core.domain.workflow import Condition, Step, Workflow
from core.workflows import spec
from dashboard import formatting, queries
from dashboard.session import manager

_DEFAULT = "(model of the run)"


def edit(workflow: Workflow) -> Workflow | None:
    """Draw the editor; the workflow as it is now, or None while it has problems.

    The YAML text in the session is the one truth; the form reads it and writes it.
    """
    state = st.session_state
    if state.get("flow_loaded") != workflow.name:
        state["flow_loaded"], state["flow_yaml"] = workflow.name, spec.to_yaml(workflow)
        state["flow_version"] = state.get("flow_version", 0) + 1
    form, text, picture = st.tabs(["Form", "YAML", "Picture"])
    with text:
        st.text_area(
            "YAML", key="flow_yaml", height=420, label_visibility="collapsed", on_change=_typed,
            help="Click outside or press Ctrl+Enter to check what you typed.",
        )  # fmt: skip
    try:
        current = spec.from_yaml(state["flow_yaml"])
    except InvalidRequest as error:
        st.error(formatting.plain(error.message), icon=":material/error:")
        return None
    with form:
        edited = _form(current, state["flow_version"])
        if edited != current:
            state["flow_pending"] = spec.to_yaml(edited)
            st.rerun()
    with picture:
        st.mermaid_chart(spec.to_mermaid(current), alt=f"The steps of {current.name}")
    problems = manager().workflows.problems(current)
    for problem in problems:
        st.error(formatting.plain(str(problem)), icon=":material/error:")
    return None if problems else current


def prepare() -> None:
    """Take over what the form changed in the run before; widget values may only be set before they are drawn."""
    if pending := st.session_state.pop("flow_pending", None):
        st.session_state["flow_yaml"] = pending


def _typed() -> None:
    st.session_state["flow_version"] += 1


def _form(workflow: Workflow, version: int) -> Workflow:
    """Widgets for each field; keys carry the version, so that text typed as YAML shows here at once."""
    top = st.columns([1, 2])
    name = top[0].text_input("Name", workflow.name, key=f"f{version}_name")
    description = top[1].text_input("Description", workflow.description, key=f"f{version}_description")
    inputs_text = "\n".join(f"{key} = {value}" for key, value in workflow.inputs.items())
    raw = st.text_area(
        "Named inputs (one a line: name = default)", inputs_text, key=f"f{version}_inputs", height=68,
        help="Used in prompts as {{input.NAME}}; the main input is {{input}}.",
    )  # fmt: skip
    pairs = [line.partition("=") for line in (raw or "").splitlines() if line.strip()]
    inputs = {key.strip(): value.strip() for key, _, value in pairs}
    steps = tuple(_step_form(step, f"f{version}_s{at}", workflow) for at, step in enumerate(workflow.steps))
    row = st.container(horizontal=True)
    if row.button("Add a step", icon=":material/add:", key=f"f{version}_add"):
        number = len(steps) + 1
        steps += (Step(name=f"step_{number}", prompt=f"Go on from this:\n\n{{{{steps.{steps[-1].name}.output}}}}"),)
        st.session_state["flow_version"] += 1
    if len(steps) > 1 and row.button("Remove the last step", icon=":material/remove:", key=f"f{version}_remove"):
        steps = steps[:-1]
        st.session_state["flow_version"] += 1
    return replace(workflow, name=name or "", description=description or "", inputs=inputs, steps=steps)


def _step_form(step: Step, key: str, workflow: Workflow) -> Step:
    with st.expander(f"**{step.name}**", icon=":material/chevron_right:"):
        row = st.columns([1, 1, 1, 1])
        name = row[0].text_input("Name", step.name, key=f"{key}_name")
        models = [_DEFAULT, *queries.names_to_ask()]
        models += [step.model] if step.model and step.model not in models else []
        model = row[1].selectbox("Model", models, models.index(step.model or _DEFAULT), key=f"{key}_model")
        checks: Any = ("none", "not_empty", "json")
        check = row[2].selectbox(
            "Check",
            checks,
            checks.index(step.check),
            key=f"{key}_check",
            help="A failed check is sent back to the model with the reason.",
        )
        attempts = row[3].number_input("Attempts", 1, 10, step.attempts, key=f"{key}_attempts")
        prompt = st.text_area("Prompt", step.prompt, key=f"{key}_prompt", height=140)
        system = st.text_input("System prompt", step.system or "", key=f"{key}_system")
        row = st.columns([1, 1, 1, 1])
        policies: Any = ("stop", "skip", "fallback")
        policy = row[0].selectbox("On failure", policies, policies.index(step.on_failure), key=f"{key}_policy")
        fallback = row[1].text_input(
            "Fallback model", step.fallback_model or "", key=f"{key}_fallback", disabled=policy != "fallback"
        )
        temperature = row[2].number_input(
            "Temperature", 0.0, 2.0, step.parameters.temperature, 0.1, key=f"{key}_temperature", placeholder="default"
        )
        limit = row[3].number_input(
            "Max output tokens", 1, MAX_TOKENS, step.parameters.max_tokens, key=f"{key}_max", placeholder="default"
        )
        when = _when_form(step, key, workflow)
    parameters: Parameters = replace(step.parameters, temperature=temperature, max_tokens=limit)
    return replace(
        step, name=name or "", model=None if model == _DEFAULT else model, check=check, attempts=int(attempts or 1),
        prompt=prompt or "", system=system or None, on_failure=policy, fallback_model=fallback or None,
        parameters=parameters, when=when,
    )  # fmt: skip


def _when_form(step: Step, key: str, workflow: Workflow) -> Condition | None:
    others = ["(always)", *(other.name for other in workflow.steps if other.name != step.name)]
    old = step.when
    if old and old.step not in others:
        others.append(old.step)
    row = st.columns([1, 1, 2])
    name = row[0].selectbox(
        "Run only if the output of", others, others.index(old.step) if old else 0, key=f"{key}_when"
    )
    if name in (None, "(always)"):
        return None
    words = ["contains", "does not contain"]
    word = row[1].selectbox(
        "word", words, int(old.negate) if old else 0, key=f"{key}_negate", label_visibility="hidden"
    )
    text = row[2].text_input("text", old.contains if old else "yes", key=f"{key}_contains", label_visibility="hidden")
    return Condition(step=name, contains=text or "", negate=word == words[1])
