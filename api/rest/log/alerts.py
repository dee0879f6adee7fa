"""Alerts: what fires, the rules by which it does, and silences."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import ConfigDict, Field

from api.rest import schemas
from api.rest.dependencies import Manager, StrictRoute
from api.rest.views import View, plain
from core import Alert
from core.domain.alert import AlertRule, RuleState, Silence
from core.formats.spans import seconds_of
from core.monitoring.alerts.rule_file import KEYS, as_document, read_rule
from core.monitoring.alerts.states import Reading

SILENCE_S = (60, 90 * 86_400)
router = APIRouter(route_class=StrictRoute)

_alert_view = View(Alert, "budget=budget_name threshold of_forecast=is_forecast state since text")
_state_view = View(RuleState, "rule subject? state since value=. text", value=lambda state: state.value)
_reading_view = View(Reading, "subject? holds value text")
_silence_view = View(
    Silence, "name=. since=created_at until=ends_at reason author", name=lambda each: each.name or "all"
)
_Rule = Annotated[
    dict[str, Any],
    Body(
        description=f"The keys of a rule as its file has them: {', '.join(KEYS)}.",
        examples=[{"kind": "error_rate", "above": "5%", "over": "15m", "for": "5m", "channels": ["slack"]}],
    ),
]


class NewSilence(schemas.Body):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: Annotated[str, Field(min_length=1, max_length=200, description="Of a rule or a budget; all = of any.")]
    span: Annotated[str, Field(alias="for", max_length=20, description="Such as 2h.")]
    reason: Annotated[str, Field(max_length=500)] = ""


@router.get("/alerts")
def alerts(mm: Manager) -> dict[str, Any]:
    """The thresholds of budgets, and of rules what each has found, with their states."""
    rules = _state_view.each(mm.alert_rules.states())
    return {"status": "success", "alerts": _alert_view.each(mm.alerts.all()), "rules": rules}


@router.get("/alert-rules")
def rules(mm: Manager) -> dict[str, Any]:
    return {"status": "success", "rules": [as_document(rule) for rule in mm.alert_rules.all()]}


@router.get("/alert-rules/{name}")
def rule(name: str, mm: Manager) -> dict[str, Any]:
    found = mm.alert_rules.get(name)
    states = [state for state in mm.alert_rules.states() if state.rule == name]
    return {"status": "success", "rule": as_document(found), "states": _state_view.each(states)}


@router.put("/alert-rules/{name}")
def put_rule(name: str, body: _Rule, mm: Manager) -> dict[str, Any]:
    """Make a rule, or change the one of this name to what is given."""
    found = mm.alert_rules.put(read_rule(body, name))
    return {"status": "success", "rule": as_document(found)}


@router.delete("/alert-rules/{name}")
def delete_rule(name: str, mm: Manager) -> dict[str, Any]:
    mm.alert_rules.remove(name)
    return {"status": "success"}


@router.post("/alert-rules/{name}/test")
def test_rule(name: str, mm: Manager, channel: str = "") -> dict[str, Any]:
    """The findings of a rule now, and in the last 7 days; nothing is changed. channel: Where a test message is sent."""
    found: AlertRule = mm.alert_rules.get(name)
    problem = mm.alerts.outbox.test(channel) if channel else None
    return {
        "status": "success",
        "readings": _reading_view.each(mm.alert_rules.test(found)),
        "would_have_fired": plain(mm.alert_rules.would_have_fired(found)),
        "delivered": None if problem is None else not problem,
        "problem": problem or None,
    }


@router.get("/alert-silences")
def silences(mm: Manager) -> dict[str, Any]:
    """Silences on record, the last to end first; those that have ended too."""
    return {"status": "success", "silences": _silence_view.each(mm.alert_rules.silences())}


@router.post("/alert-silences", status_code=201)
def silence(body: NewSilence, mm: Manager) -> dict[str, Any]:
    span = timedelta(seconds=seconds_of(body.span, "for", *SILENCE_S))
    made = mm.alert_rules.silence("" if body.name == "all" else body.name, span, body.reason)
    return {"status": "success", "silence": _silence_view(made)}


@router.delete("/alert-silences/{name}")
def unsilence(name: str, mm: Manager) -> dict[str, Any]:
    n = mm.alert_rules.unsilence("" if name == "all" else name)
    return {"status": "success", "ended": n}
