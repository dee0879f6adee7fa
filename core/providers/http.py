"""What vendors on plain HTTP share: one client a vendor, server-sent events, and errors in our words."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

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
    redact,
)

CONNECT_S = 10.0
MAX_ANSWER_BYTES = 32 * 1024 * 1024  # of what is read whole
MAX_EVENT_BYTES = 4 * 1024 * 1024
_LONG = re.compile(
    r"context[ _]length|context window|maximum context|prompt is too long|too many tokens", re.IGNORECASE
)


class HttpVendor:
    """A base address, headers and one client, made on the event loop that uses it.

    No redirects, because the key would travel along; no proxies from the environment.
    """

    def __init__(self, label: str, base_url: str, headers: Mapping[str, str]) -> None:
        self.label = label
        self._base_url = base_url.rstrip("/")
        self._headers = dict(headers)
        self._client: Any = None

    async def get(self, path: str, timeout_s: float) -> Any:
        """The JSON at a path. Raises AimmError only."""
        with translated(self.label):
            response = await self._open().get(f"{self._base_url}{path}", timeout=timeout_s)
            return self._json(response)

    async def post(self, path: str, body: Mapping[str, Any], timeout_s: float) -> Any:
        """The JSON answer to a JSON body. Raises AimmError only."""
        with translated(self.label):
            response = await self._open().post(f"{self._base_url}{path}", json=body, timeout=timeout_s)
            return self._json(response)

    @asynccontextmanager
    async def events(
        self, path: str, body: Mapping[str, Any], timeout_s: float
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The JSON objects of an answer's server-sent events. Raises AimmError only."""
        import httpx2

        with translated(self.label):
            limits = httpx2.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
            async with self._open().stream("POST", f"{self._base_url}{path}", json=body, timeout=limits) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise self.error(response.status_code, response.content, response.headers)
                if "json" in response.headers.get("content-type", ""):
                    await response.aread()
                    yield _one(self._json(response))
                else:
                    yield _events(response)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    def error(self, status: int, raw: bytes, headers: Mapping[str, str]) -> AimmError:
        """Our error for an error answer; vendors put their words at `error.message` or nearby."""
        message, code = _words(raw)
        text = redact(f"{self.label}: {message or f'error {status}'}")[:500]
        if status in (401, 403):
            return AuthenticationError(text, hint=f"Check the key of {self.label}.")
        if status == 404:
            return ModelNotFound(text)
        if status == 413:
            return TooLarge(text)
        if status == 429:
            return RateLimited(text, retry_after_s=_retry_after(headers), quota=code)
        if status in (408, 504):
            error: AimmError = ProviderTimeout(text)
            error.is_retryable = True
            return error
        if status >= 500:
            return ProviderUnavailable(text, retry_after_s=_retry_after(headers))
        if "content_filter" in code or "content_policy" in code:
            return Blocked(text, category=code)
        if _LONG.search(message) or "context_length" in code:
            return ContextTooLong(text, hint="Shorten the prompt, or take a model that reads more.")
        return InvalidRequest(text)

    def _open(self) -> Any:
        if self._client is None:
            import httpx2

            limits = httpx2.Limits(max_connections=512, max_keepalive_connections=64)
            self._client = httpx2.AsyncClient(
                headers=self._headers, follow_redirects=False, trust_env=False, limits=limits
            )
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


async def _one(value: Any) -> AsyncIterator[dict[str, Any]]:
    yield value


async def _events(response: Any) -> AsyncIterator[dict[str, Any]]:
    """Each event's JSON; comments, other fields and the closing [DONE] are passed over."""
    lines: list[str] = []
    size = 0
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            lines.append(line[5:].removeprefix(" "))
            size += len(line)
            if size > MAX_EVENT_BYTES:
                raise ProviderError("The vendor sent an event that is too large to read.")
        elif not line and lines:
            text, lines, size = "\n".join(lines), [], 0
            if text.strip() == "[DONE]":
                return
            value = json.loads(text)
            if isinstance(value, dict):
                yield value
    if lines and "\n".join(lines).strip() != "[DONE]":
        value = json.loads("\n".join(lines))
        if isinstance(value, dict):
            yield value


def _words(raw: bytes) -> tuple[str, str]:
    """(message, code) of an error body."""
    try:
        body = json.loads(raw)
    except ValueError:
        return raw[:200].decode("utf-8", "replace").strip(), ""
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        code = error.get("code") or error.get("type") or ""
        return str(error.get("message") or ""), str(code)
    return str(error)[:200], ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
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
