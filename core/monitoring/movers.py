"""The model that moved the spend of a tag, a user or a key, in a sentence. Pure.

Their tokens and money are kept by model, not by kind.
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from core.formats.money import from_nano


class ModelSums(Protocol):
    """A model's calls of one period."""

    @property
    def n(self) -> int: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cost_nano_usd(self) -> int: ...


def within(before: Mapping[str, ModelSums], after: Mapping[str, ModelSums]) -> str:
    """The model that rose most, and whether by its calls, their length or their price; empty = spend has not risen."""
    was = sum(each.cost_nano_usd for each in before.values())
    rise = sum(each.cost_nano_usd for each in after.values()) - was
    if rise <= 0 or not was:
        return ""
    rises = {
        name: new.cost_nano_usd - (before[name].cost_nano_usd if name in before else 0) for name, new in after.items()
    }
    model = max(rises, key=lambda name: rises[name])
    return f"{moved(from_nano(rise), from_nano(rises[model]))}: {model}, {_cause(before.get(model), after[model])}."


def moved(rise_usd: Decimal, usd: Decimal) -> str:
    """The share that one cause has in a rise; it can be more than all of it, where others saved."""
    if usd <= rise_usd:
        return f"{100 * usd / rise_usd:.0f}% of the rise against the period before"
    more = f"it alone would be {usd / rise_usd:.1f} times as much"
    return f"The largest part of the rise against the period before ({more})"


def _cause(old: ModelSums | None, new: ModelSums) -> str:
    """The factor that grew most: calls x tokens a call x dollars a token."""
    if old is None or not old.n or not old.cost_nano_usd:
        return "which was not used before"
    calls = new.n / old.n
    answers, prompts = (
        getattr(new, name) / new.n / (getattr(old, name) / old.n) if getattr(old, name) and getattr(new, name) else 1.0
        for name in ("output_tokens", "input_tokens")
    )
    a_call = new.cost_nano_usd / new.n / (old.cost_nano_usd / old.n)
    if math.log(calls) >= math.log(max(a_call, 1e-9)):
        return f"{calls:.1f} times the calls"
    if max(answers, prompts) < math.sqrt(a_call):
        return f"each call costs {a_call:.1f} times as much"
    return f"answers {answers:.1f} times as long" if answers >= prompts else f"prompts {prompts:.1f} times as long"
