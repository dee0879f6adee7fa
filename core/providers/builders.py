"""The vendors as providers: one builder a wire, and a list of models that is kept for a while."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.domain.generation import Model
from core.domain.vendors.deployment import Deployment
from core.errors import AimmError, ProviderUnavailable
from core.providers.anthropic import provider as anthropic
from core.providers.base import KeyCheck
from core.providers.gemini import provider as gemini
from core.providers.http.network import Network
from core.providers.key_check import judged
from core.providers.openai.provider import OpenAIProvider
from core.vendors import VendorSpec

LIST_TTL_S = 600.0
FAILED_LIST_TTL_S = 30.0


@dataclass(slots=True)
class Deployed:
    """A deployment with its list of models, kept for a while.

    told: What is set of it; None = it is the environment's.
    is_guest: It need not be there (Ollama): its silence is no error.
    error, problem: The reason why its list could not be read, in its words and by its kind.
    """

    provider: Any
    guess: Callable[[str], Model]
    fallback: Callable[[], Sequence[Model]] = tuple
    told: Deployment | None = None
    is_guest: bool = False
    listed: list[Model] = field(default_factory=list)
    listed_until: float = 0.0
    error: str = ""
    problem: KeyCheck | None = None
    listing: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return str(self.provider.deployment)

    @property
    def names(self) -> Collection[str]:
        """The models that it has; empty = whichever its vendor has."""
        return self.told.models if self.told is not None else ()

    @property
    def serves_all(self) -> bool:
        return not self.names and self.weight > 0

    @property
    def weight(self) -> int:
        return 1 if self.told is None else self.told.weight

    @property
    def priority(self) -> int:
        return 1 if self.told is None else self.told.priority

    def serves(self, model: str) -> bool:
        return not self.names or model in self.names

    async def models(self, wait_s: float | None = None) -> list[Model]:
        """Its list. wait_s: After so long, the list as far as it is known; the vendor is still being asked."""
        if self.names:
            self.listed = self.listed or [self.guess(name) for name in self.names]
            return self.listed
        if (self.listing is None or self.listing.done()) and time.monotonic() >= self.listed_until:
            self.listing = asyncio.create_task(self._list())
        if self.listing is not None:
            await asyncio.wait({self.listing}, timeout=wait_s)
        return self.listed or list(self.fallback())

    async def _list(self) -> None:
        try:
            self.listed, self.error, self.problem = await self.provider.models(), "", None
        except AimmError as error:
            self.listed = []
            is_absent = self.is_guest and isinstance(error, ProviderUnavailable)
            self.error = "" if is_absent else error.message
            self.problem = None if is_absent else judged("It", error)
        has_failed = bool(self.error) or (self.is_guest and not self.listed)
        self.listed_until = time.monotonic() + (FAILED_LIST_TTL_S if has_failed else LIST_TTL_S)

    def model(self, name: str) -> Model:
        """The model of a name, as listed or by its name."""
        return next((model for model in self.listed if model.name == name), None) or self.guess(name)


def build(spec: VendorSpec, key: str, address: str | None, network: Network) -> Deployed:
    """A vendor of the table."""
    return _WIRES[spec.wire](spec, key, address or spec.url, network)


def build_server(name: str, address: str, key: str | None, network: Network, label: str = "") -> Deployed:
    """A server of one's own on the OpenAI wire."""
    provider = OpenAIProvider(name, address, key, network=network, label=label)
    return Deployed(provider, provider.guess)


def _gemini(spec: VendorSpec, key: str, url: str, network: Network) -> Deployed:
    provider = gemini.GeminiProvider(key, url, network)
    return Deployed(provider, provider.guess, provider.fallback)


def _anthropic(spec: VendorSpec, key: str, url: str, network: Network) -> Deployed:
    provider = anthropic.AnthropicProvider(key, url, network)
    return Deployed(provider, provider.guess)


def _openai(spec: VendorSpec, key: str, url: str, network: Network) -> Deployed:
    url = f"{url}/v1" if spec.is_local else url
    is_own = "api.openai.com" in url
    provider = OpenAIProvider(spec.name, url, key or None, label=spec.label, is_own=is_own, network=network)
    return Deployed(provider, provider.guess)


_WIRES: dict[str, Callable[[VendorSpec, str, str, Network], Deployed]] = {
    "gemini": _gemini,
    "openai": _openai,
    "anthropic": _anthropic,
}
