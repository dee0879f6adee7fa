"""Settings, read once from the environment and a .env file; nobody else reads os.environ."""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Literal, cast
from urllib.parse import parse_qs, unquote, urlsplit

from dotenv import dotenv_values

from core.errors import InvalidRequest, redact, register_secret
from core.vendors import VENDORS

logger = logging.getLogger(__name__)

LogContent = Literal["full", "metadata", "none"]

DEFAULT_DATABASE_URL = "sqlite:///data/aimm.db"
DEFAULT_CALL_TIMEOUT_S = 120.0
DEFAULT_SERVICE_NAME = "aimm"
DEFAULT_PRICES_FILE = "data/prices.yaml"
MAX_PROMPT_BYTES = 4 * 1024 * 1024  # above the largest context window that is sold today, about a million tokens


_SERVER = re.compile(r"[a-z][a-z0-9_-]{0,30}")
MIN_PASSWORD = 12
_WEAK = (
    "password", "passw0rd", "p@ssw0rd", "p@ssword", "passwort", "changeme", "letmein", "administrator", "admin",
    "welcome", "secret", "qwertyuiop", "qwerty", "asdfghjkl", "zxcvbnm", "streamlit", "dashboard", "aimm",
)  # fmt: skip
_ON, _OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
RESERVED = (*VENDORS, "simulated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The environment's settings.

    database_url: SQLAlchemy address; SQLite by default.
    keys, addresses: Vendor -> its key, vendor -> base address; a server's key stands beside the vendors'.
    default_model: The model used where a caller names none; None = chosen from what can be used.
    call_timeout_s: Total deadline of one call, retries included.
    log_content: The part of prompts and answers that is kept.
    n_workers: Processes that serve side by side on this database.
    max_in_flight: Calls at once by HTTP in one process.
    max_waiting: Further calls that may wait for their turn.
    allows_link_local: A vendor's address may be a link-local one, where a cloud's metadata service is too.
    proxies: Scheme, `all` or `no` -> address, as in HTTPS_PROXY and NO_PROXY; empty = vendors are asked directly.
    simulated_speed: Speed of simulated models, as a multiple of real life; 0 = at once.
    prices_file: The team's own price rows.
    finds_local: Look for Ollama where it usually runs; OLLAMA_HOST says where, and empty says not to.
    servers: Further servers of the OpenAI wire: name -> base address.
    require_key: A key and a login are needed on a loopback address too, as behind a reverse proxy.
    dashboard_password: The password of the pages; None = they ask for none.
    login_allowed: Mail addresses, or `@example.com`, that may log in with [auth] of Streamlit's secrets;
        empty = whoever the identity provider lets in.
    alert_webhook, alert_slack: Addresses to which alerts are posted.
    alert_email, smtp_url: The person to whom alerts are mailed, and the server that mails them.
    metrics_folder: The folder in which the processes of one server share their figures for Prometheus;
        None = there is one process.
    otel_endpoint, otel_headers: Address to which spans and metrics go (None = nowhere), and the headers sent along.
    otel_is_latest: Use the newest names of the GenAI conventions.
    """

    database_url: str = field(default=DEFAULT_DATABASE_URL, repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    addresses: Mapping[str, str] = field(default_factory=dict)
    finds_local: bool = False
    servers: Mapping[str, str] = field(default_factory=dict)
    default_model: str | None = None
    call_timeout_s: float = DEFAULT_CALL_TIMEOUT_S
    log_content: LogContent = "full"
    n_workers: int = 1
    max_in_flight: int = 1000
    max_waiting: int = 1000
    allows_link_local: bool = False
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    simulated_speed: float = 1.0
    prices_file: Path = Path(DEFAULT_PRICES_FILE)
    require_key: bool = False
    dashboard_password: str | None = field(default=None, repr=False)
    login_allowed: tuple[str, ...] = ()
    alert_webhook: str | None = field(default=None, repr=False)
    alert_slack: str | None = field(default=None, repr=False)
    alert_email: str | None = None
    smtp_url: str | None = field(default=None, repr=False)
    metrics_folder: Path | None = None
    otel_endpoint: str | None = field(default=None, repr=False)
    otel_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    otel_service_name: str = DEFAULT_SERVICE_NAME
    otel_is_latest: bool = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings of one mapping.

        Raises:
            InvalidRequest: A value is not what its name promises.
        """
        given = _Environment(environ)
        servers = _servers(given("AIMM_SERVERS"))
        settings = cls(
            keys=_keys(given, servers),
            addresses=_addresses(given),
            finds_local=environ.get("OLLAMA_HOST") is None,
            servers=servers,
            database_url=_database(given("DATABASE_URL")),
            default_model=given("AIMM_DEFAULT_MODEL") or None,
            call_timeout_s=_number(given, "AIMM_CALL_TIMEOUT_S", DEFAULT_CALL_TIMEOUT_S, (0.001, 86_400)),
            log_content=_log_content(given("AIMM_LOG_CONTENT") or "full"),
            n_workers=_count(given, "AIMM_WORKERS", 1),
            max_in_flight=_count(given, "AIMM_MAX_IN_FLIGHT", 1000),
            max_waiting=_count(given, "AIMM_MAX_WAITING", 1000),
            allows_link_local=_switch(given, "AIMM_ALLOW_LINK_LOCAL"),
            proxies=_proxies(given),
            simulated_speed=_number(given, "AIMM_SIMULATED_SPEED", 1.0, (0, 1e6)),
            prices_file=Path(given("AIMM_PRICES_FILE") or DEFAULT_PRICES_FILE),
            require_key=_switch(given, "AIMM_REQUIRE_KEY"),
            dashboard_password=_password(given),
            login_allowed=_logins(given("AIMM_LOGIN_ALLOWED")),
            alert_webhook=_secret_address(given, "AIMM_ALERT_WEBHOOK"),
            alert_slack=_secret_address(given, "AIMM_ALERT_SLACK"),
            alert_email=given("AIMM_ALERT_EMAIL") or None,
            smtp_url=_secret_address(given, "AIMM_SMTP_URL", ("smtp", "smtps")),
            metrics_folder=Path(folder) if (folder := given("PROMETHEUS_MULTIPROC_DIR")) else None,
            otel_endpoint=_endpoint(given("OTEL_EXPORTER_OTLP_ENDPOINT")),
            otel_headers=_headers(given("OTEL_EXPORTER_OTLP_HEADERS")),
            otel_service_name=given("OTEL_SERVICE_NAME") or DEFAULT_SERVICE_NAME,
            otel_is_latest="gen_ai_latest_experimental" in given("OTEL_SEMCONV_STABILITY_OPT_IN").split(","),
        )
        if settings.alert_email and not (settings.smtp_url and "@" in settings.alert_email):
            raise InvalidRequest(
                "AIMM_ALERT_EMAIL must be a mail address, and AIMM_SMTP_URL say which server mails to it."
            )
        given.tell_of_others()
        return settings

    @classmethod
    def load(cls, folder: Path | None = None) -> "Settings":
        """The process environment over the `.env` of `folder` (default: the working folder)."""
        file = (folder or Path.cwd()) / ".env"
        try:
            read = dotenv_values(file, encoding="utf-8-sig")
        except (OSError, UnicodeError) as error:
            raise InvalidRequest(
                f"{file} cannot be read ({type(error).__name__}); it must be a text in UTF-8."
            ) from None
        from_file = {name: value for name, value in read.items() if value is not None}
        return cls.from_environ({**from_file, **os.environ})


class _Environment:
    """Values by name, as they were meant; empty where there is none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        self._known.add(name)
        value = _bare(self._environ.get(name))
        if not all(character.isprintable() or character.isspace() for character in value):
            raise InvalidRequest(f"{name} holds an invisible character; type it instead of pasting it.")
        return value

    def tell_of_others(self) -> None:
        """Name what looks like a setting and is none: a misspelt one would be off without a word."""
        for name in sorted(self._environ.keys() - self._known):
            if name.startswith("AIMM_"):
                if name.startswith("AIMM_SERVER_"):
                    logger.warning("%s is the key of no server in AIMM_SERVERS", name)
                    continue
                close = get_close_matches(name, self._known, n=1)
                logger.warning("%s is no setting%s", name, f"; did you mean {close[0]}?" if close else "")


def _servers(text: str) -> dict[str, str]:
    """`name=address`, separated by spaces or commas."""
    found: dict[str, str] = {}
    for part in re.split(r"[\s,]+", text) if text else ():
        name, _, address = part.partition("=")
        if not _SERVER.fullmatch(name) or not _is_base(address):
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


def _keys(given: _Environment, servers: Mapping[str, str]) -> dict[str, str]:
    """Vendor or server -> its key, where it has one."""
    names = {spec.name: spec.key_variables for spec in VENDORS.values()}
    names |= {server: (_key_name(server),) for server in servers}
    found: dict[str, str] = {}
    for owner, variables in names.items():
        for key in [to_key(given(variable), variable) for variable in variables]:
            found |= {owner: key} if key and owner not in found else {}
    return found


def _addresses(given: _Environment) -> dict[str, str]:
    """Vendor -> its base address, where one is set."""
    found = {
        spec.name: _ollama(given(spec.url_variable)) if spec.is_local else _address(given, spec.url_variable)
        for spec in VENDORS.values()
    }
    return {name: address for name, address in found.items() if address}


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


def _address(given: _Environment, name: str) -> str | None:
    """A vendor's base address."""
    address = given(name)
    if address and not _is_base(address):
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


def _is_base(text: str) -> bool:
    """True for an address behind which paths can be put without a loss."""
    return _is_address(text) and not set("@?# ") & set(text)


def _proxies(given: _Environment) -> dict[str, str]:
    """The proxies to vendors: those of the environment, or one for all."""
    wanted = given("AIMM_PROXY")
    names = {name: given(f"{name}_proxy") or given(f"{name.upper()}_PROXY") for name in ("http", "https", "all", "no")}
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
    if not _is_base(address):
        raise InvalidRequest(f"OLLAMA_HOST == {redact(text)[:80]!r}, must look like host, host:11434 or https://host")
    return address


def _database(address: str) -> str:
    with suppress(ValueError):  # what is no address is refused by name when it is opened
        parts = urlsplit(address)
        given = parse_qs(parts.query)
        for each in (parts.password or "", *given.get("password", ()), *given.get("sslpassword", ())):
            register_secret(each)
            register_secret(unquote(each))
    return address or DEFAULT_DATABASE_URL


def _bare(text: str | None) -> str:
    """A value without what `--env-file`, a copied line or a secret's file leave around it."""
    value = (text or "").strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1].strip()
    return value


