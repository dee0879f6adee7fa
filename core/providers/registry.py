"""The models that can be asked, and the provider that answers for a name."""

import asyncio
import difflib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.config import Settings
from core.domain.generation import Model
from core.errors import AimmError, AuthenticationError, ModelNotFound, ProviderUnavailable
from core.pricing.catalogue import normalise
from core.providers import anthropic, gemini, openai
from core.providers.base import KeyCheck, Provider
from core.providers.http.network import Network
from core.providers.simulated import MODELS as SIMULATED
from core.providers.simulated import SimulatedProvider

LIST_TTL_S = 600.0
FAILED_LIST_TTL_S = 30.0
LIST_WAIT_S = 0.5
OLLAMA_URL = "http://127.0.0.1:11434"
GEMINI_KEY_HINT = "Set GEMINI_API_KEY (or add a key on the Models & prices page). Simulated models need none."
# Whose a name is before any list is read.
_PREFIXES = {
    "gemini": ("gemini-", "gemma-", "learnlm-"),
    "openai": ("gpt-", "chatgpt-", "o1", "o3", "o4", "text-embedding-"),
    "anthropic": ("claude-",),
}
# Control characters, what begins a query or a fragment, and a step upwards.
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f?#]|(^|[/\\:])\.\.($|[/\\:])")
_KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


@dataclass(slots=True)
class Vendor:
    """A provider with its list of models, kept for a while.

    is_guest: It need not be there (Ollama): its silence is no error.
    """

    provider: Any
    guess: Callable[[str], Model]
    fallback: Callable[[], Sequence[Model]] = tuple
    is_guest: bool = False
    listed: list[Model] = field(default_factory=list)
    listed_until: float = 0.0
    error: str = ""
    asking: asyncio.Task[None] | None = None

    async def models(self, wait_s: float | None = None) -> list[Model]:
        """Its list. wait_s: After so long, the list as far as it is known; the vendor is still being asked."""
        if (self.asking is None or self.asking.done()) and time.monotonic() >= self.listed_until:
            self.asking = asyncio.create_task(self._ask())
        if self.asking is not None:
            await asyncio.wait({self.asking}, timeout=wait_s)
        return self.listed or list(self.fallback())

    async def _ask(self) -> None:
        try:
            self.listed, self.error = await self.provider.models(), ""
        except AimmError as error:
            self.listed = []
            is_absent = self.is_guest and isinstance(error, ProviderUnavailable)
            self.error = "" if is_absent else error.message
        has_failed = bool(self.error) or (self.is_guest and not self.listed)
        self.listed_until = time.monotonic() + (FAILED_LIST_TTL_S if has_failed else LIST_TTL_S)

    def model(self, name: str) -> Model:
        """The model of a name, as listed or by its name."""
        return next((model for model in self.listed if model.name == name), None) or self.guess(name)


class Registry:
    """Holds the providers. Its coroutines run on the core's loop.

    keys: Vendor -> key; addresses: vendor -> base address; servers: name -> (base address, key) of the OpenAI wire.
    """

    def __init__(
        self,
        *,
        keys: Mapping[str, str | None] | None = None,
        addresses: Mapping[str, str | None] | None = None,
        servers: Mapping[str, tuple[str, str | None]] | None = None,
        finds_ollama: bool = False,
        simulated_speed: float = 1.0,
        network: Network | None = None,
    ) -> None:
        self._simulated = SimulatedProvider(speed=simulated_speed)
        self._addresses = dict(addresses or {})
        self._network = network or Network()
        self._vendors: dict[str, Vendor] = {}
        for name, key in (keys or {}).items():
            if key:
                self.set_key(name, key)
        for name, (address, key) in (servers or {}).items():
            self._vendors[name] = _of_server(name, address, key, self._network)
        host = self._addresses.get("ollama")
        if host or finds_ollama:
            self._vendors["ollama"] = _of_ollama(host or OLLAMA_URL, self._network, is_guest=not host)

    @classmethod
    def of(cls, settings: Settings, simulated_speed: float | None = None) -> "Registry":
        """The vendors that the settings name. simulated_speed: None = as they say."""
        return cls(
            keys={
                "gemini": settings.gemini_api_key,
                "openai": settings.openai_api_key,
                "anthropic": settings.anthropic_api_key,
            },
            addresses={
                "gemini": settings.gemini_base_url,
                "openai": settings.openai_base_url,
                "anthropic": settings.anthropic_base_url,
                "ollama": settings.ollama_host,
            },
            servers={name: (address, settings.server_keys.get(name)) for name, address in settings.servers.items()},
            finds_ollama=settings.finds_ollama,
            network=Network(allows_link_local=settings.allows_link_local, proxies=settings.proxies),
            simulated_speed=settings.simulated_speed if simulated_speed is None else simulated_speed,
        )

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
    def takes_any(self) -> bool:
        """True where a server of one's own is set up: it may answer a name that is in no list."""
        return any(name not in _PREFIXES and not vendor.is_guest for name, vendor in self._vendors.items())

    def set_key(self, vendor: str, key: str) -> None:
        self._vendors[vendor] = self._made(vendor, key)

    async def check_key(self, vendor: str, key: str) -> KeyCheck:
        """Try a key without keeping it."""
        made = self._made(vendor, key)
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
        """Vendors' models first, then the simulated ones. wait_s: After so long, without those that have not answered."""
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
        for vendor, prefixes in _PREFIXES.items():
            if bare.startswith(prefixes) and vendor in self._vendors:
                return self._vendors[vendor].provider, self._vendors[vendor].model(bare)
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
            if vendor.asking is not None:
                vendor.asking.cancel()
            await vendor.provider.close()

    def _made(self, vendor: str, key: str) -> Vendor:
        address = self._addresses.get(vendor)
        if vendor == "gemini":
            return Vendor(
                gemini.GeminiProvider(key, address, network=self._network), gemini.guess, gemini.fallback_models
            )
        if vendor == "anthropic":
            return Vendor(anthropic.AnthropicProvider(key, address, network=self._network), anthropic.guess)
        is_own = address is None or "api.openai.com" in address
        provider = openai.OpenAIProvider(
            "openai", address or openai.OPENAI_URL, key, label="OpenAI", is_own=is_own, network=self._network
        )
        return Vendor(provider, provider.guess)

    def _refuse_without_key(self, bare: str) -> None:
        for vendor, prefixes in _PREFIXES.items():
            if bare.startswith(prefixes) and vendor not in self._vendors:
                if vendor == "gemini":
                    text = f"No key is set for Gemini, which answers for {bare!r}."
                    raise AuthenticationError(text, hint=GEMINI_KEY_HINT)
                text = f"No key is set for {vendor}, which answers for {bare!r}."
                raise AuthenticationError(text, hint=f"Set {_KEYS[vendor]}. Simulated models need none.")


def _is_no_name(name: str) -> bool:
    """True for a name that would mean something else in an address, or reads like another one."""
    return name != name.strip() or _ODD.search(name) is not None


def _bare(vendor: str, name: str) -> str:
    return normalise(name) if vendor == "gemini" else name


def _of_server(name: str, address: str, key: str | None, network: Network) -> Vendor:
    provider = openai.OpenAIProvider(name, address, key, network=network)
    return Vendor(provider, provider.guess)


def _of_ollama(address: str, network: Network, *, is_guest: bool) -> Vendor:
    provider = openai.OpenAIProvider("ollama", f"{address}/v1", None, label="Ollama", network=network)
    return Vendor(provider, provider.guess, is_guest=is_guest)
