"""The fields of a deployment as people give them: cleaned, completed and checked."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from core.domain.vendors import deployment as domain
from core.domain.vendors.deployment import Deployment
from core.environment import is_base, to_key
from core.errors import InvalidRequest, redact
from core.providers.deployments.vertex import account_of
from core.providers.http.network import Network, Refused
from core.vendors import DEPLOYMENT_KINDS, DeploymentKind

_PLACE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VERSION = re.compile(r"\d{4}-\d\d-\d\d(-preview)?|preview|latest|v1")
_BEFORE = re.compile(r"\s*(authorization\s*:\s*)?bearer\s+", re.IGNORECASE)
_POOLED = ("azure", "bedrock", "server")  # the kinds whose models may be any vendor's


def kind_named(name: str) -> DeploymentKind:
    """Raises: InvalidRequest: There is none."""
    if name not in DEPLOYMENT_KINDS:
        raise InvalidRequest(f"kind == {name[:40]!r}, must be one of {', '.join(DEPLOYMENT_KINDS)}.", param="kind")
    return DEPLOYMENT_KINDS[name]


def cleaned(kind: str, text: str) -> str:
    """A key as it was pasted, without what stands around it. Raises: InvalidRequest: It is none."""
    if kind == "vertex" and account_of(text):
        return text.strip()
    found = to_key(_BEFORE.sub("", text.strip().strip("'\""), count=1))
    if found is None and kind != "server":
        raise InvalidRequest("There is no key.", param="key")
    return found or ""


def check_account(told: Deployment, secret: str) -> None:
    """Refuse a service account whose tokens are fetched elsewhere than at Google. Raises: InvalidRequest"""
    account = account_of(secret) if told.kind == "vertex" else {}
    parts = urlsplit(account.get("token_uri", "https://oauth2.googleapis.com/token"))
    is_google = parts.scheme == "https" and (parts.hostname or "").endswith(".googleapis.com")
    if not is_google and not told.is_private:
        raise InvalidRequest("The token_uri of the service account is not Google's.", param="key")


def hint_of(secret: str) -> str:
    """The end of a key, to tell keys apart; of a service account its name."""
    account = account_of(secret)
    return account["client_email"] if account else f"…{secret[-4:]}" if len(secret) >= 12 else "…" if secret else ""


def made(name: str, kind: str, values: Mapping[str, Any], *, hint: str, now: datetime) -> Deployment:
    """A new deployment. values: Its fields, and region and project. Raises: InvalidRequest"""
    found = kind_named(kind)
    given = {field: value for field, value in values.items() if value is not None}
    region, project = str(given.pop("region", "")).strip(), str(given.pop("project", "")).strip()
    url = str(given.pop("url", "")).strip() or _address(found, region, project)
    vendor = given.pop("vendor", "") or found.vendor or name
    return Deployment(
        name=name, kind=kind, vendor=vendor, url=_base(kind, url), hint=hint, created_at=now, rotated_at=now, **given
    )


def checked(told: Deployment) -> Deployment:
    """Raises: InvalidRequest: A field is out of range, or its address is none that a key may be sent to."""
    kind = kind_named(told.kind)
    if not is_base(told.url):
        raise InvalidRequest(
            f"url == {redact(told.url)[:80]!r}, must look like https://host/path, without user, ? and #", param="url"
        )
    domain.checked(told)
    if told.vendor != (kind.vendor or told.name) and told.kind not in _POOLED:
        raise InvalidRequest(f"A deployment of the kind {told.kind} answers {kind.vendor}'s models.", param="vendor")
    if not domain.NAME.fullmatch(told.vendor) or told.vendor == "simulated":
        raise InvalidRequest(f"vendor == {told.vendor[:60]!r} is no vendor's name.", param="vendor")
    if told.api_version and (told.kind != "azure" or not _VERSION.fullmatch(told.api_version)):
        raise InvalidRequest(
            f"api_version == {told.api_version[:30]!r}: Azure's dated addresses have one, such as 2024-10-21.",
            param="api_version",
        )
    parts = urlsplit(told.url)
    if not told.is_private:
        if parts.scheme != "https":
            raise InvalidRequest(
                "Keys are sent by https alone.", hint="Allow a private address for others.", param="url"
            )
        try:
            Network(allows_private=False).check(parts.hostname or "")
        except Refused as error:
            raise InvalidRequest(
                f"{error}.", hint="Allow a private address if it is one of yours.", param="url"
            ) from None
    return told


def described(told: Deployment) -> dict[str, Any]:
    """A deployment for the audit trail; its key is not in it."""
    return {
        "kind": told.kind,
        "vendor": told.vendor,
        "url": told.url,
        "models": dict(told.models),
        "weight": told.weight,
        "priority": told.priority,
        "key": told.hint,
        "is_enabled": told.is_enabled,
    }


def _address(kind: DeploymentKind, region: str, project: str) -> str:
    """The address of a kind in a region."""
    if not kind.url:
        raise InvalidRequest(f"{kind.label} needs an address, such as {kind.example}", param="url")
    if kind.name == "vertex" and not project:
        if region:
            raise InvalidRequest("A region of Vertex AI needs a project too.", param="project")
        return "https://aiplatform.googleapis.com/v1/publishers/google"  # by API key alone
    if kind.name == "vertex" and region in ("", "global"):
        region = "global"
        base = kind.url.replace("{region}-", "", 1)
    else:
        base = kind.url
    for name, value in (("region", region), ("project", project)):
        if f"{{{name}}}" in base and not _PLACE.fullmatch(value):
            raise InvalidRequest(f"{kind.label} needs a {name}, such as eu-west-1 or my-project-1.", param=name)
    return base.replace("{region}", region).replace("{project}", project)


def _base(kind: str, url: str) -> str:
    """An address without what is put behind it anyway."""
    url = url.rstrip("/")
    if kind == "azure":
        return re.sub(r"/openai(/v1|/deployments(/.*)?)?$", "", url)
    return url
