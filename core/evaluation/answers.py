"""Answers: of a call, with what it makes of its cell, and of functions of the caller's own.

Functions are known to the process that began the run alone.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from core import clock
from core.checks.model import CheckError
from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.run import Contestant
from core.domain.generation import Generation
from core.domain.message import ToolCall
from core.errors import AimmError, BudgetExceeded, Conflict, ProviderError
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


Answering = Callable[..., Any]


MAX_COST = 1_000_000  # USD of an answer
OWN = "function:"  # before the name of a check that is a function


class Functions:
    """The functions of runs, by the contestant's or the check's name."""

    def __init__(self) -> None:
        self._known: dict[str, Mapping[str, Answering]] = {}

    def add(self, run_id: str, functions: Mapping[str, Answering]) -> None:
        self._known[run_id] = functions

    def answer(self, run_id: str, contestant: Contestant, row: DatasetRow) -> Answer:
        """The answer of a function to a row's variables: it gives a text, or a mapping with `text` and `cost_usd`.

        Raises:
            Conflict: Another process began the run. ProviderError: the function failed.
        """
        function = self._known.get(run_id, {}).get(contestant.function)
        if function is None:
            raise Conflict(f"The function {contestant.function!r} is known to the process that began the run alone.")
        began = time.monotonic()
        try:
            said = function(dict(row.variables))
        except Exception as error:
            raise ProviderError(f"{contestant.function} raised {type(error).__name__}: {error}") from error
        latency_s = time.monotonic() - began
        text, cost = (said.get("text"), said.get("cost_usd")) if isinstance(said, Mapping) else (said, None)
        if not isinstance(text, str | int | float):  # a coroutine, or an object, is no answer
            raise ProviderError(f"{contestant.function} gave no text: {str(said)[:80]}")
        return Answer(str(text), latency_s, None if cost is None else _usd(contestant.function, cost))

    def of_check(self, run_id: str, check: Mapping[str, Any]) -> Mapping[str, Any]:
        """A check with the function that it names in its place; any other as it is."""
        value = check.get("value")
        if not isinstance(value, str) or not value.startswith(OWN):
            return check
        return {**check, "value": self._known.get(run_id, {}).get(value, _unknown(value))}


def _usd(name: str, cost: Any) -> Decimal:
    """Raises: ProviderError: It is no amount."""
    try:
        found = Decimal(str(cost))
    except InvalidOperation:
        found = Decimal("NaN")
    if not (found.is_finite() and 0 <= found <= MAX_COST):
        raise ProviderError(f"{name} gave cost_usd == {str(cost)[:40]}, which is no amount")
    return found


def _unknown(name: str) -> Answering:
    def raise_it(*_: Any) -> Any:
        raise CheckError(f"{name} is known to the process that began the run alone")

    return raise_it
