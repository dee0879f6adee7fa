"""Alerts as they are listed: what fires, all rules, silences, and rules to begin with."""

import streamlit as st

from core.domain.alert import AlertRule
from dashboard import address, formatting, tables
from dashboard.components import inputs
from dashboard.frames import alerts
from dashboard.frames.alerts import Standing
from dashboard.process import manager
from dashboard.visitors import allowed

SHOWN = 20
_UNKNOWN = "Not known: fewer calls than the rule asks for. Nothing yet: it was not looked at, or has nothing to tell."
_COLUMNS = {
    name: st.column_config.TextColumn(width=width, help=_UNKNOWN if name == "state" else None)
    for name, width in {
        "rule": 208, "state": 136, "kind": 176, "condition": 320, "last value": 84, "tells": 168,
    }.items()
}  # fmt: skip


def firing(found: Standing) -> None:
    """Draw what fires now, each with the way to the calls."""
    lines = found.firing
    st.subheader("Firing now", anchor=False)
    if not lines:
        st.caption(":green[:material/check_circle:] No rule fires.")
    for at, (rule, state) in enumerate(lines[:SHOWN]):
        page, params = alerts.where(rule, state)
        silenced = " · silenced" if found.is_silenced(rule.name) else ""
        with st.container(key=f"firing_{at}"):
            text = f"{rule.name}: {formatting.short(state.text, 200)}"
            label = f":red[:material/notifications_active:] {formatting.plain(text)}"
            st.page_link(f"pages/{page}.py", label=label, query_params=params or None)
            st.caption(f"Since {formatting.when(state.since)}{silenced}")
    if len(lines) > SHOWN:
        st.caption(f"{len(lines) - SHOWN:,} more are not shown.")


def rules(found: Standing) -> None:
    told = "Looked at once a minute, those of 24 hours every 15; a message goes out when one fires or resolves."
    st.subheader("Rules", anchor=False, help=told)
    names = [rule.name for rule in alerts.ordered(found)]
    at = tables.opened(alerts.table(found), "alert_rules", names, column_config=_COLUMNS)
    if at is not None:
        address.put("rule", at)


def silences(found: Standing) -> None:
    """Draw the silences that go on, each with its end."""
    for each in found.silences:
        line = st.container(horizontal=True, vertical_alignment="center", key=f"silence_{each.id}")
        why = f": {each.reason}" if each.reason else ""
        text = f"{each.name or 'Everything'} is silenced until {formatting.when(each.ends_at)} by {each.author}{why}"
        line.markdown(f":material/notifications_off: {formatting.plain(text)}", width="content")
        clicked = line.button("End silence", key=f"silence_end_{each.id}", **allowed.needs("editor"))
        if clicked and inputs.done(st, manager().alert_rules.unsilence, each.name):
            st.rerun()


def suggested(found: Standing) -> None:
    """Draw rules that most installations want, one click each."""
    known = {(rule.kind, not rule.where) for rule in found.rules}
    left = [rule for rule in alerts.SUGGESTED if (rule.kind, True) not in known]
    if not left:
        return
    st.subheader("Suggested rules", anchor=False)
    grid = st.grid("auto", min_column_width=240)
    for rule in left:
        place = grid.container(border=True, key=f"suggested_{rule.name}")
        place.markdown(f"**{alerts.KINDS[rule.kind]}**")
        place.caption(_told(rule))
        label = f"Add {alerts.KINDS[rule.kind].lower()}"
        clicked = place.button(label, key=f"suggest_{rule.name}", icon=":material/add:", **allowed.needs("admin"))
        if clicked and inputs.done(st, manager().alert_rules.put, rule):
            st.rerun()


def _told(rule: AlertRule) -> str:
    return {
        "circuit_open": "A model is not asked because it failed again and again.",
        "rollback": "A rollout was taken back.",
        "experiment_verdict": "An experiment says ship, stop or hold.",
        "evaluation_gate": "The last run of a suite failed its gate.",
    }.get(rule.kind, alerts.limit(rule).capitalize())
