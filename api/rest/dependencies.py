"""Parts that routes share: the manager, the caller's key, parameters of addresses, and values as JSON has them."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from api.gateway.exchange import KEY
from core import InvalidRequest, Key, ModelManager, Parameters
from core.domain.metrics import Window
from core.formats.strict_json import loads


class _Strict(Request):
    async def json(self) -> Any:
        return loads(await self.body())


class StrictRoute(APIRoute):
    """A route whose body is JSON as RFC 8259 has it; FastAPI itself takes NaN and Infinity."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(_Strict(request.scope, request.receive))

        return handle


def manager() -> ModelManager:
    """Stands in for the process's manager; `make_app` puts that in its place."""
    raise NotImplementedError


def _caller(request: Request) -> Key | None:
    key: Key | None = request.scope.get(KEY)
    return key


Manager = Annotated[ModelManager, Depends(manager)]
Caller = Annotated[Key | None, Depends(_caller)]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
Before = Annotated[str | None, Query(max_length=100, description="`next` of the page before.")]
Demo = Annotated[bool, Query(description="Those of the demo instead of the others.")]


def failure(http_status: int, code: str, text: str, **more: object) -> JSONResponse:
    return JSONResponse({"error": text, "code": code, **more}, status_code=http_status)


def parameters_of(said: dict[str, Any]) -> Parameters:
    """The parameters of a call. Raises: InvalidRequest."""
    try:
        parameters = Parameters(**said)
    except TypeError:
        raise InvalidRequest(f"parameters: unknown names in {sorted(said)}") from None
    if problem := parameters.problem():
        raise InvalidRequest(problem)
    return parameters


def usd(amount: Decimal | None) -> float | None:
    """Dollars as a number of JSON; null = unknown."""
    return None if amount is None else float(amount)


def moment(text: str | None, name: str) -> datetime | None:
    """An ISO 8601 text as aware UTC. Raises: InvalidRequest."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text.replace(" ", "+"))  # a + in a query arrives as a space
    except ValueError:
        raise InvalidRequest(f"{name} == {text[:40]!r}, must be ISO 8601 such as 2026-01-31T00:00:00Z") from None
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (OverflowError, ValueError):
        raise InvalidRequest(f"{name} == {text[:40]!r} is out of range") from None


def _span(
    mm: Manager,
    from_: Annotated[
        str | None, Query(alias="from", description="ISO 8601; without a zone it is UTC.", max_length=40)
    ] = None,
    to: Annotated[str | None, Query(description="ISO 8601, not included.", max_length=40)] = None,
) -> Window:
    return mm.monitoring.window(moment(from_, "from"), moment(to, "to"))


Span = Annotated[Window, Depends(_span)]
