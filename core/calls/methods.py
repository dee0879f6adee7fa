"""Every way to ask a model from Python: submit, generate, stream, and their twins for callers with an event loop."""

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from core.calls.call import Call, OnChunk
from core.calls.engine import CallEngine, CallOptions
from core.calls.origin import Origin, Unit
from core.domain.generation import Generation, Message, Request, Source, named_parameters
from core.domain.key import Key
from core.errors import InvalidRequest

Prompt = str | Sequence[Message] | Request


class Options(TypedDict, total=False):
    """All that may be said beside a prompt.

    model: None = the default one. A model `exp:NAME` lets that experiment choose who answers `unit`.
    unit: The user, session or request that an experiment assigns.
    force: The experiment's variant, for trying it out; then nothing is counted.
    on_chunk: Gets each chunk, and None at the end, in the core's loop.
    The others are parameters of the call; see core.domain.generation.Parameters.
    """

    model: str | None
    system: str | None
    unit: Unit
    force: str | int | None
    on_chunk: OnChunk | None
    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    seed: int | None
    thinking_budget: int | None
    thinking_level: str | None
    service_tier: str | None
    json_schema: Mapping[str, Any] | None
    json_object: bool | None
    stop: str | Sequence[str] | None
    frequency_penalty: float | None
    presence_penalty: float | None
    top_k: int | None
    dimensions: int | None


class CallMethods:
    """The part of the manager that begins calls: all ways take the same arguments, those of `submit`."""

    calls: CallEngine
    _source: Source
    _default_model: Callable[[], str]  # where none is named

    def submit(self, prompt: Prompt, origin: Origin | None = None, **options: Unpack[Options]) -> Call:
        """Start a call in the background and return its handle; pages draw it, closing them does not stop it.

        prompt: A text, messages, or a whole Request, which says model, system prompt and parameters itself.
        origin: Who asks, and for what.
        options: See Options.

        Raises:
            InvalidRequest, NotFound; Forbidden: the key may not ask this model.
        """
        request, call_options = self._request_and_options(prompt, options)
        return self.calls.submit(request, origin or Origin(source=self._source), **call_options)

    def generate(self, prompt: Prompt, origin: Origin | None = None, **options: Unpack[Options]) -> Generation:
        """One answer; arguments as in `submit`.

        Raises:
            AimmError: One of core.errors; failed calls are recorded too.
        """
        call = self.submit(prompt, origin, **options)
        return call.answered(call.result())

    def stream(self, prompt: Prompt, origin: Origin | None = None, **options: Unpack[Options]) -> Iterator[str]:
        """The answer chunk by chunk; arguments as in `submit`. Leaving the loop early stops the call."""
        call = self.submit(prompt, origin, **options)
        chunks: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        call.listen(chunks.put)
        try:
            while (chunk := chunks.get()) is not None:
                yield chunk
            call.answered(call.result())
        finally:
            call.cancel()

    async def asubmit(self, prompt: Prompt, origin: Origin | None = None, **options: Unpack[Options]) -> Call:
        """`submit` for a caller with an event loop of its own, which never waits for the database."""
        if isinstance(prompt, Request) or options.get("model"):
            request, call_options = self._request_and_options(prompt, options)
        else:  # the default model may have to be looked up
            request, call_options = await asyncio.to_thread(self._request_and_options, prompt, options)
        return await self.calls.asubmit(request, origin or Origin(source=self._source), **call_options)

    async def agenerate(self, prompt: Prompt, origin: Origin | None = None, **options: Unpack[Options]) -> Generation:
        """`generate` for a caller with an event loop of its own."""
        call = await self.asubmit(prompt, origin, **options)
        return call.answered(await asyncio.wrap_future(call.done))

    async def astream(
        self, prompt: Prompt, origin: Origin | None = None, **options: Unpack[Options]
    ) -> AsyncIterator[str]:
        """`stream` for a caller with an event loop of its own."""
        call = await self.asubmit(prompt, origin, **options)
        try:
            async for chunk in call.texts():
                yield chunk
            call.answered(await asyncio.wrap_future(call.done))
        finally:
            call.cancel()

    def count_tokens(self, request: Request, key: Key | None = None, *, user_id: str = "") -> int:
        """The exact input tokens of a request, counted by its vendor. key, user_id: Who asks. Raises: AimmError"""
        return self.calls.count_tokens(request, Origin(source=self._source, key=key, user_id=user_id))[0]

    def _request_and_options(self, prompt: Prompt, options: Options) -> tuple[Request, CallOptions]:
        """The request that is meant, and what the call is begun with."""
        said: dict[str, Any] = dict(options)
        call_options: Any = {name: said.pop(name) for name in ("unit", "force", "on_chunk") if name in said}
        return self.request(prompt, **said), call_options

    def request(
        self, prompt: Prompt, *, model: str | None = None, system: str | None = None, **parameters: Any
    ) -> Request:
        """A request with the default model where none is named; a Request is given back as it is.

        Raises:
            InvalidRequest: The prompt is none, a parameter has no such name, or a Request comes with more than itself.
        """
        named = named_parameters(parameters, Options.__annotations__)
        if isinstance(prompt, Request):
            more = {"model": model, "system": system, **parameters}
            if said := [name for name, value in more.items() if value is not None]:
                raise InvalidRequest(
                    f"{', '.join(said)}: a Request says this itself; change it with dataclasses.replace."
                )
            return prompt
        messages = (Message("user", prompt),) if isinstance(prompt, str) else tuple(prompt)
        if not all(isinstance(message, Message) for message in messages):
            raise InvalidRequest(
                "A prompt is a text, a Request, or messages of core.domain.message.Message(role, text)."
            )
        return Request(model=model or self._default_model(), messages=messages, system=system or None, parameters=named)
