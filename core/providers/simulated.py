"""Three models that need no key: seeded, so that the same request gets the same answer and the same token counts.

A prompt can ask for a fault: `[[fail:rate_limit]]`, `timeout`, `unavailable`, `break`, `block` or `empty`; with a
number, `[[fail:rate_limit:2]]`, only the first so many attempts fail.
"""

import asyncio
import hashlib
import math
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from core.domain.generation import Chunk, FinishReason, Model, Request, Usage
from core.domain.operation import Operation
from core.errors import Blocked, ProviderUnavailable, RateLimited
from core.providers.simulated_text import answer

EMBEDDING_SIZE = 256
_FAULT = re.compile(r"\[\[fail:(\w+)(?::(\d+))?\]\]")
_TOKEN = re.compile(r"\s*\S{1,6}|\s+")


@dataclass(frozen=True, slots=True)
class _Character:
    """The behaviour of a simulated model. Times in seconds."""

    label: str
    ttft_s: tuple[float, float]
    tokens_per_s: float
    depth: int
    thinking_tokens: int


CHARACTERS = {
    "sim-fast": _Character("Sim Fast", (0.06, 0.14), 260.0, 1, 0),
    "sim-balanced": _Character("Sim Balanced", (0.20, 0.40), 160.0, 2, 0),
    "sim-careful": _Character("Sim Careful", (0.45, 0.80), 110.0, 3, 64),
}
MODELS = {
    name: Model(
        name=name,
        provider="simulated",
        label=character.label,
        accepts=frozenset({"temperature", "max_tokens", "seed", "json_schema"}),
        context_tokens=1_000_000,
        max_output_tokens=8192,
    )
    for name, character in CHARACTERS.items()
}


def count_tokens(text: str) -> int:
    """Simulated tokens: parts of up to six characters."""
    return sum(1 for _ in _TOKEN.finditer(text))


class SimulatedProvider:
    """Models that answer without a vendor. speed: Times as fast as life; 0 = no waiting at all."""

    name = "simulated"
    deployment = ""
    wires: tuple[str, ...] = ("simulated",)
    operations: frozenset[Operation] = frozenset({"chat", "embeddings"})
    gives_several = False

    def __init__(self, *, speed: float = 1.0) -> None:
        self._speed = speed

    async def models(self) -> list[Model]:
        return list(MODELS.values())

    def left_out(self, request: Request) -> list[str]:
        return []

    async def count_tokens(self, request: Request) -> int:
        return sum(count_tokens(m.text) for m in request.messages) + count_tokens(request.system or "")

    async def close(self) -> None:
        """Nothing is open."""

    async def stream(self, request: Request, *, attempt: int, timeout_s: float) -> AsyncGenerator[Chunk]:
        character = CHARACTERS[request.model]
        rng = random.Random(_seed(request))
        fault = _fault_of(request, attempt)
        await self._sleep(rng.uniform(*character.ttft_s))
        await self._fail_early(fault, timeout_s)
        if request.operation == "embeddings":
            usage = Usage(input_tokens=await self.count_tokens(request))
            vectors = tuple(_vector(request.model, message.text) for message in request.messages)
            yield Chunk(vectors=vectors, usage=usage, finish_reason="stop", response_model=request.model)
            return

        text = "" if fault == "empty" else answer(request, depth=character.depth, rng=rng)
        words = _TOKEN.findall(text)
        limit, thinking = request.parameters.max_tokens, character.thinking_tokens
        finish: FinishReason = "stop"
        if limit is not None:  # thinking counts towards the limit, as with real models
            thinking = min(thinking, limit // 2)
            if len(words) > limit - thinking:
                words, finish = words[: limit - thinking], "length"
        if fault == "break":
            words = words[: max(1, len(words) // 2)]
        async for chunk in self._paced(words, character, rng):
            yield chunk
        if fault in ("break", "empty"):
            return
        prompt_tokens = await self.count_tokens(request)
        usage = Usage(
            input_tokens=prompt_tokens,
            output_tokens=len(words) + thinking,
            thinking_tokens=thinking,
        )
        yield Chunk(usage=usage, finish_reason=finish, response_model=request.model)

    async def _paced(self, words: list[str], character: _Character, rng: random.Random) -> AsyncIterator[Chunk]:
        """Tokens in small bursts, as vendors send them."""
        at = 0
        while at < len(words):
            size = rng.randint(3, 9)
            burst = words[at : at + size]
            at += size
            yield Chunk(text="".join(burst))
            await self._sleep(len(burst) / character.tokens_per_s)

    async def _fail_early(self, fault: str | None, timeout_s: float) -> None:
        if fault == "rate_limit":
            raise RateLimited("Simulated: too many requests.", retry_after_s=0.2, quota="simulated requests per minute")
        if fault == "unavailable":
            raise ProviderUnavailable("Simulated: the model is overloaded (503).")
        if fault == "block":
            raise Blocked("Simulated: the prompt was blocked.", category="SAFETY")
        if fault == "timeout":
            await asyncio.sleep(timeout_s + 60)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed if self._speed else 0)


def _vector(model: str, text: str) -> list[float]:
    """A direction that only the text decides; of length 1."""
    rng = random.Random(f"{model}\x00{text}")
    values = [rng.gauss(0, 1) for _ in range(EMBEDDING_SIZE)]
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def _seed(request: Request) -> int:
    parts = [request.model, request.system or "", str(request.parameters.seed), str(request.parameters.temperature)]
    parts += [message.text for message in request.messages]
    return int.from_bytes(hashlib.sha256("\x00".join(parts).encode()).digest()[:8])


def _fault_of(request: Request, attempt: int) -> str | None:
    match = _FAULT.search(request.prompt)
    if match is None or (match[2] is not None and attempt > int(match[2])):
        return None
    return match[1]
