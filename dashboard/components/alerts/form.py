"""The drawer of a rule: a new one, changes, a silence, removal."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import streamlit as st

from core import AimmError, NotFound
from core.domain.alert import EVENTS, RULE_KINDS, SHARES, TIMES, AlertRule
from core.formats.spans import shown_span
from core.monitoring.alerts.rule_file import CHANNELS, WHERE, read_rule, shown_limit
from dashboard import address, formatting
from dashboard.components import clicks, inputs
from dashboard.frames import alerts
from dashboard.process import manager
from dashboard.visitors import allowed

OVER = ("15m", "30m", "1h", "6h", "24h")
FOR = ("0m", "5m", "10m", "30m", "1h")
SILENCES = {"1 hour": 1, "4 hours": 4, "24 hours": 24, "7 days": 168}
EXAMPLES = {"error_rate": "5%", "unpriced_share": "0%", "latency_p95": "10s", "first_token_p95": "2s"}


def open_new() -> None:
    address.put("rule", "new:")


def show() -> None:
    """Open the drawer where the address names a rule, or asks for a new one."""
    name = address.value("rule")
    if name is None:
        return
    if name == "new:":
        address.window("rule", "New rule")(_form)(None)
        return
    try:
        rule = manager().alert_rules.get(name)
    except NotFound:
        address.missing("rule", "rule")
        return
    address.window("rule", name)(_inside)(rule)


def _done(prefix: str) -> None:
    inputs.forget(prefix)
    address.closed("rule")
    st.rerun()


def _inside(rule: AlertRule) -> None:
    for state in alerts.standing().states[rule.name][:20]:
        told = f"**{state.state.capitalize()}** since {formatting.when(state.since)}: "
        st.markdown(told + formatting.plain(state.text))
    _form(rule)
    st.divider()
    left, middle = st.columns(2)
    span = inputs.choice(left, "Silence for", f"rule_{rule.name}_span", list(SILENCES))
    reason = inputs.text(middle, "Reason", f"rule_{rule.name}_reason", max_chars=500)
    row = st.container(horizontal=True)
    clicked = row.button("Silence", icon=":material/notifications_off:", key="rule_silence", **allowed.needs("editor"))
    until = timedelta(hours=SILENCES[span])
    if clicked and inputs.done(st, manager().alert_rules.silence, rule.name, until, reason):
        _done(f"rule_{rule.name}_")
    row.space("stretch")
    clicked = row.button("Remove rule", icon=":material/delete:", key="rule_remove", **allowed.needs("admin"))
    if clicked and inputs.done(st, manager().alert_rules.remove, rule.name):
        _done(f"rule_{rule.name}_")


def _form(rule: AlertRule | None) -> None:
    key, places = (f"rule_{rule.name}_" if rule else "rule_new_"), dict[str, Any]()
    given: dict[str, Any] = {}
    if rule is None:
        given["name"] = inputs.text(_field(places, "name"), "Name", f"{key}name", max_chars=80, placeholder="errors")
    kinds = list(RULE_KINDS)
    at = kinds.index(rule.kind) if rule else 0
    given["kind"] = inputs.choice(st, "Fires on", f"{key}kind", kinds, at, format_func=alerts.KINDS.__getitem__)
    kind = given["kind"]
    is_same = rule is not None and rule.kind == kind
    old = rule if rule is not None and is_same else AlertRule(name="new", kind=kind)
    if kind in (*SHARES, *TIMES):
        left, middle, right = st.columns(3)
        limit = shown_limit(old) if is_same else EXAMPLES[kind]
        given["above"] = inputs.text(_field(places, "above", left), "Above", f"{key}above_{kind}", value=limit)
        spans = list(dict.fromkeys([*OVER, "24h" if old.over_s == 86_400 else shown_span(old.over_s)]))
        shown = "24h" if old.over_s == 86_400 else shown_span(old.over_s)
        given["over"] = inputs.choice(middle, "Over the last", f"{key}over", spans, spans.index(shown))
        given["at_least"] = inputs.number(
            right, "At least calls", f"{key}least", (1, 1_000_000), old.at_least,
            help="With fewer nothing is known: it neither fires nor resolves.",
        )  # fmt: skip
    if kind not in EVENTS:
        shown = shown_span(old.for_s) if old.for_s else "0m"
        spans = list(dict.fromkeys([*FOR, shown]))
        told = "It must hold so long before it fires."
        given["for"] = inputs.choice(st, "Holding for", f"{key}for", spans, spans.index(shown), help=told)
    given |= _whose(old, key, places) | _tells(rule, key, places)
    below = st.container()
    _tried(given, rule, key)
    clicked = st.button(
        "Save rule" if rule else "Add rule", type="primary", icon=":material/save:", key=f"{key}save",
        **allowed.needs("admin"),
    )  # fmt: skip
    if clicks.first(clicked, "rule", repr(given)):
        try:
            manager().alert_rules.put(read_rule(given, rule.name if rule else None))
        except AimmError as error:
            inputs.refused_at(places, error, below)
        else:
            _done(key)


def _whose(old: AlertRule, key: str, places: dict[str, Any]) -> dict[str, Any]:
    """The fields of what a rule looks at."""
    names = WHERE if old.is_window else ("model", "vendor") if old.kind == "circuit_open" else ("name",)
    row = st.columns(min(3, len(names)))
    found: dict[str, str] = {}
    for at, name in enumerate(names):
        place = _field(places, f"where.{name}", row[at % 3])
        typed = inputs.text(
            place, name.capitalize(), f"{key}where_{name}", value=old.where.get(name, ""), placeholder="any",
            max_chars=200,
        )  # fmt: skip
        found |= {name: typed.strip()} if typed.strip() else {}
    return {"where": found}


def _tells(rule: AlertRule | None, key: str, places: dict[str, Any]) -> dict[str, Any]:
    given = list(rule.channels) if rule else []
    options = list(dict.fromkeys([*CHANNELS, *given]))
    told = "Those that are set up, or one person by email:NAME@HOST."
    channels = inputs.choices(
        _field(places, "channels"), "Tell", f"{key}channels", options, given, accept_new_options=True, help=told,
        placeholder="All channels that are set up",
    )  # fmt: skip
    is_on = inputs.switch(st, "On", f"{key}on", "A rule that is off is not looked at.", rule.is_on if rule else True)
    return {"channels": channels, "on": is_on}


def _tried(given: dict[str, Any], rule: AlertRule | None, key: str) -> None:
    """The findings of the rule as it is typed, when asked for."""
    if not st.button("Try it", icon=":material/play_arrow:", key=f"{key}try", help="Nothing is saved or sent."):
        return
    with suppress(AimmError):  # saving says what is wrong
        wanted = read_rule({**given, "name": rule.name if rule else given.get("name") or "new"})
        readings = manager().alert_rules.test(wanted)
        for reading in readings[:20]:
            word = {None: "Not known", True: "Holds", False: "Does not hold"}[reading.holds]
            st.markdown(f"**{word}**: {formatting.plain(reading.text)}")
        if not readings:
            st.markdown("**Does not hold**: there is nothing to tell of.")
        n = manager().alert_rules.would_have_fired(wanted)
        if n is not None:
            st.caption(f"By whole hours of the last 7 days it would have fired {n:,} time{'' if n == 1 else 's'}.")


def _field(places: dict[str, Any], name: str, within: Any = st) -> Any:
    """A place for a field, below which its error stands."""
    places[name] = within.container()
    return places[name]
