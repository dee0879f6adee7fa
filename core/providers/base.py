"""What a provider is: one asynchronous stream, and a list of its models."""

from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple, Protocol

from core.domain import strict_json as json
from core.domain.generation import Chunk, Message, Model, Request, Usage
from core.domain.message import ToolCall, ToolResult, read_arguments
from core.errors import InvalidRequest

# A hundred times the longest context there is; its cost still fits into a whole number of nano-dollars in the database.
MOST_TOKENS = 1_000_000_000


def is_credible(usage: Usage) -> bool:
    """Whether counts can be those of one request; others are as good as none, and would not even fit into the record."""
    return all(getattr(usage, name) <= MOST_TOKENS for name in usage.__slots__)


def as_object(text: str) -> dict[str, Any]:
    """The JSON object of a text; empty where it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def as_input(arguments: str) -> dict[str, Any]:
    """The arguments of a past call for vendors that take objects only. What cannot be read goes as the text it is, under
    the name that Anthropic gives for that; it must not be taken for a call without arguments."""
    found = read_arguments(arguments)
    return {"INVALID_JSON": arguments} if found is None else found


def check_results(messages: Iterable[Message]) -> None:
    """Refuse a result without its call: no vendor that reads calls as objects takes it.

    Raises:
        InvalidRequest
    """
    called: set[str] = set()
    for part in (part for message in messages for part in message.parts):
        if isinstance(part, ToolCall):
            called.add(part.id)
        elif isinstance(part, ToolResult) and part.call_id not in called:
            raise InvalidRequest(
                f"A tool's result is for the call {part.call_id[:80]!r}, which no turn before it made."
            )


class KeyCheck(NamedTuple):
    """What a key can do. status: works, missing, wrong_key, expired, suspended, restricted, billing, region, api_off, no_tier,
    quota, network or error.
    """

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
