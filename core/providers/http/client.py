"""What vendors on plain HTTP share: one client a vendor, server-sent events, and errors in our words."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from core.domain.generation import Quota
from core.errors import (
    AimmError,
    AuthenticationError,
    Blocked,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    TooLarge,
    Upstream,
    redact,
)
from core.formats import strict_json as json
from core.providers.http.events import Event, EventReader, json_values
from core.providers.http.http1 import MAX_ANSWER_BYTES, Channel, Http1Client

CONNECT_S = 10.0
_BOM = b"\xef\xbb\xbf"
_PACKINGS = ("br", "zstd", "compress", "x-compress", "x-gzip", "lz4")  # only gzip and deflate are unpacked
_FIELDS = (b"data:", b":", b"event:", b"id:", b"retry:")  # with which a line of an event stream begins
# JSON, Unicode and pydantic errors are ValueErrors; the others come of objects of another shape.
UNREADABLE = (ValueError, TypeError, AttributeError, LookupError)
# What Anthropic calls its errors.
_STATUS = {
    "overloaded_error": 529, "rate_limit_error": 429, "authentication_error": 401, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "invalid_request_error": 400, "timeout_error": 504,
}  # fmt: skip
_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})  # waiting does not help
_SECONDS = re.compile(r"\d{1,9}(\.\d+)?")  # more is no time to wait, and would not be finite in the end
_LONG = re.compile(
    r"context[ _]length|context window|maximum context|prompt is too long|too many tokens", re.IGNORECASE
)


class HttpVendor:
    """A base address, headers and one client. allows_link_local: Whether the address may be a link-local one."""

    def __init__(
        self, label: str, base_url: str, headers: Mapping[str, str], *, allows_link_local: bool = False
    ) -> None:
        self.label = label
        lines = {"content-type": "application/json", **headers}
        self._client = Http1Client(base_url, lines, allows_link_local=allows_link_local)

    async def get(self, path: str, timeout_s: float) -> Any:
        """The JSON at a path. Raises AimmError only."""
        return await self._whole("GET", path, b"", timeout_s)

    async def post(self, path: str, body: Mapping[str, Any], timeout_s: float) -> Any:
        """The JSON answer to a JSON body. Raises AimmError only."""
        return await self._whole("POST", path, _dumped(body), timeout_s)

    async def _whole(self, method: str, path: str, body: bytes, timeout_s: float) -> Any:
        try:
            async with asyncio.timeout(timeout_s), _Answering(self, method, path, body) as answer:
                return json.loads(await answer.raw())
        except TimeoutError:
            raise ProviderTimeout(f"{self.label} did not answer in time.") from None

    def answer(self, path: str, body: Mapping[str, Any]) -> AbstractAsyncContextManager["Answer"]:
        """The answer to a JSON body, which is read as it comes. Raises AimmError only; how long it may take is the caller's."""
        return _Answering(self, "POST", path, _dumped(body))

    async def opened(self, method: str, path: str, body: bytes) -> Channel:
        """A connection whose answer has begun; it goes back by `released`. Raises AimmError only."""
        try:
            channel = await self._client.request(method, path, body, CONNECT_S)
        except ProviderUnavailable as error:
            text = f"{self.label} cannot be reached ({error.message})."
            found = ProviderUnavailable(text, hint="Check the network and the address.")
            found.is_retryable = error.is_retryable
            raise found from None
        channel.label = self.label
        try:
            status = await channel.head()
            if status != 200:
                raise self.error(status, await Answer(channel, self.label).raw(), channel.headers)
        except BaseException:
            self._client.release(channel)
            raise
        return channel

    def released(self, channel: Channel) -> None:
        self._client.release(channel)

    async def close(self) -> None:
        await self._client.close()

    def error(self, status: int, raw: bytes, headers: Mapping[str, str]) -> AimmError:
        """Our error for an error answer; vendors put their words at `error.message` or nearby."""
        upstream = _words(status, raw)
        error = self._error(upstream, headers)
        error.upstream = upstream
        return error

    def error_in(self, value: Mapping[str, Any]) -> AimmError | None:
        """The error that an answer called good holds, mostly in the midst of a stream."""
        error = value if value.get("object") == "error" else value.get("error")  # vLLM's of old are all of the value
        if isinstance(error, str):
            error = {"message": error} if error else None
        if not isinstance(error, dict) or not error:
            return None
        return self.error(_code_of(error), json.encoded({"error": error}), {})

    def refuse_errors(self, values: Iterable[Mapping[str, Any]]) -> None:
        """Raises: AimmError: One of the values is one."""
        for value in values:
            if (error := self.error_in(value)) is not None:
                raise error

    def until_error(self, events: Sequence[Event]) -> tuple[Sequence[Event], AimmError | None]:
        """What came before an error, and the error."""
        for at, event in enumerate(events):
            if event.value and (error := self.error_in(event.value)) is not None:
                return events[:at], error
        return events, None

    def _error(self, upstream: Upstream, headers: Mapping[str, str]) -> AimmError:
        status, code, message = upstream.status, upstream.code or upstream.type, upstream.message
        text = f"{self.label}: {message or f'error {status}'}"[:500]
        if status < 400:
            return not_an_answer(self.label, status)
        if status in (401, 403):
            return AuthenticationError(text, hint=f"Check the key of {self.label}.")
        if status == 404:
            return ModelNotFound(text)
        if status == 413:
            return TooLarge(text)
        if status == 429:
            limited = RateLimited(text, retry_after_s=retry_after(headers), quota=code)
            limited.is_retryable = code not in _SPENT
            return limited
        if status in (408, 504):
            error: AimmError = ProviderTimeout(text)
            error.is_retryable = True
            return error
        if status >= 500:
            return ProviderUnavailable(text, retry_after_s=retry_after(headers))
        if "content_filter" in code or "content_policy" in code:
            return Blocked(text, category=code)
        if _LONG.search(message) or "context_length" in code:
            return ContextTooLong(text, hint="Shorten the prompt, or take a model that reads more.")
        return InvalidRequest(text)


