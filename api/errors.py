"""Every failure as {"error": text, "code": name}; an unexpected one without its inside."""

import logging
import math
from decimal import Decimal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from core import (
    AimmError,
    AuthenticationError,
    Blocked,
    BudgetExceeded,
    CapReached,
    Conflict,
    ContextTooLong,
    Forbidden,
    InvalidRequest,
    NotFound,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    TooLarge,
)

logger = logging.getLogger(__name__)

SPENT_BEFORE = "x-aimm-fallback-cost-usd"
MAX_BODY_BYTES = 8 * 1024 * 1024
# The first class that fits gives the status.
_STATUS: tuple[tuple[type[AimmError], int], ...] = (
    (TooLarge, 413),
    (ContextTooLong, 413),
    (InvalidRequest, 422),
    (Blocked, 422),
    (NotFound, 404),
    (Conflict, 409),
    (AuthenticationError, 401),
    (Forbidden, 403),
    (BudgetExceeded, 429),
    (CapReached, 422),
    (RateLimited, 429),
    (ProviderTimeout, 504),
    (ProviderUnavailable, 503),
    (ProviderError, 502),
)


class Unserved(InvalidRequest):
    """A request that is refused as it comes, before it is understood. status: HTTP's."""

    code = "bad_request"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def install(app: FastAPI) -> None:
    app.add_exception_handler(AimmError, _expected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def failure(http_status: int, code: str, text: str, **more: object) -> JSONResponse:
    return JSONResponse({"error": text, "code": code, **more}, status_code=http_status)


def status_of(error: AimmError) -> int:
    if isinstance(error, Unserved):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 503)


def spent_before(amount_usd: Decimal | None) -> str:
    return "unknown" if amount_usd is None else f"{amount_usd:f}"


async def _expected(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AimmError)  # noqa: S101 - what it is registered for
    text = error.text
    more = {"generation_id": error.generation_id} if error.generation_id else {}
    response = failure(status_of(error), error.code, text, **more)
    if error.spent_before_usd != 0:
        response.headers[SPENT_BEFORE] = spent_before(error.spent_before_usd)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return response


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    kind = request.headers.get("content-type", "")
    if request.method == "POST" and "json" not in kind:
        return failure(400, "not_json", "Send a JSON body with the header Content-Type: application/json.")
    problems = error.errors()
    if any(problem["type"] == "json_invalid" for problem in problems):
        return failure(400, "invalid_json", "The body is not JSON.")
    texts = []
    for problem in problems[:5]:
        place = ".".join(str(part) for part in problem["loc"] if part != "body") or "body"
        texts.append(f"{place}: {problem['msg']}")
    return failure(422, "invalid_request", "; ".join(texts))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code not in (404, 405):
        return failure(400, "bad_request", str(error.detail))
    what = "There is nothing at this address" if error.status_code == 404 else f"This address takes no {request.method}"
    return failure(404, "not_found", f"{what}.")


async def _unexpected(_request: Request, error: Exception) -> JSONResponse:
    logger.error("a request failed unexpectedly: %s", type(error).__name__)
    return failure(503, "internal", "Something went wrong here; the server's log says more.")
