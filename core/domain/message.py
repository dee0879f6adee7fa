"""What a turn of a conversation is made of: text, media, calls of tools and their results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a sound or a document: base64 `data`, or a `url` that the vendor fetches. detail: how closely to look."""

    media_type: str
    data: str = ""
    url: str = ""
    detail: str = ""

    @property
    def n_bytes(self) -> int:
        return len(self.data) * 3 // 4


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model asks for a tool. arguments: JSON text. signature: what Gemini wants back with it, base64."""

    id: str
    name: str
    arguments: str
    signature: str = ""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave."""

    call_id: str
    name: str
    text: str


Part = str | Media | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. role: user (results of tools too) or model.

    parts: The whole turn in order, where it is more than one text; `text` is then the text in it.
    """

    role: Literal["user", "model"]
    text: str
    parts: tuple[Part, ...] = ()

    @classmethod
    def of(cls, role: Literal["user", "model"], parts: tuple[Part, ...]) -> "Message":
        text = "".join(part for part in parts if isinstance(part, str))
        return cls(role, text, () if all(isinstance(part, str) for part in parts) else parts)

    @property
    def content(self) -> tuple[Part, ...]:
        """The turn in order; empty texts left out."""
        return self.parts or ((self.text,) if self.text else ())

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
        return tuple(part for part in self.parts if isinstance(part, Media))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that a model may ask for. parameters: JSON Schema of its arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
