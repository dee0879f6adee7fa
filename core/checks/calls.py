"""The grade of an answer by a test, with the facts of its call. Pure."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from core.checks.grading import grade
from core.checks.model import Embed, Grade
from core.domain.message import ToolCall


class Answered(Protocol):
    """The part of a call that checks read. None = not known."""

    @property
    def text(self) -> str: ...
    @property
    def latency_s(self) -> float | None: ...
    @property
    def cost_usd(self) -> Decimal | None: ...
    @property
    def finish_reason(self) -> str | None: ...
    @property
    def tool_calls(self) -> Sequence[ToolCall]: ...


def grade_call(
    test: Mapping[str, Any],
    answer: Answered,
    variables: Mapping[str, Any] | None = None,
    *,
    embed: Embed | None = None,
    allow_python: bool = False,
) -> Grade:
    """See `grade`."""
    return grade(
        test,
        answer.text,
        variables,
        latency_ms=None if answer.latency_s is None else answer.latency_s * 1000,
        cost_usd=None if answer.cost_usd is None else float(answer.cost_usd),
        finish_reason=answer.finish_reason or None,
        tool_calls=[{"name": each.name, "arguments": each.arguments} for each in answer.tool_calls],
        embed=embed,
        allow_python=allow_python,
    )
