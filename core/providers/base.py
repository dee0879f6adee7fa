"""What a provider is: one asynchronous stream, and a list of its models."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple, Protocol

from core.domain import strict_json as json
from core.domain.generation import Chunk, Model, Request, Usage

# A hundred times the longest context there is; its cost still fits into a whole number of nano-dollars in the database.
MOST_TOKENS = 1_000_000_000


def is_credible(usage: Usage) -> bool:
    """Whether counts can be those of one request; others are as good as none, and would not even fit into the record."""
    return all(getattr(usage, name) <= MOST_TOKENS for name in usage.__slots__)


def as_object(text: str) -> dict[str, Any]:
    """The JSON object of a text; empty where it is none."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class KeyCheck(NamedTuple):
    """What a key can do. status: works, missing, wrong_key, api_off, no_tier, quota, network or error."""

    status: str
    message: str

    @property
    def works(self) -> bool:
        return self.status == "works"


class Provider(Protocol):
    """wire: Which wire it speaks; a request that came in the same one is sent on as it came."""

    name: str
    wire: str

    def stream(self, request: Request, *, attempt: int, timeout_s: float) -> AsyncIterator[Chunk]:
        """One attempt. Raises AimmError only; a stream without a finish reason was cut off."""
        ...

    async def count_tokens(self, request: Request) -> int:
        """The exact input tokens of a request, as the vendor would bill them. Raises AimmError only."""
        ...

    async def models(self) -> list[Model]:
        """The models that can be asked now."""
        ...

    async def close(self) -> None: ...
