"""Statuses and headers of errors, and the form that /api gives them: {"error": text, "code": name}."""

import logging
import math
from collections.abc import Mapping
from decimal import Decimal

from core import AimmError, InvalidRequest, NotFound, errors
from core.formats import strict_json as json

logger = logging.getLogger(__name__)

SPENT_BEFORE = "x-aimm-fallback-cost-usd"
# The first line that fits gives the status.
_STATUS: tuple[tuple[int, tuple[type[AimmError], ...]], ...] = (
    (413, (errors.TooLarge, errors.ContextTooLong)),
    (422, (InvalidRequest, errors.Blocked, errors.CapReached)),
    (404, (errors.NotFound,)),
    (409, (errors.Conflict,)),
    (401, (errors.AuthenticationError,)),
    (403, (errors.Forbidden,)),
    (429, (errors.BudgetExceeded, errors.RateLimited)),
    (504, (errors.ProviderTimeout,)),
    (503, (errors.ProviderUnavailable,)),
    (502, (errors.ProviderError,)),
)


class Unserved(InvalidRequest):
    """A request that is refused as it comes, before it is understood. status: HTTP's; headers: more for the answer."""

    code = "bad_request"

    def __init__(self, message: str, status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class Nowhere(NotFound):
    """An address, or a method of it, that nobody answers."""

    def __init__(self) -> None:
        super().__init__("There is nothing at this address.")


class Unexpected(AimmError):
    """A fault of ours; the log says which."""

    code = "internal"

    def __init__(self, error: Exception, told: str = "Something went wrong here") -> None:
        super().__init__(f"{told}; the server's log says more.")
        logger.exception("a request failed unexpectedly: %s", type(error).__name__, exc_info=error)


class CallerLeft(Exception):
    """The caller has closed the connection; there is nobody to answer."""


def status_of(error: AimmError) -> int:
    if isinstance(error, Unserved):
        return error.status
    return next((status for status, kinds in _STATUS if isinstance(error, kinds)), 503)


def wire_statuses(error: AimmError) -> tuple[int, int]:
    """(ours, the one to answer with: a vendor's own as it came). Clients of vendors know no 422."""
    status = status_of(error)
    ours = 400 if status == 422 or isinstance(error, errors.ContextTooLong) else status
    theirs = 0 if error.upstream is None else error.upstream.status
    return ours, theirs if 400 <= theirs < 600 else ours


def plain_error(error: AimmError) -> tuple[int, bytes]:
    """The status and the body of an error, for callers of /api and of the server itself."""
    named = {"generation_id": error.generation_id} if error.generation_id else {}
    return status_of(error), json.encoded({"error": error.text, "code": error.code, **named})


def spent_before(amount_usd: Decimal | None) -> str:
    return "unknown" if amount_usd is None else f"{amount_usd:f}"


def retry_headers(error: AimmError) -> dict[str, str]:
    """Retry-After."""
    if error.retry_after_s is None:
        return {}
    return {"retry-after": str(max(1, math.ceil(error.retry_after_s)))}


def limit_headers(kind: str, most: int, left: int, reset_s: float) -> dict[str, str]:
    """Those of OpenAI, by which its clients pace themselves: of requests and of tokens a minute."""
    if kind == "calls":
        return {}
    minutes, seconds = divmod(math.ceil(reset_s), 60)
    reset = f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
    return {
        f"x-ratelimit-limit-{kind}": str(most),
        f"x-ratelimit-remaining-{kind}": str(left),
        f"x-ratelimit-reset-{kind}": reset,
    }


def reason_headers(error: AimmError) -> dict[str, str]:
    """Retry-After, and the reason of a 429."""
    found = retry_headers(error)
    if isinstance(error, Unserved):
        found |= error.headers
    elif isinstance(error, errors.BudgetExceeded):
        found |= {
            "x-aimm-reason": "budget_exceeded",
            "x-aimm-budget-resets": error.resets_at,
            "x-should-retry": "false",
        }
    elif isinstance(error, errors.Overloaded):
        found["x-aimm-reason"] = "overloaded"
    elif isinstance(error, errors.RateLimited):
        found["x-aimm-reason"] = "upstream_rate_limited" if error.upstream is not None else "rate_limited"
        if error.limit is not None:
            found |= limit_headers(*error.limit, 0, error.retry_after_s or 0.0)
    return found
