"""Contestants and checks that are functions of the caller's own: known to the process that began the run alone."""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from core.checks.model import CheckError
from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.run import Contestant
from core.errors import Conflict, ProviderError
from core.evaluation.outcome import Answer

Answering = Callable[..., Any]


OWN = "function:"  # before the name of a check that is a function


class Functions:
    """The functions of runs, by the contestant's or the check's name."""

    def __init__(self) -> None:
        self._known: dict[str, Mapping[str, Answering]] = {}

    def add(self, run_id: str, functions: Mapping[str, Answering]) -> None:
        self._known[run_id] = functions

    def forget(self, run_id: str) -> None:
        self._known.pop(run_id, None)

    def answer(self, run_id: str, contestant: Contestant, row: DatasetRow) -> Answer:
        """The answer of a function to a row's variables: it gives a text, or a mapping with `text` and `cost_usd`.

        Raises:
            Conflict: Another process began the run. ProviderError: the function failed.
        """
        function = self._known.get(run_id, {}).get(contestant.function)
        if function is None:
            raise Conflict(f"The function {contestant.function!r} is known to the process that began the run alone.")
        began = time.monotonic()
        try:
            said = function(dict(row.variables))
        except Exception as error:
            raise ProviderError(f"{contestant.function} raised {type(error).__name__}: {error}") from error
        latency_s = time.monotonic() - began
        if isinstance(said, Mapping):
            cost = said.get("cost_usd")
            return Answer(str(said.get("text", "")), latency_s, None if cost is None else Decimal(str(cost)))
        return Answer(str(said), latency_s)

    def of_check(self, run_id: str, check: Mapping[str, Any]) -> Mapping[str, Any]:
        """A check with the function that it names in its place; any other as it is."""
        value = check.get("value")
        if not isinstance(value, str) or not value.startswith(OWN):
            return check
        return {**check, "value": self._known.get(run_id, {}).get(value, _unknown(value))}


def _unknown(name: str) -> Answering:
    def raise_it(*_: Any) -> Any:
        raise CheckError(f"{name} is known to the process that began the run alone")

    return raise_it
