"""Every failure as {"error": text, "code": name}; an unexpected one without its inside."""

import asyncio
import contextlib
import logging
import math
from decimal import Decimal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
BODY_TIMEOUT_S = 60.0  # for a whole body
DRAIN_BYTES, DRAIN_S = 256 * 1024 * 1024, 20.0
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
_HTTP_CODES = {400: "bad_request", 404: "not_found", 405: "not_found", 413: "too_large"}


class Unserved(InvalidRequest):
    """A request that no application hears of. status: HTTP's."""

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


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    status = error.status_code if error.status_code in (400, 401, 404, 409, 413, 422, 429) else 400
    text = "There is nothing at this address." if error.status_code == 404 else str(error.detail)
    status = 404 if error.status_code == 405 else status
    return failure(status, _HTTP_CODES.get(error.status_code, "bad_request"), text)


async def _unexpected(_request: Request, error: Exception) -> JSONResponse:
    logger.error("a request failed unexpectedly: %s", type(error).__name__)
    return failure(503, "internal", "Something went wrong here; the server's log says more.")


class Guard:
    """Refuses bodies over the limit, in size or time, while they arrive, and turns what escapes the app into an answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if b"%00" in scope.get("query_string", b"") or "\x00" in scope["path"]:
            return await failure(400, "bad_request", "The address holds a NUL character.")(scope, receive, send)
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            return await failure(400, "bad_request", "The length of the body is not a number.")(scope, receive, send)
        if int(length) > MAX_BODY_BYTES:
            return await _too_large(scope, receive, send)
        return await self._counted(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen, started, whole = 0, False, False
        deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT_S

        async def counting_receive() -> Message:
            nonlocal seen, whole
            try:
                async with asyncio.timeout_at(None if whole else deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(400, "The body did not come in time.") from None
            seen += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if seen > MAX_BODY_BYTES:
                raise _BodyTooLarge
            return message

        async def watching_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, counting_receive, watching_send)
        except _BodyTooLarge:
            if not started:
                await _too_large(scope, receive, send)
        except Exception as error:
            if started:
                raise
            logger.exception("a request failed unexpectedly: %s", type(error).__name__)
            await failure(503, "internal", "Something went wrong here; the server's log says more.")(
                scope, receive, send
            )


class _BodyTooLarge(HTTPException):
    """Raised while a body is read; FastAPI lets an HTTPException through and wraps anything else."""

    def __init__(self) -> None:
        super().__init__(413, f"The body is larger than {MAX_BODY_BYTES:,} bytes.")


async def _too_large(scope: Scope, receive: Receive, send: Send) -> None:
    await drain(receive)
    await failure(413, "too_large", f"The body is larger than {MAX_BODY_BYTES:,} bytes.")(scope, receive, send)


async def drain(receive: Receive) -> None:
    """Read the rest of a body and drop it: a client that is still sending would see a reset connection, not the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            left = DRAIN_BYTES
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    break
