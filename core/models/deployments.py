"""Deployments of vendors: set up, given another key, tried and removed, and in use in every process within a second."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from core import clock
from core.acting import require
from core.background import BackgroundLoop
from core.domain.vendors.deployment import Deployment, DeploymentState
from core.errors import AimmError, Conflict, InvalidRequest, NotFound
from core.models import deployment_fields as given
from core.models.cipher import HOW, Cipher
from core.providers.base import KeyCheck
from core.providers.deployments.deployments import checked
from core.providers.registry import Registry
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Writer
from core.storage.gateway.deployments import DeploymentStore, Kept
from core.storage.people.audit import note

logger = logging.getLogger(__name__)

_CHANGEABLE = {
    "url", "api_version", "models", "weight", "priority", "rest_s", "is_private", "is_enabled",
}  # fmt: skip


class DeploymentService:
    """Deployments that were set up; those of the environment are not among them.

    A key may only ever go to the place that it was set for: another address needs the key again.
    """

    def __init__(
        self, database: Database, writer: Writer, registry: Registry, loop: BackgroundLoop, cipher: Cipher
    ) -> None:
        self._store = DeploymentStore(database)
        self._is_shared = not database.is_sqlite
        self._writer = writer
        self._registry = registry
        self._loop = loop
        self._cipher = cipher
        self._seen: tuple[tuple[str, int], ...] = ()
        self._problems: dict[str, str] = {}
        self._lock = threading.Lock()
        self.on_mended: list[
            Callable[[str], object]
        ] = []  # told of what was given another key, changed, or works again

    # Read

    def all(self) -> list[DeploymentState]:
        """By name."""
        self.refresh()
        return [DeploymentState(told, self._problems.get(told.name, "")) for told, _ in self._store.all()]

    def get(self, name: str) -> DeploymentState:
        """Raises: NotFound"""
        found = next((state for state in self.all() if state.deployment.name == name), None)
        if found is None:
            raise NotFound(f"There is no deployment {name[:60]!r}.")
        return found

    def refresh(self) -> None:
        """Use what was set up, changed or removed since, by whichever process."""
        with self._lock:
            versions = self._store.versions()
            if versions != self._seen or self._problems:  # a key file may be there again
                self._load()
                self._seen = versions
        if self._registry.deployments.retired:
            self._loop.run(self._registry.deployments.close_retired())

    def _load(self) -> None:
        usable, problems = [], {}
        for told, secret in self._store.all():
            try:
                usable.append((told, self._cipher.decrypt(secret, told.place) if secret else ""))
            except AimmError as error:
                problems[told.name] = f"The key of {told.name} cannot be read: {error.text}"
                if self._problems.get(told.name) != problems[told.name]:
                    logger.warning("%s", problems[told.name])
        self._problems = problems
        self._registry.deployments.deploy(usable)

    # Set up and changed

    def add(self, name: str, kind: str, secret: str, **values: Any) -> Deployment:
        """Set a deployment up; it is in use at once here, and in other processes within a second.

        values: vendor, region, project and fields of Deployment.

        Raises:
            InvalidRequest: A field is out of range, or there is no key to encrypt with. Conflict: the name is taken.
        """
        told, secret = self._made(name, kind, secret, values)
        self._check_name(told)
        kept = Kept(told, self._encrypted(secret, told))

        def work(connection: Connection) -> None:
            if self._store.locked(connection, name) is not None:
                raise Conflict(f"There is a deployment {name!r} already.", hint="Take another name, or rotate its key.")
            self._store.insert(connection, kept)
            note(connection, "deployment added", name, given.described(told))

        self._writer.run(work)
        self.refresh()
        return told

    def change(self, name: str, secret: str | None = None, **values: Any) -> Deployment:
        """Change fields, and set the key where one is given. Raises: see add; NotFound."""
        if unknown := set(values) - _CHANGEABLE:
            raise InvalidRequest(f"{', '.join(sorted(unknown))} of a deployment cannot be changed.")

        def changed(old: Deployment) -> Deployment:
            new = given.checked(replace(old, **values))
            if secret is None and new.place != old.place and old.hint:
                raise InvalidRequest(
                    f"The key of {name} was set for {old.host}, and goes nowhere else.",
                    hint=f"Give the key again to send it to {new.host}.",
                    param="url",
                )
            return new

        return self._changed(name, changed, secret, "deployment changed")

    def rotate(self, name: str, secret: str) -> Deployment:
        """Set another key; calls under way end with the former one. Raises: see add; NotFound."""
        return self._changed(name, lambda old: old, secret, "deployment key rotated")

    def remove(self, name: str) -> None:
        """Forget a deployment and its key; calls under way there end well. Raises: NotFound"""

        def work(connection: Connection) -> None:
            kept = self._existing(connection, name)
            self._store.delete(connection, name)
            note(connection, "deployment removed", name, given.described(kept.told))

        self._writer.run(work)
        self.refresh()

    def reencrypt(self) -> int:
        """Encrypt every key with the first of the keys to do so; the number that was. Raises: AimmError"""

        def work(connection: Connection) -> int:
            found = [self._existing(connection, name) for name, _ in self._store.versions()]
            for told, secret in found:
                if secret:
                    renewed = self._cipher.encrypt(self._cipher.decrypt(secret, told.place), told.place)
                    self._store.update(connection, Kept(replace(told, revision=told.revision + 1), renewed))
            note(connection, "deployment keys encrypted anew", "all", {"n": len(found)})
            return len(found)

        n: int = self._writer.run(work)
        self.refresh()
        return n

    # Tried

    @staticmethod
    def require(check: KeyCheck) -> None:
        """Raises: InvalidRequest: What was tried does not work; used up just now, it does."""
        if not check.works and check.status not in ("quota", "no_tier"):
            raise InvalidRequest(check.message, hint="Nothing was kept.", param="key")

    def test(self, name: str) -> KeyCheck:
        """Try a deployment as it is set up. Raises: NotFound, Forbidden"""
        require("editor", "test a deployment")
        state = self.get(name)
        if state.problem:
            return KeyCheck("wrong_key", state.problem)
        found = self._loop.run(self._registry.check(name))
        if found.works:
            self._mended(name)
        return found

    def test_new(self, name: str, kind: str, secret: str, **values: Any) -> KeyCheck:
        """Try what would be added, without keeping it. Raises: see add."""
        require("admin", "try a deployment")
        told, secret = self._made(name, kind, secret, values)
        return self._tried(told, secret)

    def test_key(self, name: str, secret: str) -> KeyCheck:
        """Try another key at a deployment, without using it. Raises: NotFound, InvalidRequest, Forbidden"""
        require("admin", "try a key")
        told = self.get(name).deployment
        clean = given.cleaned(told.kind, secret)
        given.check_account(told, clean)
        return self._tried(told, clean)

    # Inside

    def _tried(self, told: Deployment, secret: str) -> KeyCheck:
        return self._loop.run(checked(self._registry.deployments.of(told, secret)))

    def _made(self, name: str, kind: str, secret: str, values: Mapping[str, Any]) -> tuple[Deployment, str]:
        now, secret = clock.now(), given.cleaned(kind, secret)
        known = {field.name for field in fields(Deployment)} & (_CHANGEABLE | {"vendor"})
        if unknown := set(values) - known - {"region", "project"}:
            raise InvalidRequest(f"A deployment has no {', '.join(sorted(unknown))}.")
        told = given.made(name, kind, values, hint=given.hint_of(secret), now=now)
        given.check_account(told, secret)
        return given.checked(told), secret

    def _check_name(self, told: Deployment) -> None:
        if told.name in self._registry.names and told.name != told.vendor:
            raise Conflict(f"{told.name!r} is the name of a vendor or server; take another.")

    def _encrypted(self, secret: str, told: Deployment) -> str:
        if not secret:
            return ""
        if not self._cipher.is_set:
            if self._is_shared:
                raise InvalidRequest("There is no key to encrypt vendors' keys with, for all processes.", hint=HOW)
            if any(kept.secret for kept in self._store.all()):
                raise InvalidRequest(f"{self._cipher.file} is missing, with which the other keys are encrypted.")
            self._cipher.make_file()
        return self._cipher.encrypt(secret, told.place)

    def _changed(
        self, name: str, change: Callable[[Deployment], Deployment], secret: str | None, action: str
    ) -> Deployment:
        def work(connection: Connection) -> Deployment:
            old, kept = self._existing(connection, name)
            told = replace(change(old), revision=old.revision + 1)
            if secret is not None:
                clean = given.cleaned(told.kind, secret)
                given.check_account(told, clean)
                told = replace(told, hint=given.hint_of(clean), rotated_at=clock.now())
                kept = self._encrypted(clean, told)
            self._store.update(connection, Kept(told, kept))
            note(connection, action, name, given.described(told))
            return told

        made: Deployment = self._writer.run(work)
        self.refresh()
        self._mended(name)
        return made

    def _mended(self, name: str) -> None:
        for tell in self.on_mended:
            tell(name)

    def _existing(self, connection: Connection, name: str) -> Kept:
        found = self._store.locked(connection, name)
        if found is None:
            raise NotFound(f"There is no deployment {name[:60]!r}.")
        return found
