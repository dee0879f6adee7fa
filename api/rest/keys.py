"""Keys of programs: made, listed, changed, revoked; and limits of teams."""

from decimal import Decimal
from typing import Any

from fastapi import APIRouter

from api.rest import schemas
from api.rest.dependencies import Manager, StrictRoute, moment
from api.rest.money import budget_view
from api.rest.views import View
from core import Allowance, Key, clock
from core.domain.people.team import Team

router = APIRouter(route_class=StrictRoute)

_key_view = View(
    Key,
    "id name hint valid=. scopes models tags rpm user_rpm tpm user_tpm max_parallel user_max_parallel"
    " log_content shares_cache owner=owner_name? owner_id=owner? team? role"
    " created_at expires_at revoked_at last_used_at",
    valid=lambda key: key.is_valid_at(clock.now()),
)
_team_view = View(Team, "name rpm tpm max_parallel")


@router.get("/keys")
def list_keys(mm: Manager) -> dict[str, Any]:
    return {"status": "success", "keys": _key_view.each(mm.keys.all())}


@router.post("/keys", status_code=201)
def create_key(body: schemas.CreateKey, mm: Manager) -> dict[str, Any]:
    """`secret` is the key; it is in this answer and nowhere else."""
    fields = body.model_dump(exclude={"budget"})
    fields |= {name: tuple(fields[name]) for name in ("scopes", "models", "tags")}
    fields["expires_at"] = moment(body.expires_at, "expires_at")
    wanted = body.budget
    allowance = None if wanted is None else Allowance(Decimal(str(wanted.limit_usd)), wanted.period)
    key, secret, budget = mm.issuer.issue(fields.pop("name"), allowance=allowance, **fields)
    status = None if budget is None else budget_view(mm.spend.of_budget(mm.budgets.status(budget.id)))
    return {"status": "success", "secret": secret, "key": _key_view(key), "budget": status}


@router.patch("/keys/{key_id}")
def change_key(key_id: str, body: schemas.ChangeKey, mm: Manager) -> dict[str, Any]:
    fields = body.model_dump(exclude_unset=True)
    fields |= {name: tuple(fields[name]) for name in ("scopes", "models", "tags") if name in fields}
    if "expires_at" in fields:
        fields["expires_at"] = moment(fields["expires_at"], "expires_at")
    return {"status": "success", "key": _key_view(mm.keys.change(key_id, **fields))}


@router.delete("/keys/{key_id}")
def revoke_key(key_id: str, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "key": _key_view(mm.keys.revoke(key_id))}


@router.get("/teams")
def list_teams(mm: Manager) -> dict[str, Any]:
    """Each team that a key or a person names, or that has limits."""
    return {"status": "success", "teams": _team_view.each(mm.teams.all())}


@router.put("/teams/{name}")
def set_team(name: str, body: schemas.TeamLimits, mm: Manager) -> dict[str, Any]:
    """Gives a team its limits, in the place of those it had; without any it has none."""
    return {"status": "success", "team": _team_view(mm.teams.set(name, **body.model_dump()))}
