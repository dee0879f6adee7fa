"""Calls of models, the records of them, and the opinions of their answers."""

import asyncio
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Literal

from fastapi import APIRouter

from api.rest import schemas
from api.rest.dependencies import Caller, Manager, Span, StrictRoute
from api.rest.views import View, plain, tokens_view
from core import Generation, Origin
from core.domain.budget import checked_cap

router = APIRouter(route_class=StrictRoute)

generation_view = View(
    Generation,
    "id model response=text tokens=usage.total_tokens latency=latency_s ttft=ttft_s cost=cost_usd cost_status price_id"
    " service_tier deployment? note? damaged usage finish_reason simulated=is_simulated",
    usage=tokens_view,
)


@router.post("/generate")
async def generate(body: schemas.Generate, mm: Manager, key: Caller) -> dict[str, Any]:
    request = await asyncio.to_thread(mm.request, **body.request())
    cap = None if body.max_cost_usd is None else checked_cap(Decimal(str(body.max_cost_usd)))
    origin = Origin(
        source="api",
        key=key,
        user_id=body.user,
        session_id=body.session,
        tags=tuple(body.tags),
        cap_usd=cap,
        variables=body.variables,
    )
    g = await mm.agenerate(request, origin)
    return {"status": "success" if g.status == "ok" else g.status, **generation_view(g)}


@router.get("/generations/{generation_id}")
def generation(generation_id: str, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "generation": generation_view(mm.log.get(generation_id))}


@router.get("/feedback")
def feedback(
    mm: Manager, window: Span, by: Literal["model", "tag"] = "model", simulated: bool = False
) -> dict[str, Any]:
    """The opinions of the answers of a window, by model or tag."""
    found = mm.feedback.sums(window.since, window.until, by=by, simulated=simulated)
    return {"status": "success", "by": by, "feedback": [asdict(each) for each in found]}


@router.get("/generations/{generation_id}/feedback")
def feedback_on(generation_id: str, mm: Manager) -> dict[str, Any]:
    mm.log.get(generation_id)
    found = mm.feedback.of(generation_id)
    return {"status": "success", "feedback": [asdict(each) | {"updated_at": plain(each.updated_at)} for each in found]}
