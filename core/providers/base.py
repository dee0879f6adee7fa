"""The interface of a provider: one asynchronous stream, and a list of its models."""

import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from core.domain.generation import (
    CHARGED,
    COUNTS,
    MORE_TOKENS,
    Chunk,
    FinishReason,
    Message,
    Model,
    Quota,
    Request,
    Usage,
)
from core.domain.message import Media, Part, ToolCall, ToolResult, read_arguments
from core.domain.operation import Operation
from core.errors import InvalidRequest
from core.formats import strict_json as json

# A hundred times the longest context there is; its cost still fits into a whole number of nano-dollars in the database.
MOST_TOKENS = 1_000_000_000


def is_credible(usage: Usage) -> bool:
    """True for counts that can be those of one request; others are as good as none, and would not fit a record."""
    if not usage.input_tokens and usage.charged_usd is None:
        return False  # every request has an input: zeros stand for counts that are not known
    counts = (*usage.more.values(), *(getattr(usage, name) for name in COUNTS))
    return all(abs(value) <= MOST_TOKENS for value in counts)


UNUSUAL: tuple[FinishReason, ...] = ("content_filter", "error", "other")  # ends that are told in the vendor's own words
MAX_UNKNOWN = 16  # of counts by a vendor's own words
_OURS = (*MORE_TOKENS, CHARGED)  # a vendor's word must not be taken for one of these
# Numbers of a usage that are no counts of their own: dollars, measurements, and what other counts hold already.
_NO_COUNT = re.compile(
    r"cost|latency|(^|[._])time([._]|$)|per_sec|(^|_)rate$|_ms$|prompt_cache_miss|ed_prediction_tokens$"
)


class Counts:
    """A vendor's usage, taken count by count. What is left may be charged for, and nobody here knows how."""

    def __init__(self, given: Any) -> None:
        self._left = dict(_leaves("", given))
        self._odd: dict[str, int] = {}

    def has(self, name: str) -> bool:
        return self._left.get(name) is not None

    def take(self, *names: str) -> int:
        """A count by any of these names. One that is no number, or contradicts the first, stays unknown."""
        found = 0
        for name in names:
            value = self._left.pop(name, None)
            if value is None or value == "":
                continue
            count = whole(value)
            if count is None:
                self._odd[name] = 1
            elif count and found and count != found:
                self._odd[name] = count
            found = found or count or 0
        return found

    def same(self, name: str, count: int) -> None:
        """Pass over another name of a count that was taken, if it says the same."""
        if whole(self._left.get(name)) == count:
            del self._left[name]

    def check_parts(self, name: str, parts: int, count: int) -> None:
        """Parts that are more than their whole stay unknown."""
        if parts > count:
            self._odd[name] = parts - count

    @property
    def unknown(self) -> dict[str, int]:
        """Counts that nobody here can price, by the vendor's own words."""
        left = {
            f"usage.{path}" if path in _OURS else path: max(1, int(min(value, MOST_TOKENS)))
            for path, value in self._left.items()
            if isinstance(value, int | float)
            and not isinstance(value, bool)
            and value > 0
            and not _NO_COUNT.search(path)
        }
        return dict(sorted((left | self._odd).items())[:MAX_UNKNOWN])


def whole(value: Any) -> int | None:
    """The count that a value is, also as 10.0 or "10"; None = it is none."""
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,20}", value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values in an object, by their paths."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(f"{path}.{_word(name)}" if path else _word(name), inner)
    elif isinstance(value, list):
        for inner in value[:100]:
            yield from _leaves(path, inner)
    else:
        yield path, value


def _word(name: Any) -> str:
    return re.sub(r"[^\w.-]", "_", str(name))[:60]


def tier_of(said: Any) -> str | None:
    """A vendor's word for how it served a request, as prices know it; None = it says nothing.

    OpenAI's `auto` is as a project is set up, which may be dear; its answers name the tier that was really used.
    """
    word = _word(said).lower().removeprefix("service_tier_") if isinstance(said, str) else ""
    if word in ("", "unspecified"):
        return None
    return "standard" if word in ("default", "on_demand", "standard") else word


