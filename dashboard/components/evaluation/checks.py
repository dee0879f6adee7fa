"""A small editor of checks: type, value, threshold, metric."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core import InvalidRequest
from core.checks.grading import KINDS
from core.formats import strict_json as json
from dashboard import tables
from dashboard.frames.evaluation import choices

_HELP = (
    'A value may hold {{variables}} of the row, and {{expected}}. JSON for lists and schemas: `["a", "b"]`. Rows that'
    " bring checks of their own keep them. Put not- before a type to turn it round."
)
_FIRST: tuple[Mapping[str, Any], ...] = ({"type": "icontains", "value": "{{expected}}", "metric": "correct"},)


def edit(key: str, given: Sequence[Mapping[str, Any]] = _FIRST) -> tuple[dict[str, Any], ...]:
    """The checks as they stand. Raises: InvalidRequest: A value is no JSON, named by its row."""
    st.markdown("Checks", help=_HELP)
    state, base = st.session_state, f"{key}_start"
    if f"{key}_rows" not in state:  # the table forgets its edits when it is not drawn
        state[base] = state.get(f"{key}_kept", choices.checks_table(given))
    options = [*sorted(KINDS), *(f"not-{kind}" for kind in sorted(KINDS))]
    c = st.column_config
    rows = tables.editor(
        state[base], f"{key}_rows", num_rows="dynamic", hide_index=True,
        column_config={
            "type": c.SelectboxColumn("Type", options=options, required=True, width=150),
            "value": c.TextColumn("Value", width=320),
            "threshold": c.NumberColumn("Threshold", width=90),
            "metric": c.TextColumn("Metric", width=110, help="The name that its score counts for."),
        },
    )  # fmt: skip
    state[f"{key}_kept"] = rows
    return tuple(read(at, row) for at, row in enumerate(rows.to_dict("records"), 1) if _is_given(row["type"]))


def read(at: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """The check of a row, by its place from 1. Raises: InvalidRequest: Its value is no JSON."""
    check: dict[str, Any] = {"type": str(row["type"])}
    value = str(row["value"]).strip() if _is_given(row["value"]) else ""
    is_number = check["type"].removeprefix("not-") == "word-count" and value.isdecimal()
    if is_number or (value[:1] in ("{", "[") and not value.startswith("{{")):
        try:
            check["value"] = json.loads(value)
        except ValueError:
            raise InvalidRequest(f"Check {at} ({check['type']}): its value is no JSON.") from None
    elif value:
        check["value"] = value
    if _is_given(row["threshold"]):
        check["threshold"] = float(row["threshold"])
    if _is_given(row["metric"]):
        check["metric"] = str(row["metric"]).strip()
    return check


def _is_given(value: object) -> bool:
    return not pd.isna(value) and value != ""
