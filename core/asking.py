"""Every way to ask a model from Python: submit, generate, stream, and the same for callers with an event loop of their own."""

import asyncio
import queue
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import Any

from core.calls.call import Call, Origin
from core.calls.engine import CallEngine
from core.domain.generation import Chunk, Generation, Message, Request, Source, named_parameters
from core.errors import InvalidRequest
from core.experiments.rollout import AliasService
from core.experiments.service import Served
from core.experiments.serving import PREFIX, ExperimentRouter
from core.keys.rules import check_model

Prompt = str | Sequence[Message] | Request


class Asking(ABC):
    """The part of the manager that begins calls: they take the same arguments and answer alike."""

    calls: CallEngine
    aliases: AliasService
    units: ExperimentRouter
    _source: Source

    @abstractmethod
    def default_model(self) -> str:
        """The model where none is named."""

    def submit(
        self,
        prompt: Prompt,
        origin: Origin | None = None,
        *,
        model: str | None = None,
        system: str | None = None,
        unit: str = "",
        **parameters: Any,
    ) -> Call:
        """Start a call in the background and return its handle; pages draw it, closing them does not stop it.

        prompt: A text, messages, or a whole Request, which says model, system prompt and parameters itself.
        model: None = the default one. A model `exp:NAME` lets that experiment choose who answers `unit`.
        parameters: See core.domain.generation.Parameters. origin: Who asks, and for what.

        Raises:
            InvalidRequest, NotFound; Forbidden: the key may not ask this model.
        """
        request = self.request(prompt, model=model, system=system, **parameters)
        return self._begin(request, self._checked(request, origin), None, unit)[0]

    def generate(
        self,
        prompt: Prompt,
        origin: Origin | None = None,
        *,
        model: str | None = None,
        system: str | None = None,
        unit: str = "",
        **parameters: Any,
    ) -> Generation:
        """One answer; arguments as in `submit`.

        Raises:
            AimmError: One of core.errors; failed calls are recorded too.
        """
        call = self.submit(prompt, origin, model=model, system=system, unit=unit, **parameters)
        return call.answered(call.result())

    def stream(
        self,
        prompt: Prompt,
        origin: Origin | None = None,
        *,
        model: str | None = None,
        system: str | None = None,
        unit: str = "",
        **parameters: Any,
    ) -> Iterator[str]:
        """The answer piece by piece; arguments as in `submit`. Leaving the loop early stops the call."""
        call = self.submit(prompt, origin, model=model, system=system, unit=unit, **parameters)
        pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        call.listen(pieces.put)
        try:
            while (piece := pieces.get()) is not None:
                yield piece
            call.answered(call.result())
        finally:
            call.cancel()

    async def agenerate(
        self,
        prompt: Prompt,
        origin: Origin | None = None,
        *,
        model: str | None = None,
        system: str | None = None,
        unit: str = "",
        **parameters: Any,
    ) -> Generation:
        """`generate` for a caller with an event loop of its own."""
        request = await self._request(prompt, model=model, system=system, **parameters)
        call, _ = await self.begin(request, origin, unit=unit)
        return call.answered(await asyncio.wrap_future(call.done))

    async def astream(
        self,
        prompt: Prompt,
        origin: Origin | None = None,
        *,
        model: str | None = None,
        system: str | None = None,
        unit: str = "",
        **parameters: Any,
    ) -> AsyncIterator[str]:
        """`stream` for a caller with an event loop of its own."""
        request = await self._request(prompt, model=model, system=system, **parameters)
        call, _ = await self.begin(request, origin, unit=unit)
        try:
            async for piece in call.pieces():
                yield piece
            call.answered(await asyncio.wrap_future(call.done))
        finally:
            call.cancel()

    async def begin(
        self,
        request: Request,
        origin: Origin | None = None,
        on_chunk: Callable[[Chunk | None], None] | None = None,
        *,
        unit: str = "",
    ) -> tuple[Call, Served | None]:
        """`submit` for a caller with an event loop of its own, which never waits for the database: the call, and whom an
        experiment chose.

        on_chunk: Gets each piece, and None at the end, in the core's loop.

        Raises:
            InvalidRequest, NotFound; Forbidden: the key may not ask this model.
        """
        origin = self._checked(request, origin)
        if not request.model.startswith(PREFIX):
            if self.aliases.is_old:
                await asyncio.to_thread(self.aliases.find, request.model)
            alias = self.aliases.find(request.model)
            if alias is None or alias.rollout_id is None:
                return self._begin(request, origin, on_chunk, unit)
        # An experiment, and so a rollout, writes down who was given what.
        return await asyncio.to_thread(self._begin, request, origin, on_chunk, unit)

    def _checked(self, request: Request, origin: Origin | None) -> Origin:
        """Who asks, if the key may ask what the request names."""
        found = origin or Origin(source=self._source)
        for name in (request.model, *found.fallbacks):
            check_model(found.key, name)
        return found

    def _begin(
        self, request: Request, origin: Origin, on_chunk: Callable[[Chunk | None], None] | None, unit: str
    ) -> tuple[Call, Served | None]:
        if not request.model.startswith(PREFIX):
            return self.calls.submit(request, origin, on_chunk=on_chunk), None
        routed = self.units.route(request, origin, unit)
        call = self.calls.submit(routed.request, routed.origin, on_chunk=on_chunk)
        for position, shadow in routed.shadows:
            self.calls.submit(shadow, routed.shadow_origin(position, call.id))
        return call, routed.served

    async def _request(self, prompt: Prompt, **said: Any) -> Request:
        """`request`, in a thread where the default model may have to be looked up."""
        if isinstance(prompt, Request) or said["model"]:
            return self.request(prompt, **said)
        return await asyncio.to_thread(partial(self.request, prompt, **said))

    def request(
        self,
        prompt: Prompt,
        *,
        model: str | None = None,
        system: str | None = None,
        **parameters: Any,
    ) -> Request:
        """A request with the default model where none is named; a Request is given back as it is.

        Raises:
            InvalidRequest: The prompt is none, a parameter has no such name, or a Request comes with more than itself.
        """
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
        return Request(
            model=model or self.default_model(),
            messages=messages,
            system=system or None,
            parameters=named_parameters(parameters),
        )
