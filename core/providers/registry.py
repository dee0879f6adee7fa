"""The models that can be asked, and the provider that answers for a name."""

import asyncio
import difflib
import re
from pathlib import Path

from core.config import DEFAULT_FAMILIES_FILE, Settings
from core.domain.generation import Model
from core.errors import AuthenticationError, ModelNotFound
from core.pricing.catalogue import normalise
from core.providers.base import KeyCheck, Provider
from core.providers.builders import Vendor, build, build_server
from core.providers.families import Families
from core.providers.gemini import provider as gemini
from core.providers.http.network import Network
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
        self._addresses = dict(settings.addresses)
        self._network = Network(allows_link_local=settings.allows_link_local, proxies=settings.proxies)
        file = settings.families_file
        self._families = Families(file, is_optional=file == Path(DEFAULT_FAMILIES_FILE))
        self._vendors: dict[str, Vendor] = {}
        for name in VENDORS:
            if key := settings.keys.get(name):
                self.set_key(name, key)
        for name, address in settings.servers.items():
            self._vendors[name] = self._told(build_server(name, address, settings.keys.get(name), self._network))
        for spec in VENDORS.values():
            if spec.is_local and (self._addresses.get(spec.name) or settings.finds_local):
                self.set_key(spec.name, "")
                self._vendors[spec.name].is_guest = not self._addresses.get(spec.name)

    @property
    def names(self) -> list[str]:
        """The vendors that are set up."""
        return list(self._vendors)

    def has(self, vendor: str) -> bool:
        return vendor in self._vendors

    @property
    def list_error(self) -> str:
        """The reason why a vendor's model list could not be read; empty when all could."""
        return " ".join(vendor.error for vendor in self._vendors.values() if vendor.error)

    @property
    def list_problems(self) -> dict[str, KeyCheck]:
        """By vendor, what kept its model list from being read; those are left out whose list was read."""
        return {name: vendor.problem for name, vendor in self._vendors.items() if vendor.problem is not None}

    @property
    def takes_any(self) -> bool:
        """True where a server of one's own is set up: it may answer a name that is in no list."""
        return any(
            not (name in VENDORS and VENDORS[name].prefixes) and not vendor.is_guest
            for name, vendor in self._vendors.items()
        )

    def set_key(self, vendor: str, key: str) -> None:
        self._vendors[vendor] = self._build(vendor, key)

    async def check_key(self, vendor: str, key: str) -> KeyCheck:
        """Try a key without keeping it."""
        made = self._build(vendor, key)
        try:
            return await made.provider.check()  # type: ignore[no-any-return]  # each provider's check gives one
        finally:
            await made.provider.close()

    async def check(self, vendor: str) -> KeyCheck:
        """Try a vendor as it is set up."""
        if vendor not in self._vendors:
            return KeyCheck("missing", f"{vendor} is not set up.")
        return await self._vendors[vendor].provider.check()  # type: ignore[no-any-return]

    async def models(self, wait_s: float | None = None) -> list[Model]:
        """Vendors' models first, then the simulated ones. wait_s: After so long, without vendors that are silent."""
        lists = await asyncio.gather(*(vendor.models(wait_s) for vendor in self._vendors.values()))
        return [*(model for found in lists for model in found), *SIMULATED.values()]

    async def resolve(self, name: str) -> tuple[Provider, Model]:
        """The provider that answers for a model name; `vendor/model` and `vendor:model` name it themselves.

        Raises:
            ModelNotFound: No provider has it. AuthenticationError: its provider has no key.
        """
        if _is_no_name(name):
            raise ModelNotFound(
                f"{name[:80]!r} is no model's name.", hint="Names hold no control characters, ?, # or `..`."
            )
        if name in SIMULATED:
            return self._simulated, SIMULATED[name]
        for mark in "/:":
            vendor, found, rest = name.partition(mark)
            if found and vendor in self._vendors:
                return self._vendors[vendor].provider, self._vendors[vendor].model(_bare(vendor, rest))
        bare = normalise(name)
        for spec in VENDORS.values():
            if bare.startswith(spec.prefixes) and spec.name in self._vendors:
                return self._vendors[spec.name].provider, self._vendors[spec.name].model(bare)
        for wait_s in (0, None):
            known = await self.models(wait_s)
            for each in self._vendors.values():
                listed = next((model for model in each.listed if model.name in (name, bare)), None)
                if listed is not None:
                    return each.provider, listed
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
        for vendor in self._vendors.values():
            if vendor.listing is not None:
                vendor.listing.cancel()
            await vendor.provider.close()

    def _build(self, vendor: str, key: str) -> Vendor:
        return self._told(build(VENDORS[vendor], key, self._addresses.get(vendor), self._network))

    def _told(self, vendor: Vendor) -> Vendor:
        """The vendor with the families of models as the team has them."""
        vendor.provider.families = self._families
        return vendor

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
