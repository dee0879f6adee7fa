"""The list of prompts, and one of them: its versions, labels and differences."""

from collections.abc import Sequence

import streamlit as st

from core import AimmError
from core.domain.evaluation.prompt import LIVE, LabelMove, Prompt, PromptVersion
from core.prompts import files
from core.prompts.rendering import variables_of
from dashboard import address, formatting, tables
from dashboard.components import inputs
from dashboard.components.library import opening
from dashboard.components.library.people import author
from dashboard.frames.library import prompts as frames
from dashboard.process import manager
from dashboard.visitors import allowed

_EMPTY = "No prompts yet. Write one here, save one from the Playground, or push a file: `aimm prompts push FILE`."
_LABELS = (LIVE, "staging")


def listed(found: Sequence[Prompt]) -> None:
    if not found:
        st.info(_EMPTY, icon=":material/edit_note:")
        return
    c, frame = st.column_config, frames.listed(found, manager().prompts.live_since())
    opening.table(
        "prompt", frame, "prompts_table", [prompt.name for prompt in found], row_height=40,
        column_config={
            "name": c.TextColumn(width=170), "live": c.TextColumn(width=206),
            "labels": c.ListColumn("Other labels", width=104), "versions": c.NumberColumn(width=70),
            "text": c.TextColumn("Last turn", width=270), "variables": c.TextColumn(width=90),
            "model": c.TextColumn(width=80),
            "changed": c.DatetimeColumn("Changed", format="D MMM HH:mm", width=100),
        },
    )  # fmt: skip


def one(version: PromptVersion, versions: Sequence[PromptVersion]) -> None:
    """A version, beside the others of its prompt."""
    left, right = st.columns([1, 1.7], gap="medium")
    with left:
        _versions(version, versions)
        _labels(version)
    with right:
        _head(version)
        _content(version, versions)


def _versions(version: PromptVersion, versions: Sequence[PromptVersion]) -> None:
    c = st.column_config
    config = {
        "version": c.NumberColumn(width=58), "labels": c.ListColumn(width=80), "note": c.TextColumn(width=158),
        "author": None, "saved": c.DatetimeColumn("Saved", format="D MMM HH:mm", width=96),
    }  # fmt: skip
    frame = frames.versions(versions)
    refs = [each.ref for each in versions]
    opening.table("prompt", frame, "prompt_versions", refs, version.ref, column_config=config, row_height=36)


def _labels(version: PromptVersion) -> None:
    """The labels of the prompt, each with its way back, and the last moves."""
    service, name = manager().prompts, version.prompt
    moves = service.label_moves(name)
    latest: dict[str, LabelMove] = {}
    for move in moves:
        latest.setdefault(move.label, move)
    st.space(24)  # of the tools of the table above
    for label, move in latest.items():
        if move.number is None:
            continue
        row = st.container(horizontal=True, vertical_alignment="center", gap="small")
        row.markdown(f"**{formatting.plain(label)}** → {move.number}", width="content")
        row.caption(f"since {formatting.when(move.moved_at)}", width="content")
        row.space("stretch")
        back = f"Back to {move.was}" if move.was else "Remove label"
        key = f"label_back_{label}"
        clicked = row.button(back, key=key, icon=":material/undo:", type="tertiary", **allowed.needs("editor"))
        if clicked and inputs.done(st, service.undo_label, name, label, author=author()):
            st.rerun()
    if len(moves) > len(latest):
        with st.expander(f"All moves ({len(moves)})"):
            tables.show(frames.moves(moves), column_config={"time": tables.TIME}, placeholder=formatting.UNKNOWN)


def _head(version: PromptVersion) -> None:
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    row.markdown(f"**Version {version.number}**", width="content")
    for label in version.labels:
        row.badge(formatting.plain(label), color="green" if label == LIVE else "blue")
    row.space("stretch")
    row.page_link(
        "pages/playground.py", label="Try", icon=":material/chat:", query_params={"prompt": version.ref},
        help="Opens the Playground with a field for each variable.",
    )  # fmt: skip
    row.button(
        "Edit", icon=":material/edit:", key="prompt_edit_open", type="tertiary", on_click=address.put,
        args=("prompt_edit", version.ref),
        **allowed.needs("editor", "Saves a new version; this one stays as it is."),
    )  # fmt: skip
    with row.popover("Set label", icon=":material/label:", type="tertiary", **allowed.needs("editor")):
        known = [*_LABELS, *manager().prompts.get(version.ref).labels]
        label = inputs.choice(
            st, "Label", f"label_of_{version.ref}", list(dict.fromkeys(known)), 0, accept_new_options=True
        )
        clicked = st.button(f"Point at version {version.number}", type="primary", key="label_set")
        if clicked and inputs.done(
            st, manager().prompts.move_label, version.prompt, label or LIVE, version.number, author=author()
        ):
            st.rerun()
    with row.popover("", icon=":material/more_horiz:", type="tertiary", help="More"):
        yaml = files.written(version)
        st.download_button(
            "YAML", yaml, f"{version.ref}.yaml", "application/yaml", key="prompt_yaml", on_click="ignore"
        )
        st.code(f'model: "prompt:{version.prompt}"', language=None)
        st.caption("In place of a model's name, on every wire of the gateway; variables go into `metadata`.")
        if st.button("Delete this prompt", key="prompt_delete", icon=":material/delete:", **allowed.needs("editor")):
            _delete(version.prompt)


def _delete(name: str) -> None:
    if inputs.done(st, manager().prompts.delete, name):
        address.put("prompt", None)
        st.rerun()


def _content(version: PromptVersion, versions: Sequence[PromptVersion]) -> None:
    content = version.content
    facts = [f"Variables: {', '.join(variables_of(content)) or 'none'}"]
    facts += [f"model {content.model}"] if content.model else []
    facts += [f"tools {', '.join(tool.name for tool in content.tools)}"] if content.tools else []
    facts += [version.note] if version.note else []
    by = f" · by `{version.author.replace('`', '')}`" if version.author else ""  # code: an address is no link here
    st.caption(formatting.plain(" · ".join(facts)) + by)
    others = [each.ref for each in versions if each.number != version.number]
    chosen = None
    if others:
        chosen = inputs.choice(
            st, "Compare with", f"prompt_diff_{version.prompt}", others, None, label_visibility="collapsed",
            placeholder="Compare with another version",
        )  # fmt: skip
    if chosen is not None:
        try:
            found = files.difference(manager().prompts.get(chosen), version)
        except AimmError as error:
            inputs.refused(st, error)
        else:
            st.code(found or "They are the same.", language="diff", wrap_lines=True)
        return
    for message in content.messages:
        st.caption({"system": "System", "user": "User", "assistant": "Assistant"}[message.role])
        st.code(message.text, language=None, wrap_lines=True)
    if parameters := content.parameters.as_dict():
        st.caption("Parameters")
        st.json(parameters)
