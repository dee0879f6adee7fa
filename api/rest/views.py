"""Nouns as JSON: the fields that an answer holds of each, and their names there."""

import math
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from operator import attrgetter
from typing import Any

from core import Parameters, Usage
from core.statistics.interval import Interval


class View:
    """A noun as JSON: `view(noun)` is one, `view.each(nouns)` a list.

    fields: Each `name`, or `name=field` where an answer calls it otherwise (`tokens=usage.total_tokens`); with `?` at
        its end, what is empty is null. `name=.` stands for the whole noun.
    written: By name, what writes a value; the others are written by `plain`.
    """

    def __init__(self, noun: type, fields: str, **written: Callable[[Any], Any]) -> None:
        self._fields = []
        for each in fields.split():
            name, _, field = each.rstrip("?").partition("=")
            first = (field or name).partition(".")[0]
            if first and first not in {*dir(noun), *noun.__annotations__}:
                raise AttributeError(f"{noun.__name__} has no {first}")
            write = written.get(name, plain_or_null if each.endswith("?") else plain)
            self._fields.append((name, attrgetter(field or name) if first else _whole, write))

    def __call__(self, noun: object) -> dict[str, Any]:
        return {name: write(value_of(noun)) for name, value_of, write in self._fields}

    def each(self, nouns: Iterable[object]) -> list[dict[str, Any]]:
        return [self(noun) for noun in nouns]


def _whole(noun: Any) -> Any:
    return noun


def plain(value: Any) -> Any:
    """A value as JSON has it: dollars as a number, moments and days in ISO 8601, those parameters that are set.

    JSON has no infinity: a bound of an interval that is not there is null.
    """
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Parameters):
        return value.as_dict()
    if isinstance(value, Interval):
        return {name: bound if math.isfinite(bound) else None for name, bound in value._asdict().items()}
    return [plain(each) for each in value] if type(value) is tuple else value


def plain_or_null(value: Any) -> Any:
    return plain(value or None)


def percent(interval: Interval | None) -> Any:
    return plain(Interval(*(100 * value for value in interval)) if interval else None)


tokens_view = View(Usage, "input=input_tokens cached=cached_tokens thinking=thinking_tokens output=output_tokens")
