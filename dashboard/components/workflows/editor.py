"""A workflow as cards and as YAML: the same text, checked while it is typed."""

import streamlit as st

from core import InvalidRequest
from core.formats import strict_json as json
from core.workflows import spec
from core.workflows.rewriting import rewritten
from dashboard import address, formatting, theme
from dashboard.components.workflows import cards, drafts, picture
from dashboard.components.workflows.drafts import Current
from dashboard.process import manager
from dashboard.visitors import allowed


def says(name: str, current: Current) -> None:
    """The lines above a workflow: its description, unsaved changes, and what keeps it from running."""
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    if current.workflow and current.workflow.description:
        row.caption(formatting.plain(current.workflow.description), width="content")
    if drafts.is_changed():
        row.badge(
            "Unsaved changes",
            icon=":material/edit:",
            color="orange",
            help="A reload of this tab loses them: save first.",
        )
    if others := drafts.unsaved(name):
        row.caption(formatting.plain(f"Unsaved changes in {', '.join(others)} too"), width="content")
    if current.error:
        st.error(formatting.plain(current.error), icon=":material/error:")
    for problem in current.problems:
        if not problem.step:
            st.error(formatting.plain(problem.message), icon=":material/error:")


def show(name: str, current: Current, view: str) -> None:
    """The editor, as cards or as YAML."""
    says(name, current)
    _toolbar(name, current)
    if current.workflow:
        picture.show(current.workflow, current.marks(theme.ink()))
    if view == "YAML":
        _yaml(current)
        return
    if current.workflow is None or len(current.workflow.steps) > spec.MAX_STEPS:
        st.info("The steps are shown once the YAML can be read.", icon=":material/data_object:")
        return
    edit = cards.draw(current.workflow, current)
    if edit.workflow == current.workflow:
        return
    state = st.session_state
    try:
        text = rewritten(state["flow_text"], edit.workflow)
        spec.from_yaml(text)  # what cannot be read again stays in the form, with the error
    except InvalidRequest as error:
        edit.place.error(formatting.plain(error.message), icon=":material/error:")
        return
    state["flow_text"] = text
    address.put("step", edit.opens)
    if edit.is_other:
        drafts.renew()
    st.rerun()


def _toolbar(name: str, current: Current) -> None:
    definitions, state = manager().workflows.definitions, st.session_state
    new_name = current.workflow.name if current.workflow else name
    is_taken = new_name != name and definitions.is_saved(new_name)
    is_saved = definitions.is_saved(name)
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    if row.button(
        "Save", icon=":material/save:", key="flow_save", type="primary",
        **allowed.needs("editor", disabled=current.ready is None or is_taken or not drafts.is_changed()),
    ):  # fmt: skip
        saved = manager().workflows.save(state["flow_text"]).name
        drafts.select(name)
        drafts.select(saved)
        st.toast(f"Saved {formatting.plain(saved)}.")
        st.rerun()
    row.button(
        "Undo", icon=":material/undo:", key="flow_undo_last", on_click=drafts.undo, disabled=not state["flow_undo"],
        help="Take the last change back.",
    )  # fmt: skip
    if drafts.is_changed():
        row.button("Discard changes", key="flow_discard", on_click=drafts.select, args=(name,), type="tertiary")
    row.space("stretch")
    row.button("New workflow", icon=":material/add:", key="flow_begin", on_click=drafts.begin_new)
    if is_saved:
        with row.popover("Delete", icon=":material/delete:", key="flow_delete_box", **allowed.needs("editor")):
            st.markdown("The saved version goes; its runs stay. A built-in workflow of this name comes back.")
            if st.button("Delete saved version", key="flow_delete"):
                manager().workflows.remove(name)
                drafts.select(name)
                st.rerun()
    if is_taken:
        text = "A workflow with this name is saved already. Choose another name to save this one."
        st.warning(text, icon=":material/save:")


def _yaml(current: Current) -> None:
    state = st.session_state
    if state.get("flow_yaml") != state["flow_text"]:
        state["flow_yaml"] = state["flow_text"]
    st.text_area(
        "YAML", key="flow_yaml", height=460, label_visibility="collapsed", on_change=_typed,
        help="Click outside or press Ctrl+Enter to check what you typed.",
    )  # fmt: skip
    for problem in current.problems:
        if problem.step:
            st.error(formatting.plain(str(problem)), icon=":material/error:")
    row = st.container(horizontal=True, vertical_alignment="bottom")
    name = st.session_state["flow_loaded"]
    row.download_button("YAML", state["flow_text"], f"{name}.yaml", icon=":material/download:", key="flow_yaml_file")
    if current.workflow:
        text = json.dumps(spec.to_dict(current.workflow), indent=2, ensure_ascii=False)
        row.download_button("JSON", text, f"{name}.json", icon=":material/download:", key="flow_json_file")
    st.file_uploader("Import YAML or JSON", ("yaml", "yml", "json"), key="flow_import", on_change=_imported)


def _typed() -> None:
    st.session_state["flow_text"] = st.session_state["flow_yaml"]
    drafts.renew()


def _imported() -> None:
    """Show what a file holds, as unsaved changes."""
    file = st.session_state["flow_import"]
    if file is None:
        return
    text = file.getvalue().decode("utf-8", "replace")
    try:
        drafts.begin(spec.from_yaml(text).name, text)
    except InvalidRequest as error:
        st.error(formatting.plain(f"{file.name}: {error.message}"), icon=":material/error:")
