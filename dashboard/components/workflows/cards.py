"""The steps of a workflow as cards: moved, added, doubled, taken out; with the fields of the one that is open."""

from collections.abc import Callable
from html import escape
from typing import Any, NamedTuple

import streamlit as st

from core.domain.workflow import Step, Workflow
from core.workflows import editing
from dashboard import address, formatting, theme
from dashboard.components.workflows import fields
from dashboard.components.workflows.drafts import Current
from dashboard.frames import models

Change = Callable[[Workflow], Workflow]


class Edit(NamedTuple):
    """The workflow after what was typed or clicked.

    opens: The step whose card is open from then on.
    is_other: Its steps are others, or in another order.
    place: Where to say that it cannot be.
    """

    workflow: Workflow
    opens: str | None
    is_other: bool
    place: Any


def draw(workflow: Workflow, current: Current) -> Edit:
    """Draw the cards. The open one is named in the address."""
    version = st.session_state["flow_version"]
    opened = address.value("step")
    place, changes = st.empty(), []
    edited = fields.of_workflow(workflow, f"f{version}")
    names = [step.name for step in workflow.steps]
    at_open = names.index(opened) if opened in names else None
    for at, step in enumerate(workflow.steps):
        with st.container(border=True, gap="small"):
            if (change := _head(workflow, at, f"f{version}_s{at}", is_open=at == at_open)) is not None:
                changes.append(change)
            for message in current.of_step(step.name):
                st.error(formatting.plain(message), icon=":material/error:")
            if at == at_open:
                place = st.empty()
                new = fields.of_step(step, f"f{version}_s{at}", workflow)
                edited = editing.with_step(edited, at, new)
                opened = new.name
    if st.button("Add step", icon=":material/add:", key=f"f{version}_add"):
        changes.append(lambda given: editing.inserted(given, len(given.steps)))
    for change in changes:
        before, edited = edited, change(edited)
        added = [step.name for step in edited.steps if step.name not in names]
        if added and len(edited.steps) > len(before.steps):
            opened = added[-1]
    return Edit(edited, opened, bool(changes), place)


def _head(workflow: Workflow, at: int, key: str, *, is_open: bool) -> Change | None:
    """A step in a line, and what can be done with it; what was clicked."""
    step, n = workflow.steps[at], len(workflow.steps)
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    row.html(f'<div class="aimm-card"><b>{at + 1} · {escape(step.name)}</b>{_chips(step)}</div>', width="content")
    row.space("stretch")
    found: Change | None = None
    actions: tuple[tuple[str, str, bool, Change], ...] = (
        ("Move up", "arrow_upward", at == 0, lambda given: editing.moved(given, at, -1)),
        ("Move down", "arrow_downward", at + 1 == n, lambda given: editing.moved(given, at, 1)),
        ("Insert a step before", "add_row_above", False, lambda given: editing.inserted(given, at)),
        ("Duplicate", "content_copy", False, lambda given: editing.doubled(given, at)),
        ("Remove", "delete", n == 1, lambda given: editing.removed(given, at)),
    )
    for label, icon, is_off, change in actions:
        words, text = label.lower().replace(" ", "_"), formatting.plain(f"{label}: {step.name}")
        if row.button(
            text, icon=f":material/{icon}:", key=f"icon_{key}_{words}", type="tertiary", disabled=is_off, help=text,
        ):  # fmt: skip
            found = change
            if label == "Remove":
                st.toast(formatting.plain(f"Removed {step.name}. Undo brings it back."))
    row.button(
        "Close" if is_open else "Edit", key=f"{key}_open", on_click=address.put,
        args=("step", None if is_open else step.name), help=formatting.plain(step.name),
    )  # fmt: skip
    return found


def _chips(step: Step) -> str:
    """Model, condition, check, attempts and what else is not as usual."""
    colour = models.colours(theme.mode()).get(step.model or "", theme.ink().axis)
    said = [f'<i class="aimm-dot" style="background:{colour}"></i>{escape(step.model or "default model")}']
    if step.when:
        word = "lacks" if step.when.negate else "has"
        said.append(escape(f"if {step.when.step} {word} “{step.when.contains[:30]}”"))
    said += ["waits for approval"] if step.approval else []
    said += [f"check {step.check}"] if step.check != "none" else []
    said += [f"{step.attempts} attempts"] if step.attempts > 1 else []
    said += [f"on failure {step.on_failure}"] if step.on_failure != "stop" else []
    return "".join(f'<span class="aimm-chip">{each}</span>' for each in said)
