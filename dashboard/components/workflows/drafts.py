"""Workflows as they are edited: texts in the session, which a change of page or of workflow leaves alone.

While the server runs, they outlive the session too: who reloads the page goes on.
"""

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import streamlit as st

from core import InvalidRequest, ModelManager
from core.domain.workflow import Workflow
from core.workflows import spec
from dashboard import address, formatting
from dashboard.charts.colours import Ink
from dashboard.components.workflows.picture import Mark
from dashboard.process import manager
from dashboard.visitors.voter import voter

MAX_UNDO, MAX_ASIDE = 50, 100
# By who writes and workflow: the text on record that was begun with, and the draft.
_aside: WeakKeyDictionary[ModelManager, dict[tuple[str, str], tuple[str, str]]] = WeakKeyDictionary()
_FIRST = "name: {}\nsteps:\n  - name: step_1\n    prompt: |\n      {{{{input}}}}\n"


class Current(NamedTuple):
    """The chosen workflow as it is now.

    workflow: None = the text cannot be read, and `error` says why.
    problems: Why it could not run.
    """

    workflow: Workflow | None
    problems: tuple[spec.Problem, ...] = ()
    error: str = ""

    @property
    def ready(self) -> Workflow | None:
        """The workflow, if it can run."""
        return None if self.problems else self.workflow

    def of_step(self, name: str) -> list[str]:
        return [problem.message for problem in self.problems if problem.step == name]

    def marks(self, ink: Ink) -> dict[str, Mark]:
        return {problem.step: Mark(f"✕ {problem.message}", ink.fail) for problem in reversed(self.problems)}


def prepare(texts: dict[str, str]) -> dict[str, str]:
    """The workflows to choose from: those on record, and those that are not saved yet."""
    state = st.session_state
    begun = state.get("flow_new", [name for who, name in _aside.setdefault(manager(), {}) if who == voter()])
    new = state["flow_new"] = [name for name in begun if name not in texts]
    texts = texts | dict.fromkeys(new, "")
    name = state.get("flow_loaded")
    if name is None or name in texts or not is_changed():
        return texts
    text = f"{name} was deleted elsewhere. Your changes are still here; save to keep them."
    st.warning(formatting.plain(text), icon=":material/delete:")
    return {**texts, name: state["flow_base"]}


def choose(place: Any, names: list[str]) -> str:
    """Draw the choice of a workflow."""
    selected = st.session_state.pop("flow_selected", None)
    if selected is not None:
        st.session_state["flow_name"] = selected if selected in names else names[0]
    address.check("flow_name", names, "workflow")
    chosen = place.selectbox(
        "Workflow", names, key="flow_name", bind="query-params", label_visibility="collapsed", width=240,
    )  # fmt: skip
    return chosen if chosen in names else names[0]


def load(name: str, written: str) -> Current:
    """Take up what was typed into a workflow before, or begin with what is on record."""
    state = st.session_state
    if state.get("flow_loaded") != name or (state["flow_base"] != written and not is_changed()):
        stash()
        base, text = _aside[manager()].get((voter(), name), (written, written))
        if (own := state.pop(f"flow_draft_{name}", None)) is not None:
            base, text = written, own
        state.update(flow_loaded=name, flow_base=base, flow_text=text, flow_seen=text, flow_undo=[])
        renew()
    elif state["flow_base"] != written:
        text = "This workflow was saved elsewhere after you started editing. Saving will overwrite that version."
        st.warning(text, icon=":material/sync_problem:")
    if state["flow_text"] != state["flow_seen"]:
        state["flow_undo"] = [*state["flow_undo"], state["flow_seen"]][-MAX_UNDO:]
        state["flow_seen"] = state["flow_text"]
    _put_aside(name)
    try:
        current = spec.from_yaml(state["flow_text"])
    except InvalidRequest as error:
        return Current(None, error=error.message)
    return Current(current, tuple(manager().workflows.definitions.problems(current)))


def _put_aside(name: str) -> None:
    """Keep what was typed here for a session that comes after this one."""
    state, drafts, key = st.session_state, _aside[manager()], (voter(), name)
    if is_changed():
        drafts[key] = state["flow_base"], state["flow_text"]
        state["flow_aside"] = name
        while len(drafts) > MAX_ASIDE:
            drafts.pop(next(iter(drafts)))
    elif state.pop("flow_aside", None) == name:
        drafts.pop(key, None)


def is_changed() -> bool:
    state = st.session_state
    return "flow_loaded" in state and state["flow_text"] != state["flow_base"]


def unsaved(but: str) -> list[str]:
    """The other workflows that have unsaved changes."""
    names = [str(key).removeprefix("flow_draft_") for key in st.session_state if str(key).startswith("flow_draft_")]
    return sorted(name for name in names if name != but)


def renew() -> None:
    """Give the fields new keys, so that they show the text as it is now."""
    st.session_state["flow_version"] = st.session_state.get("flow_version", 0) + 1


def undo() -> None:
    state = st.session_state
    state["flow_text"] = state["flow_seen"] = state["flow_undo"].pop()
    renew()


def stash() -> None:
    """Put aside what was typed into the workflow that is shown."""
    state = st.session_state
    if is_changed():
        state[f"flow_draft_{state['flow_loaded']}"] = state["flow_text"]


def select(name: str) -> None:
    """Show this workflow from the next run on, as it is on record; what was typed into the one shown is let go."""
    state = st.session_state
    state["flow_selected"] = name
    state.pop(f"flow_draft_{name}", None)
    _aside[manager()].pop((voter(), name), None)
    if name not in manager().workflows.definitions.texts():
        state["flow_new"] = [each for each in state["flow_new"] if each != name]
    state.pop("flow_loaded", None)


def begin(name: str, text: str) -> None:
    """Show this text as unsaved changes of a workflow, which may be new."""
    stash()
    select(name)
    st.session_state["flow_new"] = [*st.session_state["flow_new"], name]
    st.session_state[f"flow_draft_{name}"] = text


def begin_new() -> None:
    taken = {*manager().workflows.definitions.texts(), *st.session_state["flow_new"]}
    name = next(name for at in range(1, 1000) if (name := f"new_workflow_{at}") not in taken)
    begin(name, _FIRST.format(name))
