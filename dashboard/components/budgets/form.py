"""The dialogs of budgets: a new one and changes, more money for a while, removal."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from core import AimmError, BudgetExceeded
from core.domain.budget import ACTIONS, PERIODS, SCOPE_KINDS, Budget
from dashboard import address, formatting
from dashboard.components import clicks, inputs
from dashboard.components.budgets import words
from dashboard.frames import models
from dashboard.process import manager, zone
from dashboard.visitors import allowed

ACTION_LABELS = {"notify": "Notify only", "downgrade": "Send calls to another model", "stop": "Refuse calls"}
PERIOD_LABELS = {"rolling": "Rolling hours", "day": "Day", "week": "Week", "month": "Month"}
ACTION_HELP = "Each call reserves its highest possible cost before it starts, so that parallel calls cannot pass it."
LIMITS, HOURS = (0.000001, 1e9), (1, 24 * 366)
SHARES = [25, 50, 75, 80, 90, 100]
UNTIL = {"The end of the period": None, "24 hours": 24, "7 days": 168}
_NEW = Budget(id="", name="", limit_usd=30)  # type: ignore[arg-type]  # what the form of a new one begins with


def open_for(deed: str, budget_id: str = "") -> None:
    """Open a dialog with the page's next run. deed: new, or one of DEEDS."""
    address.put("budget", f"{deed}:{budget_id}".rstrip(":"))


def show() -> None:
    """The dialog that the address names: `new`, or a deed and a budget's id with a colon between."""
    deed, _, budget_id = (address.value("budget") or "").partition(":")
    found = next((each.budget for each in manager().budgets.statuses() if each.budget.id == budget_id), None)
    if deed == "new":
        address.window("budget", "New budget")(_form)(None)
    elif deed in DEEDS and found is not None:
        name = formatting.plain(found.name)
        title, inside = DEEDS[deed]
        short = {} if inside is _form else {"position": "center", "width": "small"}
        address.window("budget", title.format(name), **short)(inside)(found)
    elif deed:
        address.missing("budget", "budget")


def _done(key: str) -> None:
    inputs.forget(key)
    address.closed("budget")
    st.rerun()


def _form(budget: Budget | None) -> None:
    old = budget or replace(_NEW, timezone=zone().key)
    # What was typed for another version of the budget is no longer meant.
    key = f"budget_{budget.id}_{hash(budget) & 0xFFFF}_" if budget else "budget_new_"
    places: dict[str, Any] = {}
    fields = _what(old, key, places) | _when(old, key, places) | _then(old, key, places)
    below, said = st.container(), repr(fields)
    clicked = st.button(
        "Save" if budget else "Add budget", type="primary", icon=":material/save:", key=f"{key}save",
        **allowed.needs("admin"),
    )  # fmt: skip
    if clicks.first(clicked, "budget", (key, said)):
        try:
            _save(budget, fields, unless_refusing=True)
        except BudgetExceeded as error:
            st.session_state[f"{key}asks"] = said, error.message
        except AimmError as error:
            inputs.refused_at(places, error, below)
        else:
            _done(key)
    asked, why = st.session_state.get(f"{key}asks", ("", ""))
    if asked == said:
        below.warning(formatting.plain(why), icon=":material/block:")
        if clicks.first(below.button("Save, and refuse calls now", key=f"{key}sure"), "budget_sure", said):
            _save(budget, fields, unless_refusing=False)
            _done(key)


def _save(budget: Budget | None, fields: dict[str, Any], *, unless_refusing: bool) -> None:
    service = manager().budgets
    if budget is not None:
        service.change(budget.id, unless_refusing=unless_refusing, **fields)
    else:
        rest = {name: value for name, value in fields.items() if name not in ("name", "limit_usd")}
        service.create(fields["name"], fields["limit_usd"], unless_refusing=unless_refusing, **rest)


def _field(places: dict[str, Any], name: str, within: Any = st) -> Any:
    """A place for a field, below which its error stands."""
    places[name] = within.container()
    return places[name]


def _what(old: Budget, key: str, places: dict[str, Any]) -> dict[str, Any]:
    name = inputs.text(_field(places, "budget.? (needs a )?name"), "Name", f"{key}name", value=old.name)
    left, right = st.columns(2)
    place = _field(places, "scope", right)
    kind = inputs.choice(
        left, "Calls that count", f"{key}kind", SCOPE_KINDS, SCOPE_KINDS.index(old.scope_kind),
        format_func=lambda kind: "All calls" if kind == "all" else f"Of one {kind}",
    )  # fmt: skip
    value = ""
    if kind != "all":
        value = inputs.text(place, kind.capitalize(), f"{key}value", value=old.scope_value, placeholder="Its name")
    return {"name": name, "scope": kind if kind == "all" else f"{kind}:{value}"}


