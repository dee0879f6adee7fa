"""The settings of this process, grouped: value, where it comes from, effect. Secrets are told as set or not set."""

from typing import NamedTuple

import streamlit as st

from core import Settings
from core.formats.days import shown_days
from core.vendors import VENDORS
from dashboard.process import manager

DEFAULT = "default"


class Row(NamedTuple):
    """A setting as it is shown.

    variable: The environment variable that sets it.
    source: environment, .env or default.
    """

    name: str
    variable: str
    value: str
    source: str
    effect: str


def groups() -> dict[str, list[Row]]:
    mm = manager()
    s = mm.settings
    return {
        "Models and calls": [
            _row(s, "Default model", "AIMM_DEFAULT_MODEL", mm.models.default(), "Used where a call names no model."),
            _row(s, "Call timeout", "AIMM_CALL_TIMEOUT_S", f"{s.call_timeout_s:g} s", "Of one call, retries included."),
            _row(s, "Calls at once", "AIMM_MAX_IN_FLIGHT", f"{s.max_in_flight:,}", "By HTTP, in one process."),
            _row(s, "Calls that wait", "AIMM_MAX_WAITING", f"{s.max_waiting:,}", "Further calls are refused with 503."),
            _row(s, "Own servers", "AIMM_SERVERS", ", ".join(s.servers) or "none", "Your servers with OpenAI's API."),
            _row(s, "Proxy", "AIMM_PROXY", _is_set(s.proxies), "The way to vendors out of a company's network."),
            _row(s, "Own prices", "AIMM_PRICES_FILE", str(s.prices_file), "Price rows before the list prices."),
            _row(s, "Own families", "AIMM_FAMILIES_FILE", str(s.families_file), "The parameters of model families."),
        ],
        "Access": [
            _row(
                s, "Password of the pages", "AIMM_DASHBOARD_PASSWORD", _is_set(s.dashboard_password),
                "Asked for at login.",
            ),
            _row(
                s, "Keys on this machine", "AIMM_REQUIRE_KEY", "needed" if s.require_key else "not needed",
                "Needed behind a reverse proxy; from other machines a key is always needed.",
            ),
            _row(s, "Allowed sites", "AIMM_CORS_ORIGINS", ", ".join(s.cors_origins) or "none", "May call the API."),
            _row(
                s, "Who may log in", "AIMM_LOGIN_ALLOWED", ", ".join(s.login_allowed) or "everybody",
                "Mail addresses that the identity provider of Streamlit's secrets may let in.",
            ),
        ],
        "Roles of accounts that an identity provider names": _roles(s),
        "Alerts": [
            _row(s, "Webhook", "AIMM_ALERT_WEBHOOK", _is_set(s.alert_webhook), "Alerts are posted there."),
            _row(s, "Slack", "AIMM_ALERT_SLACK", _is_set(s.alert_slack), "An incoming webhook of Slack."),
            _row(s, "PagerDuty", "AIMM_ALERT_PAGERDUTY", _is_set(s.alert_pagerduty), "An Events API v2 integration."),
            _row(s, "Mail to", "AIMM_ALERT_EMAIL", s.alert_email or "not set", "Needs a mail server."),
            _row(s, "Mail server", "AIMM_SMTP_URL", _is_set(s.smtp_url), "Sends the mails."),
        ],
        "Telemetry": [
            _row(s, "Collector", "OTEL_EXPORTER_OTLP_ENDPOINT", _is_set(s.otel_endpoint), "Gets spans and metrics."),
            _row(s, "Sentry", "SENTRY_DSN", _is_set(s.sentry_dsn), "Gets our errors, without prompts or answers."),
            _row(s, "Server log", "AIMM_LOG_FORMAT", s.log_format, "json: one line a request, each a JSON object."),
        ],
        "Storage and time": _storage(s, mm.database.address),
    }  # fmt: skip


def _roles(s: Settings) -> list[Row]:
    everybody = "" if s.admins or s.editors or s.viewers else "nobody is named: all who log in are admins"
    told = "Addresses, @example.com, group:NAME or *; the highest role that fits is theirs."
    named = {"Admins": s.admins, "Editors": s.editors, "Viewers": s.viewers}
    found = [
        _row(s, label, f"AIMM_{label.upper()}", ", ".join(accounts) or everybody or "nobody", told)
        for label, accounts in named.items()
    ]
    claim = "The claim of an account that holds its groups; dots lead into it."
    return [*found, _row(s, "Claim of groups", "AIMM_GROUPS_CLAIM", s.groups_claim, claim)]


def _storage(s: Settings, address: str) -> list[Row]:
    return [
        _row(s, "Time zone", "AIMM_TIME_ZONE", s.time_zone, "Of all times on the pages, and of new budgets."),
        _row(s, "Database", "DATABASE_URL", address, "Calls, budgets, prices, experiments, runs."),
        _row(s, "Texts kept", "AIMM_KEEP_TEXTS", _kept(s.keep_texts_days), "Of calls; older ones are deleted."),
        _row(s, "Calls kept", "AIMM_KEEP_CALLS", _kept(s.keep_calls_days), "Then they are deleted; sums stay."),
        _row(
            s, "Stored content", "AIMM_LOG_CONTENT", s.log_content,
            "full: prompts and answers; metadata: neither; none: no texts at all.",
        ),
    ]  # fmt: skip


def _kept(days: int | None) -> str:
    return shown_days(days) or "as below, under Retention"


@st.cache_data(ttl=30, show_spinner=False)
def stored() -> tuple[str, int | None, int]:
    """The kind of the database, its size in bytes (None = not known), and the calls on record."""
    mm = manager()
    return ("SQLite" if mm.database.is_sqlite else "PostgreSQL"), mm.database.n_bytes(), mm.monitoring.counted().n


def vendor_keys() -> list[tuple[str, str, str]]:
    """Of each vendor: its name, the variable that sets it up, and what did; empty = nothing did."""
    sources, names = manager().settings.sources, manager().vendors.names
    found = []
    for name, spec in VENDORS.items():
        variables = spec.key_variables or (spec.url_variable,)
        what = "Key" if spec.key_variables else "Address"
        by = next((f"{what} from {each} ({sources[each]})" for each in variables if each in sources), "")
        other = "Key from this page, kept in memory" if spec.key_variables else "Looked for at its usual address"
        if name not in manager().vendors.given:
            other = "Set up below"
        found.append((name, variables[0], (by or other) if name in names else ""))
    return [*found, *((name, "", "Address from AIMM_SERVERS") for name in manager().settings.servers)]


def _is_set(value: object) -> str:
    return "set" if value else "not set"


def _row(settings: Settings, name: str, variable: str, value: str, effect: str) -> Row:
    return Row(name, variable, value, settings.sources.get(variable, DEFAULT), effect)
