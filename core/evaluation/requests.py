"""The request that a contestant is asked for an item, and the likely cost of all of them. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.run import Contestant
from core.domain.generation import Message, Parameters, Request
from core.errors import InvalidRequest
from core.pricing.estimate import Estimate, total
from core.prompts.rendering import messages_of, rendered

SAMPLE = 50  # items
ALONE = ("input", "prompt", "question")  # variables that are asked as they stand where there is no prompt


def request_of(contestant: Contestant, row: DatasetRow) -> Request:
    """The prompt filled with the row's variables, and then the row's own turns.

    Raises:
        InvalidRequest: A variable has no value, or there is nothing to ask.
    """
    content, system, turns = contestant.content, None, list[Message]()
    if content is not None:
        system, turns = rendered(content, row.variables)
    turns += messages_of(row.messages)
    if not turns:
        turns += [Message("user", text) for text in [alone(row)] if text]
    while turns and turns[0].is_system:
        system = f"{system}\n\n{turns[0].text}" if system else turns[0].text
        del turns[0]
    if not turns:
        raise InvalidRequest(
            "The row has neither turns nor a variable "
            f"{', '.join(ALONE)}, and no prompt asks anything: give a prompt or name the column that is asked."
        )
    return Request(
        model=contestant.asked or contestant.model,
        messages=tuple(turns),
        system=system,
        parameters=contestant.parameters.over(content.parameters if content is not None else Parameters()),
        tools=content.tools if content is not None else (),
        is_streamed=False,
    )


def alone(row: DatasetRow) -> str:
    """The text of a row that is asked as it stands: the variable of a usual name, or the only one."""
    texts = {name: value for name, value in row.variables.items() if isinstance(value, str)}
    for name in ALONE:
        if name in texts:
            return texts[name]
    return next(iter(texts.values())) if len(row.variables) == 1 and texts else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRange:
    """USD of one contestant's cells; None = its model has no price. n_cells: How many those are."""

    contestant: int
    n_cells: int
    low_usd: Decimal | None
    expected_usd: Decimal | None
    high_usd: Decimal | None


def cost_range(
    contestant: Contestant,
    sample: Sequence[DatasetRow],
    n_cells: int,
    estimate_call: Callable[[Request], Estimate],
) -> CostRange:
    """The cost of all its cells if they are like those of the sample.

    Raises:
        InvalidRequest: A row of the sample cannot be asked.
    """
    if contestant.is_own:
        return CostRange(
            contestant=contestant.position, n_cells=n_cells, low_usd=None, expected_usd=None, high_usd=None
        )
    low, expected, high = (
        None if usd is None else usd * n_cells / len(sample)
        for usd in total([estimate_call(request_of(contestant, row)) for row in sample])
    )
    return CostRange(contestant=contestant.position, n_cells=n_cells, low_usd=low, expected_usd=expected, high_usd=high)


def sampled(n_items: int) -> list[int]:
    """Places of the sample, spread over all items."""
    n = min(n_items, SAMPLE)
    return [at * n_items // n for at in range(n)]
