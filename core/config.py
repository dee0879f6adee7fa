"""Settings, read once from the environment and a .env file; nobody else reads os.environ."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, cast
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values

from core.errors import InvalidRequest, redact, register_secret

LogContent = Literal["full", "metadata", "none"]

DEFAULT_DATABASE_URL = "sqlite:///data/aimm.db"
DEFAULT_CALL_TIMEOUT_S = 120.0
DEFAULT_SERVICE_NAME = "aimm"
DEFAULT_PRICES_FILE = "data/prices.yaml"
MAX_PROMPT_BYTES = 4 * 1024 * 1024  # above the largest context window that is sold today, about a million tokens


_SERVER = re.compile(r"[a-z][a-z0-9_-]{0,30}")
MIN_PASSWORD = 12
_WEAK = (
    "password", "passw0rd", "p@ssw0rd", "p@ssword", "passwort", "changeme", "letmein", "administrator", "admin", "welcome",
    "secret", "qwertyuiop", "qwerty", "asdfghjkl", "zxcvbnm", "streamlit", "dashboard", "aimm",
)  # fmt: skip
_ON, _OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
RESERVED = ("gemini", "openai", "anthropic", "ollama", "simulated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says.

    database_url: SQLAlchemy address; SQLite by default.
    gemini_api_key: GEMINI_API_KEY, else GOOGLE_API_KEY; None when neither is set.
    default_model: The model used where a caller names none; None = chosen from what can be used.
    call_timeout_s: Total deadline of one call, retries included.
    log_content: What of prompts and answers is kept. n_workers: Processes that serve side by side on this database.
    max_in_flight, max_waiting: Calls at once by HTTP in one process, and how many more may wait for their turn.
    allows_link_local: Whether a vendor's address may be a link-local one; a cloud's metadata service is at such an address.
    simulated_speed: How much faster than life simulated models answer; 0 = at once.
    prices_file: The team's own price rows.
    finds_ollama: Whether to look for Ollama where it usually runs; OLLAMA_HOST says where, and empty says not to.
    servers, server_keys: Further servers of the OpenAI wire: name -> base address, name -> key.
    require_key: Whether a key and a login are needed on a loopback address too, as behind a reverse proxy.
    dashboard_password: What the pages ask for; None = nothing. login_allowed: Mail addresses, or `@example.com`, that may log
        in with [auth] of Streamlit's secrets; empty = whoever the identity provider lets in.
    alert_webhook, alert_slack: Where alerts are posted. alert_email, smtp_url: To whom and by which server they are mailed.
    metrics_folder: Where the processes of one server keep their figures for Prometheus; None = there is one process.
    otel_endpoint: Where spans and metrics are sent, with otel_headers; None = nowhere. otel_is_latest: Whether by the newest
        names of the GenAI conventions.
    """

    database_url: str = field(default=DEFAULT_DATABASE_URL, repr=False)
    gemini_api_key: str | None = field(default=None, repr=False)
    gemini_base_url: str | None = None
    openai_api_key: str | None = field(default=None, repr=False)
    openai_base_url: str | None = None
    anthropic_api_key: str | None = field(default=None, repr=False)
    anthropic_base_url: str | None = None
    ollama_host: str | None = None
    finds_ollama: bool = False
    servers: Mapping[str, str] = field(default_factory=dict)
    server_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    default_model: str | None = None
    call_timeout_s: float = DEFAULT_CALL_TIMEOUT_S
    log_content: LogContent = "full"
    n_workers: int = 1
    max_in_flight: int = 1000
    max_waiting: int = 1000
    allows_link_local: bool = False
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
        servers = _servers(environ.get("AIMM_SERVERS") or "")
        return cls(
            openai_api_key=_key(environ, "OPENAI_API_KEY"),
            openai_base_url=_address(environ, "OPENAI_BASE_URL"),
            anthropic_api_key=_key(environ, "ANTHROPIC_API_KEY"),
            anthropic_base_url=_address(environ, "ANTHROPIC_BASE_URL"),
            ollama_host=_bare(environ.get("OLLAMA_HOST")) or None,
            finds_ollama=environ.get("OLLAMA_HOST") != "",
            servers=servers,
            server_keys=_server_keys(environ, servers),
            database_url=_database(environ.get("DATABASE_URL")),
            gemini_api_key=_key(environ, "GEMINI_API_KEY") or _key(environ, "GOOGLE_API_KEY"),
            gemini_base_url=_address(environ, "GOOGLE_GEMINI_BASE_URL"),
            default_model=environ.get("AIMM_DEFAULT_MODEL") or None,
            call_timeout_s=_seconds(environ.get("AIMM_CALL_TIMEOUT_S")),
            log_content=_log_content(environ.get("AIMM_LOG_CONTENT") or "full"),
            n_workers=_count(environ, "AIMM_WORKERS", 1),
            max_in_flight=_count(environ, "AIMM_MAX_IN_FLIGHT", 1000),
            max_waiting=_count(environ, "AIMM_MAX_WAITING", 1000),
            allows_link_local=environ.get("AIMM_ALLOW_LINK_LOCAL") == "1",
            simulated_speed=_speed(environ.get("AIMM_SIMULATED_SPEED")),
            prices_file=Path(environ.get("AIMM_PRICES_FILE") or DEFAULT_PRICES_FILE),
            require_key=_switch(environ, "AIMM_REQUIRE_KEY"),
            dashboard_password=_password(environ),
            login_allowed=tuple(
                part.lower() for part in re.split(r"[\s,]+", environ.get("AIMM_LOGIN_ALLOWED") or "") if part
            ),
            alert_webhook=_secret(environ, "AIMM_ALERT_WEBHOOK"),
            alert_slack=_secret(environ, "AIMM_ALERT_SLACK"),
            alert_email=environ.get("AIMM_ALERT_EMAIL") or None,
            smtp_url=_secret(environ, "AIMM_SMTP_URL"),
            metrics_folder=Path(folder) if (folder := environ.get("PROMETHEUS_MULTIPROC_DIR")) else None,
            otel_endpoint=_endpoint(environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")),
            otel_headers=_headers(environ.get("OTEL_EXPORTER_OTLP_HEADERS") or ""),
            otel_service_name=environ.get("OTEL_SERVICE_NAME") or DEFAULT_SERVICE_NAME,
            otel_is_latest="gen_ai_latest_experimental"
            in (environ.get("OTEL_SEMCONV_STABILITY_OPT_IN") or "").split(","),
        )

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


def _servers(text: str) -> dict[str, str]:
    """`name=address`, separated by spaces or commas."""
    found: dict[str, str] = {}
    for part in re.split(r"[\s,]+", text.strip()) if text.strip() else ():
        name, _, address = part.partition("=")
        if not _SERVER.fullmatch(name) or not _is_address(address):
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


def _server_keys(environ: Mapping[str, str], servers: Mapping[str, str]) -> dict[str, str]:
    keys = {name: _key(environ, _key_name(name)) for name in servers}
    return {name: key for name, key in keys.items() if key is not None}


def _key_name(server: str) -> str:
    return f"AIMM_SERVER_{server.upper().replace('-', '_')}_KEY"


def _key(environ: Mapping[str, str], name: str) -> str | None:
    return to_key(environ.get(name), name)


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


def _address(environ: Mapping[str, str], name: str) -> str | None:
    """A vendor's base address."""
    address = _bare(environ.get(name))
    if address and not _is_address(address):
        raise InvalidRequest(f"{name} == {redact(address)[:80]!r}, must look like https://host or http://host:8000/v1")
    return address or None


def _is_address(text: str) -> bool:
    """Whether a text is an http address with a host; the password in it, if any, is kept out of all texts from now on."""
    try:
        parts = urlsplit(text)
        register_secret(parts.password)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and text.isprintable()
    except ValueError:  # a port that is no number, or half an IPv6 address
        return False


def _database(text: str | None) -> str:
    address = _bare(text)
    with suppress(ValueError):  # what is no address is refused by name when it is opened
        password = urlsplit(address).password
        for each in (password, unquote(password or "")):
            register_secret(each)
    return address or DEFAULT_DATABASE_URL


def _bare(text: str | None) -> str:
    """A value without what `--env-file`, a copied line or a secret's file leave around it."""
    value = (text or "").strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1].strip()
    return value


