"""What the routes are given: the manager, the caller's key, moments."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from api.access import KEY
from core import InvalidRequest, ModelManager
from core.domain.key import Key
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
