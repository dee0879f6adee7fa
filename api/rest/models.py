"""Models, and the aliases that stand for them."""

from typing import Any

from fastapi import APIRouter

from api.rest import schemas
from api.rest.dependencies import Manager, StrictRoute, parameters_of
from core import Alias, Model, Target

router = APIRouter(route_class=StrictRoute)


@router.get("/models")
def models(mm: Manager) -> dict[str, Any]:
    found = mm.models()
    return {
        "models": [model.name for model in found],
        "count": len(found),
        "details": [_model_view(model) for model in found],
        "default_model": mm.models.default(),
    }


@router.get("/aliases")
def aliases(mm: Manager) -> dict[str, Any]:
    return {"status": "success", "aliases": [alias_view(alias) for alias in mm.aliases.all()]}


@router.put("/aliases/{name}")
def set_alias(name: str, body: schemas.SetAlias, mm: Manager) -> dict[str, Any]:
    parameters = parameters_of(body.parameters)
    target = Target(
        model=body.model, system=body.system, parameters=parameters, prompt_version=body.prompt_version,
        fallbacks=tuple(body.fallbacks), cache_s=body.cache_s,
    )  # fmt: skip
    return {"status": "success", "alias": alias_view(mm.aliases.set(name, target, body.note))}


@router.delete("/aliases/{name}")
def remove_alias(name: str, mm: Manager) -> dict[str, Any]:
    mm.aliases.remove(name)
    return {"status": "success"}


def _model_view(m: Model) -> dict[str, Any]:
    return {
        "name": m.name,
        "provider": m.provider,
        "label": m.label,
        "simulated": m.is_simulated,
        "parameters": sorted(m.accepts),
        "context_tokens": m.context_tokens,
        "max_output_tokens": m.max_output_tokens,
    }


def alias_view(a: Alias) -> dict[str, Any]:
    return {
        "name": a.name,
        "model": a.target.model,
        "system": a.target.system,
        "parameters": a.target.parameters.as_dict(),
        "prompt_version": a.target.prompt_version,
        "fallbacks": list(a.target.fallbacks),
        "cache_s": a.target.cache_s,
        "rollout": a.rollout_id,
        "note": a.note,
        "changed_at": a.changed_at.isoformat(),
    }
