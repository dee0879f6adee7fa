"""Sends an alert's message to a webhook (JSON), Slack, PagerDuty or by mail. Raises DeliveryFailed, without secrets."""

import hashlib
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx2

from core.config import PAGERDUTY_URL, Settings
from core.domain.alert import MAIL, Channel
from core.errors import redact

TIMEOUT_S = 10.0
MAX_KEY, MAX_SUMMARY = 255, 1024  # characters of an event that PagerDuty takes


class DeliveryFailed(Exception):
    """The channel did not take the message; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """The addresses of messages. All may hold secrets: they live in the environment, never in the database."""

    webhook: str | None = field(default=None, repr=False)
    slack: str | None = field(default=None, repr=False)
    email: str | None = None
    smtp: str | None = field(default=None, repr=False)
    pagerduty: str | None = field(default=None, repr=False)
    pagerduty_url: str = PAGERDUTY_URL

    @classmethod
    def of(cls, settings: Settings) -> "Channels":
        return cls(
            webhook=settings.alert_webhook,
            slack=settings.alert_slack,
            email=settings.alert_email,
            smtp=settings.smtp_url,
            pagerduty=settings.alert_pagerduty,
            pagerduty_url=settings.pagerduty_url,
        )

    @property
    def names(self) -> list[Channel]:
        found: list[Channel] = []
        found += ["webhook"] if self.webhook else []
        found += ["slack"] if self.slack else []
        found += ["email"] if self.email and self.smtp else []
        found += ["pagerduty"] if self.pagerduty else []
        return found

    def has(self, channel: str) -> bool:
        """True for one that is set up; a person's mail needs the mail server alone."""
        return channel in self.names or (channel.startswith(MAIL) and bool(self.smtp))

    def send(self, channel: str, payload: dict[str, Any]) -> None:
        """Hand a message over. Raises: DeliveryFailed"""
        if channel == "webhook" and self.webhook:
            _post(self.webhook, payload)
        elif channel == "slack" and self.slack:
            _post(self.slack, {"text": payload["text"]})
        elif channel == "email" and self.email and self.smtp:
            _mail(self.smtp, self.email, payload)
        elif channel.startswith(MAIL) and self.smtp:
            _mail(self.smtp, channel.removeprefix(MAIL), payload)
        elif channel == "pagerduty" and self.pagerduty:
            self._page(self.pagerduty, payload)
        else:
            raise DeliveryFailed(f"The channel {channel} is not set up any more.")

    def _page(self, routing_key: str, payload: dict[str, Any]) -> None:
        for event in events(routing_key, payload):
            _post(self.pagerduty_url, event)


def events(routing_key: str, payload: dict[str, Any]) -> list[dict[str, Any]]:
    """A message as events of PagerDuty's Events API v2; those with the same key are one incident.

    A test is closed at once. Messages that say of no incident are one each.
    """
    incident: dict[str, Any] = payload.get("incident") or {"key": f"{payload['event']} {payload['at']}"}
    key = str(incident["key"])
    if len(key) > MAX_KEY:
        key = f"{key[:180]} {hashlib.sha256(key.encode()).hexdigest()}"
    head = {"routing_key": routing_key, "dedup_key": key}
    trigger = head | {
        "event_action": "trigger",
        "payload": {
            "summary": str(payload["text"])[:MAX_SUMMARY],
            "source": "AI Model Manager",
            "severity": incident.get("severity", "error"),
            "timestamp": payload["at"],
            "class": str(payload["event"]),
            "custom_details": {name: value for name, value in payload.items() if name not in ("text", "incident")},
        },
    }
    resolve = head | {"event_action": "resolve"}
    if payload["event"] == "test":
        return [trigger, resolve]
    return [trigger] if incident.get("is_open", True) else [resolve]


def _post(url: str, body: dict[str, Any]) -> None:
    try:
        with httpx2.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
            response = client.post(url, json=body)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise DeliveryFailed(f"It cannot be reached ({type(error).__name__}).") from None  # the address may be a secret
    if response.status_code >= 300:
        raise DeliveryFailed(f"It answered {response.status_code}{_reasons(response, body)}.")


def _reasons(response: httpx2.Response, body: dict[str, Any]) -> str:
    """The errors that an answer names, as PagerDuty's do; without the key that was sent."""
    try:
        told = response.json()["errors"]
    except (ValueError, KeyError, TypeError):
        return ""
    text = "; ".join(str(each) for each in told) if isinstance(told, list) else str(told)
    secret = str(body.get("routing_key") or "")
    text = redact(text.replace(secret, "[key]") if secret else text)[:200]
    return f": {text.rstrip('.')}" if text else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """The server that takes mail; user: empty = without a login."""

    host: str
    port: int
    is_tls: bool
    user: str
    password: str = field(repr=False)
    sender: str

    @classmethod
    def at(cls, address: str) -> "_Server":
        """smtp://user:password@host:587 (STARTTLS where offered) or smtps://…:465; `?from=` sets the sender."""
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None  # the text of the error would show the password
        if not host or parts.scheme not in ("smtp", "smtps"):
            raise DeliveryFailed("AIMM_SMTP_URL must look like smtp://user:password@host:587 or smtps://….")
        is_tls, user = parts.scheme == "smtps", unquote(parts.username or "")
        query = dict(part.partition("=")[::2] for part in parts.query.split("&") if part)
        return cls(
            host=host,
            port=port or (465 if is_tls else 587),
            is_tls=is_tls,
            user=user,
            password=unquote(parts.password or ""),
            sender=unquote(query.get("from", "")) or user or "aimm@localhost",
        )


def _mail(smtp: str, to: str, payload: dict[str, Any]) -> None:
    server = _Server.at(smtp)
    try:
        message = EmailMessage()
        message["Subject"] = payload["text"].splitlines()[0][:120]
        message["From"] = server.sender
        message["To"] = to
        message.set_content(payload["text"])
        with _connect(server) as connection:
            if not server.is_tls:
                _encrypt(connection, server)
            if server.user:
                connection.login(server.user, server.password)
            connection.send_message(message)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise DeliveryFailed(redact(f"The mail server did not take it ({type(error).__name__}).")) from None


def _connect(server: _Server) -> smtplib.SMTP:
    if server.is_tls:  # without a context of its own, smtplib trusts any certificate
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=context)
    return smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)


def _encrypt(connection: smtplib.SMTP, server: _Server) -> None:
    """Raises: DeliveryFailed: The password would go over the network as plain text."""
    connection.ehlo()
    if connection.has_extn("starttls"):
        connection.starttls(context=ssl.create_default_context())
    elif server.user and not _is_loopback(server.host):
        raise DeliveryFailed("The mail server offers no encryption (STARTTLS); the password was not sent.")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
