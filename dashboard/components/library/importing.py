"""The window in which a file or pasted text becomes a dataset: looked at, mapped, then kept."""

from typing import Any

import streamlit as st

from core import AimmError
from core.datasets.reading import Preview
from dashboard import address, formatting, process, tables
from dashboard.components import clicks, inputs
from dashboard.components.library.people import author
from dashboard.frames.library import datasets as frames
from dashboard.process import manager
from dashboard.visitors import allowed

_ROLES = ("variable", "expected", "tags", "description", "threshold", "metadata")
_TYPES = ("csv", "tsv", "txt", "jsonl", "ndjson", "json", "yaml", "yml")
_ENCODINGS = ("windows-1252", "latin-1", "utf-16", "shift_jis", "gb18030")
_KINDS = {
    "table": "a table", "objects": "objects", "chat": "conversations", "openai": "lines of an OpenAI batch",
    "gemini": "lines of a Gemini batch", "tests": "tests of promptfoo", "own": "rows of this server",
}  # fmt: skip
_KEY = "import_"
MAX_MB = 100


def show() -> None:
    address.window("import", "Import a dataset", width="large")(_inside)()


def _inside() -> None:
    given = _given()
    if given is None:
        st.caption("Nothing is kept before you have seen what was read.")
        return
    data, filename = given
    preview = _read(data, filename)
    if preview is None:
        return
    shape = f"{preview.n_rows:,} row{'s' if preview.n_rows != 1 else ''}, read as {_KINDS[preview.layout.kind]}"
    shape += f", separated by {_sign(preview.shape.separator)}" if preview.layout.kind == "table" else ""
    st.markdown(f"**{shape}**")
    for warning in preview.warnings:
        st.warning(formatting.plain(warning), icon=":material/warning:")
    if preview.problems:
        st.error(
            f"{preview.n_problems:,} bad row{'s' if preview.n_problems > 1 else ''}, to be mended or left out.",
            icon=":material/error:",
        )
        tables.show(frames.problems(preview), height=220 if len(preview.problems) > 5 else "auto")
    if preview.rows:
        st.caption(f"The first {len(preview.rows)} rows")
        found = frames.rows(preview.rows)
        tables.show(found, placeholder=formatting.UNKNOWN, row_height=32, column_config=frames.names(found))
    _keep(preview)


def _given() -> tuple[bytes, str] | None:
    way = st.segmented_control(
        "From", ("File", "Pasted text"), default="File", key=f"{_KEY}way", required=True, label_visibility="collapsed"
    )
    if way == "Pasted text":
        text = st.text_area("Text", key=f"{_KEY}text", height=160, placeholder="question,expected\nWhat is 2 + 2?,4")
        return (text.encode(), "pasted") if text and text.strip() else None
    file = st.file_uploader("CSV, JSONL, JSON or YAML", _TYPES, key=f"{_KEY}file", max_upload_size=MAX_MB)
    return None if file is None else (file.getvalue(), file.name)


def _sign(separator: str) -> str:
    return {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", "\x1f": "nothing: one column"}.get(
        separator, separator
    )


def _read(data: bytes, filename: str) -> Preview | None:
    """The file as it is read with what is chosen here."""
    encoding, preview = st.session_state.get(f"{_KEY}encoding") or "", None
    is_odd = bool(encoding)
    try:
        preview = _mapped(_seen(data, filename, {}, encoding), data, filename, encoding)
    except AimmError as error:
        inputs.refused(st, error)
        is_odd = is_odd or "is not UTF" in error.message
    if is_odd:
        inputs.choice(st, "Encoding", f"{_KEY}encoding", _ENCODINGS, None, placeholder="UTF-8", accept_new_options=True)
    return preview


def _seen(data: bytes, filename: str, mapping: dict[str, str], encoding: str) -> Preview:
    """A file as it is read; the last few readings are kept, as a large one takes seconds. Raises: InvalidRequest"""
    kept = st.session_state.setdefault(f"{_KEY}seen", {})
    key = (filename, len(data), hash(data), tuple(sorted(mapping.items())), encoding)
    if key not in kept:
        if len(kept) > 2:
            kept.clear()
        with process.aside(), st.spinner("Reading …"):
            kept[key] = manager().datasets.read(data, name=filename, mapping=mapping or None, encoding=encoding)
    found: Preview = kept[key]
    return found


def _mapped(preview: Preview, data: bytes, filename: str, encoding: str) -> Preview:
    """The preview with the roles that are chosen for its columns."""
    if preview.layout.kind not in ("table", "objects", "chat"):
        return preview
    with st.expander(
        "Columns", expanded=not preview.rows or bool(preview.n_without_checks), icon=":material/view_column:"
    ):
        st.caption("What a prompt is filled with is a variable; the answer that is hoped for is expected.")
        frame = frames.roles(preview)
        config: dict[str, Any] = {
            "column": st.column_config.TextColumn("Column", disabled=True),
            "used as": st.column_config.SelectboxColumn("Used as", options=[*_ROLES, "test"], required=True),
            "example": st.column_config.TextColumn("Example", disabled=True, width=360),
        }
        edited = tables.editor(frame, f"{_KEY}columns", column_config=config, hide_index=True)
    chosen = dict(zip(edited["column"], edited["used as"], strict=True))
    changed = {name: role for name, role in chosen.items() if role != "test" and role != preview.layout.role(name)}
    return _seen(data, filename, changed, encoding) if changed else preview


def _keep(preview: Preview) -> None:
    names = [dataset.name for dataset in manager().datasets.all()]
    stem = preview.name.rpartition(".")[0]
    row = st.columns(2)
    name = inputs.choice(
        row[0], "Dataset", f"{_KEY}name", list(dict.fromkeys([*([stem] if stem else []), *names])), 0 if stem else None,
        placeholder="Its name", accept_new_options=True,
    )  # fmt: skip
    note = inputs.text(row[1], "Note", f"{_KEY}note", placeholder="optional")
    line = st.container(horizontal=True, vertical_alignment="center")
    adds = name in names and inputs.switch(
        line, "Add to its rows", f"{_KEY}adds", "Else the file takes their place, as a new version."
    )
    skip = bool(preview.problems) and inputs.switch(
        line, "Leave bad rows out", f"{_KEY}skip", "The version's note counts them and names their lines."
    )
    is_ready = bool(name) and bool(preview.n_rows) and (skip or not preview.problems)
    may = allowed.needs("editor", disabled=not is_ready)
    clicked = line.button(f"Import {preview.n_rows:,} rows", type="primary", key=f"{_KEY}go", **may)
    if not clicks.first(clicked, "import", (name, preview.name, preview.n_rows, adds)):
        return
    try:
        with process.aside(), st.spinner("Importing …"):
            version = manager().datasets.load(preview, name, skip_bad=skip, adds=adds, note=note, author=author())
    except AimmError as error:
        inputs.refused(st, error)
        return
    inputs.forget(_KEY)
    address.put("dataset", version.ref)
    address.closed("import")
    st.rerun()