def one_chunk(chunks: Sequence[Chunk], raw: bytes | None, quota: Quota | None = None) -> Chunk:
    """One chunk of several; the last word on usage, end and model counts."""
    found = Chunk(
        raw=raw,
        quota=quota,
        text="".join(chunk.text for chunk in chunks),
        thinking="".join(chunk.thinking for chunk in chunks),
        tools=tuple(tool for chunk in chunks for tool in chunk.tools),
    )
    for chunk in chunks:
        for name in ("usage", "finish_reason", "reason", "response_model", "service_tier"):
            if (value := getattr(chunk, name)) is not None:
                setattr(found, name, value)
    return found


def as_object(text: str) -> dict[str, Any]:
    """The JSON object of a text; empty where it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def as_input(arguments: str) -> dict[str, Any]:
    """The arguments of a past call for vendors that take objects only.

    What cannot be read goes as its text, by the name that Anthropic has for that: it is no call without arguments.
    """
    found = read_arguments(arguments)
    return {"INVALID_JSON": arguments} if found is None else found


def choice_of(request: Request) -> tuple[str, str]:
    """(auto, none, required, tool or empty; the tool's name). Raises: InvalidRequest."""
    kind, _, name = request.tool_choice.partition(":")
    if kind not in ("", "auto", "none", "required", "tool"):
        raise InvalidRequest(f"tool_choice == {request.tool_choice[:80]!r}, must be auto, none, required or a tool.")
    return kind, name


def check_results(messages: Sequence[Message]) -> None:
    """Refuse a result without a call of its own, and a call without a result: no vendor takes them, and whatever stood
    for what is missing would be made up.

    Raises:
        InvalidRequest
    """
    waiting: dict[str, str] = {}  # the calls of the turn before
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolResult):
                if part.call_id not in waiting:
                    of = f"the call {part.call_id[:80]!r}, which the turn before it did not make, or which has one"
                    raise InvalidRequest(f"A tool's result is for {of}.", param="messages")
                del waiting[part.call_id]
        if waiting:
            break
        waiting = {part.id: part.name for part in message.parts if isinstance(part, ToolCall)}
    for call_id, name in waiting.items():
        raise InvalidRequest(f"The call {call_id[:80]!r} of the tool {name[:80]!r} has no result.", param="messages")


def uncached(request: Request) -> list[str]:
    """The marks of a request for Anthropic's cache, which nobody else is told."""
    marks = (request.system_cache, *(tool.cache for tool in request.tools), *(m.cache for m in request.messages))
    return ["cache_control"] if any(marks) else []


BEGINNING = "(The conversation begins.)"  # where it is the model that does


