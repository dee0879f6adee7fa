"""Alerts: their states, where they go, and what is still on its way."""

from typing import Any

import streamlit as st

from dashboard import formatting, tables
from dashboard.frames.money import budgets
from dashboard.process import manager
from dashboard.visitors import allowed

NAMES = {
    "webhook": "AIMM_ALERT_WEBHOOK",
    "slack": "AIMM_ALERT_SLACK",
    "email": "AIMM_ALERT_EMAIL and AIMM_SMTP_URL",
    "pagerduty": "AIMM_ALERT_PAGERDUTY",
}
TITLES = {"email": "mail", "pagerduty": "PagerDuty", "slack": "Slack"}
HELP = (
    "One for each threshold of each budget: ok, pending (a forecast must hold for 10 minutes), firing, resolved."
    " A firing alert is not repeated."
)
SHOWN = 50
TIMES = ("made", "delivered")


def show() -> None:
    """Draw the alerts of budgets, and the way to the others."""
    budgets_alerts("Alerts")
    st.page_link("pages/alerting/alerts.py", label="Rules, silences and messages", icon=":material/notifications:")


def budgets_alerts(title: str = "Budgets") -> None:
    st.subheader(title, help=HELP, anchor=False)
    frame = budgets.alerts_table()
    n_more = max(0, len(frame) - SHOWN)
    n_ok = len(budgets.alerts()) - len(frame)
    if n_ok:
        st.caption("1 threshold is not reached." if n_ok == 1 else f"{n_ok:,} thresholds are not reached.")
    if frame.empty and not n_ok:
        st.caption("No alerts yet: a budget's thresholds bring them.")
    elif not frame.empty:
        st.table(frame.head(SHOWN), border="horizontal", hide_index=True)  # in which texts break
    if n_more:
        st.caption(f"{n_more:,} more are not shown.")


def channels() -> None:
    """Draw where messages go, a test for each, and the messages."""
    st.subheader("Channels", anchor=False)
    _tests()
    outbox = budgets.outbox()
    config: dict[str, Any] = {
        name: st.column_config.DatetimeColumn(name.capitalize(), format="YYYY-MM-DD HH:mm") for name in TIMES
    }
    config |= {name: st.column_config.TextColumn(width=width) for name, width in (("problem", 170), ("text", 400))}
    if not outbox.empty:
        with st.expander("Messages", icon=":material/outbox:", expanded=bool(outbox["problem"].any())):
            tables.show(outbox, column_config=config)


def _tests() -> None:
    service = manager().alerts.outbox
    line = st.container(horizontal=True, vertical_alignment="center")
    for channel, name in NAMES.items():
        if channel not in service.channels.names:
            title = TITLES.get(channel, channel)
            line.caption(f"{title[:1].upper()}{title[1:]}: set {name} to enable it", width="content")
        elif line.button(
            f"Send test by {TITLES.get(channel, channel)}", key=f"alert_test_{channel}", icon=":material/send:",
            **allowed.needs("editor"),
        ):  # fmt: skip
            problem = service.test(channel)
            if problem:
                st.error(f"{channel}: {formatting.plain(problem)}", icon=":material/error:")
            else:
                st.success(f"{channel} accepted it.", icon=":material/check_circle:")
