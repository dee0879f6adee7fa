"""The table of budgets: a bar with the thresholds on it, the rest in words, and a menu for each."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from core.domain.budget import BudgetOutlook
from dashboard import formatting, theme
from dashboard.components.budgets import form, words
from dashboard.frames.money import budgets
from dashboard.visitors import allowed

MENU = {"Change": "change", "Raise once": "raise", "Remove": "remove"}
HEADS = ("Budget", "Spent", "Period", "Forecast", "At the limit")


def show(found: Sequence[BudgetOutlook]) -> None:
    with st.container(border=True, gap=None, key="budget_rows"):
        st.html(f'<div class="aimm-budget aimm-heads">{"".join(f"<div>{head}</div>" for head in HEADS)}</div>')
        for outlook in found:
            budget = outlook.status.budget
            row = st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False)
            row.html(_row(budgets.whole(outlook)), width="stretch")
            row.menu_button(
                f"Actions for {formatting.plain(budget.name)}", list(MENU), icon=":material/more_vert:",
                type="tertiary", key=f"icon_budget_{budget.id}", on_click=_chosen, args=(budget.id,),
                **allowed.needs("admin"),
            )  # fmt: skip


def _chosen(budget_id: str) -> None:
    form.open_for(MENU[st.session_state[f"icon_budget_{budget_id}"]], budget_id)


def _row(outlook: BudgetOutlook) -> str:
    status, budget = outlook.status, outlook.status.budget
    expected, detail = words.forecast(outlook)
    if outlook.runs_out_on is not None and not status.is_refusing:
        detail = f"<b>Runs out on {outlook.runs_out_on:%-d %B}</b><br>{escape(detail)}"
    else:
        detail = escape(detail)
    refusing = f' style="color: {theme.ink().fail}; font-weight: 600"' if status.is_refusing else ""
    raised = status.limit_usd - budget.limit_usd
    more = (
        [f"Raised by {formatting.usd(raised)} until {formatting.when(max(r.expires_at for r in budget.raises))}"]
        if raised
        else []
    )
    more += ["Refuses models without a price"] if budget.refuses_unpriced else []
    cells = (
        f"<b>{escape(budget.name)}</b><small>{escape(words.scope(budget))}</small>",
        spent(outlook),
        f"{words.period(budget)}<small>{escape(words.resets(status))}</small>",
        f"{expected}<small>{detail}</small>",
        f"<span{refusing}>{escape(words.action(status))}</span><small>{'<br>'.join(more)}</small>",
    )
    return f'<div class="aimm-budget">{"".join(f"<div>{cell}</div>" for cell in cells)}</div>'


def spent(outlook: BudgetOutlook) -> str:
    """The bar: spent, reserved, and a mark at each threshold."""
    status, ink = outlook.status, theme.ink()
    share, limit = status.share_spent, float(status.limit_usd)
    reserved = float(status.reserved_usd) / limit
    thresholds = [each for each in status.budget.thresholds if each < 1]
    is_notable = status.reached is not None or outlook.runs_out_on is not None
    colour = ink.fail if status.is_refusing else ink.warn if is_notable else ink.percentiles[1]
    full = max(1.0, share + reserved)
    marks = "".join(f'<i style="left: {100 * at / full:.1f}%"></i>' for at in (*thresholds, *([1] if full > 1 else [])))
    text = f"{formatting.usd(status.spent_usd)} of {formatting.usd(status.limit_usd)}"
    alerts = ", ".join(formatting.percent(each, 0) for each in status.budget.thresholds)
    notes = [f"{formatting.usd(status.left_usd)} left"]
    notes += [f"{formatting.usd(status.reserved_usd)} reserved by calls in progress"] if status.reserved_usd else []
    notes += [f"{status.n_unpriced:,} unpriced calls not included"] if status.n_unpriced else []
    return (
        f'<span class="aimm-ends"><span>{text}</span><span>{formatting.percent(share, 0)}</span></span>'
        f'<span class="aimm-bar" role="img" aria-label="{formatting.percent(share, 0)} spent; alerts at {alerts}"'
        f' title="Alerts at {alerts}">'
        f'<b style="width: {100 * share / full:.1f}%; background: {colour}"></b>'
        f'<b style="left: {100 * share / full:.1f}%; width: {100 * reserved / full:.1f}%; background: {colour};'
        f' opacity: .4"></b>{marks}</span><small>{" · ".join(notes)}</small>'
    )
