"""A session: the calls that a caller counts together, and the conversation that they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from core.domain.generation import Generation
from core.domain.message import Message, ToolCall, ToolResult

_LOOKED_BACK = 20  # calls whose turns a call may repeat; programs have some conversations at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The sums of a session. cost_usd: The known part; see n_unpriced."""

    id: str
    first_at: datetime
    last_at: datetime
    n: int
    n_failed: int
    cost_usd: Decimal
    n_unpriced: int
    tokens: int
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """The part of a conversation that one call added: the turns that were not said before, and its answer."""

    call: Generation
    turns: tuple[Message, ...]


def conversation(calls: Sequence[Generation]) -> Iterator[Exchange]:
    """The calls, oldest first, without what each repeats of the one before.

    Programs send the whole conversation with each request: as far as the turns of a call are those of an earlier one
    and its answer, they were said there.
    """
    earlier: list[list[Any]] = []
    for call in calls:
        turns = [_said(turn) for turn in call.messages]
        n_known = max((_in_common(before, turns) for before in earlier), default=0)
        yield Exchange(call=call, turns=call.messages[n_known:])
        answer = Message("model", call.text, (call.text, *call.tool_calls) if call.tool_calls else ())
        earlier = [*earlier[-_LOOKED_BACK:], [*turns, _said(answer)]]


def _said(turn: Message) -> Any:
    """The part of a turn that is compared: programs and vendors change spaces around texts, and the ids of calls."""
    of_tools = [
        (part.name, part.arguments) if isinstance(part, ToolCall) else part.text
        for part in turn.parts
        if isinstance(part, ToolCall | ToolResult)
    ]
    return turn.role, turn.text.strip(), of_tools


def _in_common(before: Sequence[Any], turns: Sequence[Any]) -> int:
    n = 0
    for old, new in zip(before, turns, strict=False):
        if old != new:
            break
        n += 1
    return n
