"""The state of a key by its vendor's refusal: wrong, expired, restricted, without money, or used up for now. Pure."""

import re
from collections.abc import Awaitable, Callable

from core.domain.generation import Model
from core.errors import AimmError, AuthenticationError, ProviderTimeout, ProviderUnavailable, RateLimited
from core.providers.base import KeyCheck

# What vendors write, in codes and in words; the first that fits. A plain quota error speaks of billing details, too.
_SAID = tuple(
    (re.compile(pattern), status, sentence)
    for pattern, status, sentence in (
        (r"api_key_expired|(key|token) (has )?expired|expired api key|token_expired",
         "expired", "The key has expired; make a new one."),
        (r"service_disabled|has not been used in project|accessnotconfigured",
         "api_off", "The API is not enabled for the key's project."),
        (r"billing_disabled|billing to be enabled|enable billing|billing_not_active|billing_hard_limit"
         r"|insufficient_quota|billing account\b.{0,80}\b(disabled|closed)|(absent|closed) billing account"
         r"|credit balance is too low|credits are depleted|insufficient (balance|credits|funds)|any credits"
         r"|all available credits|spend(ing)? (cap|limit)|specified api usage limits|key limit exceeded"
         r"|budget has been exceeded|inactive subscription|^402 ", "billing",
         "The key is known, but its account has no billing, no money left, or has reached its spending limit."),
        (r"(organization|workspace|account|project|consumer)\b.{0,80}\b(disabled|suspended|archived)|denied access"
         r"|reported as leaked|consumer_suspended|organization has been restricted|deactivated"
         r"|access was terminated",
         "suspended", "The vendor has blocked the key or its account."),
        (r"location is not supported|unsupported_country|country, region, or territory|in your (country|region)",
         "region", "The vendor does not serve this country."),
        (r"^400 .*(incorrect|invalid) api key", "wrong_key", "The vendor does not know this key."),
        (r"_blocked\b|referr?er .{0,200}blocked|are blocked|ip address restriction|ip_not_authorized|missing scopes"
         r"|insufficient permissions|does not have permission|permission_error|member of an organization"
         r"|mismatched_organization|invalid_organization|not allowed for this organization",
         "restricted", "The key is known, but restricted to other callers, addresses, services or rights."),
    )
)  # fmt: skip
_NO_TIER = re.compile(r"limit: 0(?!\d|[.,]\d)")


def judged(label: str, error: AimmError, model: str = "") -> KeyCheck:
    """The result of a test that ended with an error. model: The one that was asked, if one was."""
    upstream = error.upstream
    said = (
        f"{upstream.status} {upstream.code} {upstream.type} {upstream.message}".lower() if upstream is not None else ""
    )
    if isinstance(error, RateLimited) and (error.quota.endswith("limit: 0") or _NO_TIER.search(said)):
        return KeyCheck("no_tier", f"The key works, but {model or 'the model'} is not in its tier (limit 0).")
    for pattern, status, sentence in _SAID:
        if pattern.search(said):
            return KeyCheck(status, f"{sentence} {error.message}")
    if isinstance(error, RateLimited):
        return KeyCheck("quota", f"The key works; its quota is used up just now: {error.message}")
    if isinstance(error, AuthenticationError):
        is_known = upstream is not None and upstream.status == 403 and "unregistered callers" not in said
        return KeyCheck("restricted" if is_known else "wrong_key", error.message)
    if isinstance(error, ProviderUnavailable | ProviderTimeout):
        what = "cannot be reached" if upstream is None else "is down or overloaded"
        return KeyCheck("network", f"{label} {what}: {error.message}")
    return KeyCheck("error", error.message)


async def checked(label: str, models: Callable[[], Awaitable[list[Model]]]) -> KeyCheck:
    """The state of a key and an address, as reading the model list shows it."""
    try:
        found = await models()
    except AimmError as error:
        return judged(label, error)
    if not found:
        return KeyCheck("error", f"{label} answered, but lists no text model.")
    return KeyCheck("works", f"{label} works: {len(found)} models.")
