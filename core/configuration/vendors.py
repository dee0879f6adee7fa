"""The section of the deployments that vendors are asked at."""

import os
from dataclasses import dataclass

from core import clock
from core.configuration.document import Entry, check_fields
from core.configuration.kinds import check_kinds
from core.configuration.section import Coming, Plain, Section, plain
from core.domain.vendors.deployment import Deployment
from core.errors import InvalidRequest
from core.models import deployment_fields
from core.models.deployments import DeploymentService


@dataclass(frozen=True, slots=True)
class Place:
    """A deployment as a file describes it. key_env: The variable that holds its key; no file holds one."""

    told: Deployment
    key_env: str = ""


class Vendors(Section[Place]):
    """A key is read where a deployment is made, or moves to another address; else `aimm vendors rotate` sets it."""

    name = "vendors"
    _FIELDS = (
        "kind", "vendor", "url", "api_version", "models", "weight", "priority", "rest_s", "is_private", "is_enabled",
    )  # fmt: skip
    _MADE_OF = ("region", "project", "key_env")

    def __init__(self, service: DeploymentService) -> None:
        self._service = service

    def current(self) -> dict[str, Place]:
        return {state.deployment.name: Place(state.deployment) for state in self._service.all()}

    def wanted(self, entry: Entry) -> Place:
        check_fields(entry, (*self._FIELDS, *self._MADE_OF))
        check_kinds(entry.fields, Deployment)
        given = dict(entry.fields)
        key_env, kind = str(given.pop("key_env", "") or ""), str(given.pop("kind", "") or entry.name)
        told = deployment_fields.made(entry.name, kind, given, hint="", now=clock.now())
        return Place(deployment_fields.checked(told), key_env)

    def shown(self, thing: Place) -> Plain:
        return {name: plain(getattr(thing.told, name)) for name in self._FIELDS}

    def usual(self) -> Plain:
        now = clock.now()
        bare = Deployment(name="", vendor="", kind="", url="", created_at=now, rotated_at=now)
        return {name: value for name, value in self.shown(Place(bare)).items() if value != ""}

    def check(self, name: str, old: Place | None, thing: Place, coming: Coming) -> None:
        if old is None or old.told.place != thing.told.place:
            self._key(thing)

    def refusal(self, old: Place, thing: Place) -> str:
        is_other = (old.told.kind, old.told.vendor) != (thing.told.kind, thing.told.vendor)
        return "its kind and vendor are fixed; a new one needs another name" if is_other else ""

    def add(self, name: str, thing: Place) -> str:
        values = {field: getattr(thing.told, field) for field in self._FIELDS if field != "kind"}
        self._service.add(name, thing.told.kind, self._key(thing), **values)
        return ""

    def change(self, name: str, old: Place, thing: Place) -> None:
        values = {field: getattr(thing.told, field) for field in self._FIELDS if field not in ("kind", "vendor")}
        moves = old.told.place != thing.told.place
        self._service.change(name, self._key(thing) if moves else None, **values)

    def remove(self, name: str, old: Place) -> None:
        self._service.remove(name)

    def _key(self, thing: Place) -> str:
        """Raises: InvalidRequest: The variable is not set."""
        if not thing.key_env:
            if thing.told.kind == "server":  # one of one's own may need none
                return ""
            raise InvalidRequest("key_env must name the environment variable that holds the key")
        if not (key := os.environ.get(thing.key_env, "")):
            raise InvalidRequest(f"the environment variable {thing.key_env[:80]} (key_env) is not set")
        return key
