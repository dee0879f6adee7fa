"""Calls of models, the records of them, and the opinions of their answers."""

import asyncio
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Literal

from fastapi import APIRouter

from api.rest import schemas
from api.rest.dependencies import Caller, Manager, Span, StrictRoute, usd
from core import Generation, Origin
from core.calls.accounting import checked_cap

router = APIRouter(route_class=StrictRoute)


@router.post("/generate")
async def generate(body: schemas.Generate, mm: Manager, key: Caller) -> dict[str, Any]:
    request = await asyncio.to_thread(mm.request, **body.request())
    cap = None if body.max_cost_usd is None else checked_cap(Decimal(str(body.max_cost_usd)))
    origin = Origin(source="api", key=key, user_id=body.user, tags=tuple(body.tags), cap_usd=cap)
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
    rows = [{**asdict(each), "updated_at": each.updated_at.isoformat()} for each in mm.feedback.of(generation_id)]
    return {"status": "success", "feedback": rows}


def generation_view(g: Generation) -> dict[str, Any]:
    return {
        "id": g.id,
        "model": g.model,
        "response": g.text,
        "tokens": g.usage.total_tokens,
        "latency": g.latency_s,
        "ttft": g.ttft_s,
        "cost": usd(g.cost_usd),
        "cost_status": g.cost_status,
        "price_id": g.price_id,
        "service_tier": g.service_tier,
        "note": g.note or None,
        "damaged": list(g.damaged),
        "usage": {
            "input": g.usage.input_tokens,
            "cached": g.usage.cached_tokens,
            "thinking": g.usage.thinking_tokens,
            "output": g.usage.output_tokens,
        },
        "finish_reason": g.finish_reason,
        "simulated": g.is_simulated,
    }
