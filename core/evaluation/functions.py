"""Contestants and checks that are functions of the caller's own: known to the process that began the run alone."""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.run import Contestant
from core.errors import Conflict, ProviderError
from core.evaluation.grading import Answer

Answering = Callable[[Mapping[str, Any]], Any]


class Functions:
    """The functions of runs, by the contestant's name."""

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
