"""Which models can be asked, and who answers for a name."""

import asyncio
import difflib
import time

from core.domain.generation import Model
from core.errors import AimmError, AuthenticationError, ModelNotFound
from core.pricing.catalogue import normalise
from core.providers import gemini
from core.providers.base import KeyCheck, Provider
from core.providers.simulated import MODELS as SIMULATED
from core.providers.simulated import SimulatedProvider

LIST_TTL_S = 600.0
FAILED_LIST_TTL_S = 30.0
GEMINI_KEY_HINT = "Set GEMINI_API_KEY (or add a key on the Models & prices page). Simulated models need none."


class Registry:
    """Holds the providers. Its coroutines run on the core's loop."""

    def __init__(self, *, gemini_key: str | None, gemini_base_url: str | None, simulated_speed: float = 1.0) -> None:
        self._simulated = SimulatedProvider(speed=simulated_speed)
        self._base_url = gemini_base_url
        self._gemini: gemini.GeminiProvider | None = None
        self._listed: list[Model] = []
        self._listed_until = 0.0
        self._lock = asyncio.Lock()
        self.list_error: str = ""
        if gemini_key:
            self.set_gemini_key(gemini_key)

    @property
    def has_gemini_key(self) -> bool:
        return self._gemini is not None

    def set_gemini_key(self, key: str) -> None:
        self._gemini = gemini.GeminiProvider(key, self._base_url)
        self._listed_until = 0.0

    async def check_gemini_key(self, key: str) -> KeyCheck:
        provider = gemini.GeminiProvider(key, self._base_url)
        try:
            return await provider.check()
        finally:
            await provider.close()

    async def models(self) -> list[Model]:
        """Vendors' models first, then the simulated ones."""
        return [*await self._gemini_models(), *SIMULATED.values()]

    async def resolve(self, name: str) -> tuple[Provider, Model]:
        """Who answers for a model name.

        Raises:
            ModelNotFound: No provider has it. AuthenticationError: its provider has no key.
        """
        if name in SIMULATED:
            return self._simulated, SIMULATED[name]
        bare = normalise(name)
        if bare.startswith(("gemini-", "gemma-", "learnlm-")):
            if self._gemini is None:
                raise AuthenticationError(
                    f"No key is set for Gemini, which answers for {bare!r}.", hint=GEMINI_KEY_HINT
                )
            listed = {model.name: model for model in self._listed}
            return self._gemini, listed.get(bare) or gemini.guess(bare)
        known = [model.name for model in await self.models()]
        if self._gemini is not None and bare in known:
            return self._gemini, next(model for model in self._listed if model.name == bare)
        close = difflib.get_close_matches(name[:80], known, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known models: {', '.join(known[:12])}."
        raise ModelNotFound(f"There is no model {name[:80]!r}.", hint=hint)

    async def default_model(self) -> str:
        names = [model.name for model in await self._gemini_models()]
        return gemini.default_model(names) if names else "sim-fast"

    async def close(self) -> None:
        if self._gemini is not None:
            await self._gemini.close()

    async def _gemini_models(self) -> list[Model]:
        if self._gemini is None:
            return []
        async with self._lock:
            if time.monotonic() >= self._listed_until:
                try:
                    self._listed = await self._gemini.models()
                    self.list_error = ""
                except AimmError as error:
                    self.list_error = error.message
                    self._listed = []
                ttl = FAILED_LIST_TTL_S if self.list_error else LIST_TTL_S
                self._listed = self._listed or gemini.fallback_models()
                self._listed_until = time.monotonic() + ttl
            return self._listed
