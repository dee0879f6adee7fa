"""What the attempts of a call have brought so far, and what that makes of it. Pure."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from core import clock
from core.calls.call import Call
from core.domain.generation import FinishReason, Model, Request, Status, Usage
from core.domain.price import Price
from core.errors import AimmError, Blocked, ProviderError, ProviderUnavailable, Upstream
from core.providers.base import Provider


@dataclass(slots=True)
class Progress:
    """What the attempts of a call at one model have brought so far. Times in seconds.

    vendor_s, waited_s: how long vendors had the request, and how long it lay waiting (for money, for a rate limit, between
    attempts); the rest is our own. causes: why attempts failed. lost: our own estimate of attempts that may be billed, sent no
    count, and were followed by another.
    """

    created_at: datetime = field(default_factory=clock.now)
    provider: Provider | None = None
    model: Model | None = None
    n_attempts: int = 0
    usages: list[Usage] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    reason: str | None = None
    response_model: str | None = None
    service_tier: str = "standard"
    price: Price | None = None
    is_undercounted: bool = False  # an answer went on after its vendor's last count
    is_hit: bool = False  # answered from what was kept
    vendor_s: float = 0.0
    waited_s: float = 0.0
    causes: list[str] = field(default_factory=list)
    lost: list[Usage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def shortened(request: Request, longest: int | None, progress: Progress, why: str) -> Request:
    if longest is None:
        return request
    progress.notes.append(f"The answer was limited to {longest:,} tokens by {why}.")
    return replace(request, parameters=replace(request.parameters, max_tokens=longest))


def status_of(call: Call, progress: Progress, error: AimmError | None) -> tuple[Status, AimmError | None]:
    if call.is_cancelled and progress.finish_reason is None and error is None:
        return "stopped", None
    if progress.finish_reason == "content_filter":
        category = progress.reason or "content_filter"
        return "blocked", Blocked(f"The vendor blocked this: {category}.", category=category)
    if isinstance(error, Blocked):
        return "blocked", error
    if (failed := failure_of(call, progress)) is not None:
        return "truncated", failed
    if progress.finish_reason is not None:
        return "ok", None  # whole, whatever happened to the connection afterwards
    if error is not None and (call.text or call.tool_calls):
        return "truncated", error
    if error is not None:
        return "error", error
    return "truncated", ProviderError("The stream broke off before its end.")


def failure_of(call: Call, progress: Progress) -> AimmError | None:
    """Why an answer that its vendor ended in order is none all the same: a call of a tool that it could not make, nothing said."""
    if progress.finish_reason != "error" and (progress.finish_reason != "other" or call.has_output):
        return None
    error = ProviderError(f"The model's answer ended as {progress.reason}.", hint="Try again, or take another model.")
    error.is_retryable = False  # it is charged for, so whether to ask again is the caller's choice
    error.upstream = Upstream(200, (progress.reason or "").partition(":")[0], message=error.message)
    return error


def is_billable(error: AimmError | None) -> bool:
    """Whether an attempt that ended so, without any count, may be billed: it was begun, and then broke."""
    return isinstance(error, ProviderError) and not isinstance(error, ProviderUnavailable)


def may_be_billed(call: Call, progress: Progress, status: Status, error: AimmError | None) -> bool:
    """Whether a call without any count may have cost something; unknown is not zero.

    A refusal and a vendor that was never reached cost nothing; a time-out and an answer that broke, was empty or
    could not be read may well be billed.
    """
    if not progress.n_attempts:
        return False
    if call.has_output or status == "ok":
        return True
    if status == "stopped":
        return not call.waiting  # between two attempts nothing is under way
    return is_billable(error)
