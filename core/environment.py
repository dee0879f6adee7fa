"""Values of the environment, each read and checked for the setting that it is."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from core.errors import InvalidRequest, redact, register_secret
from core.formats.days import days_of
from core.formats.zones import check_zone
from core.vendors import VENDORS

logger = logging.getLogger(__name__)

_FERNET = re.compile(r"[A-Za-z0-9_-]{43}=")
_SERVER = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_ORIGIN = re.compile(r"(?!https://[^/]*:443$|http://[^/]*:80$)[a-z][a-z0-9+.-]*://[a-z0-9_.\-\[\]:]+")
MIN_PASSWORD = 12
_WEAK = (
    "password", "passw0rd", "p@ssw0rd", "p@ssword", "passwort", "changeme", "letmein", "administrator", "admin",
    "welcome", "secret", "qwertyuiop", "qwerty", "asdfghjkl", "zxcvbnm", "streamlit", "dashboard", "aimm",
)  # fmt: skip
_ON, _OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
RESERVED = (*VENDORS, "simulated")


class Environment:
    """Values by name, as they were meant; empty where there is none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._known: set[str] = set()

    def text(self, name: str) -> str:
        self._known.add(name)
        value = _bare(self._environ.get(name))
        if not all(character.isprintable() or character.isspace() for character in value):
            raise InvalidRequest(f"{name} holds an invisible character; type it instead of pasting it.")
        return value

    def is_unset(self, name: str) -> bool:
        """True where there is not even an empty value."""
        return name not in self._environ

    def tell_of_others(self) -> None:
        """Name what looks like a setting and is none: a misspelt one would be off without a word."""
        for name in sorted(self._environ.keys() - self._known):
            if name.startswith("AIMM_"):
                if name.startswith("AIMM_SERVER_"):
                    logger.warning("%s is the key of no server in AIMM_SERVERS", name)
                    continue
                close = get_close_matches(name, self._known, n=1)
                logger.warning("%s is no setting%s", name, f"; did you mean {close[0]}?" if close else "")


def path(given: Environment, name: str) -> Path | None:
    return Path(found) if (found := given.text(name)) else None


def lists(given: Environment, name: str, item: str) -> bool:
    """Tell whether a list separated by commas has an item."""
    return item in given.text(name).split(",")


def servers(given: Environment) -> dict[str, str]:
    """`name=address`, separated by spaces or commas."""
    found: dict[str, str] = {}
    for part in given.text("AIMM_SERVERS").replace(",", " ").split():
        name, _, address = part.partition("=")
        if not _SERVER.fullmatch(name) or not is_base(address):
            raise InvalidRequest(
                f"AIMM_SERVERS: {redact(part)[:80]!r} must look like vllm=http://localhost:8000/v1, the name in small"
                " letters, digits, - and _"
            )
        if name in RESERVED:
            raise InvalidRequest(f"AIMM_SERVERS: {name!r} is the name of a vendor; take another.")
        if any(_key_name(name) == _key_name(other) for other in found):
            raise InvalidRequest(f"AIMM_SERVERS names two servers whose key is {_key_name(name)}; rename one.")
        found[name] = address
    return found


def origins(given: Environment) -> tuple[str, ...]:
    """Origins as browsers send them, separated by spaces or commas, or `*`."""
    found = given.text("AIMM_CORS_ORIGINS").lower().replace(",", " ").split()
    for origin in found:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise InvalidRequest(
                f"AIMM_CORS_ORIGINS: {redact(origin)[:80]!r} must be * or an origin such as https://app.example.com or"
                " http://localhost:3000, without a path, a default port or a * in it."
            )
    return tuple(found)


def keys(given: Environment) -> dict[str, str]:
    """Vendor or server -> its key, where it has one."""
    names = {spec.name: spec.key_variables for spec in VENDORS.values()}
    names |= {server: (_key_name(server),) for server in servers(given)}
    found: dict[str, str] = {}
    for owner, variables in names.items():
        for key in [to_key(given.text(variable), variable) for variable in variables]:
            found |= {owner: key} if key and owner not in found else {}
    return found


def addresses(given: Environment) -> dict[str, str]:
    """Vendor -> its base address, where one is set."""
    found = {
        spec.name: _ollama(given.text(spec.url_variable)) if spec.is_local else _address(given, spec.url_variable)
        for spec in VENDORS.values()
    }
    return {name: address for name, address in found.items() if address}


