"""Retention: how long texts and calls are kept, what would be deleted and what was; users forgotten."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.rest.dependencies import Manager, StrictRoute
from api.rest.views import View
from core.domain.log.retention import Due, Progress, RetentionRule, Round
from core.formats.days import shown_days

router = APIRouter(route_class=StrictRoute)

_rule_view = View(
    RetentionRule,
    "scope texts=texts_days calls=calls_days fixed=is_fixed",
    texts=lambda days: shown_days(days) or None,
    calls=lambda days: shown_days(days) or None,
)
_round_view = View(Round, "running=is_running begun_at ended_at texts=n_texts calls=n_calls")
_due_view = View(Due, "scope part before requests=n oldest")
_progress_view = View(Progress, "scope part deleted=n")


class Rule(BaseModel):
    """A rule: such as 30d, or forever; what is left out is as for all calls."""

    model_config = ConfigDict(extra="forbid")

    scope: str = Field(description="all, key:ID or tag:NAME")
    texts: str = Field("", description="30d, or forever")
    calls: str = Field("", description="400d, or forever")


@router.get("/retention")
def show(mm: Manager) -> dict[str, Any]:
    """The rules, what was ever deleted by them, and the last round."""
    return {
        "status": "success",
        "rules": _rule_view.each(mm.retention.rules()),
        "deleted": _progress_view.each(mm.retention.progress()),
        "round": _round_view(mm.retention.last_round()),
        "note": mm.retention.note() or None,
    }


@router.get("/retention/due")
def due(mm: Manager) -> dict[str, Any]:
    """The calls that a round would deal with now, by rule; nothing is deleted. Reads all of them."""
    return {"status": "success", "due": _due_view.each(mm.retention.due())}


@router.post("/retention/rules", status_code=201)
def set_rule(body: Rule, mm: Manager) -> dict[str, Any]:
    """Make or change the rule of a key or a tag, or that for all calls where the environment says none."""
    return {"status": "success", "rule": _rule_view(mm.retention.set_rule(body.scope, body.texts, body.calls))}


@router.delete("/retention/rules/{scope:path}")
def drop_rule(scope: str, mm: Manager) -> dict[str, Any]:
    """Take a rule away. `dropped`: whether there was one."""
    return {"status": "success", "dropped": mm.retention.drop_rule(scope)}


@router.delete("/users/{user:path}/data")
def forget(user: str, mm: Manager) -> dict[str, Any]:
    """Delete the texts of a user's calls, their sessions and the user's name; sums stay, under `alias`.

    alias: null = there was nothing on record of this user.
    """
    found = mm.forgetting.forget(user)
    changed = {name.replace(" ", "_"): n for name, n in found.others.items()}
    return {"status": "success", "alias": found.alias or None, "requests": found.n_calls, **changed}


@router.post("/retention/run", status_code=202)
def run(mm: Manager) -> dict[str, Any]:
    """Begin a round within some seconds instead of within the hour."""
    mm.retention.wake()
    return {"status": "success"}
