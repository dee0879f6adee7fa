"""What a provider is: one asynchronous stream, and a list of its models."""

import re
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from core.domain import strict_json as json
from core.domain.generation import CHARGED, COUNTS, Chunk, FinishReason, Message, Model, Request, Usage
from core.domain.message import ToolCall, ToolResult, read_arguments
from core.errors import InvalidRequest

# A hundred times the longest context there is; its cost still fits into a whole number of nano-dollars in the database.
MOST_TOKENS = 1_000_000_000


def is_credible(usage: Usage) -> bool:
    """Whether counts can be those of one request; others are as good as none, and would not even fit into the record."""
    counts = [value for name, value in usage.more.items() if name != CHARGED]
    return all(abs(value) <= MOST_TOKENS for value in (*counts, *(getattr(usage, name) for name in COUNTS)))


UNUSUAL: tuple[FinishReason, ...] = ("content_filter", "error", "other")  # ends that are told in the vendor's own words
MAX_UNKNOWN = 16  # of counts by a vendor's own words


def with_unknown(usage: Usage, counts: Any, known: Collection[str]) -> Usage:
    """The usage with what else a vendor counts in it, by its own words: it may be charged for, and nobody here knows how.

    known: The paths that were read, or mean no tokens; `a.*` for all in `a`.
    """
    found = {path: n for path, n in _counted("", counts) if not any(_matches(path, one) for one in known)}
    if not found:
        return usage
    return replace(usage, more={**usage.more, **dict(sorted(found.items())[:MAX_UNKNOWN])})


def _counted(path: str, value: Any) -> Iterator[tuple[str, int]]:
    """Every number above 0 in an object, by its path."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _counted(f"{path}.{_word(name)}" if path else _word(name), inner)
    elif isinstance(value, list):
        for inner in value[:100]:
            yield from _counted(path, inner)
    elif isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        yield path, max(1, int(min(value, MOST_TOKENS)))


def _word(name: Any) -> str:
    return re.sub(r"[^\w.-]", "_", str(name))[:60]


def _matches(path: str, known: str) -> bool:
    return path == known or (known.endswith("*") and path.startswith(known[:-1]))


def tier_of(said: Any) -> str | None:
    """A vendor's word for how it served a request, as prices know it; None = it says nothing."""
    word = _word(said).lower() if isinstance(said, str) else ""
    if word in ("", "auto", "unspecified", "service_tier_unspecified"):
        return None
    return "standard" if word in ("default", "on_demand", "standard") else word


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


def choice_of(request: Request) -> tuple[str, str]:
    """(auto, none, required, tool or empty; the tool's name). Raises: InvalidRequest."""
    kind, _, name = request.tool_choice.partition(":")
    if kind not in ("", "auto", "none", "required", "tool"):
        raise InvalidRequest(f"tool_choice == {request.tool_choice[:80]!r}, must be auto, none, required or a tool.")
    return kind, name


def check_results(messages: Iterable[Message]) -> None:
    """Refuse a result without a call of its own: no vendor that reads calls as objects takes it.

    Raises:
        InvalidRequest
    """
    called: set[str] = set()
    for part in (part for message in messages for part in message.parts):
        if isinstance(part, ToolCall):
            called.add(part.id)
        elif isinstance(part, ToolResult):
            if part.call_id not in called:
                raise InvalidRequest(
                    f"A tool's result is for the call {part.call_id[:80]!r}, which no turn before it made, or which has one."
                )
            called.remove(part.call_id)


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
