"""Headers with which a caller of the gateway says more than the request: user, tags, cap, fallbacks, cache."""

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from core import InvalidRequest, Origin
from core.domain.budget import checked_cap
from core.domain.generation import MAX_CACHE_S

if TYPE_CHECKING:
    from api.gateway.exchange import Exchange

_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def origin_of(exchange: "Exchange", *, user: str = "", fallbacks: tuple[str, ...] = ()) -> Origin:
    """Raises: InvalidRequest: A header says what cannot be."""
    read = exchange.header
    cap = read(b"x-aimm-cap-usd")
    trace = read(b"traceparent")
    named = tuple(name for part in read(b"x-aimm-fallbacks").split(",") if (name := part.strip()))
    return Origin(
        source="api",
        key=exchange.key,
        user_id=user or read(b"x-aimm-user"),
        tags=tuple(tag for part in read(b"x-aimm-tags").split(",") if (tag := part.strip())),
        cap_usd=_cap(cap) if cap else None,
        fallbacks=named or fallbacks,
        cache_s=_seconds(read(b"x-aimm-cache")),
        is_private=exchange.is_private,
        traceparent=trace if _TRACE.fullmatch(trace) else "",
    )


def _cap(text: str) -> Decimal:
    try:
        return checked_cap(Decimal(text))
    except InvalidOperation:
        raise InvalidRequest(f"x-aimm-cap-usd == {text[:40]!r}, must be dollars such as 0.05") from None


def _seconds(text: str) -> int | None:
    """For how long a response may be cached; 0, written `no`, overrules aliases and experiments. None = not said."""
    if not text:
        return None
    if text.lower() in ("no", "no-store", "false"):
        return 0
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > MAX_CACHE_S:
        raise InvalidRequest(
            f"x-aimm-cache == {text[:40]!r}, must be seconds such as 3600, at most {MAX_CACHE_S:,}, or no"
        )
    return int(text)
