"""The gateway: a bounded number of requests at once, each handled by its wire."""

from collections.abc import Callable
from contextlib import nullcontext

from api.gateway.exchange import Exchange
from api.gateway.queue import Queue
from api.gateway.wire import Wire
from core import ModelManager

# Of large bodies in JSON, which are in memory several times while they are read and sent.
LARGE_AT_ONCE, LARGE_WAITING, LARGE_WAIT_S = 5, 200, 300.0
UPLOADS = "/v1/files"  # larger than others, and no calls


class Gateway:
    def __init__(self, get_manager: Callable[[], ModelManager]) -> None:
        self._get_manager = get_manager
        self._queue: Queue | None = None
        self._large = Queue(LARGE_AT_ONCE, LARGE_WAITING, LARGE_WAIT_S)

    async def handle(self, exchange: Exchange, wire: Wire) -> None:
        """Answer a request. Raises: AimmError, CallerLeft."""
        mm = self._get_manager()
        if exchange.method != "POST" or exchange.path == UPLOADS:
            await wire.handle(exchange, mm)
            return
        if self._queue is None:
            self._queue = Queue(mm.settings.max_in_flight, mm.settings.max_waiting)
        body = await exchange.body(mm.settings.max_body_mib << 20)  # a slow sender must take nobody's turn
        large = self._large.slot(exchange.gone) if body.is_on_disk and not exchange.is_form else nullcontext()
        async with large, self._queue.slot(exchange.gone):
            await wire.handle(exchange, mm)