def _endpoint(text: str | None) -> str | None:
    """A collector's address, without its path."""
    if text is None or not text.strip():
        return None
    if not text.startswith(("http://", "https://")):
        raise InvalidRequest("OTEL_EXPORTER_OTLP_ENDPOINT must look like http://localhost:4318")
    _, at, _ = text.rpartition("@")
    register_secret(text if at else None)
    return text.strip().rstrip("/")


def _headers(text: str) -> dict[str, str]:
    """`name=value`, separated by commas, percent-encoded, as OpenTelemetry has it; the values are secrets."""
    found = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name.strip() and value.strip():
            found[name.strip().lower()] = unquote(value.strip())
            for secret in (unquote(value.strip()), unquote(value).split()[-1]):
                register_secret(secret)
    return found


def _secret(environ: Mapping[str, str], name: str) -> str | None:
    """An address that may hold a password or be one."""
    value = environ.get(name) or None
    register_secret(value)
    return value


def _switch(environ: Mapping[str, str], name: str) -> bool:
    text = (environ.get(name) or "0").strip().lower()
    if text not in _ON + _OFF:
        raise InvalidRequest(f"{name} == {text[:20]!r}, must be 1 or 0")
    return text in _ON


def _password(environ: Mapping[str, str]) -> str | None:
    value = _secret(environ, "AIMM_DASHBOARD_PASSWORD")
    if value is not None and is_weak(value):
        raise InvalidRequest(
            f"AIMM_DASHBOARD_PASSWORD can be guessed: it must have {MIN_PASSWORD} characters at least, and be more than a"
            " common word, a row of keys or a repetition. Make one with: openssl rand -base64 18"
        )
    return value


def is_weak(password: str) -> bool:
    """Whether a password is short, or little is left of it without common words, runs and repetitions."""
    rest = password.lower()
    for word in _WEAK:
        rest = rest.replace(word, "")
    fresh = {b for a, b in pairwise(" " + rest) if abs(ord(b) - ord(a)) > 1}
    return len(password) < MIN_PASSWORD or len(fresh) < 5


def _count(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not re.fullmatch(r"[1-9]\d{0,5}", text):
        raise InvalidRequest(f"{name} == {text!r}, must be a whole number from 1 to 999999")
    return int(text)


def _seconds(text: str | None) -> float:
    try:
        seconds = float(text) if text else DEFAULT_CALL_TIMEOUT_S
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 86_400:
        raise InvalidRequest(f"AIMM_CALL_TIMEOUT_S == {text!r}, must be seconds in (0, 86400]")
    return seconds


def _speed(text: str | None) -> float:
    try:
        speed = float(text) if text else 1.0
    except ValueError:
        speed = -1.0
    if not 0 <= speed <= 1e6:
        raise InvalidRequest(f"AIMM_SIMULATED_SPEED == {text!r}, must be a number from 0 (at once) to 1000000")
    return speed


def _log_content(text: str) -> LogContent:
    if text not in ("full", "metadata", "none"):
        raise InvalidRequest(f"AIMM_LOG_CONTENT == {text!r}, must be full, metadata or none")
    return cast(LogContent, text)
