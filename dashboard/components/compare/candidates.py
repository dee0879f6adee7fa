"""The table in which the models of a comparison are chosen."""

from collections.abc import Sequence
from itertools import zip_longest

import pandas as pd
import streamlit as st

from core.domain.comparison import Candidate
from core.domain.generation import Message, Model, Parameters, Request
from dashboard import tables
from dashboard.frames import compare, models


def table() -> list[Candidate]:
    """One row a column of the comparison: a model with its own settings; repeats are allowed."""
    names = models.names()
    config = {
        "model": st.column_config.SelectboxColumn(
            "Model", help="Two to eight rows; repeats are allowed.", options=names, required=True
        ),
        "temperature": st.column_config.NumberColumn("Temperature", min_value=0.0, max_value=2.0, step=0.1),
        "max tokens": st.column_config.NumberColumn("Max output tokens", min_value=1, step=1),
        "system prompt": st.column_config.TextColumn("System prompt", help="For this row only.", width="large"),
    }
    rows = tables.editor(
        _start(), "compare_rows", num_rows="dynamic", hide_index=True, column_config=config, placeholder="default"
    )
    filled = rows.dropna(subset=["model"])
    st.session_state.compare_kept_rows = rows.to_dict("list")
    return [_candidate(row) for row in filled.to_dict("records")]


def _start() -> pd.DataFrame:
    """First rows of the table: models that can be asked, or the rows that somebody has put there.

    The table forgets its edits when it is not drawn; while it is, what it began with must stay the same.
    """
    state = st.session_state
    edits = state.get("compare_rows")
    state.compare_is_own = state.get("compare_is_own", False) or any((edits or {}).values())
    if not state.compare_is_own:
        names = first_models(list(models.by_name().values()), models.default())
        state.compare_start = compare.blank_candidates(names)
    elif edits is None:
        state.compare_start = pd.DataFrame(state.compare_kept_rows)
    start: pd.DataFrame = state.compare_start
    return start


def fill(chosen: Sequence[Candidate]) -> None:
    """Let the table begin anew with these; for a callback."""
    frame = compare.blank_candidates([candidate.model for candidate in chosen])
    frame["temperature"] = [candidate.parameters.temperature for candidate in chosen]
    frame["max tokens"] = [candidate.parameters.max_tokens for candidate in chosen]
    frame["system prompt"] = [candidate.system or "" for candidate in chosen]
    st.session_state.compare_kept_rows, st.session_state.compare_is_own = frame.to_dict("list"), True
    st.session_state.pop("compare_rows", None)


def first_models(known: Sequence[Model], default: str) -> list[str]:
    """Up to three to begin with: one of each vendor with a key, then a second; simulated ones where two are missing."""
    ranks: dict[str, list[Model]] = {}
    for model in sorted((m for m in known if not m.is_simulated), key=lambda m: m.name != default):
        ranks.setdefault(model.provider, []).append(model)
    turns = [model.name for turn in zip_longest(*ranks.values()) for model in turn if model is not None]
    simulated = [model.name for model in known if model.is_simulated]
    return turns[:3] if len(turns) > 1 else [*turns, *simulated[: 1 if turns else 3]]


def _candidate(row: dict[str, object]) -> Candidate:
    given = {name: value for name, value in row.items() if not pd.isna(value) and value != ""}
    limit, temperature = given.get("max tokens"), given.get("temperature")
    settings = Parameters(
        temperature=None if temperature is None else float(str(temperature)),
        max_tokens=None if limit is None else int(float(str(limit))),
    )
    own = given.get("system prompt")
    return Candidate(
        position=0, model=str(given["model"]), system=None if own is None else str(own), parameters=settings
    )


def request_of(candidate: Candidate, prompt: str, system: str | None) -> Request:
    """The request of a row, for an estimate."""
    return Request(
        model=candidate.model,
        messages=(Message("user", prompt),),
        system=candidate.system or system or None,
        parameters=candidate.parameters,
    )
