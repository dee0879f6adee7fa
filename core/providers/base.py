"""What a provider is: one asynchronous stream, and a list of its models."""

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from core.domain.generation import Chunk, Model, Request


class KeyCheck(NamedTuple):
    """What a key can do. status: works, missing, wrong_key, api_off, no_tier, quota, network or error."""

    status: str
    message: str

    @property
    def works(self) -> bool:
        return self.status == "works"


class Provider(Protocol):
    name: str

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
