"""The OpenAI wire: OpenAI itself, Ollama, and any server that speaks the same (vLLM, LM Studio, OpenRouter, …)."""

import re
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from core.domain.generation import Chunk, Model, Native, Request
from core.domain.operation import ADDRESS_OF, OPENAI_OPERATIONS, WRITING
from core.errors import AimmError, InvalidRequest, ModelNotFound
from core.providers.base import KeyCheck, uncached
from core.providers.batches import Carried
from core.providers.families import SHIPPED, Families
from core.providers.http.client import HttpVendor
from core.providers.http.errors import quota_of
from core.providers.http.network import Network
from core.providers.key_check import checked
from core.providers.openai import media, responses
from core.providers.openai.batches import OpenAIBatches
from core.providers.openai.request import as_came, to_body
from core.providers.openai.response import Choices, merged, to_text
from core.providers.openai.responses import ResponseReader
from core.providers.openai.usage import to_usage
from core.providers.schemas import to_unwrap

LIST_TIMEOUT_S = 6.0
_NOT_TEXT = re.compile(r"whisper|tts|dall-e|image|audio|realtime|moderation|transcribe|sora|babbage|davinci|instruct")


class OpenAIProvider(Carried):
    """One server of the OpenAI wire.

    name: The provider in records and prices.
    is_own: OpenAI itself, whose newer names for parameters others do not know.
    is_counting: Whether it counts tokens before a call.
    """

    families: Families = SHIPPED
    operations = OPENAI_OPERATIONS
    gives_several = True

    def __init__(
        self,
        name: str,
        base_url: str,
        api_key: str | None,
        *,
        label: str = "",
        is_own: bool = False,
        network: Network | None = None,
    ) -> None:
        self.name = self.deployment = name
        self._is_own = is_own
        self.wires: tuple[str, ...] = ("openai", "responses") if is_own else ("openai",)
        self._knows_wires = self.is_counting = is_own
        # Whether it may say what it charged: what it has done so far tells, and a vendor of prices never does.
        self.may_charge = not is_own
        self._has_charged = False
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = HttpVendor(label or name, base_url, headers, network)
        if name == "openai":  # whatever stands at its address in its place says itself whether it has them
            self.batches = OpenAIBatches(self._http)

    def stream(self, request: Request, *, attempt: int, timeout_s: float) -> AsyncGenerator[Chunk]:
        native, response = request.native_for("openai"), request.native_for("responses")
        is_spoken = response is not None and "responses" in self.wires
        if request.operation == "chat" and (is_spoken or self.guess(request.model).wires == ("responses",)):
            return self._responses(request, response)
        if request.operation == "embeddings":
            return self._embeddings(request, native)
        return self._written(request, native) if request.operation in WRITING else media.ask(self._http, request)

    async def _written(self, request: Request, native: Native | None) -> AsyncGenerator[Chunk]:
        """An answer in text."""
        body = (
            to_body(request, is_own=self._is_own) if native is None else as_came(request, native, is_own=self._is_own)
        )
        keeps_raw, keeps_whole = _keeps(request, native)
        options = native.body.get("stream_options") if native is not None else {"include_usage": True}
        is_counted = isinstance(options, dict) and bool(options.get("include_usage"))
        choices = Choices(request)
        async with self._http.answer(ADDRESS_OF.get(request.operation, "/chat/completions"), body) as answer:
            quota = quota_of(answer.headers)
            if await answer.is_whole():
                raw, values = await answer.whole()
                self._http.refuse_errors(values)
                kept = raw if keeps_whole else None
                chunks = [*choices.read(values, kept, quota, is_whole=True), *choices.end()]
                if chunks[-1].finish_reason is None and any(chunk.text or chunk.tools for chunk in chunks):
                    chunks[-1].finish_reason = "unknown"  # it came as a whole, so it is no broken one
                for chunk in chunks:
                    yield self._learnt(chunk)
                self.may_charge = self._has_charged
                return
            async for events in answer.events():
                good, error = self._http.until_error(events)
                # To be written anew for another wire, each event stays a chunk of its own.
                for together in [good] if keeps_raw else [[event] for event in good]:
                    if together:
                        values, raw = merged(together, keeps_raw, is_counted)
                        for chunk in choices.read(values, raw, quota):
                            yield self._learnt(chunk)
                        quota = None
                if error is not None:
                    raise error
            for chunk in choices.end():
                yield chunk
            self.may_charge = self._has_charged

    async def learn_wires(self) -> None:
        """Ask a server, once, for Responses: an empty request is refused otherwise where there is no such address."""
        if self._knows_wires:
            return
        status = 200
        try:
            await self._http.post("/responses", {}, LIST_TIMEOUT_S)
        except AimmError as error:
            status = error.upstream.status if error.upstream is not None else 500
        self._knows_wires = status < 500 and status != 429
        if status in (400, 422):
            self.wires = ("openai", "responses")

    def _learnt(self, chunk: Chunk) -> Chunk:
        self._has_charged = self._has_charged or (chunk.usage is not None and chunk.usage.charged_usd is not None)
        return chunk

    async def _responses(self, request: Request, native: Native | None) -> AsyncGenerator[Chunk]:
        reader = ResponseReader(to_unwrap(request, native))
        keeps_raw, keeps_whole = _keeps(request, native)
        body = responses.to_body(request) if native is None else responses.as_came(request, native, self.deployment)
        async with self._http.answer("/responses", body) as answer:
            quota = quota_of(answer.headers)
            if await answer.is_whole():
                raw, [value, *_] = await answer.whole()
                if (said := reader.error_in(value)) is not None:
                    self._http.refuse_errors([said])
                yield reader.whole(value, raw if keeps_whole else None, quota)
                return
            async for events in answer.events():
                at, said = next(
                    ((at, said) for at, e in enumerate(events) if e.value and (said := reader.error_in(e.value))),
                    (len(events), {}),
                )
                for chunk in reader.read_all(events[:at], quota, keeps_raw=keeps_raw):
                    yield chunk
                quota = None
                self._http.refuse_errors([said])

    async def _embeddings(self, request: Request, native: Native | None) -> AsyncGenerator[Chunk]:
        body: dict[str, Any] = {"input": [message.text for message in request.messages]}
        if request.parameters.dimensions is not None:
            body["dimensions"] = request.parameters.dimensions
        body = dict(native.body) if native else body
        async with self._http.answer("/embeddings", body | {"model": request.model}) as answer:
            raw, [value, *_] = await answer.whole()
            self._http.refuse_errors([value])
            usage = to_usage(value.get("usage"))
            vectors = tuple(each["embedding"] for each in value.get("data") or ())
            if not all(isinstance(vector, str | list) for vector in vectors):
                raise TypeError("a vector is a list of numbers, or their bytes as text")
            yield Chunk(
                raw=raw if native else None,
                vectors=vectors,
                usage=usage,
                finish_reason="stop" if vectors else None,
                response_model=to_text(value.get("model")) or None,
                quota=quota_of(answer.headers),
            )

    async def models(self) -> list[Model]:
        body = await self._http.get("/models", LIST_TIMEOUT_S)
        found = body.get("data") if isinstance(body, dict) else None
        names = [str(each["id"]) for each in found or () if isinstance(each, dict) and each.get("id")]
        return [self.guess(name) for name in sorted(set(names)) if not (self._is_own and _NOT_TEXT.search(name))]

    async def count_tokens(self, request: Request) -> int:
        if self.is_counting:
            native = request.native_for("responses")
            body = responses.to_body(request) if native is None else responses.as_came(request, native, self.deployment)
            counted = {name: body[name] for name in responses.COUNTED if name in body}
            answer = await self._http.post("/responses/input_tokens", counted, LIST_TIMEOUT_S)
            if isinstance(answer, dict) and isinstance(n := answer.get("input_tokens"), int):
                return n
        raise InvalidRequest(f"{self._http.label} counts no tokens before a call.", hint="The estimate brackets them.")

    async def forget_response(self, response_id: str) -> None:
        """Delete an answer that is kept there, if it is. Raises: AimmError"""
        with suppress(ModelNotFound):
            await self._http.whole("DELETE", f"/responses/{quote(response_id, safe='')}", b"", LIST_TIMEOUT_S)

    async def check(self) -> KeyCheck:
        """Try the address and the key: read the model list, or where there is none, be refused for an empty request."""
        try:
            await self._http.get("/models", LIST_TIMEOUT_S)
        except ModelNotFound:
            return await checked(self._http.label, self._refused)
        except AimmError:
            pass  # which is judged below
        return await checked(self._http.label, self.models)

    async def _refused(self) -> list[Model]:
        """One model, if an empty request is refused for what it lacks, not for its key. Raises: AimmError"""
        try:
            await self._http.post("/chat/completions", {}, LIST_TIMEOUT_S)
        except InvalidRequest:
            return [self.guess("any")]
        return []

    def guess(self, name: str) -> Model:
        """A model with what its family accepts: the list does not say."""
        return self.families.of("openai" if self._is_own else self.name, name).model(name, self.name)

    def left_out(self, request: Request) -> list[str]:
        return uncached(request)

    async def close(self) -> None:
        await self._http.close()


def _keeps(request: Request, native: Native | None) -> tuple[bool, bool]:
    """(the vendor's own events, its own whole answer): whether they are handed on, to who speaks its wire."""
    is_passed = native is not None and to_unwrap(request, native) is None
    return is_passed and request.is_streamed, is_passed and not request.is_streamed
