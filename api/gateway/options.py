"""What a gateway's caller says beside the request itself, in headers: who asks, for what, with which fallbacks."""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from api.access import KEY as KEY
from api.gateway.exchange import Exchange
from core import InvalidRequest
from core.calls.accounting import checked_cap
from core.calls.call import MAX_CACHE_S, Origin
from core.domain.generation import Request
from core.domain.key import Key
from core.formats.text import is_storable

_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with its origin. unit: who an experiment assigns. is_counted: whether the last chunk is to hold the usage."""

    request: Request
    origin: Origin
    unit: str = ""
    is_counted: bool = True


def origin_of(exchange: Exchange, key: Key | None, *, user: str = "", fallbacks: tuple[str, ...] = ()) -> Origin:
    """Raises: InvalidRequest: A header says what cannot be."""
    read = exchange.header
    cap = read(b"x-aimm-cap-usd")
    trace = read(b"traceparent")
    named = tuple(name for part in read(b"x-aimm-fallbacks").split(",") if (name := part.strip()))
    user = user or read(b"x-aimm-user")
    if not is_storable(user):
        raise InvalidRequest("user holds a NUL or half of a surrogate pair.")
    return Origin(
        source="api",
        key=key,
        user_id=user,
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
    """How long an answer may be kept: `3600`, or `no`, which an alias or an experiment cannot overrule. None = not said."""
    if not text:
        return None
    if text.lower() in ("no", "no-store", "false"):
        return 0
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > MAX_CACHE_S:
        raise InvalidRequest(
            f"x-aimm-cache == {text[:40]!r}, must be seconds such as 3600, at most {MAX_CACHE_S:,}, or no"
        )
    return int(text)
