"""Budgets: a bar each, more money for a while, and a form for a new one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import streamlit as st

from core import AimmError
from core.domain.budget import ACTIONS, PERIODS, SCOPE_KINDS, BudgetOutlook
from core.formats.text import folded
from dashboard import clicks, formatting
from dashboard.frames import budgets, models
from dashboard.process import manager

PERIOD_LABELS = {"rolling": "rolling hours"}
ACTION_HELP = (
    "notify: alerts only. downgrade: once the limit is used up, another model answers. stop: calls are refused. A call's"
    " worst case is reserved before it starts, so that calls at the same time cannot pass the limit together."
)

SHOWN = 20


def show() -> None:
    st.subheader("Budgets", help="Known cost of real calls against a limit. Simulated calls never count.")
    found = budgets.standing()
    if len(found) > SHOWN:
        words = st.text_input("Search budgets", key="budget_search", placeholder="name or scope", icon=":material/search:")  # fmt: skip
        wanted = folded(words or "")
        found = [each for each in found if wanted in folded(f"{each.status.budget.name} {each.status.budget.scope}")]
        found.sort(key=lambda each: each.status.share_spent, reverse=True)
        st.caption(f"{min(SHOWN, len(found))} of {len(found):,} budgets, the fullest first.")
    for outlook in found[:SHOWN]:
        _bar(budgets.whole(outlook))
    with st.expander("New budget", icon=":material/add:"), st.form("budget_form", border=False):
        _form()


def _bar(outlook: BudgetOutlook) -> None:
    status, budget = outlook.status, outlook.status.budget
    bar, more, edit, remove = st.columns([9, 1, 1, 1], vertical_alignment="center")
    raised = " (raised)" if status.limit_usd != budget.limit_usd else ""
    text = (
        f"**{formatting.plain(budget.name)}** ({formatting.plain(budget.scope)}, {_action(outlook)}): {formatting.usd(status.spent_usd)} of"
        f" {formatting.usd(status.limit_usd)}{raised} {budget.period_text} ({budget.timezone}) · {formatting.usd(status.left_usd)} left"
    )
    if status.reserved_usd:
        text += f" · {formatting.usd(status.reserved_usd)} reserved"
    if budget.period != "rolling":
        text += f" · resets {formatting.when(status.resets_at)}"
    if outlook.expected_usd is not None and outlook.interval_usd is not None:
        low, high = outlook.interval_usd
        text += (
            f" · heading for {formatting.usd(outlook.expected_usd)} ({formatting.usd(low)} – {formatting.usd(high)})"
        )
        text += f", runs out on {outlook.runs_out_on:%d %B}" if outlook.runs_out_on else ""
    elif outlook.reason and budget.period in ("week", "month"):
        text += f" · {outlook.reason}"
    bar.progress(min(1.0, status.share_spent), text=formatting.plain(text))
    with more.popover("", icon=":material/add_card:", help="Raise once", key=f"budget_raise_{budget.id}"):
        _raise(outlook)
    with edit.popover("", icon=":material/edit:", help="Change this budget", key=f"budget_edit_{budget.id}"):
        _edit(outlook)
    if remove.button("", icon=":material/delete:", key=f"budget_delete_{budget.id}", help="Delete this budget"):
        manager().budgets.delete(budget.id)
        st.rerun()


def _action(outlook: BudgetOutlook) -> str:
    budget = outlook.status.budget
    return f"downgrade to {formatting.plain(budget.downgrade_to)}" if budget.action == "downgrade" else budget.action


def _raise(outlook: BudgetOutlook) -> None:
    budget = outlook.status.budget
    for each in budget.raises:
        st.caption(formatting.plain(f"{formatting.usd(each.extra_usd)} until {formatting.when(each.expires_at)}: {each.reason}"))  # fmt: skip
    with st.form(f"raise_form_{budget.id}", border=False):
        extra = st.number_input("More (USD)", 0.000001, 1e9, 10.0, key=f"raise_extra_{budget.id}", persist_state="session")  # fmt: skip
        hours = st.number_input("For hours", 1, 24 * 366, 24, key=f"raise_hours_{budget.id}", persist_state="session")
        reason = st.text_input("Reason", key=f"raise_reason_{budget.id}", persist_state="session", help="Kept in the audit trail.")  # fmt: skip
        raises = st.form_submit_button("Raise once", icon=":material/add_card:")
        if clicks.first(raises, "raise", (budget.id, extra, hours, reason)):
            try:
                until = datetime.now(UTC) + timedelta(hours=float(hours or 1))
                manager().budgets.raise_once(budget.id, extra or 0, reason=reason or "", expires_at=until)
            except AimmError as error:
                st.error(formatting.plain(error.message))
            else:
                st.rerun()


def _edit(outlook: BudgetOutlook) -> None:
    """What changes most often; what a budget covers is better made anew."""
    budget = outlook.status.budget
    with st.form(f"edit_form_{budget.id}", border=False):
        name = st.text_input("Name", budget.name, key=f"edit_name_{budget.id}", persist_state="session")
        limit = st.number_input("Limit (USD)", 0.000001, 1e9, float(budget.limit_usd), key=f"edit_limit_{budget.id}", persist_state="session")  # fmt: skip
        action = st.selectbox("Action", ACTIONS, ACTIONS.index(budget.action), key=f"edit_action_{budget.id}", persist_state="session")  # fmt: skip
        instead = st.text_input("Downgrade to", budget.downgrade_to, key=f"edit_downgrade_{budget.id}", persist_state="session")  # fmt: skip
        shares = [f"{100 * share:g}" for share in budget.thresholds]
        chips = st.multiselect("Alert at (% spent)", shares, shares, key=f"edit_thresholds_{budget.id}", persist_state="session", accept_new_options=True)  # fmt: skip
        if st.form_submit_button("Save", icon=":material/save:"):
            changes = {
                "name": name or "", "limit_usd": limit or 0, "action": action, "downgrade_to": instead or "",
                "thresholds": _shares(chips),
            }  # fmt: skip
            try:
                manager().budgets.change(budget.id, **changes)
            except AimmError as error:
                st.error(formatting.plain(error.message))
            else:
                st.rerun()


def _form() -> None:
    top = st.columns(4)
    name = top[0].text_input("Name", key="budget_name", persist_state="session")
    limit = top[1].number_input("Limit (USD)", 0.000001, 1e9, 30.0, key="budget_limit", persist_state="session")
    period = top[2].selectbox("Period", ["month", *(p for p in PERIODS if p != "month")], key="budget_period", persist_state="session", format_func=lambda p: PERIOD_LABELS.get(p, p))  # fmt: skip
    hours = top[3].number_input("Rolling hours", 1, 24 * 366, 24, key="budget_hours", persist_state="session", help="Only for a rolling period.")  # fmt: skip
    row = st.columns(4)
    zone = row[0].text_input("Time zone", "UTC", key="budget_zone", persist_state="session", help="Such as Europe/Berlin; the period begins at its midnight.")  # fmt: skip
    kind = row[1].selectbox("Scope", SCOPE_KINDS, key="budget_scope", persist_state="session") or "all"
    value = row[2].text_input("… named", key="budget_scope_value", persist_state="session", help="The provider, model, key, tag or user; empty for all.")  # fmt: skip
    unpriced = row[3].toggle("Refuse unpriced models", key="budget_unpriced", persist_state="session", help="They cannot be counted.")  # fmt: skip
    low = st.columns(4)
    action = low[0].selectbox("Action", ACTIONS, key="budget_action", persist_state="session", help=ACTION_HELP) or "notify"  # fmt: skip
    instead = low[1].selectbox("Downgrade to", models.names(), None, key="budget_downgrade", persist_state="session", placeholder="–")  # fmt: skip
    options = [25, 50, 75, 80, 90, 100]
    chips = low[2].multiselect("Alert at (% spent)", options, [50, 80, 100], key="budget_thresholds", persist_state="session", accept_new_options=True)  # fmt: skip
    ahead = low[3].multiselect("… and when heading for (%)", options, [], key="budget_forecasts", persist_state="session")  # fmt: skip
    if st.form_submit_button("Add", icon=":material/add:"):
        try:
            manager().budgets.create(
                name or "",
                limit or 0,
                period=period or "month",
                rolling_hours=int(hours or 24) if period == "rolling" else 0,
                timezone=zone or "UTC",
                scope=kind if kind == "all" else f"{kind}:{value}",
                action=action,
                downgrade_to=instead or "",
                thresholds=_shares(chips),
                forecast_thresholds=_shares(ahead),
                refuses_unpriced=unpriced,
            )
        except AimmError as error:
            st.error(formatting.plain(error.message))
        else:
            st.rerun()


def _shares(chips: Sequence[object]) -> list[float]:
    """Per cent as chosen or typed; what is no number becomes a share that is refused with a clear text."""
    try:
        return [float(str(chip).strip().rstrip("%")) / 100 for chip in chips]
    except ValueError:
        return [0.0]