def _endpoint(text: str) -> str | None:
    """A collector's address, without its path."""
    if text and not _is_address(text):
        raise InvalidRequest("OTEL_EXPORTER_OTLP_ENDPOINT must look like http://localhost:4318")
    register_secret(text if "@" in text else None)
    return text.rstrip("/") or None


def _headers(text: str) -> dict[str, str]:
    """`name=value`, separated by commas, percent-encoded, as OpenTelemetry has it; the values are secrets."""
    found = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        value = unquote(value).strip()
        register_secret(value)
        if not (f"{name}{value}".isascii() and f"{name}{value}".isprintable()):
            raise InvalidRequest("OTEL_EXPORTER_OTLP_HEADERS must look like name=value,name=value in plain letters")
        if name.strip() and value:
            found[name.strip().lower()] = value
            register_secret(value.split()[-1])
    return found


def _secret_address(given: _Environment, name: str, schemes: Sequence[str] = ("http", "https")) -> str | None:
    """An address that may hold a password or be one."""
    value = given(name)
    register_secret(value)
    if value and not _is_address(value, schemes):
        raise InvalidRequest(f"{name} is no address; it must look like {schemes[-1]}://host/…")
    return value or None


def _logins(text: str) -> tuple[str, ...]:
    found = tuple(part.lower() for part in re.split(r"[\s,]+", text) if part)
    if wrong := [part for part in found if "@" not in part]:
        raise InvalidRequest(f"AIMM_LOGIN_ALLOWED: {wrong[0][:80]!r} must look like ada@example.com or @example.com")
    return found