def by_turns(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The turns as vendors take them that want both sides by turns: the user's first, none blank, results with their
    calls. Raises: InvalidRequest."""
    together = joined(messages)
    turns = [turn for turn in together if not turn.is_blank]
    if turns and turns[-1].role == "model" and together[-1].role == "user":
        # Without it, the model would go on with its own last answer.
        raise InvalidRequest("The last turn is blank, which this model does not take.", param="messages")
    if not turns:
        raise InvalidRequest("A conversation of blanks alone cannot be sent.", param="messages")
    if turns[0].role == "model":
        turns.insert(0, Message("user", BEGINNING))
    found = joined(turns)
    check_results(found)
    return found


def pictures_moved(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The turns with pictures that a model made in the turn of the user that follows: most vendors take none from a
    model. Raises: InvalidRequest: No such turn follows."""
    found: list[Message] = []
    made: tuple[Part, ...] = ()
    for message in messages:
        if message.role == "model" and message.media:
            made = message.media
            message = Message.of("model", tuple(part for part in message.parts if not isinstance(part, Media)))
        elif made:
            message, made = Message(message.role, message.text, (*made, *message.content)), ()
        found.append(message)
    if made:
        raise InvalidRequest("A picture of the model's own cannot be the last of a conversation.", param="messages")
    return tuple(found)


def in_words(request: Request) -> Request:
    """The request with the shape of the answer in its system prompt, for models that have no other way to be told."""
    p, asked = request.parameters, "Answer with nothing but JSON."
    if p.json_schema is not None:
        asked = (
            f"Answer with nothing but JSON of this JSON Schema: {json.dumps(dict(p.json_schema), ensure_ascii=False)}"
        )
    system = f"{request.system}\n\n{asked}" if request.system else asked
    return replace(request, system=system, parameters=replace(p, json_schema=None, json_object=None))


def joined(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The turns with those of one side that follow each other as one, in which results of tools come first."""
    found: list[Message] = []
    for message in messages:
        if found and found[-1].role == message.role:
            parts = (*found[-1].content, *message.content)
            ordered = tuple(sorted(parts, key=lambda part: not isinstance(part, ToolResult)))
            text, cache = f"{found[-1].text}\n\n{message.text}".strip(), message.cache or found[-1].cache
            found[-1] = Message(message.role, text, ordered, cache=cache)
        else:
            found.append(message)
    return tuple(found)


class Several:
    """The answers to one request, where several were asked for: they have ended when all that came have."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._seen: set[int] = set()
        self._ended: dict[int, Chunk] = {}
        self._is_told = n == 1

    def together(self, chunks: dict[int, Chunk], raw: bytes | None) -> list[Chunk]:
        """A chunk of each answer that goes on, the first one last. Where bytes are handed on, they hold the others."""
        usage = next((chunk.usage for chunk in chunks.values() if chunk.usage is not None), None)
        first = replace(chunks.pop(0, Chunk()), raw=raw, usage=usage)
        self._seen |= {0, *chunks}
        self._ended |= {at: c for at, c in {0: first, **chunks}.items() if c.finish_reason is not None}
        first = replace(first, finish_reason=None, reason=None)
        others = [replace(c, choice=at, usage=None) for at, c in sorted(chunks.items()) if raw is None]
        return [*others, first, *(self.end() if len(self._ended) >= self.n else ())]

    def end(self) -> list[Chunk]:
        """The end of all, unless it was told already: a vendor may give fewer answers than it was asked for."""
        if self._is_told or 0 not in self._ended or len(self._ended) < len(self._seen):
            return []
        self._is_told = True
        return [Chunk(finish_reason=self._ended[0].finish_reason, reason=self._ended[0].reason)]


class KeyCheck(NamedTuple):
    """The result of trying a key.

    status: works, missing, wrong_key, expired, suspended, restricted, billing, region, api_off, no_tier, quota,
        network or error.
    """

    status: str
    message: str

    @property
    def works(self) -> bool:
        return self.status == "works"


class Provider(Protocol):
    """A vendor or server that answers, at one of its deployments.

    deployment: Its name; the environment's has its vendor's.
    wires: The wires it speaks, its usual one first; a request that came in one of them is sent on as it came.
    operations: What can be asked of it.
    gives_several: Whether it gives several answers to one conversation.
    """

    name: str
    deployment: str
    wires: tuple[str, ...]
    operations: frozenset[Operation]
    gives_several: bool

    def stream(self, request: Request, *, attempt: int, timeout_s: float) -> AsyncGenerator[Chunk]:
        """One attempt. Raises AimmError only; a stream without a finish reason was cut off."""
        ...

    def left_out(self, request: Request) -> list[str]:
        """The parts of a request that it is not told because they do not go together with others."""
        ...

    async def count_tokens(self, request: Request) -> int:
        """The exact input tokens of a request, as the vendor would bill them. Raises AimmError only."""
        ...

    async def models(self) -> list[Model]:
        """The models that can be asked now."""
        ...

    async def close(self) -> None: ...
