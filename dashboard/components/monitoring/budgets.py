"""Budgets: a bar each, more money for a while, and a form for a new one."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import streamlit as st

from core import AimmError
from core.domain.budget import ACTIONS, PERIODS, SCOPE_KINDS, Budget, BudgetOutlook
from core.formats.text import folded
from dashboard import formatting
from dashboard.components import clicks, inputs
from dashboard.frames import budgets, models
from dashboard.process import manager

PERIOD_LABELS = {"rolling": "rolling hours"}
ACTION_HELP = (
    "notify: alerts only. downgrade: another model answers once the limit is reached. stop: calls are refused. Each"
    " call reserves its worst-case cost before it starts, so that parallel calls cannot pass the limit together."
)
LIMITS, HOURS = (0.000001, 1e9), (1, 24 * 366)
SHOWN = 20


def show() -> None:
    st.subheader("Budgets", help="Known cost of real calls against a limit. Simulated calls never count.")
    found = budgets.standing()
    if len(found) > SHOWN:
        words = st.text_input(
            "Search budgets", key="budget_search", placeholder="name or scope", icon=":material/search:"
        )
        wanted = folded(words or "")
        found = [each for each in found if wanted in folded(f"{each.status.budget.name} {each.status.budget.scope}")]
        found.sort(key=lambda each: each.status.share_spent, reverse=True)
        st.caption(f"{min(SHOWN, len(found))} of {len(found):,} budgets, the fullest first.")
    for outlook in found[:SHOWN]:
        _row(budgets.whole(outlook))
    with st.expander("New budget", icon=":material/add:"), st.form("budget_form", border=False):
        _form()


def _row(outlook: BudgetOutlook) -> None:
    status, budget = outlook.status, outlook.status.budget
    bar, more, edit, remove = st.columns([9, 1, 1, 1], vertical_alignment="center")
    bar.progress(min(1.0, status.share_spent), text=formatting.plain(_words(outlook)))
    with more.popover("", icon=":material/add_card:", help="Raise once", key=f"budget_raise_{budget.id}"):
        _raise(budget)
    with edit.popover("", icon=":material/edit:", help="Edit budget", key=f"budget_edit_{budget.id}"):
        _edit(budget)
    if remove.button("", icon=":material/delete:", key=f"budget_delete_{budget.id}", help="Delete budget"):
        manager().budgets.delete(budget.id)
        st.rerun()


def _words(outlook: BudgetOutlook) -> str:
    """A budget in a line: its scope, the money left, and its forecast."""
    status, budget = outlook.status, outlook.status.budget
    spent, limit, left = (formatting.usd(each) for each in (status.spent_usd, status.limit_usd, status.left_usd))
    raised = " (raised)" if status.limit_usd != budget.limit_usd else ""
    action = f"downgrade to {budget.downgrade_to}" if budget.action == "downgrade" else budget.action
    text = f"{budget.name} ({budget.scope}, {action}): {spent} of {limit}{raised} {budget.period_text}"
    text += f" ({budget.timezone}) · {left} left"
    if status.reserved_usd:
        text += f" · {formatting.usd(status.reserved_usd)} reserved"
    if budget.period != "rolling":
        text += f" · resets {formatting.when(status.resets_at)}"
    if outlook.expected_usd is not None and outlook.interval_usd is not None:
        low, high = (formatting.usd(each) for each in outlook.interval_usd)
        text += f" · forecast {formatting.usd(outlook.expected_usd)} ({low} – {high})"
        text += f", runs out on {outlook.runs_out_on:%d %B}" if outlook.runs_out_on else ""
    elif outlook.reason and budget.period in ("week", "month"):
        text += f" · {outlook.reason}"
    return text


def _raise(budget: Budget) -> None:
    for each in budget.raises:
        extra, until = formatting.usd(each.extra_usd), formatting.when(each.expires_at)
        st.caption(formatting.plain(f"{extra} until {until}: {each.reason}"))
    with st.form(f"raise_form_{budget.id}", border=False):
        extra_usd = inputs.number(st, "Extra (USD)", f"raise_extra_{budget.id}", LIMITS, 10.0)
        hours = inputs.number(st, "Duration (hours)", f"raise_hours_{budget.id}", HOURS, 24)
        reason = inputs.text(st, "Reason", f"raise_reason_{budget.id}", help="Recorded in the audit trail.")
        raises = st.form_submit_button("Raise once", icon=":material/add_card:")
        if clicks.first(raises, "raise", (budget.id, extra_usd, hours, reason)):
            until_at = datetime.now(UTC) + timedelta(hours=float(hours or 1))
            _do(lambda: manager().budgets.raise_once(budget.id, extra_usd or 0, reason=reason, expires_at=until_at))


def _edit(budget: Budget) -> None:
    """The fields that change most often; for another scope or period a new budget is made."""
    with st.form(f"edit_form_{budget.id}", border=False):
        name = inputs.text(st, "Name", f"edit_name_{budget.id}", value=budget.name)
        limit = inputs.number(st, "Limit (USD)", f"edit_limit_{budget.id}", LIMITS, float(budget.limit_usd))
        action = inputs.choice(st, "Action", f"edit_action_{budget.id}", ACTIONS, ACTIONS.index(budget.action))
        instead = inputs.text(st, "Downgrade to", f"edit_downgrade_{budget.id}", value=budget.downgrade_to)
        shares = [f"{100 * share:g}" for share in budget.thresholds]
        chips = inputs.choices(
            st, "Alert at (% spent)", f"edit_thresholds_{budget.id}", shares, shares, accept_new_options=True
        )
        if st.form_submit_button("Save", icon=":material/save:"):
            changes = {"name": name, "limit_usd": limit or 0, "action": action, "downgrade_to": instead}
            _do(lambda: manager().budgets.change(budget.id, **changes, thresholds=_shares(chips)))


def _form() -> None:
    row = st.columns(4)
    name = inputs.text(row[0], "Name", "budget_name")
    limit = inputs.number(row[1], "Limit (USD)", "budget_limit", LIMITS, 30.0)
    periods = ["month", *(period for period in PERIODS if period != "month")]
    period = inputs.choice(
        row[2], "Period", "budget_period", periods, format_func=lambda name: PERIOD_LABELS.get(name, name)
    )
    hours = inputs.number(row[3], "Rolling hours", "budget_hours", HOURS, 24, help="For a rolling period only.")
    row = st.columns(4)
    zone = inputs.text(
        row[0], "Time zone", "budget_zone", value="UTC", help="Such as Europe/Berlin. Periods start at its midnight."
    )
    kind = inputs.choice(row[1], "Scope", "budget_scope", SCOPE_KINDS)
    value = inputs.text(
        row[2], "Scope name", "budget_scope_value", help="The provider, model, key, tag or user; empty for all."
    )
    unpriced = inputs.switch(row[3], "Refuse unpriced models", "budget_unpriced", "Their cost cannot be counted.")
    row = st.columns(4)
    action = inputs.choice(row[0], "Action", "budget_action", ACTIONS, help=ACTION_HELP)
    instead = inputs.choice(row[1], "Downgrade to", "budget_downgrade", models.names(), None, placeholder="–")
    options = [25, 50, 75, 80, 90, 100]
    chips = inputs.choices(
        row[2], "Alert at (% spent)", "budget_thresholds", options, [50, 80, 100], accept_new_options=True
    )
    ahead = inputs.choices(row[3], "Alert on forecast (%)", "budget_forecasts", options)
    if st.form_submit_button("Add budget", icon=":material/add:"):
        fields = {
            "rolling_hours": int(hours or 24) if period == "rolling" else 0,
            "timezone": zone or "UTC",
            "scope": kind if kind == "all" else f"{kind}:{value}",
            "downgrade_to": instead or "",
            "thresholds": _shares(chips),
            "forecast_thresholds": _shares(ahead),
        }
        _do(
            lambda: manager().budgets.create(
                name, limit or 0, period=period, action=action, refuses_unpriced=unpriced, **fields
            )
        )


def _do(change: Callable[[], object]) -> None:
    try:
        change()
    except AimmError as error:
        inputs.refused(st, error)
    else:
        st.rerun()


def _shares(chips: Sequence[object]) -> list[float]:
    """Per cent as chosen or typed; what is no number becomes a share that is refused with a clear text."""
    try:
        return [float(str(chip).strip().rstrip("%")) / 100 for chip in chips]
    except ValueError:
        return [0.0]
