"""Anthropic: the models behind one key."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any

from core.domain.generation import Chunk, Model, Request
from core.domain.operation import Operation
from core.errors import ProviderError
from core.providers.anthropic.batches import AnthropicBatches
from core.providers.anthropic.request import as_came, to_body, unsaid
from core.providers.anthropic.response import Reader
from core.providers.base import KeyCheck
from core.providers.batches import Carried
from core.providers.families import SHIPPED, Families
from core.providers.http.client import HttpVendor
from core.providers.http.errors import quota_of
from core.providers.http.network import Network
from core.providers.key_check import checked

LIST_TIMEOUT_S = 6.0
VERSION = "2023-06-01"
_COUNTED = ("model", "messages", "system", "thinking", "tools", "tool_choice")  # what a count takes of a body


class AnthropicProvider(Carried):
    """One key, one client."""

    name = deployment = "anthropic"
    wires: tuple[str, ...] = ("anthropic",)
    families: Families = SHIPPED
    operations: frozenset[Operation] = frozenset({"chat"})
    gives_several = False

    def __init__(self, api_key: str, base_url: str, network: Network | None = None) -> None:
        headers = {"x-api-key": api_key, "anthropic-version": VERSION}
        self._http = HttpVendor("Anthropic", base_url, headers, network)
        self.batches = AnthropicBatches(self._http)

    async def stream(self, request: Request, *, attempt: int, timeout_s: float) -> AsyncGenerator[Chunk]:
        native, reader = request.native_for("anthropic"), Reader()
        body, headers = self._sent(request)
        keeps_raw, keeps_whole = (native is not None and request.is_streamed is streamed for streamed in (True, False))
        async with self._http.answer("/v1/messages", body, headers) as answer:
            quota = quota_of(answer.headers)
            if await answer.is_whole():
                raw, [value, *_] = await answer.whole()
                self._http.refuse_errors([value])
                for chunk in reader.whole(value, raw if keeps_whole else None):
                    yield chunk if quota is None else replace(chunk, quota=quota)
                return
            async for events in answer.events():
                good, error = self._http.until_error(events)
                for chunk in reader.read_all(good, keeps_raw=keeps_raw):
                    yield chunk if quota is None else replace(chunk, quota=quota)
                    quota = None
                if error is not None:
                    raise error

    async def models(self) -> list[Model]:
        body = await self._http.get("/v1/models?limit=1000", LIST_TIMEOUT_S)
        found = body.get("data") if isinstance(body, dict) else None
        return [self._to_model(each) for each in found or () if isinstance(each, dict) and each.get("id")]

    async def count_tokens(self, request: Request) -> int:
        body, headers = self._sent(request)
        if headers is None:  # else the caller's own body is one for counting
            body = {name: body[name] for name in _COUNTED if name in body}
        answer = await self._http.post("/v1/messages/count_tokens", body, LIST_TIMEOUT_S, headers)
        n = answer.get("input_tokens") if isinstance(answer, dict) else None
        if not isinstance(n, int):
            raise ProviderError("Anthropic counted no tokens.")
        return n

    async def check(self) -> KeyCheck:
        """Try the key: read the model list."""
        return await checked("Anthropic", self.models)

    async def close(self) -> None:
        await self._http.close()

    def guess(self, name: str) -> Model:
        """A model with what its family accepts."""
        family = self.families.of(self.name, name)
        return family.model(name, self.name, exclusive=("temperature", "top_p"), max_temperature=1.0)

    def left_out(self, request: Request) -> list[str]:
        """The parts of a request that its body leaves out, because they do not go together."""
        return unsaid(request, self.families.of(self.name, request.model))

    def _sent(self, request: Request) -> tuple[dict[str, Any], Mapping[str, str] | None]:
        """The body, and the caller's headers; None = the request came by another wire."""
        native, family = request.native_for("anthropic"), self.families.of(self.name, request.model)
        return (
            (to_body(request, family), None) if native is None else (as_came(request, native, family), native.headers)
        )

    def _to_model(self, found: dict[str, Any]) -> Model:
        model = self.guess(str(found["id"]))
        return replace(
            model,
            label=str(found.get("display_name") or model.name),
            context_tokens=found.get("max_input_tokens") if isinstance(found.get("max_input_tokens"), int) else None,
            max_output_tokens=found.get("max_tokens") if isinstance(found.get("max_tokens"), int) else None,
        )
