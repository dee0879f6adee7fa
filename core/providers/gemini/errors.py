"""Gemini's error answers as errors of ours."""

import re
from collections.abc import Mapping
from typing import Any

from core.errors import (
    AimmError,
    AuthenticationError,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    Upstream,
    redact,
)
from core.formats import strict_json as json
from core.providers.http.errors import not_an_answer


def to_error(code: int, body: Any, headers: Mapping[str, str]) -> AimmError:
    """Our error for an error answer of the API; body: its JSON."""
    if isinstance(body, list) and body:
        body = body[0]
    inner = body.get("error", body) if isinstance(body, dict) else {}
    inner = inner if isinstance(inner, dict) else {}
    status = str(inner.get("status") or "")
    message = redact(str(inner.get("message") or status or f"error {code}"))[:500]
    details = [detail for detail in inner.get("details") or () if isinstance(detail, dict)]
    error = _to_error(code, message, details, headers)
    reason = next((str(detail["reason"]) for detail in details if detail.get("reason")), "")
    error.upstream = Upstream(code, status, reason, message=message)
    return error


def _to_error(code: int, message: str, details: list[dict[str, Any]], headers: Mapping[str, str]) -> AimmError:
    if code and 200 <= code < 400:
        return not_an_answer("Gemini", code)
    reasons = {str(detail.get("reason")) for detail in details}
    lower = message.lower()
    if code == 400 and ("API_KEY_INVALID" in reasons or "api key not valid" in lower or "api key expired" in lower):
        return AuthenticationError(f"Gemini does not know this key: {message}", hint="Check GEMINI_API_KEY.")
    if code in (401, 403):
        if (
            "SERVICE_DISABLED" in reasons
            or "has not been used" in lower
            or ("is disabled" in lower and "billing" not in lower)
        ):
            return AuthenticationError(f"The Gemini API is not enabled for this key's project: {message}")
        return AuthenticationError(f"Gemini refused the key: {message}", hint="Check GEMINI_API_KEY.")
    if code == 404:
        return ModelNotFound(f"Gemini has no such model for this key: {message}")
    if code == 429:
        wait_s = _retry_after(details, headers)
        return RateLimited(f"Gemini's quota is used up: {message}", retry_after_s=wait_s, quota=_quota(details))
    if code == 400 and re.search(r"token count|exceeds the maximum number of tokens|context", lower):
        return ContextTooLong(
            f"The prompt is too long for this model: {message}", hint="Shorten it or take another model."
        )
    if code in (408, 504):
        timeout = ProviderTimeout(f"Gemini gave up in time-out: {message}")
        timeout.is_retryable = True
        return timeout
    if code and code < 500:
        return InvalidRequest(f"Gemini refused the request: {message}")
    return ProviderUnavailable(
        f"Gemini is not available ({code}): {message}", retry_after_s=_retry_after(details, headers)
    )


def _retry_after(details: list[dict[str, Any]], headers: Mapping[str, str]) -> float | None:
    texts = [str(detail["retryDelay"]).removesuffix("s") for detail in details if "retryDelay" in detail]
    texts.append(str(headers.get("retry-after", "")))
    for text in texts:
        if re.fullmatch(r"\d{1,9}(\.\d*)?", text):
            return float(text)
    return None


def _quota(details: list[dict[str, Any]]) -> str:
    for detail in details:
        for violation in detail.get("violations", []):
            name = str(violation.get("quotaId") or violation.get("quotaMetric") or "")
            value = violation.get("quotaValue")
            return f"{name} limit: {value}" if value is not None else name
    return "limit: 0" if "limit: 0" in json.dumps(details) else ""
