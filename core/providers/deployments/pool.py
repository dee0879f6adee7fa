"""The deployments of one vendor, and the choice of the one that is asked."""

import asyncio
import hashlib
import math
import random
from collections.abc import Callable, Collection, Iterable, Sequence

from core.domain.generation import Model
from core.errors import Conflict, ModelNotFound
from core.providers.builders import Deployed

# (deployment, model) -> microseconds until which it rests; 0 = it does not.
RestsUntil = Callable[[str, str], int]


class VendorPool:
    """All deployments of a vendor.

    deployed: Those that are in use, in the order in which they were set up.
    """

    def __init__(self, name: str, deployed: Sequence[Deployed]) -> None:
        self.name = name
        self.deployed = list(deployed)

    @property
    def is_guest(self) -> bool:
        return all(each.is_guest for each in self.deployed)

    @property
    def listed(self) -> list[Model]:
        return _each_once(model for each in self.deployed for model in each.listed)

    async def models(self, wait_s: float | None = None) -> list[Model]:
        """The models that any of them lists. wait_s: See Deployed.models."""
        if len(self.deployed) == 1:
            return await self.deployed[0].models(wait_s)
        lists = await asyncio.gather(*(each.models(wait_s) for each in self.deployed))
        return _each_once(model for found in lists for model in found)

    def named(self, deployment: str) -> Deployed | None:
        return next((each for each in self.deployed if each.name == deployment), None)

    def serving(self, model: str) -> list[Deployed]:
        """Those that answer for a model."""
        return [each for each in self.deployed if each.serves(model)]

    def pick(
        self, model: str, rests_until: RestsUntil, *, unit: str = "", but: Collection[str] = ()
    ) -> Deployed | None:
        """The one to ask: of those that do not rest the first by priority, each with its share of the calls.

        Where all rest, it is the one that rests the shortest.

        unit: A conversation, which stays with one as long as that answers: what it has cached of it is cheaper.
        but: Those that were asked already.

        Raises:
            ModelNotFound: None has such a model. Conflict: those that have it take no calls.
        """
        if len(self.deployed) == 1 and not but and self.deployed[0].serves_all:
            return self.deployed[0]
        serving = self.serving(model)
        if not serving:
            raise self._not_served(model)
        taking = [each for each in serving if each.weight and each.name not in but]
        if not taking and not but:
            raise Conflict(f"No deployment of {self.name} takes calls for {model}: each has the weight 0.")
        if len(taking) < 2:
            return taking[0] if taking else None
        until = {each.name: rests_until(each.name, model) for each in taking}
        awake = [each for each in taking if not until[each.name]]
        if not awake:
            return min(taking, key=lambda each: until[each.name])
        first = min(each.priority for each in awake)
        return _one_of([each for each in awake if each.priority == first], unit)

    def _not_served(self, model: str) -> ModelNotFound:
        known = sorted({name for each in self.deployed for name in each.names})
        return ModelNotFound(
            f"No deployment of {self.name} has the model {model[:80]!r}.", hint=f"They have {', '.join(known[:12])}."
        )


def _one_of(awake: Sequence[Deployed], unit: str) -> Deployed:
    """One of several, by their weights: by chance, or for a unit always the same, as long as that is among them."""
    if len(awake) == 1:
        return awake[0]
    if not unit:
        return random.choices(awake, [each.weight for each in awake])[0]
    return max(awake, key=lambda each: each.weight / -math.log(_point(unit, each.name)))


def _point(unit: str, name: str) -> float:
    """A number between 0 and 1 for a unit at a deployment."""
    digest = hashlib.blake2b(f"{unit}\0{name}".encode("utf-8", "surrogatepass"), digest_size=7).digest()
    return (int.from_bytes(digest) + 0.5) / 2**56


def _each_once(models: Iterable[Model]) -> list[Model]:
    found: dict[str, Model] = {}
    for model in models:
        found.setdefault(model.name, model)
    return list(found.values())
