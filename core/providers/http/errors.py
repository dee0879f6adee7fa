"""Vendors' errors and rate limits in our words."""

import re
from collections.abc import Mapping
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
from core.formats import strict_json as json

# JSON, Unicode and pydantic errors are ValueErrors; the others come of objects of another shape.
UNREADABLE = (ValueError, TypeError, AttributeError, LookupError)
# What Anthropic calls its errors.
_STATUS = {
    "overloaded_error": 529, "rate_limit_error": 429, "authentication_error": 401, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "invalid_request_error": 400, "timeout_error": 504,
}  # fmt: skip
_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})  # waiting does not help
_SECONDS = re.compile(r"\d{1,9}(\.\d+)?")  # more is no time to wait, and would not be finite in the end
MANY = 1_000_000  # requests that are left where a vendor does not say how many
_TOLD = re.compile(r"(x|anthropic)-ratelimit-|x-should-retry$")
_LONG = re.compile(
    r"context[ _]length|context window|maximum context|prompt is too long|too many tokens", re.IGNORECASE
)


def to_error(label: str, upstream: Upstream, headers: Mapping[str, str]) -> AimmError:
    """Our error for what a vendor says of one; `upstream` is told by its class."""
    status, code, message = upstream.status, upstream.code or upstream.type, upstream.message
    text = f"{label}: {message or f'error {status}'}"[:500]
    if status < 400:
        return not_an_answer(label, status)
    if status in (401, 403):
        return AuthenticationError(text, hint=f"Check the key of {label}.")
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


def code_of(error: Mapping[str, Any]) -> int:
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


def unreadable(label: str, error: Exception) -> ProviderError:
    """The error for an answer that came, and is none of those that were expected."""
    return ProviderError(f"{label}'s answer could not be read ({type(error).__name__}).")


def words(status: int, raw: bytes) -> Upstream:
    """The contents of an error body; vendors put their words at `error.message` or nearby."""
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
    return Upstream(status, code, kind, param, redact(_told(error))[:2000])


def _told(value: Any) -> str:
    """The words of an error, which lie where its server puts them: FastAPI's `detail` is a text or a list of faults."""
    if isinstance(value, list):
        return "; ".join(filter(None, map(_told, value[:5])))
    if not isinstance(value, dict):
        return str(value or "")
    told = next((text for name in ("message", "detail", "msg", "errors") if (text := _told(value.get(name)))), "")
    place = value.get("loc")
    where = ".".join(str(part) for part in place if part != "body") if isinstance(place, list) else ""
    return f"{where}: {told}" if where and told else told


def quota_of(headers: Mapping[str, str]) -> Quota | None:
    """The rest of the vendor's rate limit, in requests; tokens are none, and count only where none of them is left."""
    found = []
    for prefix in ("x-ratelimit-", "anthropic-ratelimit-"):
        for kind in ("requests", "tokens"):
            left = headers.get(f"{prefix}remaining-{kind}") or headers.get(f"{prefix}{kind}-remaining")
            reset = headers.get(f"{prefix}reset-{kind}") or headers.get(f"{prefix}{kind}-reset")
            if left is None or reset is None or not left.isdecimal():
                continue
            if kind == "requests" or int(left) == 0:
                found.append(Quota(remaining=int(left), reset_s=_span_s(reset), headers=told_of(headers)))
    unsaid = Quota(remaining=MANY, reset_s=0.0, headers=told_of(headers))
    return min(found, key=lambda quota: (quota.remaining, -quota.reset_s), default=unsaid if unsaid.headers else None)


def told_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers by which a vendor tells its clients what they may still ask, and whether to ask again."""
    return {name: value for name, value in headers.items() if _TOLD.match(name)}


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
