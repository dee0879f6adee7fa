"""A vendor on plain HTTP: JSON in, JSON or server-sent events out, errors in our words."""

import asyncio
import copy
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self

from core.errors import AimmError, InvalidRequest, ProviderTimeout
from core.formats import strict_json as json
from core.providers.http.addressing import USUAL, Addressing
from core.providers.http.answer import Answer
from core.providers.http.errors import UNREADABLE, code_of, to_error, told_of, unreadable, words
from core.providers.http.events import Event
from core.providers.http.network import Network
from core.providers.http.session import Body, Session


class HttpVendor:
    """A base address, headers and the connections to it."""

    def __init__(
        self,
        label: str,
        base_url: str,
        headers: Mapping[str, str],
        network: Network | None = None,
        addressing: Addressing = USUAL,
    ) -> None:
        self.label = label
        self.addressing = addressing
        self._session = Session(label, base_url, {"content-type": "application/json", **headers}, network or Network())

    def call(self, label: str) -> None:
        """Take another name in errors."""
        self.label = self._session.label = label

    async def get(self, path: str, timeout_s: float) -> Any:
        """The JSON at a path. Raises AimmError only."""
        return await self.whole("GET", self.addressing.place(path, ""), b"", timeout_s)

    async def post(
        self, path: str, body: Mapping[str, Any], timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The JSON answer to a JSON body. Raises AimmError only."""
        path, body = self.addressing.sent(path, body)
        return await self.whole("POST", path, _dumped(body), timeout_s, headers)

    async def whole(
        self, method: str, path: str, body: Body, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The JSON answer to any request. Raises AimmError only."""
        try:
            async with asyncio.timeout(timeout_s), self.exchange(method, path, body, headers) as answer:
                return json.loads(await answer.raw())
        except TimeoutError:
            raise ProviderTimeout(f"{self.label} did not answer in time.") from None

    def answer(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[Answer]:
        """The answer to a JSON body, which is read as it comes. Raises AimmError only; its deadline is the caller's."""
        path, body = self.addressing.sent(path, body)
        return self.exchange("POST", path, _dumped(body), headers)

    @asynccontextmanager
    async def exchange(
        self, method: str, path: str, body: Body, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Answer]:
        """A request and its good answer, whose connection goes back in the end. Raises AimmError only."""
        if self.addressing.sign is not None:
            headers = {**(headers or {}), **await self.addressing.sign()}
        incoming = await self._session.request(method, self.located(path), body, headers)
        try:
            answer = Answer(incoming, self.label)
            if incoming.status != 200:
                raise self.error(incoming.status, await answer.raw(), incoming.headers)
            yield answer
        except UNREADABLE as error:
            raise unreadable(self.label, error) from None
        finally:
            incoming.release()

    def located(self, path: str) -> str:
        """A path as it is there, for wires whose paths name the model."""
        return path

    def over(self, session: Session) -> Self:
        """The same vendor over another session."""
        other = copy.copy(self)
        other._session = session
        return other

    async def close(self) -> None:
        await self._session.close()

    def error(self, status: int, raw: bytes, headers: Mapping[str, str]) -> AimmError:
        """Our error for an error answer; vendors put their words at `error.message` or nearby."""
        upstream = words(status, raw)._replace(headers=told_of(headers))
        error = to_error(self.label, upstream, headers)
        error.upstream = upstream
        return error

    def error_in(self, value: Mapping[str, Any]) -> AimmError | None:
        """The error that an answer called good holds, mostly in the midst of a stream."""
        error = value if value.get("object") == "error" else value.get("error")  # vLLM's of old are all of the value
        if isinstance(error, str):
            error = {"message": error} if error else None
        if not isinstance(error, dict) or not error:
            return None
        return self.error(code_of(error), json.encoded({"error": error}), {})

    def refuse_errors(self, values: Iterable[Mapping[str, Any]]) -> None:
        """Raises: AimmError: One of the values is one."""
        for value in values:
            if (error := self.error_in(value)) is not None:
                raise error

    def until_error(self, events: Sequence[Event]) -> tuple[Sequence[Event], AimmError | None]:
        """The events before an error, and the error."""
        for at, event in enumerate(events):
            if event.value and (error := self.error_in(event.value)) is not None:
                return events[:at], error
        return events, None


def _dumped(body: Mapping[str, Any]) -> bytes:
    try:
        return json.encoded(body)
    except ValueError as error:
        raise InvalidRequest(f"The request cannot be written as JSON: {error}.") from None