def encryption_keys(given: Environment) -> tuple[str, ...]:
    """The keys that vendors' keys are encrypted with, separated by commas or blanks, the newest first."""
    found = tuple(given.text("AIMM_ENCRYPTION_KEY").replace(",", " ").split())
    for key in found:
        register_secret(key)
        if not _FERNET.fullmatch(key):
            raise InvalidRequest(
                "AIMM_ENCRYPTION_KEY must be keys of 44 letters, digits, - and _, ending with =, separated by commas."
                " Make one with: aimm vendors new-key"
            )
    return found


def _key_name(server: str) -> str:
    return f"AIMM_SERVER_{server.upper().replace('-', '_')}_KEY"


def to_key(text: str | None, name: str = "The key") -> str | None:
    """A vendor's key as it was pasted, without the blanks, line breaks and quotes around it; None when nothing is left.

    Raises:
        InvalidRequest: It holds what no key holds, and what would end a header's line.
    """
    key = _bare(text)
    register_secret(key)
    if not all("!" <= character <= "~" for character in key):
        raise InvalidRequest(f"{name} holds a blank, a line break or a letter that no key has; copy the key again.")
    return key or None


def _address(given: Environment, name: str) -> str | None:
    """A vendor's base address."""
    address = given.text(name)
    if address and not is_base(address):
        raise InvalidRequest(
            f"{name} == {redact(address)[:80]!r}, must look like https://host or http://host:8000/v1,"
            " without user, ? and #"
        )
    return address or None


def _is_address(text: str, schemes: Sequence[str] = ("http", "https")) -> bool:
    """True for an address with a host; a password in it is kept out of all texts from now on."""
    try:
        parts = urlsplit(text)
        register_secret(parts.password)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and text.isprintable()
    except ValueError:  # a port that is no number, or half an IPv6 address
        return False


def is_base(text: str) -> bool:
    """True for an address behind which paths can be put without a loss."""
    return _is_address(text) and not set("@?# ") & set(text)


def proxies(given: Environment) -> dict[str, str]:
    """The proxies to vendors: those of the environment, or one for all."""
    wanted = given.text("AIMM_PROXY")
    names = {
        name: given.text(f"{name}_proxy") or given.text(f"{name.upper()}_PROXY")
        for name in ("http", "https", "all", "no")
    }
    if not wanted:
        return {}
    found = names if wanted == "environment" else {"all": wanted, "no": names["no"]}
    proxies = {
        name: text if name == "no" or "://" in text else f"http://{text}" for name, text in found.items() if text
    }
    if not all(name == "no" or (_is_address(address) and " " not in address) for name, address in proxies.items()):
        raise InvalidRequest(
            "AIMM_PROXY must be environment or an address such as http://proxy.example:3128, and so must the variables"
            " that it points to"
        )
    return proxies


def _ollama(text: str) -> str | None:
    """An address as Ollama itself reads it: HTTP and its own port where none is named."""
    if not text:
        return None
    scheme, found, rest = text.rpartition("://")
    host, _, path = rest.partition("/")
    if host.count(":") > 1 and "[" not in host:
        host = f"[{host}]"
    if host.startswith(":"):
        host = f"127.0.0.1{host}"
    port = "" if found or re.search(r":\d+$", host) else ":11434"
    address = f"{scheme or 'http'}://{host}{port}{path and f'/{path}'}".rstrip("/")
    if not is_base(address):
        raise InvalidRequest(f"OLLAMA_HOST == {redact(text)[:80]!r}, must look like host, host:11434 or https://host")
    return address


def database(given: Environment, name: str = "DATABASE_URL") -> str:
    address = given.text(name)
    with suppress(ValueError):  # what is no address is refused by name when it is opened
        parts = urlsplit(address)
        query = parse_qs(parts.query)
        for each in (parts.password or "", *query.get("password", ()), *query.get("sslpassword", ())):
            register_secret(each)
            register_secret(unquote(each))
    return address


def _bare(text: str | None) -> str:
    """A value without what `--env-file`, a copied line or a secret's file leave around it."""
    value = (text or "").strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1].strip()
    return value


def endpoint(given: Environment) -> str:
    """A collector's address, without its path."""
    text = given.text("OTEL_EXPORTER_OTLP_ENDPOINT")
    if text and not _is_address(text):
        raise InvalidRequest("OTEL_EXPORTER_OTLP_ENDPOINT must look like http://localhost:4318")
    register_secret(text if "@" in text else None)
    return text.rstrip("/")


