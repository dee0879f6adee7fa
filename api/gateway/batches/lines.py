"""The lines of a batch as the wires read them: what a line asks is what its address would be asked."""

from collections.abc import Callable, Mapping
from typing import Any

from api.gateway.exchange import KEY, Exchange, error_form
from api.gateway.registry import wire_of
from api.gateway.respond import Answer, Keep, failure_of, whole
from api.gateway.wire import Wire
from core import AimmError, Call, Chunk, Generation, InvalidRequest, Key, ModelManager, Origin, Request

ENDPOINTS = (
    "/v1/chat/completions", "/v1/embeddings", "/v1/responses", "/v1/completions", "/v1/moderations",
    "/v1/images/generations",
)  # fmt: skip


class _Planned(Exchange):
    """A request that nobody sends: its wire reads it, and what it would ask is kept."""

    plans = True

    def __init__(
        self, path: str, body: Mapping[str, Any], key: Key | None, headers: Mapping[str, str], wire: Wire | None
    ) -> None:
        lines = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        scope = {"path": path, "method": "POST", "headers": lines, KEY: key}
        super().__init__(scope, _nothing, _nothing, wire)
        self._asked = dict(body)

    async def json(self) -> dict[str, Any]:
        return self._asked


async def _nothing(*_: Any) -> Any:
    raise InvalidRequest("This cannot be asked in a batch.")


class PlannedLine:
    """One line: the request that it is, and its answer as its wire writes it."""

    def __init__(self, request: Request, origin: Origin, answer: Answer, keep: Keep | None, wire: Wire | None) -> None:
        self.request = request
        self.origin = origin
        self._answer = answer
        self._keep = keep
        self._wire = wire
        self._chunks: list[Chunk] = []
        self._raw = b""

    def feed(self, chunk: Chunk | None) -> None:
        if chunk is not None:
            self._chunks.append(chunk)

    def response(self, g: Generation, call: Call) -> tuple[int, bytes]:
        """The status and the body of what a recorded call came to."""
        if (error := failure_of(g, call)) is not None:
            return error_form(self._wire, error, call)
        self._raw = whole(self._answer, g, call, self._chunks)
        return 200, self._raw

    async def keep(self, g: Generation, call: Call) -> None:
        """Let its wire keep an answer, as it does with those that are asked for one by one."""
        if self._raw and self._keep is not None:
            await self._keep(g, call, self._raw)


class Lines:
    """The reader of lines: each as the wire of its endpoint reads it."""

    endpoints: tuple[str, ...] = ENDPOINTS

    def __init__(self, get_manager: Callable[[], ModelManager]) -> None:
        self._get_manager = get_manager

    async def read(
        self, endpoint: str, body: Mapping[str, Any], key: Key | None, headers: Mapping[str, str]
    ) -> PlannedLine:
        """Raises: AimmError: The line cannot be asked as it is."""
        if body.get("stream"):
            raise InvalidRequest("stream == true: a line of a batch is answered whole.")
        wire = wire_of(endpoint)
        exchange = _Planned(endpoint, body, key, headers, wire)
        if wire is not None:
            await wire.handle(exchange, self._get_manager())
        if exchange.planned is None:
            raise InvalidRequest("This cannot be asked in a batch.")
        return PlannedLine(*exchange.planned, wire)

    def refusal(self, endpoint: str, error: AimmError) -> tuple[int, bytes]:
        """The status and the body of an error before there was a call."""
        return error_form(wire_of(endpoint), error)