def _code_of(error: Mapping[str, Any]) -> int:
    """An error in a good answer has no status: its code may be one, or its type may say it."""
    code, kind = error.get("code"), str(error.get("type") or "")
    if isinstance(code, int) and 400 <= code < 600:
        return code
    return 429 if "rate" in str(code or kind) else _STATUS.get(kind, 500)


def not_an_answer(label: str, status: int) -> ProviderError:
    """For a status that is neither 200 nor an error."""
    what = "a redirect, which is not followed" if status >= 300 else f"status {status}, which is no answer"
    error = ProviderError(f"{label} answered with {what}.", hint="Check its address.")
    error.is_retryable = False
    return error


@contextmanager
def translated(label: str) -> Iterator[None]:
    """Turn what httpx2 and a parser raise into our errors. `from None`: the request, and with it the key, would stay in
    the traceback."""
    import httpx2

    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        raise ProviderUnavailable(
            f"{label} cannot be reached ({str(error) or type(error).__name__}).",
            hint="Check the network and the address.",
        ) from None
    except httpx2.TimeoutException:
        raise ProviderTimeout(
            f"{label} did not answer in time.", hint="Try again, or raise AIMM_CALL_TIMEOUT_S."
        ) from None
    except httpx2.HTTPError as error:
        raise ProviderError(
            f"The connection to {label} broke ({type(error).__name__}: {error}).",
            hint="Check the network and the address.",
        ) from None
    except httpx2.InvalidURL:
        raise ProviderUnavailable(f"The address of {label} is none.") from None
    except UNREADABLE as error:
        raise ProviderError(f"{label}'s answer could not be read ({type(error).__name__}).") from None


class _Answering:
    """Lends an answer, and gives its connection back."""

    def __init__(self, vendor: HttpVendor, method: str, path: str, body: bytes) -> None:
        self._vendor = vendor
        self._asked = (method, path, body)
        self._channel: Channel | None = None

    async def __aenter__(self) -> "Answer":
        self._channel = await self._vendor.opened(*self._asked)
        return Answer(self._channel, self._vendor.label)

    async def __aexit__(self, kind: Any, error: BaseException | None, _trace: Any) -> None:
        if self._channel is not None:
            self._vendor.released(self._channel)
        if isinstance(error, UNREADABLE):
            label = self._vendor.label
            raise ProviderError(f"{label}'s answer could not be read ({type(error).__name__}).") from None


class Incoming(Protocol):
    """An answer whose headers have come. is_ending: Nothing more is said, and only the end of the body is missing."""

    headers: dict[str, str]
    is_ending: bool

    async def read(self) -> bytes:
        """What has come since; empty = that was all."""
        ...


