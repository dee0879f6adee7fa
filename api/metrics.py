"""GET /metrics: the figures for Prometheus, as text."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from core import ModelManager


def metrics_endpoint(get_manager: Callable[[], ModelManager]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint for a Starlette route; `get_manager` gives the process's one ModelManager."""

    async def metrics(_request: Request) -> Response:
        figures = get_manager().metrics
        return Response(await asyncio.to_thread(figures.render), media_type=figures.content_type)

    return metrics
