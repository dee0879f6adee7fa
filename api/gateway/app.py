"""The gateway: a bounded number of requests at once, each handled by its wire."""

from collections.abc import Callable

from api.gateway.exchange import Exchange
from api.gateway.queue import Queue
from api.gateway.wire import Wire
from core import ModelManager


class Gateway:
    def __init__(self, get_manager: Callable[[], ModelManager]) -> None:
        self._get_manager = get_manager
        self._queue: Queue | None = None

    async def handle(self, exchange: Exchange, wire: Wire) -> None:
        """Answer a request. Raises: AimmError, CallerLeft."""
        mm = self._get_manager()
        if exchange.method != "POST":
            await wire.handle(exchange, mm)
            return
        if self._queue is None:
            self._queue = Queue(mm.settings.max_in_flight, mm.settings.max_waiting)
        await exchange.body()  # a slow sender must take nobody's turn
        async with self._queue.slot(exchange.gone):
            await wire.handle(exchange, mm)