def _when(old: Budget, key: str, places: dict[str, Any]) -> dict[str, Any]:
    left, middle, right = st.columns(3)
    limit = inputs.number(_field(places, "limit_usd", left), "Limit (USD)", f"{key}limit", LIMITS, float(old.limit_usd))
    period = inputs.choice(
        middle, "Period", f"{key}period", PERIODS, PERIODS.index(old.period), format_func=PERIOD_LABELS.__getitem__
    )
    if period == "rolling":
        hours = inputs.number(
            _field(places, "rolling_hours", right), "Hours", f"{key}hours", HOURS, old.rolling_hours or 24
        )
        return {"limit_usd": limit or 0, "period": period, "rolling_hours": int(hours or 0), "timezone": old.timezone}
    timezone = inputs.text(
        _field(places, "timezone", right), "Time zone", f"{key}zone", value=old.timezone,
        help="Such as Europe/Berlin. Periods start at its midnight.",
    )  # fmt: skip
    return {"limit_usd": limit or 0, "period": period, "rolling_hours": 0, "timezone": timezone or zone().key}


def _then(old: Budget, key: str, places: dict[str, Any]) -> dict[str, Any]:
    left, right = st.columns(2)
    action = inputs.choice(
        left, "At the limit", f"{key}action", ACTIONS, ACTIONS.index(old.action),
        format_func=ACTION_LABELS.__getitem__, help=ACTION_HELP,
    )  # fmt: skip
    instead, place = "", _field(places, "downgrade_to", right)
    if action == "downgrade":
        names = list(dict.fromkeys([*([old.downgrade_to] if old.downgrade_to else []), *models.names()]))
        instead = inputs.choice(
            place, "Model that answers instead", f"{key}instead", names, 0 if old.downgrade_to else None,
            placeholder="Choose one", accept_new_options=True,
        )  # fmt: skip
    left, right = st.columns(2)
    ahead = _shares(
        _field(places, "forecast_thresholds", right), "Alert on forecast (%)", f"{key}ahead", old.forecast_thresholds
    )
    reached = _shares(_field(places, "thresholds", left), "Alert at (% spent)", f"{key}at", old.thresholds)
    unpriced = inputs.switch(
        st, "Refuse models without a price", f"{key}unpriced", "Their cost cannot be counted.", old.refuses_unpriced
    )
    return {
        "action": action, "downgrade_to": instead or "", "thresholds": reached, "forecast_thresholds": ahead,
        "refuses_unpriced": unpriced,
    }  # fmt: skip


def _shares(place: Any, label: str, key: str, old: Sequence[float]) -> list[float]:
    """Per cent as chosen or typed; what is no number becomes a share that is refused with a clear text."""
    given = [f"{100 * share:g}" for share in old]
    options = list(dict.fromkeys([*map(str, SHARES), *given]))
    chips = inputs.choices(place, label, key, options, given, accept_new_options=True)
    try:
        return [float(chip.strip().rstrip("%")) / 100 for chip in chips]
    except ValueError:
        return [0.0]


def _raise(budget: Budget) -> None:
    for each in budget.raises:
        extra, until = formatting.usd(each.extra_usd), formatting.when(each.expires_at)
        st.caption(formatting.plain(f"Raised by {extra} until {until}: {each.reason}"))
    key = f"raise_{budget.id}_"
    places: dict[str, Any] = {}
    is_rolling = budget.period == "rolling"  # whose period is over with each hour
    extra_usd = inputs.number(_field(places, "limit_usd"), "Extra (USD)", f"{key}extra", LIMITS, 10.0)
    until = inputs.choice(st, "Until", f"{key}until", [each for each in UNTIL if UNTIL[each] or not is_rolling])
    reason = inputs.text(_field(places, "reason"), "Reason", f"{key}reason", help="Recorded in the audit trail.")
    below, hours = st.container(), UNTIL[until]
    asked = st.button(
        f"Raise {formatting.plain(budget.name)}", type="primary", key=f"{key}do", icon=":material/add_card:",
        **allowed.needs("admin"),
    )  # fmt: skip
    if not clicks.first(asked, "raise", (budget.id, extra_usd, until, reason)):
        return
    until_at = datetime.now(UTC) + timedelta(hours=hours) if hours else None
    try:
        manager().budgets.raise_once(budget.id, extra_usd or 0, reason=reason, expires_at=until_at)
    except AimmError as error:
        inputs.refused_at(places, error, below)
    else:
        _done(key)


def _remove(budget: Budget) -> None:
    after = {
        "stop": "Calls are no longer refused by it.",
        "downgrade": f"Calls are no longer sent to {budget.downgrade_to}.",
    }.get(budget.action, "")
    st.markdown(
        formatting.plain(
            f"{words.scope(budget)}, {formatting.usd(budget.limit_usd)} {budget.period_text}. {after}"
            " Its alerts go with it."
        )
    )
    label, key = f"Remove {formatting.plain(budget.name)}", f"remove_{budget.id}"
    asked = st.button(label, type="primary", icon=":material/delete:", key=key, **allowed.needs("admin"))
    if asked and inputs.done(st, manager().budgets.delete, budget.id):
        _done(key)


DEEDS = {"change": ("Change {}", _form), "raise": ("Raise {} once", _raise), "remove": ("Remove {}?", _remove)}
