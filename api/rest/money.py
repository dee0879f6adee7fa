"""The routes of what concerns money: budgets, alerts, estimates, prices, past calls charged anew."""

from collections.abc import Callable
from typing import Any

from api.rest import schemas, views
from api.rest.dependencies import Caller, Manager, moment
from core import InvalidRequest
from core.keys.rules import check_model


def list_budgets(mm: Manager) -> dict[str, Any]:
    return {"status": "success", "budgets": [views.budget(outlook) for outlook in mm.spend.outlook()]}


def create_budget(body: schemas.CreateBudget, mm: Manager) -> dict[str, Any]:
    status = mm.budgets.create(
        body.name,
        body.limit_usd,
        **body.model_dump(exclude={"name", "limit_usd"}),
    )
    everything = [views.budget(each) for each in mm.spend.outlook()]
    return {"status": "success", "budget": views.budget(mm.spend.of_budget(status)), "budgets": everything}


def get_budget(budget_id: str, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "budget": views.budget(mm.spend.of_budget(mm.budgets.status(budget_id)))}


def change_budget(budget_id: str, body: schemas.ChangeBudget, mm: Manager) -> dict[str, Any]:
    status = mm.budgets.change(budget_id, **body.model_dump(exclude_none=True))
    return {"status": "success", "budget": views.budget(mm.spend.of_budget(status))}


def raise_budget(budget_id: str, body: schemas.RaiseBudget, mm: Manager) -> dict[str, Any]:
    expires_at = moment(body.expires_at, "expires_at")
    status = mm.budgets.raise_once(budget_id, body.extra_usd, reason=body.reason, expires_at=expires_at)
    return {"status": "success", "budget": views.budget(mm.spend.of_budget(status))}


def delete_budget(budget_id: str, mm: Manager) -> dict[str, Any]:
    mm.budgets.delete(budget_id)
    return {"status": "success"}


def alerts(mm: Manager) -> dict[str, Any]:
    return {"status": "success", "alerts": [views.alert(alert) for alert in mm.alerts.all()]}


def estimate(body: schemas.Generate, mm: Manager, key: Caller) -> dict[str, Any]:
    beside = {"prompt", "model", "system", "user", "tags", "max_cost_usd"}
    request = mm.request(
        body.prompt, model=body.model, system=body.system, **body.model_dump(exclude=beside, exclude_none=True)
    )
    check_model(key, request.model)
    if problem := request.parameters.problem():
        raise InvalidRequest(problem)
    return {"status": "success", "estimate": views.estimate(mm.estimate(request))}


def prices(mm: Manager) -> dict[str, Any]:
    return {
        "status": "success",
        "catalogue": mm.prices.book.catalogue.version,
        "models": [views.price(model, mm.price(model.name)) for model in mm.models()],
        "own_rows": [views.own_price(row) for row in mm.prices.rows],
        "unpriced": [views.unpriced(each) for each in mm.prices.unpriced()],
        "warnings": mm.prices.warnings,
    }


def set_price(body: schemas.PriceRow, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "row": views.own_price(mm.prices.set_price(body.model_dump(exclude_none=True)))}


def delete_price(row_id: str, mm: Manager) -> dict[str, Any]:
    mm.prices.remove_price(row_id)
    return {"status": "success"}


def reprice(body: schemas.Reprice, mm: Manager) -> dict[str, Any]:
    span = {"since": moment(body.since, "since"), "until": moment(body.until, "until")}
    days = mm.prices.preview(body.provider, body.model, only_unpriced=body.only_unpriced, **span)
    n = mm.prices.reprice(body.provider, body.model, only_unpriced=body.only_unpriced, **span) if body.apply else 0
    return {"status": "success", "applied": body.apply, "calls": n, "days": [views.repriced(day) for day in days]}


ROUTES: tuple[tuple[str, list[str], Callable[..., Any], int], ...] = (
    ("/budgets", ["GET"], list_budgets, 200),
    ("/budgets", ["POST"], create_budget, 201),
    ("/budgets/{budget_id}", ["GET"], get_budget, 200),
    ("/budgets/{budget_id}", ["PATCH"], change_budget, 200),
    ("/budgets/{budget_id}", ["DELETE"], delete_budget, 200),
    ("/budgets/{budget_id}/raise", ["POST"], raise_budget, 200),
    ("/alerts", ["GET"], alerts, 200),
    ("/cost/estimate", ["POST"], estimate, 200),
    ("/prices", ["GET"], prices, 200),
    ("/prices", ["POST"], set_price, 201),
    ("/prices/reprice", ["POST"], reprice, 200),
    ("/prices/{row_id}", ["DELETE"], delete_price, 200),
)
