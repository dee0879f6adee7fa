"""Vendors' keys and deployments: set up, tried, given another key, changed and removed. No answer holds a key."""

from typing import Any

from fastapi import APIRouter

from api.rest.dependencies import Manager, StrictRoute
from api.rest.vendors import schemas
from api.rest.views import View
from core.domain.vendors.deployment import Deployment

router = APIRouter(route_class=StrictRoute)

_deployment_view = View(
    Deployment,
    "name vendor kind url api_version? models weight priority rest_seconds=rest_s private=is_private enabled=is_enabled"
    " key=hint? created_at rotated_at",
    models=dict,
)


@router.get("/vendors")
def list_vendors(mm: Manager) -> dict[str, Any]:
    """Deployments that were set up, with why one is not in use, and the vendors that the environment names."""
    deployments = [
        {**_deployment_view(each.deployment), "problem": each.problem or None} for each in mm.deployments.all()
    ]
    resting = [
        {"deployment": name, "model": model, "until": opening.ends_at.isoformat(), "reason": opening.reason}
        for (name, model), opening in sorted(mm.breakers.states().items())
    ]
    return {"status": "success", "deployments": deployments, "environment": mm.vendors.given, "resting": resting}


@router.post("/vendors", status_code=201)
def add_deployment(body: schemas.AddDeployment, mm: Manager) -> dict[str, Any]:
    """It is tried first, unless `test` is false; one that does not work is not kept."""
    name, kind, secret, values = body.name, body.kind, body.key.get_secret_value(), body.fields()
    if body.test:
        mm.deployments.require(mm.deployments.test_new(name, kind, secret, **values))
    return {"status": "success", "deployment": _deployment_view(mm.deployments.add(name, kind, secret, **values))}


@router.patch("/vendors/{name}")
def change_deployment(name: str, body: schemas.ChangeDeployment, mm: Manager) -> dict[str, Any]:
    """`key` sets another key; another address needs it."""
    secret = None if body.key is None else body.key.get_secret_value()
    return {"status": "success", "deployment": _deployment_view(mm.deployments.change(name, secret, **body.fields()))}


@router.post("/vendors/{name}/rotate")
def rotate_key(name: str, body: schemas.RotateKey, mm: Manager) -> dict[str, Any]:
    secret = body.key.get_secret_value()
    if body.test:
        mm.deployments.require(mm.deployments.test_key(name, secret))
    return {"status": "success", "deployment": _deployment_view(mm.deployments.rotate(name, secret))}


@router.post("/vendors/{name}/test")
def try_deployment(name: str, mm: Manager) -> dict[str, Any]:
    found = mm.vendors.check(name) if name in mm.vendors.given else mm.deployments.test(name)
    return {"status": "success", "works": found.works, "result": found.status, "message": found.message}


@router.delete("/vendors/{name}")
def remove_deployment(name: str, mm: Manager) -> dict[str, Any]:
    mm.deployments.remove(name)
    return {"status": "success"}