def _switch(given: _Environment, name: str) -> bool:
    text = (given(name) or "0").lower()
    if text not in _ON + _OFF:
        raise InvalidRequest(f"{name} == {text[:20]!r}, must be 1 or 0")
    return text in _ON


def _password(given: _Environment) -> str | None:
    value = given("AIMM_DASHBOARD_PASSWORD")
    register_secret(value)
    if value and is_weak(value):
        raise InvalidRequest(
            f"AIMM_DASHBOARD_PASSWORD can be guessed: it must have {MIN_PASSWORD} characters at least, and be more than"
            " a common word, a row of keys or a repetition. Make one with: openssl rand -base64 18"
        )
    return value or None


def is_weak(password: str) -> bool:
    """True for a password that is short, or of which little is left without common words, runs and repetitions."""
    rest = password.lower()
    for word in _WEAK:
        rest = rest.replace(word, "")
    fresh = {b for a, b in pairwise(" " + rest) if abs(ord(b) - ord(a)) > 1}
    return len(password) < MIN_PASSWORD or len(fresh) < 5


def _count(given: _Environment, name: str, default: int) -> int:
    text = given(name) or str(default)
    if not re.fullmatch(r"[1-9]\d{0,5}", text):
        raise InvalidRequest(f"{name} == {text[:20]!r}, must be a whole number from 1 to 999999")
    return int(text)


def _number(given: _Environment, name: str, default: float, bounds: tuple[float, float]) -> float:
    text = given(name)
    try:
        number = float(text) if text else default
    except ValueError:
        number = -1.0
    if not bounds[0] <= number <= bounds[1]:
        raise InvalidRequest(f"{name} == {text[:20]!r}, must be a number from {bounds[0]:g} to {bounds[1]:g}")
    return number


def _log_content(text: str) -> LogContent:
    if text not in ("full", "metadata", "none"):
        raise InvalidRequest(f"AIMM_LOG_CONTENT == {text[:20]!r}, must be full, metadata or none")
    return cast(LogContent, text)
