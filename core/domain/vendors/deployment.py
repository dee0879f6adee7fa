"""A deployment: one place where a vendor's models are asked, with a key of its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from urllib.parse import urlsplit

from core.errors import InvalidRequest

NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
MAX_WEIGHT = 1000
MAX_PRIORITY = 100
MAX_REST_S = 3600
MAX_MODELS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One place where a vendor's models are asked.

    name: In records, prices, budgets and `name/model`, where a vendor's name may stand; no two share one.
    vendor: The vendor whose models it answers, beside its other deployments.
    kind: How it is asked; see DEPLOYMENT_KINDS.
    api_version: Of Azure's dated addresses; empty = none.
    models: Model -> what it is called there; empty = each by its own name.
    weight: Its share of the calls among those of its priority; 0 = it gets none of its own.
    priority: Those with the lowest number are asked; the next ones where all of these rest.
    rest_s: The least that it rests once it was limited or down, while others can answer.
    is_private: Its address may be one of a private network or of this machine.
    hint: The end of its key.
    revision: Counts its changes.
    rotated_at: When its key was set last.
    """

    name: str
    vendor: str
    kind: str
    url: str
    api_version: str = ""
    models: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    weight: int = 1
    priority: int = 1
    rest_s: int = 60
    is_private: bool = False
    is_enabled: bool = True
    hint: str = ""
    revision: int = 1
    created_at: datetime
    rotated_at: datetime

    @property
    def place(self) -> str:
        """The one place to which its key may go: its name with scheme, host and port of its address."""
        return place_of(self.name, self.url)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """A deployment that was set up. problem: The reason why it is not in use; empty = it is."""

    deployment: Deployment
    problem: str = ""


def place_of(name: str, url: str) -> str:
    parts = urlsplit(url)
    return f"{name} {parts.scheme}://{parts.netloc.lower()}"


def checked(deployment: Deployment) -> Deployment:
    """The deployment, if each of its fields is in range. Raises: InvalidRequest"""
    if not NAME.fullmatch(deployment.name):
        raise InvalidRequest(
            f"name == {deployment.name[:60]!r}: at most 31 small letters, digits, - and _, a letter first.",
            param="name",
        )
    for name, most in (("weight", MAX_WEIGHT), ("priority", MAX_PRIORITY), ("rest_s", MAX_REST_S)):
        value, least = getattr(deployment, name), int(name == "priority")
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise InvalidRequest(f"{name} == {value!r}, must be a whole number from {least} to {most}.", param=name)
    if len(deployment.models) > MAX_MODELS:
        raise InvalidRequest(f"{len(deployment.models)} models given, at most {MAX_MODELS} are taken.", param="models")
    for model, there in deployment.models.items():
        if not all(_is_model(each) for each in (model, there)):
            raise InvalidRequest(f"models: {model[:60]!r} = {there[:60]!r} must be two models' names.", param="models")
    return deployment


def _is_model(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable() and not set(name) & set(" ?#")
