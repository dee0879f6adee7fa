"""The models that can be asked, and the provider that answers for a name."""

import asyncio
import difflib
import re
from collections.abc import Mapping

from core.config import Settings
from core.domain.generation import Model
from core.errors import AuthenticationError, ModelNotFound
from core.pricing.catalogue import normalise
from core.providers.base import KeyCheck, Provider
from core.providers.deployments.deployments import Deployments, checked
from core.providers.deployments.pool import VendorPool
from core.providers.gemini import provider as gemini
from core.providers.simulated import MODELS as SIMULATED
from core.providers.simulated import SimulatedProvider
from core.vendors import VENDORS

LIST_WAIT_S = 0.5
GEMINI_KEY_HINT = "Set GEMINI_API_KEY (or add a key on the Models & prices page). Simulated models need none."
# Control characters, what begins a query or a fragment, and a step upwards.
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f?#]|(^|[/\\:])\.\.($|[/\\:])")


class Registry:
    """Holds the providers that the settings name. Its coroutines run on the core's loop.

    simulated_speed: None = as the settings say.
    """

    def __init__(self, settings: Settings, simulated_speed: float | None = None) -> None:
        self._simulated = SimulatedProvider(
            speed=settings.simulated_speed if simulated_speed is None else simulated_speed
        )
        self.deployments = Deployments(settings)

    @property
    def _vendors(self) -> Mapping[str, VendorPool]:
        return self.deployments.pools

    @property
    def names(self) -> list[str]:
        """The vendors that are set up."""
        return list(self._vendors)

    @property
    def given(self) -> list[str]:
        """The vendors and servers that the environment names, or a key of this process."""
        return list(self.deployments.given)

    def has(self, vendor: str) -> bool:
        return vendor in self._vendors

    @property
    def list_error(self) -> str:
        """The reason why a vendor's model list could not be read; empty when all could."""
        return " ".join(each.error for pool in self._vendors.values() for each in pool.deployed if each.error)

    @property
    def list_problems(self) -> dict[str, KeyCheck]:
        """By deployment, what kept its model list from being read; those are left out whose list was read."""
        return {
            each.name: each.problem
            for pool in self._vendors.values()
            for each in pool.deployed
            if each.problem is not None
        }

    @property
    def takes_any(self) -> bool:
        """True where a server of one's own is set up: it may answer a name that is in no list."""
        return any(
            not (name in VENDORS and VENDORS[name].prefixes) and not pool.is_guest
            for name, pool in self._vendors.items()
        )

    def set_key(self, vendor: str, key: str) -> None:
        """Use a key in this process, as if the environment had named it."""
        self.deployments.give(vendor, key)

    async def check_key(self, vendor: str, key: str) -> KeyCheck:
        """Try a key without keeping it."""
        return await checked(self.deployments.of_vendor(vendor, key))

    async def check(self, name: str) -> KeyCheck:
        """Try a deployment as it is set up; the environment's has its vendor's name."""
        found = self.deployments.named(name)
        if found is None:
            return KeyCheck("missing", f"{name} is not set up.")
        return await found.provider.check()  # type: ignore[no-any-return]  # each provider's check gives one

    async def models(self, wait_s: float | None = None) -> list[Model]:
        """Vendors' models first, then the simulated ones. wait_s: After so long, without vendors that are silent."""
        lists = await asyncio.gather(*(vendor.models(wait_s) for vendor in self._vendors.values()))
        return [*(model for found in lists for model in found), *SIMULATED.values()]

    async def resolve(self, name: str, unit: str = "", *, exactly: bool = False) -> tuple[Provider, Model]:
        """The provider that answers for a model name; `vendor/model` and `deployment/model` name it themselves.

        unit: See VendorPool.pick.
        exactly: A name before the model is a deployment's, also where a vendor has the same.

        Raises:
            ModelNotFound: No provider has it. AuthenticationError: its provider has no key.
        """
        if _is_no_name(name):
            raise ModelNotFound(
                f"{name[:80]!r} is no model's name.", hint="Names hold no control characters, ?, # or `..`."
            )
        if name in SIMULATED:
            return self._simulated, SIMULATED[name]
        if (named := self._by_prefix(name, unit, exactly=exactly)) is not None:
            return named
        if exactly:
            before = re.split("[/:]", name, maxsplit=1)[0]
            raise AuthenticationError(f"{before[:60]} is not set up.", hint="Set its key, or add the deployment again.")
        bare = normalise(name)
        for spec in VENDORS.values():
            if bare.startswith(spec.prefixes) and spec.name in self._vendors:
                return self._picked(self._vendors[spec.name], bare, unit)
        for wait_s in (0, None):
            known = await self.models(wait_s)
            for pool in self._vendors.values():
                listed = next((model for model in pool.listed if model.name in (name, bare)), None)
                if listed is not None:
                    return self._picked(pool, listed.name, unit)
        self._refuse_without_key(bare)
        names = [model.name for model in known]
        close = difflib.get_close_matches(name[:80], names, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known models: {', '.join(names[:12])}."
        raise ModelNotFound(f"There is no model {name[:80]!r}.", hint=hint)

    async def default_model(self) -> str:
        """Gemini's newest flash; without Gemini a simulated one, because the other vendors name no default."""
        if "gemini" not in self._vendors:
            return "sim-fast"
        names = [model.name for model in await self._vendors["gemini"].models(LIST_WAIT_S)]
        return gemini.default_model(names) if names else "sim-fast"

    async def close(self) -> None:
        await self.deployments.close()

    def _by_prefix(self, name: str, unit: str, *, exactly: bool) -> tuple[Provider, Model] | None:
        """The provider that is named before a model; None = none that is set up."""
        for mark in "/:":
            before, found, rest = name.partition(mark)
            one = self.deployments.named(before) if exactly else self.deployments.bound(before)
            if found and one is not None:
                return one.provider, one.model(_bare(one.provider.name, rest))
            if found and before in self._vendors and not exactly:
                return self._picked(self._vendors[before], _bare(before, rest), unit)
        return None

    def _picked(self, pool: VendorPool, model: str, unit: str) -> tuple[Provider, Model]:
        found = pool.pick(model, self.deployments.rests_until, unit=unit)
        assert found is not None  # noqa: S101 - nobody was left out
        return found.provider, found.model(model)

    def _refuse_without_key(self, bare: str) -> None:
        for spec in VENDORS.values():
            if bare.startswith(spec.prefixes) and spec.name not in self._vendors:
                hint = f"Set {spec.key_variables[0]}. Simulated models need none."
                raise AuthenticationError(
                    f"No key is set for {spec.label}, which answers for {bare!r}.",
                    hint=GEMINI_KEY_HINT if spec.name == "gemini" else hint,
                )


def _is_no_name(name: str) -> bool:
    """True for a name that would mean something else in an address, or reads like another one."""
    return name != name.strip() or _ODD.search(name) is not None


def _bare(vendor: str, name: str) -> str:
    return normalise(name) if vendor == "gemini" else name
