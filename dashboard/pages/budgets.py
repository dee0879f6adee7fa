"""Budgets: limits on spend, where they stand and are heading, and the alerts they give."""

import streamlit as st

from core.formats.text import folded
from dashboard.components import head, managed
from dashboard.components.budgets import alerts, form, rows, words
from dashboard.components.monitoring import headline
from dashboard.frames import monitoring
from dashboard.frames.money import budgets
from dashboard.visitors import allowed

SHOWN, SEARCHED_FROM = 20, 8

row = head.show("Budgets")
found = sorted(budgets.standing(), key=lambda each: each.status.share_spent, reverse=True)
n_all = len(found)
if n_all >= SEARCHED_FROM or st.query_params.get("budget_search"):
    typed = row.text_input(
        "Search budgets", key="budget_search", placeholder="Search by name or scope", icon=":material/search:",
        label_visibility="collapsed", bind="query-params", width=240, max_chars=200,
    )  # fmt: skip
    wanted = folded(typed or "")
    found = [each for each in found if wanted in folded(words.searched(each.status.budget))]
row.button(
    "New budget", type="primary", icon=":material/add:", key="budget_new", on_click=form.open_for, args=("new",),
    **allowed.needs("admin"),
)  # fmt: skip

is_simulated = not monitoring.has_calls(simulated=False)
if is_simulated and monitoring.has_calls(simulated=True):
    st.badge("Simulated – costs are examples", color="orange")
headline.month(is_simulated)
if not n_all:
    st.info(
        "No budgets yet: nothing limits what is spent. A budget holds the cost of real calls against a limit: it sends"
        " alerts on the way, and at the limit notifies, sends calls to a cheaper model or refuses them. Begin with"
        " **New budget**.",
        icon=":material/savings:",
    )
elif not found:
    st.info("No budget matches. Change the search.", icon=":material/search:")
else:
    if len(found) > SHOWN:
        st.caption(f"{SHOWN} of {len(found):,} budgets, the fullest first.")
    rows.show(found[:SHOWN])
    st.caption(
        "Known cost of real calls; periods begin at midnight in each budget's time zone. Simulated calls never count."
    )
    if any(each.status.n_unpriced for each in found[:SHOWN]):
        st.page_link(
            "pages/models.py", label="Set prices for unpriced models", icon=":material/sell:",
            query_params={"prices_view": "Unpriced"},
        )  # fmt: skip
managed.note("budgets")
if n_all:
    alerts.show()
form.show()
