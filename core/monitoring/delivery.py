"""Sends an alert's message: a webhook (JSON), Slack's incoming webhook, or e-mail. Raises DeliveryFailed, without secrets."""

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx2

from core.config import Settings
from core.domain.alert import Channel
from core.errors import redact

TIMEOUT_S = 10.0


class DeliveryFailed(Exception):
    """The channel did not take the message; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Where messages go. All of it may hold secrets: it lives in the environment, never in the database."""

    webhook: str | None = field(default=None, repr=False)
    slack: str | None = field(default=None, repr=False)
    email: str | None = None
    smtp: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "Channels":
        return cls(
            webhook=settings.alert_webhook,
            slack=settings.alert_slack,
            email=settings.alert_email,
            smtp=settings.smtp_url,
        )

    @property
    def names(self) -> list[Channel]:
        found: list[Channel] = []
        found += ["webhook"] if self.webhook else []
        found += ["slack"] if self.slack else []
        found += ["email"] if self.email and self.smtp else []
        return found

    def send(self, channel: str, payload: dict[str, Any]) -> None:
        """Hand a message over. Raises: DeliveryFailed"""
        if channel == "webhook" and self.webhook:
            _post(self.webhook, payload)
        elif channel == "slack" and self.slack:
            _post(self.slack, {"text": payload["text"]})
        elif channel == "email" and self.email and self.smtp:
            _mail(self.smtp, self.email, payload)
        else:
            raise DeliveryFailed(f"The channel {channel} is not set up any more.")


def _post(url: str, body: dict[str, Any]) -> None:
    try:
        with httpx2.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
            response = client.post(url, json=body)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise DeliveryFailed(f"It cannot be reached ({type(error).__name__}).") from None  # the address may be a secret
    if response.status_code >= 300:
        raise DeliveryFailed(f"It answered {response.status_code}.")


def _mail(smtp: str, to: str, payload: dict[str, Any]) -> None:
    """smtp: smtp://user:password@host:587 (STARTTLS where offered) or smtps://…:465; `?from=` sets the sender."""
    address = urlsplit(smtp)
    query = dict(part.partition("=")[::2] for part in address.query.split("&") if part)
    message = EmailMessage()
    message["Subject"] = payload["text"].splitlines()[0][:120]
    message["From"] = unquote(query.get("from", "")) or unquote(address.username or "") or "aimm@localhost"
    message["To"] = to
    message.set_content(payload["text"])
    host, secure = address.hostname or "localhost", address.scheme == "smtps"
    try:
        port = address.port or (465 if secure else 587)
        kind = smtplib.SMTP_SSL if secure else smtplib.SMTP
        with kind(host, port, timeout=TIMEOUT_S) as server:
            if not secure and _offers_starttls(server):
                server.starttls(context=ssl.create_default_context())
            if address.username:
                server.login(unquote(address.username), unquote(address.password or ""))
            server.send_message(message)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise DeliveryFailed(redact(f"The mail server did not take it ({type(error).__name__}).")) from None


def _offers_starttls(server: smtplib.SMTP) -> bool:
    server.ehlo()
    return server.has_extn("starttls")
