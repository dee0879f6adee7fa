"""A prompt: a name with immutable versions, and labels that point at them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from core.domain.generation import Parameters, named_parameters
from core.domain.message import Tool
from core.formats import strict_json as json

PromptRole = Literal["system", "user", "assistant"]
LIVE = "live"


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """One turn of a prompt; its text may hold `{{variables}}`."""

    role: PromptRole
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptContent:
    """All that a version consists of; the same content is the same version.

    model: The model that it is written for; empty = whoever asks says which.
    parameters: The JSON schema of the answer among them.
    """

    messages: tuple[PromptMessage, ...]
    model: str = ""
    parameters: Parameters = field(default_factory=Parameters)
    tools: tuple[Tool, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; what is empty is left out."""
        found: dict[str, Any] = {
            "messages": [{"role": message.role, "text": message.text} for message in self.messages],
            "model": self.model,
            "parameters": self.parameters.as_dict(),
            "tools": [
                {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                    "is_custom": tool.is_custom,
                    "is_strict": tool.is_strict,
                }
                for tool in self.tools
            ],
        }
        return {name: value for name, value in found.items() if value}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "PromptContent":
        """The content that `as_dict` told. Raises: InvalidRequest, TypeError, ValueError, LookupError: it is none."""
        return cls(
            messages=tuple(PromptMessage(each["role"], each["text"]) for each in told.get("messages") or ()),
            model=told.get("model") or "",
            parameters=named_parameters(told.get("parameters") or {}),
            tools=tuple(Tool(**each) for each in told.get("tools") or ()),
        )

    @property
    def text(self) -> str:
        """All its turns in one text, for reading and comparing."""
        if [message.role for message in self.messages] == ["user"]:
            return self.messages[0].text
        return "\n\n".join(f"[{message.role}]\n{message.text}" for message in self.messages)

    @property
    def digest(self) -> str:
        """The SHA-256 of the content, in hex digits."""
        return hashlib.sha256(json.encoded(_sorted(self.as_dict()))).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptVersion:
    """One version of a prompt. number: From 1, in the order in which they were saved.

    author: Who saved it; empty = not known.
    labels: Those that point at it now.
    """

    prompt: str
    number: int
    content: PromptContent
    digest: str
    created_at: datetime
    note: str = ""
    author: str = ""
    labels: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        return f"{self.prompt}@{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt as lists show it. labels: The number of the version that each points at."""

    name: str
    created_at: datetime
    n_versions: int
    newest: PromptVersion
    labels: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMove:
    """A label turned to a version.

    number: None = it was taken away.
    was: The version it pointed at before; None = it is new.
    run_id: The evaluation that justified it; empty = none was named.
    """

    prompt: str
    label: str
    number: int | None
    was: int | None
    moved_at: datetime
    author: str = ""
    run_id: str = ""


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