class Answer:
    """A vendor's good answer while it comes in."""

    def __init__(self, channel: Incoming, label: str) -> None:
        self._channel = channel
        self._label = label
        self._begun = b""
        self.headers: Mapping[str, str] = channel.headers

    async def is_whole(self) -> bool:
        """Whether it comes as one JSON value, not as events: its first sign says so, whatever the vendor calls it.

        Raises:
            ProviderError: It is a web page, or packed in a way that is not read here.
        """
        packing, sign = self.headers.get("content-encoding", "").lower(), b""
        if packing in _PACKINGS:
            error = ProviderError(f"{self._label} packed its answer as {packing!r}, which it was not asked to.")
            error.is_retryable = False
            raise error
        while any(begin.startswith(sign) for begin in (_BOM, *_FIELDS)) and (data := await self._channel.read()):
            self._begun += data
            sign = self._begun.lstrip().removeprefix(_BOM).lstrip()
        self._begun = sign
        if sign.startswith(b"<"):
            raise ProviderError(f"{self._label} answered with a web page, not with JSON.", hint="Check its address.")
        is_events = sign.startswith(_FIELDS)
        return sign[:1] in (b"{", b"[", b'"') or ("json" in self.headers.get("content-type", "") and not is_events)

    async def whole(self) -> tuple[bytes | None, list[dict[str, Any]]]:
        """The JSON objects of an answer that comes as one, and its bytes where it is one object."""
        raw = await self.raw()
        values = json_values(raw.splitlines())
        is_one = len(values) == 1 and isinstance(values[0], dict)
        values = [each for value in values for each in (value if isinstance(value, list) else [value])]
        if not values or not all(isinstance(each, dict) for each in values):
            raise ProviderError(f"{self._label}'s answer could not be read (no JSON object).")
        return raw if is_one else None, values

    async def _read(self) -> bytes:
        begun, self._begun = self._begun, b""
        return begun or await self._channel.read()

    async def events(self) -> AsyncIterator[list[Event]]:
        """Whole events, as many as came with one packet. It ends with the stream, or with its [DONE]."""
        reader = EventReader()
        while data := await self._read():
            events = reader.feed(data)
            if events:
                yield events
                if events[-1].is_done:
                    self._channel.is_ending = True
                    return
            if reader.problem is not None:
                raise reader.problem
        if rest := reader.end():
            yield rest

    async def raw(self) -> bytes:
        parts, size = [], 0
        while data := await self._read():
            parts.append(data)
            size += len(data)
            if size > MAX_ANSWER_BYTES:
                raise ProviderError(f"{self._label}'s answer is larger than {MAX_ANSWER_BYTES:,} bytes.")
        return b"".join(parts)


def _dumped(body: Mapping[str, Any]) -> bytes:
    try:
        return json.encoded(body)
    except ValueError as error:
        raise InvalidRequest(f"The request cannot be written as JSON: {error}.") from None


def _words(status: int, raw: bytes) -> Upstream:
    """What an error body says; vendors put their words at `error.message` or nearby."""
    try:
        body = json.loads(raw)
    except ValueError:
        return Upstream(status, message=redact(raw[:200].decode("utf-8", "replace").strip()))
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return Upstream(status, message=redact(str(error)[:200]))
    code, kind, param = (str(error.get(name) or "")[:100] for name in ("code", "type", "param"))
    return Upstream(status, code, kind, param, redact(str(error.get("message") or ""))[:2000])


def quota_of(headers: Mapping[str, str]) -> Quota | None:
    """What is left of the vendor's rate limit, in requests; tokens count only where none is left, as they are no requests."""
    found = []
    for prefix in ("x-ratelimit-", "anthropic-ratelimit-"):
        for kind in ("requests", "tokens"):
            left = headers.get(f"{prefix}remaining-{kind}") or headers.get(f"{prefix}{kind}-remaining")
            reset = headers.get(f"{prefix}reset-{kind}") or headers.get(f"{prefix}{kind}-reset")
            if left is None or reset is None or not left.isdecimal():
                continue
            if kind == "requests" or int(left) == 0:
                found.append(Quota(remaining=int(left), reset_s=_span_s(reset)))
    return min(found, key=lambda quota: (quota.remaining, -quota.reset_s), default=None)


def _span_s(text: str) -> float:
    """Seconds of `1s`, `6m0s`, `20ms`, a plain number, or a moment in ISO form; 0 where it says none of these."""
    if _SECONDS.fullmatch(text):
        return float(text)
    if parts := re.findall(r"(\d{1,9}(?:\.\d+)?)(ms|[dhms])", text):
        unit_s = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
        return sum(float(number) * unit_s[unit] for number, unit in parts)
    try:
        return max(0.0, (datetime.fromisoformat(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of Retry-After, which may be a number or a date."""
    text = headers.get("retry-after-ms")
    if text is not None and _SECONDS.fullmatch(text):
        return float(text) / 1000
    text = headers.get("retry-after")
    if text is None:
        return None
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
