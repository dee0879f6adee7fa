"""Money: budgets, estimates, prices, and past calls priced anew."""

from typing import Any

from fastapi import APIRouter

from api.rest import schemas
from api.rest.dependencies import Caller, Manager, StrictRoute, moment, usd
from api.rest.views import View
from core import Budget, BudgetOutlook, Estimate, Model, Price, TeamPrice
from core.domain.price import RATE_NAMES, RepricedDay, UnpricedModel
from core.pricing.estimate import Range

router = APIRouter(route_class=StrictRoute)

_budget_view = View(
    Budget,
    "id name limit_usd raised_usd=limit_usd period rolling_hours? timezone scope action downgrade_to? refuses_unpriced"
    " thresholds forecast_thresholds",
)
_spent_view = View(
    BudgetOutlook,
    "spent=status.spent_usd reserved=status.reserved_usd left=status.left_usd unpriced_requests=status.n_unpriced"
    " projected=expected_usd projected_interval=interval_usd projection_note=reason? runs_out_on"
    " threshold_reached=status.reached resets_at=status.resets_at",
)
_estimate_view = View(
    Estimate,
    "model low=low_usd expected=expected_usd high=high_usd input_tokens output_tokens",
    input_tokens=Range._asdict,
    output_tokens=Range._asdict,
)
_own_price_view = View(
    TeamPrice,
    "id provider model effective_from source usd_per_mtok=rates above=rates discount_percent=discount tiers",
    usd_per_mtok=lambda rates: {name: usd(rate.base) for name, rate in rates.items()},
    above=lambda rates: {
        name: {start: usd(price) for start, price in rate.above} for name, rate in rates.items() if rate.above
    },
    discount_percent=lambda discount: None if discount is None else float(100 * discount),
    tiers=lambda tiers: {tier: float(factor) for tier, factor in tiers.items()},
)
_unpriced_view = View(UnpricedModel, "provider model requests=n_calls input_tokens output_tokens")
_repriced_view = View(RepricedDay, "day=on requests=n_calls unpriced=n_unpriced before=before_usd after=after_usd")


@router.get("/budgets")
def list_budgets(mm: Manager) -> dict[str, Any]:
    return {"status": "success", "budgets": [budget_view(outlook) for outlook in mm.spend.outlook()]}


@router.post("/budgets", status_code=201)
def create_budget(body: schemas.CreateBudget, mm: Manager) -> dict[str, Any]:
    fields = body.model_dump(exclude={"name", "limit_usd"}, exclude_none=True)
    status = mm.budgets.create(body.name, body.limit_usd, **fields)
    everything = [budget_view(each) for each in mm.spend.outlook()]
    return {"status": "success", "budget": budget_view(mm.spend.of_budget(status)), "budgets": everything}


@router.get("/budgets/{budget_id}")
def get_budget(budget_id: str, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "budget": budget_view(mm.spend.of_budget(mm.budgets.status(budget_id)))}


@router.patch("/budgets/{budget_id}")
def change_budget(budget_id: str, body: schemas.ChangeBudget, mm: Manager) -> dict[str, Any]:
    status = mm.budgets.change(budget_id, **body.model_dump(exclude_none=True))
    return {"status": "success", "budget": budget_view(mm.spend.of_budget(status))}


@router.delete("/budgets/{budget_id}")
def delete_budget(budget_id: str, mm: Manager) -> dict[str, Any]:
    mm.budgets.delete(budget_id)
    return {"status": "success"}


@router.post("/budgets/{budget_id}/raise")
def raise_budget(budget_id: str, body: schemas.RaiseBudget, mm: Manager) -> dict[str, Any]:
    expires_at = moment(body.expires_at, "expires_at")
    status = mm.budgets.raise_once(budget_id, body.extra_usd, reason=body.reason, expires_at=expires_at)
    return {"status": "success", "budget": budget_view(mm.spend.of_budget(status))}


@router.post("/cost/estimate")
def estimate(body: schemas.Generate, mm: Manager, key: Caller) -> dict[str, Any]:
    request = mm.request(**body.request())
    return {"status": "success", "estimate": _estimate_view(mm.models.estimate(request, key=key))}


@router.get("/prices")
def prices(mm: Manager) -> dict[str, Any]:
    return {
        "status": "success",
        "catalogue": mm.prices.book.catalogue.version,
        "models": [_price_view(model, mm.models.price(model.name)) for model in mm.models()],
        "own_rows": _own_price_view.each(mm.prices.book.rows),
        "unpriced": _unpriced_view.each(mm.repricing.unpriced()),
        "warnings": mm.prices.warnings,
    }


@router.post("/prices", status_code=201)
def set_price(body: schemas.PriceRow, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "row": _own_price_view(mm.prices.set_price(body.model_dump(exclude_none=True)))}


@router.post("/prices/reprice")
def reprice(body: schemas.Reprice, mm: Manager) -> dict[str, Any]:
    span = {"since": moment(body.since, "since"), "until": moment(body.until, "until")}
    days = mm.repricing.preview(body.provider, body.model, only_unpriced=body.only_unpriced, **span)
    n = mm.repricing.reprice(body.provider, body.model, only_unpriced=body.only_unpriced, **span) if body.apply else 0
    return {"status": "success", "applied": body.apply, "calls": n, "days": _repriced_view.each(days)}


@router.delete("/prices/{row_id}")
def delete_price(row_id: str, mm: Manager) -> dict[str, Any]:
    mm.prices.remove_price(row_id)
    return {"status": "success"}


def budget_view(outlook: BudgetOutlook) -> dict[str, Any]:
    budget = outlook.status.budget
    raised = {"raised_usd": usd(outlook.status.limit_usd - budget.limit_usd)}
    return _budget_view(budget) | raised | _spent_view(outlook)


def _price_view(m: Model, p: Price | None) -> dict[str, Any]:
    value: dict[str, Any] = {"model": m.name, "provider": m.provider, "price_id": None}
    if p is None:
        return value
    rates = {name: usd(rate.base) for name in RATE_NAMES if (rate := getattr(p, name)) is not None}
    return value | {"price_id": p.id, "source": p.source, "usd_per_mtok": rates, "search_usd": usd(p.search_usd)}
