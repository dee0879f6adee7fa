"""The columns of a comparison: a table to choose them, and their places on the page."""

import pandas as pd
import streamlit as st

from core.domain.comparison import Candidate, Comparison
from core.domain.generation import Message, Parameters, Request
from dashboard import formatting, queries
from dashboard.components import answer

COLUMN_HEIGHT = 300
PER_ROW = 4


def table(names: list[str]) -> list[Candidate]:
    """One row a column of the comparison: a model with its own settings; repeats are allowed."""
    config = {
        "model": st.column_config.SelectboxColumn("Model (2 to 8 rows)", options=names, required=True),
        "temperature": st.column_config.NumberColumn("Temperature", min_value=0.0, max_value=2.0, step=0.1),
        "max tokens": st.column_config.NumberColumn("Max output tokens", min_value=1, step=1),
        "system prompt": st.column_config.TextColumn("System prompt of this row", width="large"),
    }
    start = queries.blank_candidates(names[-3:])
    rows = st.data_editor(
        start, num_rows="dynamic", hide_index=True, column_config=config, key="compare_rows", placeholder="default"
    )
    return [_candidate(row) for row in rows.dropna(subset=["model"]).to_dict("records")]


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
    """What a row would ask, for an estimate."""
    return Request(
        model=candidate.model,
        messages=(Message("user", prompt),),
        system=candidate.system or system or None,
        parameters=candidate.parameters,
    )


def title_of(candidate: Candidate, hidden: bool) -> str:
    if hidden:
        return f"**{candidate.letter}**"
    settings = [f"T {candidate.parameters.temperature:g}"] if candidate.parameters.temperature is not None else []
    settings += ["own system prompt"] if candidate.system else []
    return " · ".join([f"**{candidate.letter}**", formatting.plain(candidate.model), *settings])


def slots(comparison: Comparison, hidden: bool) -> list[answer.Slot]:
    """A place for each answer, four in a row."""
    found = []
    for start in range(0, len(comparison.candidates), PER_ROW):
        row = comparison.candidates[start : start + PER_ROW]
        for candidate, column in zip(row, st.columns(len(row) if start == 0 else PER_ROW), strict=False):
            column.markdown(title_of(candidate, hidden))
            found.append(answer.Slot(column.container(), COLUMN_HEIGHT))
    return found
