"""Settings, read once from the environment and a .env file; nobody else reads os.environ."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values

from core import environment as read
from core.environment import Environment
from core.errors import InvalidRequest
from core.formats.days import check_order

LogContent = Literal["full", "metadata", "none"]
LogFormat = Literal["text", "json"]
JSON_LINES: LogFormat = "json"

_OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"  # of the European region: events.eu.pagerduty.com
DEFAULT_PRICES_FILE = "data/prices.yaml"
DEFAULT_FAMILIES_FILE = "data/families.yaml"
MAX_PROMPT_BYTES = 4 * 1024 * 1024  # above the largest context window that is sold today, about a million tokens


def _setting(default: Any, reader: Callable[..., Any], *of: Any, is_secret: bool = False) -> Any:
    """A field read by `reader(environment, *of)`. Where that finds nothing, the default holds; `dict`: an empty one."""
    made = default if default is dict else lambda: default
    return field(default_factory=made, repr=not is_secret, metadata={"read": lambda given: reader(given, *of)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The environment's settings.

    database_url: SQLAlchemy address; SQLite by default.
    copy_to: The address that `aimm db copy` copies to.
    keys, addresses: Vendor -> its key, vendor -> base address; a server's key stands beside the vendors'.
    default_model: The model used where a caller names none; None = chosen from what can be used.
    call_timeout_s: Total deadline of one call, retries included.
    log_content: The part of prompts and answers that is kept.
    keep_texts_days, keep_calls_days: Days after which texts, and calls, are deleted; None = a page says it, or never.
    log_format: The form of the lines that a server writes about itself.
    sentry_dsn: Address to which faults of ours are reported; None = nowhere.
    drain_s: How long a server that is told to stop lets answers under way go on.
    n_workers: Processes that serve side by side on this database.
    max_in_flight: Calls at once by HTTP in one process.
    max_waiting: Further calls that may wait for their turn.
    max_body_mib: Size of a request to the gateway at most, in MiB.
    allows_link_local: A vendor's address may be a link-local one, where a cloud's metadata service is too.
    proxies: Scheme, `all` or `no` -> address, as in HTTPS_PROXY and NO_PROXY; empty = vendors are asked directly.
    simulated_speed: Speed of simulated models, as a multiple of real life; 0 = at once.
    prices_file: The team's own price rows.
    families_file: The team's own rows of what families of models take.
    finds_local: Look for Ollama where it usually runs; OLLAMA_HOST says where, and empty says not to.
    servers: Further servers of the OpenAI wire: name -> base address.
    time_zone: The zone of the times and days that pages show, and of new budgets: an IANA name.
    is_developer: Show the page of the pieces that pages are made of.
    cors_origins: Origins whose pages may ask by their visitors' browsers, in small letters; `*` = all, with a key.
    require_key: A key and a login are needed on a loopback address too, as behind a reverse proxy.
    dashboard_password: The password of the pages; None = they ask for none.
    login_allowed: Mail addresses, or `@example.com`, that may log in with [auth] of Streamlit's secrets;
        empty = whoever the identity provider lets in.
    admins, editors, viewers: Of those accounts the ones of each role: addresses, `@example.com`, `group:NAME`, or `*`;
        all empty = all are admins.
    groups_claim: The claim that holds an account's groups; dots lead into it.
    alert_webhook, alert_slack: Addresses to which alerts are posted.
    alert_pagerduty: The routing key of a service of PagerDuty; pagerduty_url: where its events go.
    alert_email, smtp_url: The person to whom alerts are mailed, and the server that mails them.
    metrics_folder: The folder in which the processes of one server share their figures for Prometheus;
        None = there is one process.
    encryption_keys, encryption_key_file: The keys that vendors' keys are encrypted with in the database, or the file
        that holds them (None = aimm.key beside the database); the first encrypts, all are tried to read.
    otel_endpoint, otel_headers: Address to which spans and metrics go (None = nowhere), and the headers sent along.
    otel_is_latest: Use the newest names of the GenAI conventions.
    sources: Variable -> where it was set, environment or .env; what is not set is not in it.
    """

    database_url: str = _setting("sqlite:///data/aimm.db", read.database, is_secret=True)
    copy_to: str = _setting("", read.database, "AIMM_COPY_TO", is_secret=True)
    keys: Mapping[str, str] = _setting(dict, read.keys, is_secret=True)
    addresses: Mapping[str, str] = _setting(dict, read.addresses)
    finds_local: bool = _setting(False, Environment.is_unset, "OLLAMA_HOST")
    servers: Mapping[str, str] = _setting(dict, read.servers)
    default_model: str | None = _setting(None, Environment.text, "AIMM_DEFAULT_MODEL")
    call_timeout_s: float = _setting(120.0, read.number, "AIMM_CALL_TIMEOUT_S", 0.001, 86_400)
    log_content: LogContent = _setting("full", read.choice, "AIMM_LOG_CONTENT", ("full", "metadata", "none"))
    keep_texts_days: int | None = _setting(None, read.days, "AIMM_KEEP_TEXTS")
    keep_calls_days: int | None = _setting(None, read.days, "AIMM_KEEP_CALLS")
    log_format: LogFormat = _setting("text", read.choice, "AIMM_LOG_FORMAT", ("text", "json"))
    sentry_dsn: str | None = _setting(None, read.secret_address, "SENTRY_DSN", is_secret=True)
    drain_s: float = _setting(5.0, read.number, "AIMM_DRAIN_S", 0, 3600)
    n_workers: int = _setting(1, read.count, "AIMM_WORKERS")
    max_in_flight: int = _setting(1000, read.count, "AIMM_MAX_IN_FLIGHT")
    max_waiting: int = _setting(1000, read.count, "AIMM_MAX_WAITING")
    max_body_mib: int = _setting(32, read.count, "AIMM_MAX_BODY_MIB")
    allows_link_local: bool = _setting(False, read.switch, "AIMM_ALLOW_LINK_LOCAL")
    proxies: Mapping[str, str] = _setting(dict, read.proxies, is_secret=True)
    simulated_speed: float = _setting(1.0, read.number, "AIMM_SIMULATED_SPEED", 0, 1e6)
    prices_file: Path = _setting(Path(DEFAULT_PRICES_FILE), read.path, "AIMM_PRICES_FILE")
    families_file: Path = _setting(Path(DEFAULT_FAMILIES_FILE), read.path, "AIMM_FAMILIES_FILE")
    time_zone: str = _setting("UTC", read.time_zone)
    is_developer: bool = _setting(False, read.switch, "AIMM_DEVELOPER")
    cors_origins: tuple[str, ...] = _setting((), read.origins)
    require_key: bool = _setting(False, read.switch, "AIMM_REQUIRE_KEY")
    dashboard_password: str | None = _setting(None, read.password, is_secret=True)
    login_allowed: tuple[str, ...] = _setting((), read.logins)
    admins: tuple[str, ...] = _setting((), read.accounts, "AIMM_ADMINS")
    editors: tuple[str, ...] = _setting((), read.accounts, "AIMM_EDITORS")
    viewers: tuple[str, ...] = _setting((), read.accounts, "AIMM_VIEWERS")
    groups_claim: str = _setting("groups", Environment.text, "AIMM_GROUPS_CLAIM")
    alert_webhook: str | None = _setting(None, read.secret_address, "AIMM_ALERT_WEBHOOK", is_secret=True)
    alert_slack: str | None = _setting(None, read.secret_address, "AIMM_ALERT_SLACK", is_secret=True)
    alert_pagerduty: str | None = _setting(None, read.secret_text, "AIMM_ALERT_PAGERDUTY", is_secret=True)
    pagerduty_url: str = _setting(PAGERDUTY_URL, read.secret_address, "AIMM_PAGERDUTY_URL")
    alert_email: str | None = _setting(None, Environment.text, "AIMM_ALERT_EMAIL")
    smtp_url: str | None = _setting(None, read.secret_address, "AIMM_SMTP_URL", ("smtp", "smtps"), is_secret=True)
    metrics_folder: Path | None = _setting(None, read.path, "PROMETHEUS_MULTIPROC_DIR")
    otel_endpoint: str | None = _setting(None, read.endpoint, is_secret=True)
    otel_headers: Mapping[str, str] = _setting(dict, read.headers, is_secret=True)
    otel_service_name: str = _setting("aimm", Environment.text, "OTEL_SERVICE_NAME")
    encryption_keys: tuple[str, ...] = _setting((), read.encryption_keys, is_secret=True)
    encryption_key_file: Path | None = _setting(None, read.path, "AIMM_ENCRYPTION_KEY_FILE")
    otel_is_latest: bool = _setting(False, read.lists, _OPT_IN, "gen_ai_latest_experimental")
    sources: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings of one mapping.

        Raises:
            InvalidRequest: A value is not what its name promises.
        """
        given = Environment(environ)
        found = {each.name: each.metadata["read"](given) for each in fields(cls) if each.metadata}
        settings = cls(**{name: value for name, value in found.items() if value not in (None, "")})
        if settings.alert_email and not (settings.smtp_url and "@" in settings.alert_email):
            raise InvalidRequest(
                "AIMM_ALERT_EMAIL must be a mail address, and AIMM_SMTP_URL say which server mails to it."
            )
        check_order(settings.keep_texts_days, settings.keep_calls_days, ("AIMM_KEEP_TEXTS", "AIMM_KEEP_CALLS"))
        given.tell_of_others()
        return settings

    @classmethod
    def load(cls, folder: Path | None = None) -> "Settings":
        """The process environment over the `.env` of `folder` (default: the working folder)."""
        from_file = _env_file(folder or Path.cwd())
        sources = dict.fromkeys(from_file, ".env") | dict.fromkeys(os.environ, "environment")
        given = {**from_file, **os.environ}
        return replace(
            cls.from_environ(given), sources={name: where for name, where in sources.items() if given[name].strip()}
        )


def setting_before(name: str) -> str:
    """Look a variable up before the settings are read, and should they not be readable."""
    with suppress(InvalidRequest):
        return Environment({**_env_file(Path.cwd()), **os.environ}).text(name)
    with suppress(InvalidRequest):
        return Environment(os.environ).text(name)
    return ""


def _env_file(folder: Path) -> dict[str, str]:
    """Raises: InvalidRequest: It cannot be read."""
    file = folder / ".env"
    try:
        kept = dotenv_values(file, encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise InvalidRequest(f"{file} cannot be read ({type(error).__name__}); it must be a text in UTF-8.") from None
    return {name: value for name, value in kept.items() if value is not None}
