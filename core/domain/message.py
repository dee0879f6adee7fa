"""A turn of a conversation and its parts: text, media, calls of tools and their results."""

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from core.formats import strict_json as json


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a sound or a document.

    data: Base64; empty = the vendor fetches `url`.
    detail: How closely to look at it.
    size: Its bytes where it is not at hand here.
    """

    media_type: str
    data: str = ""
    url: str = ""
    detail: str = ""
    size: int = 0

    @property
    def n_bytes(self) -> int:
        return self.size or len(self.data) * 3 // 4


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model asks for a tool.

    arguments: JSON text, as the model wrote it.
    signature: Base64 that Gemini wants back with the call.
    """

    id: str
    name: str
    arguments: str
    signature: str = ""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool.

    is_error: It failed, and the text says why.
    media: Pictures and the like in it.
    """

    call_id: str
    name: str
    text: str
    is_error: bool = False
    media: tuple[Media, ...] = ()


@dataclass(frozen=True, slots=True)
class Thought:
    """A thought of Claude's, with the signature without which Anthropic does not take it back.

    text: Empty = it is hidden, and the signature is its data.
    """

    text: str
    signature: str


Part = str | Media | ToolCall | ToolResult | Thought


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. role: user (results of tools too) or model.

    parts: The whole turn in order, where it is more than one text; `text` is then the text in it.
    is_system: It is an instruction of who runs the program, in the midst of the conversation; who has no place for
        that reads it as the user's.
    cache: For how long Anthropic is to keep all up to its end, 5m or 1h; empty = it is not asked to.
    """

    role: Literal["user", "model"]
    text: str
    parts: tuple[Part, ...] = ()
    is_system: bool = False
    cache: str = ""

    @classmethod
    def of(cls, role: Literal["user", "model"], parts: tuple[Part, ...]) -> "Message":
        """The turn of some parts. Texts of a model are pieces of one, those of a user are texts of their own."""
        texts = [part for part in parts if isinstance(part, str) and part]
        is_one = len(texts) < 2 or role == "model"
        text = ("" if is_one else "\n\n").join(texts)
        return cls(role, text, () if is_one and all(isinstance(part, str) for part in parts) else parts)

    @property
    def content(self) -> tuple[Part, ...]:
        """The turn in order; empty texts left out."""
        return tuple(part for part in self.parts or (self.text,) if part != "")

    @property
    def is_blank(self) -> bool:
        """True where nothing is said in it."""
        return all(isinstance(part, Thought) or (isinstance(part, str) and not part.strip()) for part in self.content)

    @property
    def n_bytes(self) -> int:
        """Bytes of what is read as text: media are counted by vendors in their own ways."""
        n = len(self.text.encode())
        for part in self.parts:
            if isinstance(part, ToolCall):
                n += len(part.name) + len(part.arguments.encode())
            elif isinstance(part, ToolResult):
                n += len(part.text.encode())
        return n

    @property
    def media(self) -> tuple[Media, ...]:
        """All media in it, those in results of tools too."""
        found: list[Media] = []
        for part in self.parts:
            found += part.media if isinstance(part, ToolResult) else [part] if isinstance(part, Media) else []
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that a model may ask for. parameters: JSON Schema of its arguments.

    is_custom: OpenAI's free-form tool: its one argument, `input`, is a text.
    is_strict: Its arguments must be as `parameters` says.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_custom: bool = False
    is_strict: bool = False
    cache: str = ""  # as of a Message


class Conversation(NamedTuple):
    """The input of a request to Responses, with all that it refers to.

    items: None = some of it is not here.
    kept_by: The deployment that holds all it refers to; empty = it refers to nothing, or several do.
    """

    items: list[dict[str, Any]] | None
    kept_by: str = ""
    refers: bool = False


# Signatures of other vendors, where a wire has a place for those of its own only

_FOREIGN = "aimm."


def to_foreign(signature: str) -> str:
    """A signature as one that the vendor of the wire did not make; never empty."""
    return _FOREIGN + signature


def from_foreign(text: Any) -> str | None:
    """The signature within; None = the vendor of the wire made it."""
    return text.removeprefix(_FOREIGN) if isinstance(text, str) and text.startswith(_FOREIGN) else None


def sealed(thought: Thought) -> str:
    """A thought as one text, for wires that give thoughts back as such."""
    return to_foreign(json.dumps([thought.text, thought.signature], ensure_ascii=False))


def unsealed(text: Any) -> "Thought | str | None":
    """A thought of Claude's, or a signature of Gemini's; None = the vendor of the wire made it."""
    inner = from_foreign(text)
    if inner is None or not inner.startswith("["):
        return inner
    try:
        thought, signature = json.loads(inner)
    except ValueError:
        return ""
    return Thought(str(thought), str(signature))


def letters_only(call_id: str) -> str:
    """The id of a call in the letters that Anthropic's wire takes, and still one of its own: others have dots and
    colons."""
    found = re.sub(r"[^\w-]", "_", call_id, flags=re.ASCII)
    return found if found == call_id else f"{found}_{zlib.crc32(call_id.encode('utf-8', 'replace')):08x}"


# Arguments of tools, and which result belongs to which call


def to_arguments(value: Any) -> str:
    """Arguments as text: a text as it is, anything else as its JSON, nothing as nothing."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def read_arguments(text: str) -> dict[str, Any] | None:
    """The arguments that a text says; an empty one says that there are none. None = it is no JSON object, and what was
    meant must not be guessed: a tool would run with its defaults."""
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
        if isinstance(value, str):  # some models write the JSON of a JSON text
            value = json.loads(value)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def read_calls(calls: Sequence[ToolCall], *, is_cut: bool) -> list[tuple[ToolCall, dict[str, Any] | None]]:
    """Each call with its arguments; None = it cannot be made. is_cut: The answer ended at its length: the last call may
    have been about to get its arguments."""
    found = [(call, read_arguments(call.arguments) if call.name else None) for call in calls]
    if is_cut and found and not found[-1][0].arguments.strip():
        found[-1] = (found[-1][0], None)
    return found


def paired(turns: Iterable[Message]) -> tuple[Message, ...]:
    """The turns with an id of its own for each call, and its result under the same: some clients give several calls one
    id or none, and results by name and in order only."""
    used: set[str] = set()
    waiting: list[tuple[str, ToolCall]] = []  # the id that the caller gave, and the call with its own
    found = []
    for turn in turns:
        parts: list[Part] = []
        for part in turn.parts:
            if isinstance(part, ToolCall):
                call = replace(part, id=_unused(part.id or part.name[:32], used))
                waiting.append((part.id, call))
                parts.append(call)
            else:
                parts.append(_placed(part, waiting) if isinstance(part, ToolResult) else part)
        found.append(replace(turn, parts=tuple(parts)) if parts else turn)
    return tuple(found)


def _unused(wanted: str, used: set[str]) -> str:
    found, n = wanted, 1
    while found in used:
        n += 1
        found = f"{wanted}_{n}"
    used.add(found)
    return found


def _placed(result: ToolResult, waiting: list[tuple[str, ToolCall]]) -> ToolResult:
    """A result under the id and the name of its call, where there is one."""
    by_id = (at for at, (given, _) in enumerate(waiting) if given and given == result.call_id)
    by_name = (
        at for at, (given, call) in enumerate(waiting)
        if not (given and result.call_id) and result.name in ("", call.name)
    )  # fmt: skip
    at = next(by_id, next(by_name, None))
    if at is None:
        return replace(result, call_id=result.call_id or result.name, name=result.name or result.call_id)
    call = waiting.pop(at)[1]
    return replace(result, call_id=call.id, name=call.name)
