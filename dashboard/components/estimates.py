"""What a call, a comparison or a run may cost before it is sent, and the cap on it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import streamlit as st

from core import AimmError
from core.domain.generation import Request
from core.domain.workflow import Workflow
from core.pricing.estimate import Estimate, total
from dashboard import formatting, tables
from dashboard.frames import prices
from dashboard.process import manager

OUT_OF_MONEY = ("cap_reached", "budget_exceeded")
HELP = (
    "What it may cost, before it is sent. Low and expected: from the length of the prompt and from how long this model's"
    " answers of the last 30 days were. At most: the longest answer allowed; a cap or a budget reserves this much."
)


def cap_field(key: str, of: str) -> None:
    st.number_input(
        f"Cap (USD) on {of}",
        0.000001,
        1_000_000.0,
        None,
        0.01,
        format="%.6f",
        key=key,
        persist_state="session",
        placeholder="none",
        help="A hard cap: the answer is kept short enough for it, or is not asked for. Nothing is lost: raise it and go on.",
    )


def cap(key: str) -> Decimal | None:
    value = st.session_state.get(key)
    return None if value is None else Decimal(str(value))


def one(request: Request, count_key: str) -> None:
    """A line for one call; the exact input count on demand."""
    state = st.session_state
    asked = (request.model, request.prompt, request.system, len(request.messages))
    known = state.get(count_key) if isinstance(state.get(count_key), tuple) else None
    counted = known[1] if known and known[0] == asked else None
    place = st.container(horizontal=True, vertical_alignment="center")
    place.caption(_line(manager().estimate(request, counted=counted)))
    if counted is None and place.button("Count exactly", key=f"{count_key}_exact", icon=":material/pin:", help="Asks the vendor (countTokens); free of charge."):  # fmt: skip
        try:
            state[count_key] = asked, manager().count_tokens(request)
        except AimmError as error:
            place.caption(formatting.plain(error.message))
        else:
            st.rerun()
    state.setdefault(count_key, ())


def several(requests: Sequence[Request]) -> None:
    """A table, one row a call, and their sum."""
    found = [manager().estimate(request) for request in requests]
    _table(found, [each.model for each in found], "model")


def steps(workflow: Workflow, inputs: Mapping[str, str], model: str) -> None:
    found = manager().workflows.estimate(workflow, inputs, model, manager().estimate_step)
    _table(found, [f"{step.name} ({each.model})" for step, each in zip(workflow.steps, found, strict=True)], "step")


def _line(found: Estimate) -> str:
    about = "" if found.is_exact else "≈ "
    tokens = f"{about}{formatting.tokens(found.input_tokens.expected)} in"
    if found.expected_usd is None:
        return f"{tokens}; {formatting.plain(found.model)} has no known price"
    costs = [formatting.usd(each) for each in (found.low_usd, found.expected_usd, found.high_usd)]
    return formatting.plain(f"{tokens} · expected {costs[1]} (from {costs[0]}), at most {costs[2]}")


def _table(found: Sequence[Estimate], names: Sequence[str], first: str) -> None:
    tables.show(prices.estimates(found, names, first), hide_index=True)
    low, expected, high = (formatting.usd(each) for each in total(list(found)))
    st.caption(formatting.plain(f"Together: expected {expected} (from {low}), at most {high}"), help=HELP)
