"""Pages of other origins that may ask here by their visitors' browsers (CORS), as AIMM_CORS_ORIGINS names them."""

import re
from collections.abc import Sequence

Headers = list[tuple[bytes, bytes]]

ANY = "*"
_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_NAMES = re.compile(rb"[\w!#$%&'*+.^`|~, \t-]{1,2000}")
_TOLD = frozenset({b"cache-control", b"content-length", b"content-type", b"vary"})  # pages see these by themselves
MAX_AGE_S = 7200


def is_named(origin: bytes, allowed: Sequence[str]) -> bool:
    return origin != b"*" and origin.decode("latin-1").lower() in allowed


def answer_headers(origin: bytes, allowed: Sequence[str], names: Sequence[bytes]) -> Headers:
    """Headers for an answer whose own headers have these names; pages may read all of them."""
    named = is_named(origin, allowed)
    found: Headers = [(b"vary", b"Origin")]
    if origin and (named or ANY in allowed):
        # A browser's cookies may go with what is named, never with whatever page there is.
        found.append((b"access-control-allow-origin", origin if named else b"*"))
        found += [(b"access-control-allow-credentials", b"true")] if named else []
        exposed = sorted({name.lower() for name in names} - _TOLD)
        found.append((b"access-control-expose-headers", b", ".join(exposed)))
    return found


def preflight_headers(asked: dict[bytes, bytes]) -> Headers:
    """Leave for a page to send what it names; keys come in headers, so there is none to be kept from it."""
    found = [(b"access-control-allow-methods", _METHODS), (b"access-control-max-age", str(MAX_AGE_S).encode())]
    names = asked.get(b"access-control-request-headers", b"")
    if _NAMES.fullmatch(names):
        found.append((b"access-control-allow-headers", names))
    if asked.get(b"access-control-request-private-network") == b"true":
        found.append((b"access-control-allow-private-network", b"true"))
    return found
