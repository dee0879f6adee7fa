"""Models, and the aliases that stand for them."""

from typing import Any

from fastapi import APIRouter

from api.rest import schemas
from api.rest.dependencies import Manager, StrictRoute, parameters_of
from api.rest.views import View
from core import Alias, Model, Target
from core.domain.experiment import AliasChange

router = APIRouter(route_class=StrictRoute)

_model_view = View(
    Model,
    "name provider label simulated=is_simulated parameters=accepts context_tokens max_output_tokens",
    parameters=sorted,
)
alias_view = View(
    Alias,
    "name model=target.model system=target.system parameters=target.parameters prompt_version=target.prompt_version"
    " fallbacks=target.fallbacks cache_s=target.cache_s rollout=rollout_id note changed_at",
)

_change_view = View(
    AliasChange,
    "model=target.model system=target.system parameters=target.parameters prompt_version=target.prompt_version"
    " fallbacks=target.fallbacks cache_s=target.cache_s note author run_id changed_at",
)


@router.get("/models")
def models(mm: Manager) -> dict[str, Any]:
    found = mm.models()
    return {
        "models": [model.name for model in found],
        "count": len(found),
        "details": _model_view.each(found),
        "default_model": mm.models.default(),
    }


@router.get("/aliases")
def aliases(mm: Manager) -> dict[str, Any]:
    return {"status": "success", "aliases": alias_view.each(mm.aliases.all())}


@router.get("/aliases/{name}/targets")
def alias_targets(name: str, mm: Manager) -> dict[str, Any]:
    """All that it stood for, newest first."""
    return {"status": "success", "targets": _change_view.each(mm.aliases.targets(name))}


@router.put("/aliases/{name}")
def set_alias(name: str, body: schemas.SetAlias, mm: Manager) -> dict[str, Any]:
    said = body.model_dump(exclude={"note", "author", "run_id"})
    target = Target(**said | {"parameters": parameters_of(body.parameters)})
    return {
        "status": "success",
        "alias": alias_view(mm.aliases.set(name, target, body.note, author=body.author, run_id=body.run_id)),
    }


@router.delete("/aliases/{name}")
def remove_alias(name: str, mm: Manager) -> dict[str, Any]:
    mm.aliases.remove(name)
    return {"status": "success"}
