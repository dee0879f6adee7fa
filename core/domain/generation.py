"""A model call: what is asked, what streams back, what is recorded."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from core.domain.message import Message as Message
from core.domain.message import Thought, Tool, ToolCall, ToolResult
from core.domain.operation import Operation, Upload
from core.errors import InvalidRequest
from core.formats.strict_json import unwritable
from core.formats.text import as_list

FinishReason = Literal["stop", "length", "content_filter", "tool_calls", "error", "other", "unknown"]
Status = Literal["ok", "truncated", "stopped", "blocked", "error"]
Source = Literal["playground", "workflow", "compare", "experiment", "api", "python", "cli", "evaluation", "demo"]
CostStatus = Literal["priced", "estimated", "unknown", "cached"]
Wire = Literal["openai", "responses", "gemini", "anthropic", "prompt"]  # the last: of no vendor
THINKING_LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
SERVICE_TIERS = ("standard", "batch", "flex", "priority", "fast")

MAX_TOKENS, MAX_FALLBACKS, MOST_ANSWERS = 10_000_000, 5, 128  # of an answer; of a call; at once
MAX_CACHE_S = 30 * 86_400  # of a response
# Of each number: whether it is a whole one, the least and the most.
_LIMITS: dict[str, tuple[bool, float, float]] = {
    "temperature": (False, 0, 2), "top_p": (False, 0, 1), "max_tokens": (True, 1, MAX_TOKENS),
    "seed": (True, -(2**63), 2**63 - 1), "thinking_budget": (True, -1, 10_000_000),
    "frequency_penalty": (False, -2, 2), "presence_penalty": (False, -2, 2), "top_k": (True, 0, 10_000_000),
    "dimensions": (True, 1, 1_000_000),
}  # fmt: skip
CONTRADICTORY = "The vendor's counts contradict each other."  # the note of a call whose cost stays unknown
# The note of a call whose cost is unknown and, once it is known, will be an estimate.
ESTIMATED = "No final token count came: the tokens are our own estimate, or a lower bound."


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Settings of a call; None = the model's own default. A number may come as its text, a list of one as its item.

    thinking_budget: Tokens the model may think; 0 = off, -1 = as it likes.
    thinking_level: none, minimal, low, medium, high, xhigh or max, for models that take levels.
    service_tier: standard, batch, flex, priority or fast, for vendors that sell the same model at several speeds.
    json_schema, json_object: The answer must be JSON: of this schema, or of any kind.
    stop: Up to 16 texts that end the answer where they come up.
    top_k: Only so many of the likeliest tokens are drawn from.
    dimensions: Numbers in a vector, of embeddings.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    seed: int | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None
    service_tier: str | None = None
    json_schema: Mapping[str, Any] | None = None
    json_object: bool | None = None
    stop: tuple[str, ...] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    top_k: int | None = None
    dimensions: int | None = None

    def __post_init__(self) -> None:
        for name, (is_whole, _, _) in _LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, str | float):
                object.__setattr__(self, name, _number(value, is_whole=is_whole))
        if self.stop is not None:
            object.__setattr__(self, "stop", tuple(text for text in as_list(self.stop) if text != "") or None)
        if isinstance(self.json_object, str):
            object.__setattr__(
                self, "json_object", {"true": True, "false": False}.get(self.json_object.lower(), self.json_object)
            )

    def problem(self) -> str:
        """The fault of a value, in words; empty = all are right."""
        for name, (is_whole, low, high) in _LIMITS.items():
            value = getattr(self, name)
            if value is None:
                continue
            is_number = isinstance(value, int if is_whole else int | float) and not isinstance(value, bool)
            if not (is_number and low <= value <= high):
                kind = "a whole number" if is_whole else "a number"
                return f"{name} == {value!r:.80}, must be {kind} in [{low}, {high}]"
        if self.thinking_level is not None and self.thinking_level not in THINKING_LEVELS:
            return f"thinking_level == {self.thinking_level!r}, must be one of {', '.join(THINKING_LEVELS)}"
        if self.service_tier is not None and self.service_tier not in SERVICE_TIERS:
            return f"service_tier == {self.service_tier!r}, must be one of {', '.join(SERVICE_TIERS)}"
        if self.json_object not in (None, True, False):
            return f"json_object == {self.json_object!r:.80}, must be true or false"
        if self.json_schema is not None and not isinstance(self.json_schema, Mapping):
            return "json_schema must be an object"
        if self.json_schema is not None and (why := unwritable(dict(self.json_schema))):
            return f"json_schema {why}"
        if self.stop is not None and not (len(self.stop) <= 16 and all(isinstance(text, str) for text in self.stop)):
            return f"stop == {list(self.stop)!r:.80}, must be at most 16 texts"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Only what is set, ready for JSON."""
        pairs = ((name, getattr(self, name)) for name in self.__slots__)
        return {name: value for name, value in pairs if value is not None}

    def over(self, others: "Parameters") -> "Parameters":
        """These, and the others where these say nothing."""
        return Parameters(**(others.as_dict() | self.as_dict()))


