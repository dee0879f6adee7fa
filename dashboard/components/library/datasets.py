"""The list of datasets, and one of them: its rows, versions and ways out."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from core.domain.evaluation.dataset import Dataset, DatasetVersion
from dashboard import address, formatting, tables
from dashboard.components import inputs
from dashboard.components.library import opening
from dashboard.frames.library import datasets as frames
from dashboard.process import manager
from dashboard.visitors import allowed

PAGE_SIZE = 100
_EMPTY = (
    "No datasets yet. Import a file or pasted text, or add calls from the Log and the Playground: each row is a case"
    " that prompts and models are tried on."
)
_UNCHECKED = "{} of {} rows state neither a check nor an expected answer: nothing of them can fail."


def listed(found: Sequence[Dataset]) -> None:
    if not found:
        st.info(_EMPTY, icon=":material/dataset:")
        return
    c = st.column_config
    config = {
        "name": c.TextColumn(width=200), "rows": c.NumberColumn(format="localized", width=80),
        "without a check": c.NumberColumn(format="localized", width=110), "versions": c.NumberColumn(width=80),
        "columns": c.TextColumn(width=280), "origin": c.TextColumn(width=160),
        "changed": c.DatetimeColumn("Changed", format="D MMM HH:mm", width=100),
    }  # fmt: skip
    names = [dataset.name for dataset in found]
    opening.table("dataset", frames.listed(found), "datasets_table", names, column_config=config, row_height=40)


def one(version: DatasetVersion) -> None:
    """A version with its rows."""
    _head(version)
    if version.n_without_checks:
        text = _UNCHECKED.format(f"{version.n_without_checks:,}", f"{version.n_rows:,}")
        st.warning(text, icon=":material/warning:")
    if version.note:
        st.caption(formatting.plain(version.note))
    _rows(version)
    versions = manager().datasets.versions(version.dataset)
    if len(versions) > 1:
        st.subheader("Versions", anchor=False)
        config = {"saved": tables.TIME | {"label": "Saved"}}
        refs = [each.ref for each in versions]
        frame = frames.versions(versions)
        opening.table("dataset", frame, "dataset_versions", refs, version.ref, column_config=config)


def _head(version: DatasetVersion) -> None:
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    origin = f" · from {formatting.plain(version.origin)}" if version.origin else ""
    words = f"Version {version.number} · **{version.n_rows:,}** rows{origin} · {formatting.when(version.created_at)}"
    row.markdown(words, width="content")
    row.space("stretch")
    with row.popover("Export", icon=":material/download:"):
        is_safe = inputs.switch(
            st,
            "Safe for spreadsheets",
            "dataset_safe",
            "Puts a ' before what would be computed there; an import reads it as part of the cell.",
        )
        came = manager().datasets.format_of(version, None)
        for format_ in dict.fromkeys((came, "csv", "jsonl", "yaml")):
            label = f"{format_.upper()}{' – as it came' if format_ == came and version.layout else ''}"
            st.download_button(
                label, partial(_file, version.ref, format_, is_safe=is_safe), f"{version.ref}.{format_}",
                key=f"dataset_export_{format_}", on_click="ignore",
            )  # fmt: skip
    with row.popover("", icon=":material/more_horiz:", type="tertiary", help="More"):
        clicked = st.button(
            "Delete this dataset", key="dataset_delete", icon=":material/delete:", **allowed.needs("editor")
        )
        if clicked and inputs.done(st, manager().datasets.delete, version.dataset):
            address.put("dataset", None)
            st.rerun()


def _file(ref: str, format_: str, *, is_safe: bool) -> bytes:
    return b"".join(manager().datasets.export(ref, format_, is_safe=is_safe))


def _rows(version: DatasetVersion) -> None:
    n_pages = -(-version.n_rows // PAGE_SIZE)
    page = st.pagination(n_pages, key=f"dataset_page_{version.ref}", max_visible_pages=5) if n_pages > 1 else 1
    start = (page - 1) * PAGE_SIZE
    found = manager().datasets.rows(version.ref, start=start, limit=PAGE_SIZE)
    ids = [row.id for row in found]
    options: dict[str, Any] = {"height": 560} if len(found) > 15 else {}
    frame = frames.rows(found, start)
    options["column_config"] = frames.names(frame) | {"row": st.column_config.NumberColumn(width=64)}
    at = tables.opened(frame, f"dataset_rows_{version.ref}", ids, row_height=32, **options)
    if at is not None:
        row = next(each for each in found if each.id == at)
        _opened(at, row.as_dict())


@st.dialog("Row", position="right", width="medium", on_dismiss=tables.released)
def _opened(row_id: str, content: dict[str, object]) -> None:
    st.caption(f"Id {row_id}: the hash of its content")
    st.json(content)
