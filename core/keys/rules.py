"""The form of a key, the range of its fields, and the models it may ask. Pure, but for the making of a new one."""

import hashlib
import re
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

from core.config import LogContent
from core.domain.key import SCOPES, Key
from core.domain.people.person import TEAM
from core.domain.people.team import check_limit
from core.errors import Forbidden, InvalidRequest
from core.formats.text import is_storable, tags_problem

PREFIX = "aimm_"
MAX_PATTERNS = 50
_FORM = re.compile(r"aimm_([\w-]{43})([0-9a-f]{8})", re.ASCII)
LIMITS = ("rpm", "user_rpm", "tpm", "user_tpm", "max_parallel", "user_max_parallel")
FIELDS = ("name", "scopes", "models", "tags", *LIMITS, "log_content", "shares_cache", "expires_at", "owner", "team")
_LOG_CONTENT = (None, *get_args(LogContent))


def new_secret() -> str:
    """256 random bits and a check sum, by which a mistyped key is told from one that is gone."""
    body = secrets.token_urlsafe(32)
    return f"{PREFIX}{body}{_check_sum(body)}"


def _check_sum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def is_well_formed(secret: str) -> bool:
    found = _FORM.fullmatch(secret)
    return found is not None and _check_sum(found[1]) == found[2]


def digest_of(secret: str) -> str:
    """The digest that is kept of a key. A fast hash will do: nobody guesses 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def hint_of(secret: str) -> str:
    return f"{secret[:9]}…{secret[-4:]}"


def check_model(key: Key | None, model: str) -> None:
    """Refuse a model, an alias or an `exp:NAME` that a key may not ask; without a key, everything may be asked.

    Raises:
        Forbidden
    """
    if key is not None and not key.may_ask(model):
        allowed = ", ".join(key.models[:5]) + (", …" if len(key.models) > 5 else "")
        raise Forbidden(f"The key {key.name!r} may not ask {model[:80]!r}; it may ask: {allowed}.")


def check_owner(key: Key | None, key_id: str, what: str) -> None:
    """Refuse a key that did not ask for this itself, unless it has `admin`. key_id: Of the key that asked.

    Raises:
        Forbidden
    """
    if key is not None and key.id != key_id and "admin" not in key.scopes:
        raise Forbidden(f"The key {key.name!r} did not ask for this {what}.")


def problem_of(key_id: str, key: Key | None, now: datetime, *models: str) -> str:
    """The reason why work that a key began may not go on in its name; empty = it may. key: As it stands now."""
    if not key_id:
        return ""
    if key is None or not key.is_valid_at(now):
        return "The key that asked for this is no longer valid."
    if key.role == "viewer":  # its scopes or its owner's role were taken away
        return "The key that asked for this may ask no models any more."
    refused = next((model for model in models if not key.may_ask(model)), None)
    return "" if refused is None else f"The key that asked for this may no longer ask {refused[:80]!r}."


def checked(key: Key, fields: Mapping[str, Any], now: datetime) -> Key:
    """The key with these fields, if all of them are in range. Raises: InvalidRequest."""
    if unknown := sorted(set(fields) - set(FIELDS)):
        raise InvalidRequest(f"A key has no field {', '.join(unknown)}; it has {', '.join(FIELDS)}.")
    key = replace(key, **fields)
    for name in LIMITS:
        check_limit(name, getattr(key, name))
    if problem := tags_problem(_texts("tags", key.tags)):
        raise InvalidRequest(problem)
    if key.log_content not in _LOG_CONTENT:
        raise InvalidRequest(f"log_content == {key.log_content!r}, must be full, metadata or none, or left out")
    if not isinstance(key.shares_cache, bool):
        raise InvalidRequest(f"shares_cache == {key.shares_cache!r}, must be true or false")
    if key.team and not TEAM.fullmatch(key.team):
        raise InvalidRequest(f"team == {key.team[:40]!r}, must be 1 to 60 letters, digits, dots or dashes")
    return replace(
        key,
        name=_name(key.name),
        scopes=_scopes(key.scopes),
        models=_models(key.models),
        tags=tuple(dict.fromkeys(key.tags)),
        expires_at=_future(key.expires_at, now) if "expires_at" in fields else key.expires_at,
    )


def _name(name: Any) -> str:
    text = name.strip() if isinstance(name, str) else ""
    if not (1 <= len(text) <= 80 and is_storable(text) and text.isprintable()):
        raise InvalidRequest("A key needs a name of 1 to 80 printable characters.")
    return text


def _texts(name: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str) or not all(isinstance(each, str) for each in given):
        raise InvalidRequest(f"{name} must be a list of texts")
    return tuple(given)


def _scopes(given: Any) -> tuple[str, ...]:
    scopes = _texts("scopes", given)
    if not scopes or not set(scopes) <= set(SCOPES):
        raise InvalidRequest(f"scopes == {list(scopes)}, must be one or more of {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in scopes)


def _models(given: Any) -> tuple[str, ...]:
    patterns = tuple(dict.fromkeys(text.strip() for text in _texts("models", given)))
    if len(patterns) > MAX_PATTERNS or not all(1 <= len(p) <= 200 and p.isprintable() for p in patterns):
        raise InvalidRequest(f"models must be at most {MAX_PATTERNS} patterns of 1 to 200 characters, such as gpt-4o*")
    return patterns


def _future(given: Any, now: datetime) -> datetime | None:
    if given is None:
        return None
    if not isinstance(given, datetime) or given.tzinfo is None:
        raise InvalidRequest(f"expires_at == {given!r}, must be a moment with a time zone")
    moment = given.astimezone(UTC)
    if moment <= now:
        raise InvalidRequest(f"expires_at == {moment.isoformat()}, must be after now")
    return moment
