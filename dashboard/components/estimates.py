"""The cost of a call, a comparison or a run before it is sent, and its spending limit."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import streamlit as st

from core.domain.generation import Request
from core.domain.workflow import Workflow
from core.pricing.estimate import Estimate, total
from dashboard import formatting, tables
from dashboard.components import inputs
from dashboard.frames.money import prices
from dashboard.process import manager

HELP = (
    "The cost before anything is sent. Low and expected: from the prompt's length and the length of this model's"
    " answers in the last 30 days. At most: with the longest answer allowed; limits and budgets reserve this much."
)
CAP_HELP = (
    "Answers are kept short enough to stay within it, or are not requested. Nothing is lost: raise it and continue."
)


def cap_field(key: str, of: str, help_text: str = CAP_HELP) -> None:
    label, bounds = f"Spending limit for {of} (USD)", (0.000001, 1_000_000.0)
    inputs.number(st, label, key, bounds, step=0.01, format="%.6f", placeholder="none", help=help_text)


def cap(key: str) -> Decimal | None:
    value = st.session_state.get(key)
    return None if value is None else Decimal(str(value))


def next_call(request: Request) -> None:
    """A line for what the next message of a conversation will cost."""
    st.caption(f"Next message: {_line(manager().models.estimate(request))}", help=HELP)


def several(requests: Sequence[Request]) -> None:
    """A table, one row a call, and their sum."""
    found = [manager().models.estimate(request) for request in requests]
    _table(found, [each.model for each in found], "model")


def expected(requests: Sequence[Request]) -> str:
    """The expected cost of several calls together, in words."""
    cost = total([manager().models.estimate(request) for request in requests])[1]
    return "cost unknown" if cost is None else f"≈ {formatting.usd(cost)}"


def popover(requests: Sequence[Request], key: str) -> None:
    """The expected cost of several calls, which opens to that of each."""
    label = formatting.plain(expected(requests))
    box = st.popover(label, icon=":material/calculate:", key=key, type="tertiary", help=HELP, on_change="rerun")
    if box.open:
        with box:
            several(requests)


def steps(workflow: Workflow, inputs: Mapping[str, str], model: str) -> None:
    found = manager().workflows.estimate(workflow, inputs, model, manager().models.estimate_step)
    _table(found, [f"{step.name} ({each.model})" for step, each in zip(workflow.steps, found, strict=True)], "step")


def _line(found: Estimate) -> str:
    about = "" if found.is_exact else "≈ "
    tokens = f"{about}{formatting.tokens(found.input_tokens.expected)} in"
    if found.expected_usd is None:
        return f"{tokens}; {formatting.plain(found.model)} has no known price"
    costs = [formatting.usd(each) for each in (found.low_usd, found.expected_usd, found.high_usd)]
    return formatting.plain(f"{tokens} · expected {costs[1]} (from {costs[0]}), at most {costs[2]}")


def _table(found: Sequence[Estimate], names: Sequence[str], first: str) -> None:
    tables.show(prices.estimates(found, names, first))
    low, expected, high = (formatting.usd(each) for each in total(list(found)))
    st.caption(formatting.plain(f"Total: expected {expected} (from {low}), at most {high}"), help=HELP)