def named_parameters(values: Mapping[str, Any], others: Iterable[str] = ()) -> Parameters:
    """Parameters of what a caller wrote.

    others: Names that may be meant besides.

    Raises:
        InvalidRequest: One has no such name.
    """
    for name in values:
        if name not in Parameters.__slots__:
            close = difflib.get_close_matches(name, (*Parameters.__slots__, *others), n=1)
            hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(Parameters.__slots__)}."
            raise InvalidRequest(f"{name[:60]!r} is no parameter.", hint=hint)
    return Parameters(**values)


def _number(value: str | float, *, is_whole: bool) -> Any:
    """The number that a value is; itself, if it is none."""
    if isinstance(value, str):
        if not re.fullmatch(r"-?\d{1,20}(\.\d{1,20})?", value.strip()):
            return value
        value = float(value) if "." in value else int(value)
    return int(value) if is_whole and isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """A request as it came, in a vendor's own wire: what speaks that wire gets it as it is.

    parameters, system: What was read out of it; where the request says otherwise by now, that is written over it.
    models: Models that the body names besides, which the vendor may take instead.
    headers: Those that go on to the vendor with the body.
    only: What nobody else can be told, though the caller relies on it.
    ignored: What others are not told, and need not be.
    is_bound: The vendor refuses it under another system prompt.
    whole: The body with what it only refers to, from our own records; None = it refers to nothing, or to what is
        not there.
    kept_by: The deployment that has kept all it refers to.
    is_unread: It refers to what only its vendor can read, of a length that nobody here knows.
    upload: The request as a form, where it came as one; `body` are the fields of it.
    """

    wire: Wire
    body: Mapping[str, Any]
    parameters: Parameters
    system: str | None = None
    models: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    is_bound: bool = False
    whole: Mapping[str, Any] | None = None
    kept_by: str = ""
    is_unread: bool = False
    upload: Upload | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A caller's request to a model.

    messages: The turns, the user's last; for embeddings each is a text of its own.
    tool_choice: auto, none, required or `tool:NAME`; empty = the model's default.
    is_one_call: The model may not ask for several tools at once.
    is_streamed: Whether the caller wants the answer in chunks.
    n_answers: How many answers the vendor is to give.
    """

    model: str
    messages: tuple[Message, ...]
    system: str | None = None
    parameters: Parameters = field(default_factory=Parameters)
    tools: tuple[Tool, ...] = ()
    tool_choice: str = ""
    is_one_call: bool = False
    operation: Operation = "chat"
    is_streamed: bool = True
    n_answers: int = 1
    system_cache: str = ""  # as of a Message
    native: Native | None = None

    @property
    def prompt(self) -> str:
        """The last turn."""
        return self.messages[-1].text

    @property
    def texts(self) -> Iterator[str]:
        """All that is read as text in the turns."""
        for message in self.messages:
            yield message.text
            for part in message.parts:
                if isinstance(part, ToolCall):
                    yield from (part.name, part.arguments)
                elif isinstance(part, ToolResult):
                    yield part.text

    @property
    def n_bytes(self) -> int:
        return sum(message.n_bytes for message in self.messages) + len((self.system or "").encode())

    def native_for(self, wire: Wire) -> Native | None:
        """The request as it came, if it came in this wire."""
        return self.native if self.native is not None and self.native.wire == wire else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A vendor's counts, as billed.

    input_tokens: The whole input: cached, cache-write, audio and tool-use tokens included.
    cached_tokens: The part of the input that came from the vendor's cache.
    cache_write_tokens, cache_write_1h_tokens: The parts of the input that were written to it, for 5 minutes or an hour.
    output_tokens: The whole output, thinking and audio included.
    thinking_tokens: The part of the output that was thought and not shown.
    audio_tokens, cached_audio_tokens: The audio parts of the input and of its cached part.
    output_audio_tokens: The audio part of the output.
    n_searches: Grounding or web-search queries, billed by the query.
    storage_token_hours: Tokens kept in the vendor's cache x hours.
    more: Counts of other kinds by name: MORE_TOKENS, and unknown ones by the vendor's own word.
    charged_usd: The charge for the request as the vendor states it; None = it does not.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    audio_tokens: int = 0
    cached_audio_tokens: int = 0
    output_audio_tokens: int = 0
    n_searches: int = 0
    storage_token_hours: int = 0
    more: Mapping[str, int] = field(default_factory=dict)
    charged_usd: Decimal | None = None

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        counts = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        more = {name: self.more.get(name, 0) + other.more.get(name, 0) for name in {**self.more, **other.more}}
        charges = [usage.charged_usd for usage in (self, other) if usage.charged_usd is not None]
        return Usage(**counts, more=more, charged_usd=sum(charges, Decimal(0)) if charges else None)


COUNTS: tuple[str, ...] = tuple(name for name in Usage.__slots__ if name not in ("more", "charged_usd"))
# Parts of the input, of its cached part and of the output, and tokens that vendors count beside them.
MORE_TOKENS = (
    "image_tokens", "cached_image_tokens", "output_image_tokens",
    "video_tokens", "cached_video_tokens", "output_video_tokens", "citation_tokens",
)  # fmt: skip
CHARGED = "charged_nano_usd"  # among the counts of a record; no vendor's word may be taken for it


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDelta:
    """A fragment of the `index`-th call of a tool: the first one has its id and name, the arguments come in parts."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The rest of a vendor's rate limit, as the vendor states it.

    reset_s: Seconds until there is more.
    headers: The vendor's own, for a caller of the same wire.
    """

    remaining: int
    reset_s: float
    headers: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(slots=True, kw_only=True)  # not frozen: there are thousands a second, and that doubles what one costs
class Chunk:
    """A part of an answer, as its vendor streams it. Usage, where a vendor repeats it, is running: the last one counts.

    raw: The vendor's own bytes of it, whole events, for a caller who speaks the same wire; None = to be written anew.
    reason: The vendor's own word for an end that is not a good one.
    thought: A thought that has ended, with its signature; its text came before.
    content_type: That of `raw`, where it is no JSON and none of a wire's events.
    media: Pictures or sound in the answer, in words: they are handed on and not kept.
    choice: Which of several answers it is of; the first is 0.
    """

    text: str = ""
    thinking: str = ""
    thought: Thought | None = None
    tools: tuple[ToolDelta, ...] = ()
    raw: bytes | None = None
    quota: Quota | None = None
    vectors: tuple[Any, ...] = ()
    usage: Usage | None = None
    finish_reason: FinishReason | None = None
    reason: str | None = None
    response_model: str | None = None
    service_tier: str | None = None
    content_type: str = ""
    media: str = ""
    choice: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptLine:
    """One term of a cost: `count` units of a kind (tokens, queries, token-hours), at `price_usd` per `per` units."""

    kind: str
    count: int
    price_usd: Decimal
    per: int = 1_000_000

    @property
    def usd(self) -> Decimal:
        usd = self.price_usd * self.count / self.per
        # A thousandth of an hour has no end in decimals: Python gives 28 of its digits.
        return usd if len(usd.as_tuple().digits) < 28 else round(usd, 12).normalize()


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The sum behind the cost of one request.

    price_id: The price row that was used; it is kept under this id for good.
    note: A remark, e.g. that the long-prompt price applies to the whole request.
    """

    lines: tuple[ReceiptLine, ...]
    price_id: str
    note: str = ""

    @property
    def usd(self) -> Decimal:
        return sum((line.usd for line in self.lines), Decimal(0))

    def usd_of(self, *kinds: str) -> Decimal:
        return sum((line.usd for line in self.lines if line.kind in kinds), Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One recorded model call, good or failed.

    cost_usd: None = no price is known; never 0 for that.
    cost_status: estimated = from our own count because the vendor sent no usage, or a lower bound of a broken-off call.
    saved_usd: What an answer from our own cache would have cost.
    latency_s: From the request to the last byte, retries included.
    ttft_s: From the request to the first text; None = none came.
    ref_id, ref_part: The whole it belongs to: run and step, comparison and position, experiment and variant.
    ref_name, user_id, key_id, team, tags: Workflow or experiment; who asked, with which key, of which team, for what.
    usages: The usage of each billed attempt, where there were several: tiers are per request.
    note: Events on its way, e.g. that a budget chose another model.
    prompt_version, session_id, deployment: The prompt of its first turns (support@7); where its vendor was asked.
    tools, tool_calls: The tools offered, and the model's calls of them.
    damaged: The fields that cannot be read in the database; they are empty here.
    """

    id: str
    created_at: datetime
    request_model: str
    response_model: str | None
    provider: str
    source: Source
    status: Status
    error_class: str = ""
    error_message: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage = field(default_factory=Usage)
    cost_usd: Decimal | None = None
    cost_status: CostStatus = "unknown"
    price_id: str = ""
    saved_usd: Decimal = Decimal(0)
    service_tier: str = "standard"
    latency_s: float = 0.0
    ttft_s: float | None = None
    n_attempts: int = 1
    ref_id: str | None = None
    ref_part: str | None = None
    ref_name: str = ""
    user_id: str = ""
    key_id: str = ""
    tags: tuple[str, ...] = ()
    usages: tuple[Usage, ...] = ()
    note: str = ""
    prompt_version: str = ""
    session_id: str = ""
    deployment: str = ""
    team: str = ""
    text: str = ""
    thinking: str = ""
    messages: tuple[Message, ...] = ()
    system: str | None = None
    parameters: Parameters = field(default_factory=Parameters)
    receipts: tuple[Receipt, ...] = ()
    operation: Operation = "chat"
    tools: tuple[Tool, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        return self.request_model

    @property
    def is_simulated(self) -> bool:
        return self.provider == "simulated"

    @property
    def is_uncharged(self) -> bool:
        """True where it is known that no vendor charged anything for it: nothing was read and nothing written."""
        return self.cost_usd == 0 and self.cost_status == "priced" and not self.usage.total_tokens

    @property
    def may_have_cost(self) -> bool:
        is_used = self.usage.total_tokens > 0 or any(self.usage.more.values())
        return self.cost_usd != 0 and (self.cost_usd is not None or is_used)

    @property
    def tokens_per_s(self) -> float | None:
        """Shown output tokens over the time from the first text to the end; None when there was no stream to time."""
        if self.ttft_s is None or self.latency_s - self.ttft_s < 1e-3:
            return None
        return (self.usage.output_tokens - self.usage.thinking_tokens) / (self.latency_s - self.ttft_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that can be asked for.

    accepts: Names of the Parameters it takes.
    exclusive: Names of those of which it takes one only; the first that is set counts.
    levels, thoughts: Its levels of thinking (empty = not known), and the fewest and the most tokens of it.
    one_call, strict: It can be told to ask for one tool at a time; its calls can be held to their schemas.
    n_stops, blank_stops: How many texts may end its answer, and whether blank ones may.
    context_tokens, max_output_tokens: None = not stated.
    wires: Those of its vendor's by which it can be asked; empty = all of them.
    """

    name: str
    provider: str
    label: str = ""
    accepts: frozenset[str] = frozenset({"temperature", "max_tokens", "top_p", "seed", "json_schema"})
    exclusive: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    thoughts: tuple[int, int] = (0, MAX_TOKENS)
    one_call: bool = True
    strict: bool = True
    n_stops: int = 16
    blank_stops: bool = True
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    max_temperature: float = 2.0
    wires: tuple[str, ...] = ()

    @property
    def is_simulated(self) -> bool:
        return self.provider == "simulated"
