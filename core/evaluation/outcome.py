"""The answer that a call or a function gave, and what it makes of its cell: answered, failed, or to be asked again."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core import clock
from core.domain.generation import Generation
from core.domain.message import ToolCall
from core.errors import AimmError, BudgetExceeded
from core.formats.money import to_nano
from core.runs.pace import wants_pause

MAX_TRIES, MAX_WAITS = 3, 50  # of a cell whose vendor fails; of one whose vendor takes no more just now


@dataclass(frozen=True, slots=True)
class Answer:
    """The part of an answer that checks read. cost_usd: None = not known."""

    text: str
    latency_s: float | None = None
    cost_usd: Decimal | None = None
    finish_reason: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


def answer_of(generation: Generation) -> Answer:
    """The part of a call that checks read."""
    return Answer(
        text=generation.text,
        latency_s=generation.latency_s,
        cost_usd=generation.cost_usd,
        finish_reason=generation.finish_reason or "",
        tool_calls=tuple(generation.tool_calls),
    )


def outcome_of(generation: Generation, cause: AimmError | None, n_tries: int) -> dict[str, Any]:
    """The values that a recorded call gives its cell."""
    told = {"generation_id": generation.id, "finish_reason": generation.finish_reason or ""}
    if generation.status == "ok":
        cost = None if generation.cost_usd is None else to_nano(generation.cost_usd)
        measured = {"cost_nano_usd": cost, "latency_us": round(generation.latency_s * 1e6)}
        return told | measured | {"state": "answered", "answered_at": clock.now_us()}
    if generation.status == "stopped" or isinstance(cause, BudgetExceeded):
        return {"state": "waiting"}
    is_pressed = cause is not None and wants_pause(cause)
    is_passing = is_pressed or generation.status == "truncated" or (cause is not None and cause.is_retryable)
    if is_passing and n_tries + 1 < (MAX_WAITS if is_pressed else MAX_TRIES):
        return {"state": "waiting", "n_tries": n_tries + 1}
    error_class = generation.error_class or generation.status
    words = generation.error_message or f"The answer was {generation.status}."
    return told | {"state": "error", "error_class": error_class, "error": words[:1000]}
