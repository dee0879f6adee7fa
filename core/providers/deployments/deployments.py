"""All deployments of a process: the environment's and those that were set up, gathered by vendor."""

import re
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from core.config import DEFAULT_FAMILIES_FILE, Settings
from core.domain.generation import Model, Request
from core.domain.vendors.deployment import Deployment
from core.providers.base import KeyCheck, Provider
from core.providers.builders import Deployed, build, build_server
from core.providers.deployments.kinds import build_deployment
from core.providers.deployments.pool import RestsUntil, VendorPool
from core.providers.families import Families
from core.providers.http.network import Network
from core.vendors import VENDORS

REST_S = 60  # of the environment's deployments, where there are others
GRACE_S = 10.0  # beyond a call's time-out, until a deployment that is gone closes its connections


class Deployments:
    """The deployments that can be asked.

    given: Those of the environment, and of keys of this process, by vendor or server.
    pools: Vendor -> its deployments.
    retired: Those that are gone, and when nothing can be under way there any more.
    rests_until: See RestsUntil.
    """

    def __init__(self, settings: Settings) -> None:
        self._addresses = dict(settings.addresses)
        self._network = Network(allows_link_local=settings.allows_link_local, proxies=settings.proxies)
        file = settings.families_file
        self._families = Families(file, is_optional=file == Path(DEFAULT_FAMILIES_FILE))
        self.rests_until: RestsUntil = _never
        self._grace_s = settings.call_timeout_s + GRACE_S
        self.given: dict[str, Deployed] = {}
        self._set: dict[str, Deployed] = {}  # by people; one of a vendor's own name stands in the environment's place
        self.retired: list[tuple[float, Deployed]] = []
        for name in VENDORS:
            if key := settings.keys.get(name):
                self.given[name] = self.of_vendor(name, key)
        for name, address in settings.servers.items():
            self.given[name] = self._told(build_server(name, address, settings.keys.get(name), self._network))
        for spec in VENDORS.values():
            if spec.is_local and (self._addresses.get(spec.name) or settings.finds_local):
                self.given[spec.name] = self.of_vendor(spec.name, "")
                self.given[spec.name].is_guest = not self._addresses.get(spec.name)
        self.pools: dict[str, VendorPool] = {}
        self._apart: dict[str, str] = {}
        self._gather()

    # What there is

    def apart(self) -> dict[str, str]:
        """The deployments that records tell from their vendor's own, with their vendors."""
        return self._apart

    def there(self, deployment: str, model: str) -> str:
        """A model's name at a deployment."""
        found = self.named(deployment)
        return model if found is None or found.told is None else found.told.models.get(model, model)

    def named(self, name: str) -> Deployed | None:
        """The deployment of a name; the environment's has its vendor's."""
        return self._set.get(name) or self.given.get(name)

    def bound(self, name: str) -> Deployed | None:
        """The deployment in use of a name that is no vendor's: before a model's, it says that no other may answer."""
        found = self._set.get(name) if name not in self.pools else None
        return found if found is not None and (found.told is None or found.told.is_enabled) else None

    def of_vendor(self, vendor: str, key: str) -> Deployed:
        """A vendor of the table with a key, not in use."""
        return self._told(build(VENDORS[vendor], key, self._addresses.get(vendor), self._network))

    def of(self, told: Deployment, secret: str) -> Deployed:
        """A deployment that is not in use."""
        return self._told(build_deployment(told, secret, self._network))

    # What changes

    def give(self, vendor: str, key: str) -> None:
        """Use a vendor's key as if the environment had named it."""
        self.given[vendor] = self.of_vendor(vendor, key)
        self._gather()

    def deploy(self, wanted: Sequence[tuple[Deployment, str]]) -> None:
        """Use these deployments, each with its secret, beside the environment's; those that are as before stay.

        Calls under way at one that goes end there.
        """
        found: dict[str, Deployed] = {}
        for told, secret in wanted:
            before = self._set.get(told.name)
            same = before is not None and before.told == told
            found[told.name] = before if before is not None and same else self.of(told, secret)
        now = time.monotonic()
        kept = set(map(id, found.values()))
        self.retired += [(now + self._grace_s, each) for each in self._set.values() if id(each) not in kept]
        self._set = found
        self._gather()

    async def close_retired(self) -> None:
        """Close the connections of deployments that are gone, once no call can be under way there."""
        now = time.monotonic()
        gone = [each for at, each in self.retired if at <= now]
        self.retired = [(at, each) for at, each in self.retired if at > now]
        for each in gone:
            await each.provider.close()

    async def close(self) -> None:
        for each in (*self.given.values(), *self._set.values(), *(each for _, each in self.retired)):
            if each.listing is not None:
                each.listing.cancel()
            await each.provider.close()

    # Which is asked

    def has_several(self, model: Model) -> bool:
        """Tell whether several deployments answer for a model."""
        pool = self.pools.get(model.provider)
        return pool is not None and len(pool.deployed) > 1 and len(pool.serving(model.name)) > 1

    def soonest(self, model: Model, unit: str = "", but: Collection[str] = ()) -> tuple[Provider | None, int]:
        """The deployment that can be asked first, and when, in microseconds; 0 = now.

        but: Those that were asked already. Where nobody else is left, it is (None, -1).
        """
        found = self.pools[model.provider].pick(model.name, self.rests_until, unit=unit, but=but)
        return (None, -1) if found is None else (found.provider, self.rests_until(found.name, model.name))

    def holder(self, request: Request, name: str, model: Model, chosen: Provider) -> tuple[Provider, bool]:
        """(the deployment that keeps what a request goes on from, else the chosen one; whether no other may answer).

        name: By which the model was asked for; it may say which deployment is to answer.
        """
        if self.bound(re.split("[/:]", name, maxsplit=1)[0]) is not None:
            return chosen, True
        native = request.native
        if native is None or not native.kept_by:
            return chosen, False
        pool, is_needed = self.pools.get(model.provider), native.is_unread  # else the texts are here too
        found = pool.named(native.kept_by) if pool is not None else None
        if found is None or not found.serves(model.name):
            return chosen, False
        is_ready = is_needed or not self.rests_until(found.name, model.name)
        return (found.provider if is_ready else chosen), is_needed

    def with_batches(self, model: Model) -> Provider | None:
        """The first deployment of a model whose vendor's batches can be used."""
        pool = self.pools.get(model.provider)
        found = [each.provider for each in pool.serving(model.name)] if pool is not None else []
        return next((each for each in found if getattr(each, "batches", None) is not None), None)

    def rest_s(self, deployment: str) -> int:
        """The least that a deployment rests while others can answer."""
        found = self._set.get(deployment)
        return REST_S if found is None or found.told is None else found.told.rest_s

    def _gather(self) -> None:
        """Put each vendor's deployments together: the environment's first, unless another has taken its name."""
        self._apart = {name: each.provider.name for name, each in self._set.items() if name != each.provider.name}
        pools: dict[str, list[Deployed]] = {}
        given = {name: each for name, each in self.given.items() if name not in self._set}
        for each in (*given.values(), *self._set.values()):
            if each.told is None or each.told.is_enabled:
                pools.setdefault(each.provider.name, []).append(each)
        self.pools = {name: VendorPool(name, deployed) for name, deployed in pools.items()}

    def _told(self, made: Deployed) -> Deployed:
        """The deployment with the families of models as the team has them."""
        made.provider.families = self._families
        return made


def _never(_deployment: str, _model: str) -> int:
    return 0


async def checked(made: Deployed) -> KeyCheck:
    """Try what is not used."""
    try:
        return await made.provider.check()  # type: ignore[no-any-return]
    finally:
        await made.provider.close()