def headers(given: Environment) -> dict[str, str]:
    """`name=value`, separated by commas, percent-encoded, as OpenTelemetry has it; the values are secrets."""
    found = {}
    for part in given.text("OTEL_EXPORTER_OTLP_HEADERS").split(","):
        name, _, value = part.partition("=")
        value = unquote(value).strip()
        register_secret(value)
        if not (f"{name}{value}".isascii() and f"{name}{value}".isprintable()):
            raise InvalidRequest("OTEL_EXPORTER_OTLP_HEADERS must look like name=value,name=value in plain letters")
        if name.strip() and value:
            found[name.strip().lower()] = value
            register_secret(value.split()[-1])
    return found


def secret_address(given: Environment, name: str, schemes: Sequence[str] = ("http", "https")) -> str:
    """An address that may hold a password or be one."""
    value = given.text(name)
    register_secret(value)
    if value and not _is_address(value, schemes):
        raise InvalidRequest(f"{name} is no address; it must look like {schemes[-1]}://host/…")
    return value


def secret_text(given: Environment, name: str) -> str:
    """A key that is handed on as it is, and shown nowhere."""
    value = given.text(name)
    register_secret(value)
    if any(not "!" <= each <= "~" for each in value):
        raise InvalidRequest(f"{name} is no key: it holds a space or a sign that keys have not")
    return value


def logins(given: Environment) -> tuple[str, ...]:
    found = tuple(given.text("AIMM_LOGIN_ALLOWED").lower().replace(",", " ").split())
    if wrong := [part for part in found if "@" not in part]:
        raise InvalidRequest(f"AIMM_LOGIN_ALLOWED: {wrong[0][:80]!r} must look like ada@example.com or @example.com")
    return found


def accounts(given: Environment, name: str) -> tuple[str, ...]:
    """Addresses, `@example.com`, `group:NAME` or `*`, with commas between: names of groups may have spaces."""
    found = tuple(part.strip() for part in given.text(name).split(",") if part.strip())
    for part in found:
        if part != "*" and not part.startswith("group:") and "@" not in part:
            raise InvalidRequest(
                f"{name}: {part[:80]!r} must look like ada@example.com, @example.com, group:platform or *"
            )
    return tuple(part if part.startswith("group:") else part.lower() for part in found)


def time_zone(given: Environment) -> str:
    name = given.text("AIMM_TIME_ZONE")
    try:
        check_zone(name or "UTC")
    except InvalidRequest as error:
        raise InvalidRequest(f"AIMM_TIME_ZONE: {error.message}") from None
    return name


def switch(given: Environment, name: str) -> bool:
    text = (given.text(name) or "0").lower()
    if text not in _ON + _OFF:
        raise InvalidRequest(f"{name} == {text[:20]!r}, must be 1 or 0")
    return text in _ON


def password(given: Environment) -> str:
    value = given.text("AIMM_DASHBOARD_PASSWORD")
    register_secret(value)
    if value and is_weak(value):
        raise InvalidRequest(
            f"AIMM_DASHBOARD_PASSWORD can be guessed: it must have {MIN_PASSWORD} characters at least, and be more than"
            " a common word, a row of keys or a repetition. Make one with: openssl rand -base64 18"
        )
    return value


def is_weak(password: str) -> bool:
    """True for a password that is short, or of which little is left without common words, runs and repetitions."""
    rest = password.lower()
    for word in _WEAK:
        rest = rest.replace(word, "")
    fresh = {b for a, b in pairwise(" " + rest) if abs(ord(b) - ord(a)) > 1}
    return len(password) < MIN_PASSWORD or len(fresh) < 5


def count(given: Environment, name: str) -> int | None:
    text = given.text(name)
    if text and not re.fullmatch(r"[1-9]\d{0,5}", text):
        raise InvalidRequest(f"{name} == {text[:20]!r}, must be a whole number from 1 to 999999")
    return int(text) if text else None


def days(given: Environment, name: str) -> int | None:
    return days_of(given.text(name), name)


def number(given: Environment, name: str, low: float, high: float) -> float | None:
    text = given.text(name)
    try:
        found = float(text) if text else None
    except ValueError:
        found = math.nan
    if found is not None and not low <= found <= high:
        raise InvalidRequest(f"{name} == {text[:20]!r}, must be a number from {low:g} to {high:g}")
    return found


def choice(given: Environment, name: str, choices: Sequence[str]) -> str:
    text = given.text(name)
    if text and text not in choices:
        raise InvalidRequest(f"{name} == {text[:20]!r}, must be {', '.join(choices[:-1])} or {choices[-1]}")
    return text
