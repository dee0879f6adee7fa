"""What vendors on plain HTTP share: one client a vendor, server-sent events, and errors in our words."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

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
from core.providers.events import Event, EventReader

CONNECT_S = 10.0
MAX_ANSWER_BYTES = 32 * 1024 * 1024  # of what is read whole
_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})  # waiting does not help
_LONG = re.compile(
    r"context[ _]length|context window|maximum context|prompt is too long|too many tokens", re.IGNORECASE
)


class HttpVendor:
    """A base address, headers and one client, made on the event loop that uses it.

    allows_link_local: Whether the address may be a link-local one.
    """

    def __init__(
        self, label: str, base_url: str, headers: Mapping[str, str], *, allows_link_local: bool = False
    ) -> None:
        self.label = label
        self._base_url = base_url.rstrip("/")
        self._headers = {"accept-encoding": "identity", "content-type": "application/json", **headers}
        self._allows_link_local = allows_link_local
        self._client: Any = None

    async def get(self, path: str, timeout_s: float) -> Any:
        """The JSON at a path. Raises AimmError only."""
        with translated(self.label):
            response = await self._open().get(f"{self._base_url}{path}", timeout=timeout_s)
            return self._json(response)

    async def post(self, path: str, body: Mapping[str, Any], timeout_s: float) -> Any:
        """The JSON answer to a JSON body. Raises AimmError only."""
        with translated(self.label):
            response = await self._open().post(f"{self._base_url}{path}", content=_dumped(body), timeout=timeout_s)
            return self._json(response)

    @asynccontextmanager
    async def answer(self, path: str, body: Mapping[str, Any], timeout_s: float) -> AsyncIterator["Answer"]:
        """The answer to a JSON body, which is read as it comes. Raises AimmError only."""
        import httpx2

        with translated(self.label):
            limits = httpx2.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
            client, url = self._open(), f"{self._base_url}{path}"
            request = client.build_request("POST", url, content=_dumped(body), timeout=limits)
            response = await client.send(request, stream=True)
            try:
                if response.status_code != 200:
                    raw = await _read_whole(response, self.label)
                    raise self.error(response.status_code, raw, response.headers)
                yield Answer(response, self.label)
            finally:
                await response.aclose()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    def error(self, status: int, raw: bytes, headers: Mapping[str, str]) -> AimmError:
        """Our error for an error answer; vendors put their words at `error.message` or nearby."""
        upstream = _words(status, raw)
        error = self._error(upstream, headers)
        error.upstream = upstream
        return error

    def _error(self, upstream: Upstream, headers: Mapping[str, str]) -> AimmError:
        status, code, message = upstream.status, upstream.code or upstream.type, upstream.message
        text = f"{self.label}: {message or f'error {status}'}"[:500]
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

    def _open(self) -> Any:
        if self._client is None:
            from core.providers.network import make_client

            self._client = make_client(self._headers, allows_link_local=self._allows_link_local)
        return self._client

    def _json(self, response: Any) -> Any:
        if response.status_code != 200:
            raise self.error(response.status_code, response.content, response.headers)
        if len(response.content) > MAX_ANSWER_BYTES:
            raise ProviderError(f"{self.label}'s answer is larger than {MAX_ANSWER_BYTES:,} bytes.")
        return json.loads(response.content)


@contextmanager
def translated(label: str) -> Iterator[None]:
    """Turn what httpx2 and a parser raise into our errors. `from None`: the request, and with it the key, would stay in
    the traceback."""
    import httpx2

    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        raise ProviderUnavailable(
            f"{label} cannot be reached ({type(error).__name__}).", hint="Check the network and the address."
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
    except ValueError as error:  # JSON, Unicode and pydantic errors are ValueErrors
        raise ProviderError(f"{label}'s answer could not be read ({type(error).__name__}).") from None


class Answer:
    """A vendor's good answer while it comes in."""

    def __init__(self, response: Any, label: str) -> None:
        self._response = response
        self._label = label
        self.headers: Mapping[str, str] = response.headers
        self.is_json = "json" in response.headers.get("content-type", "")

    async def whole(self) -> tuple[bytes, dict[str, Any]]:
        """(bytes, JSON object) of an answer that comes as one."""
        raw = await _read_whole(self._response, self._label)
        value = json.loads(raw)
        if not isinstance(value, dict):
            raise ProviderError(f"{self._label}'s answer could not be read (no JSON object).")
        return raw, value

    async def events(self) -> AsyncIterator[list[Event]]:
        """Whole events, as many as came with one packet. It ends with the stream, or with its [DONE]."""
        reader = EventReader()
        async for data in self._response.aiter_bytes():
            events = reader.feed(data)
            if events:
                yield events
                if events[-1].is_done:
                    return
        if rest := reader.end():
            yield rest


async def _read_whole(response: Any, label: str) -> bytes:
    parts, size = [], 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise ProviderError(f"{label}'s answer is larger than {MAX_ANSWER_BYTES:,} bytes.")
    return b"".join(parts)


def _dumped(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


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
    """What is left of the vendor's rate limit: of requests and of tokens, whichever is nearer its end."""
    found = []
    for prefix in ("x-ratelimit-", "anthropic-ratelimit-"):
        for kind in ("requests", "tokens"):
            left = headers.get(f"{prefix}remaining-{kind}") or headers.get(f"{prefix}{kind}-remaining")
            reset = headers.get(f"{prefix}reset-{kind}") or headers.get(f"{prefix}{kind}-reset")
            if left is not None and reset is not None and left.isdigit():
                found.append(Quota(remaining=int(left), reset_s=_span_s(reset)))
    return min(found, key=lambda quota: (quota.remaining, -quota.reset_s), default=None)


def _span_s(text: str) -> float:
    """Seconds of `1s`, `6m0s`, `20ms`, a plain number, or a moment in ISO form; 0 where it says none of these."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if parts := re.findall(r"(\d+(?:\.\d+)?)(ms|[dhms])", text):
        unit_s = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
        return sum(float(number) * unit_s[unit] for number, unit in parts)
    try:
        return max(0.0, (datetime.fromisoformat(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of Retry-After, which may be a number or a date."""
    text = headers.get("retry-after-ms")
    if text is not None and re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text) / 1000
    text = headers.get("retry-after")
    if text is None:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def count_of(values: Any, name: str) -> int:
    """A whole number of an answer; 0 where there is none."""
    value = values.get(name) if isinstance(values, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
