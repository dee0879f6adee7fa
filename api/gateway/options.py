"""Headers with which a caller of the gateway says more than the request: user, tags, cap, fallbacks, cache."""

import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from core import InvalidRequest, Origin
from core.domain.budget import checked_cap
from core.domain.generation import MAX_CACHE_S
from core.formats import strict_json as json
from core.formats.names import PROMPT
from core.formats.text import MAX_SESSION, storable

if TYPE_CHECKING:
    from api.gateway.exchange import Exchange

# Where programs name their sessions: in metadata or labels, and in headers of Codex, Claude Code, LiteLLM and Helicone.
_SESSION_NAMES = ("session_id", "sessionId", "session-id", "conversation_id", "thread_id", "langfuse_session_id")
_SESSION_HEADERS = (
    b"session_id", b"session-id", b"x-claude-code-session-id", b"x-litellm-session-id", b"helicone-session-id",
)  # fmt: skip
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def variables_of(metadata: Any) -> dict[str, Any]:
    """The variables of a prompt in metadata or labels: each text, and those of `variables`, an object or its JSON."""
    if not isinstance(metadata, Mapping):
        return {}
    found = metadata.get("variables")
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except json.JSONDecodeError:
            found = None
    return {**metadata, **found} if isinstance(found, Mapping) else dict(metadata)


def is_of_prompt(body: Mapping[str, Any]) -> bool:
    """True where a prompt stands in the place of the model: then a body needs no turns of its own."""
    return str(body.get("model")).startswith(PROMPT)


def origin_of(
    exchange: "Exchange", *, user: str = "", fallbacks: tuple[str, ...] = (), metadata: Any = None, body: Any = None
) -> Origin:
    """The caller of a request.

    metadata: Where the caller says variables of a prompt.
    body: Where programs name their sessions.

    Raises:
        InvalidRequest: A header says what cannot be.
    """
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
        session_id=read(b"x-aimm-session") or _session_of(exchange, body),
        variables=variables_of(metadata),
        traceparent=trace if _TRACE.fullmatch(trace) else "",
    )


def _session_of(exchange: "Exchange", body: Any) -> str:
    """The session as programs name it on their own, in the order of how sure the name is; empty = they do not."""
    said = body if isinstance(body, Mapping) else {}
    told = said.get("metadata") or said.get("labels")
    told = told if isinstance(told, Mapping) else {}
    conversation = said.get("conversation")
    found = (
        *(told.get(name) for name in _SESSION_NAMES),
        conversation.get("id") if isinstance(conversation, Mapping) else conversation,
        _claude_session(told.get("user_id")),
        *(exchange.header(name) for name in _SESSION_HEADERS),
        said.get("prompt_cache_key"),
    )
    named = next((each for each in found if isinstance(each, str) and each.strip()), "")
    return _fitting(storable(named.strip()))


def _fitting(session: str) -> str:
    """A name of any length; of a long one its beginning and a digest, as two may begin alike."""
    if len(session) <= MAX_SESSION:
        return session
    return f"{session[:150]}…{hashlib.sha256(session.encode()).hexdigest()[:40]}"


def _claude_session(user_id: Any) -> str:
    """The session in Anthropic's `user_id`, where Claude Code puts it: in JSON, or at the end."""
    if not isinstance(user_id, str) or "session" not in user_id:
        return ""
    if user_id.startswith("{"):
        try:
            ids = json.loads(user_id)
        except ValueError:
            return ""
        return str(ids.get("session_id") or "") if isinstance(ids, dict) else ""
    return user_id.rpartition("_session_")[2] if "_session_" in user_id else ""


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
