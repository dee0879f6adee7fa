"""Several answers to one question: what they cost, how long they took, how long they are."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from core.domain.generation import Generation
from dashboard import formatting


def spread(answers: Sequence[Generation]) -> pd.DataFrame:
    """A row a model: the middle of its answers, and the least and the most; failed ones are counted apart."""
    models = list(dict.fromkeys(g.model for g in answers))
    return pd.DataFrame([_row(name, [g for g in answers if g.model == name]) for name in models])


def _row(model: str, answers: Sequence[Generation]) -> dict[str, Any]:
    good = [g for g in answers if g.status == "ok"]
    return {
        "model": model,
        "answers": len(good),
        "failed": len(answers) - len(good),
        "latency": _range([g.latency_s for g in good], formatting.seconds),
        "length (tokens)": _range([g.usage.output_tokens for g in good], formatting.count),
        "cost": _range([None if g.cost_usd is None else float(g.cost_usd) for g in good], formatting.usd),
    }


def _range(values: Sequence[float | None], written: Callable[[float | None], str]) -> str:
    """The median (the least – the most); what is not known is counted apart."""
    known = [value for value in values if value is not None]
    unknown = f", {len(values) - len(known)} unknown" if len(known) < len(values) else ""
    if not known:
        return formatting.UNKNOWN
    middle, least, most = written(statistics.median(known)), written(min(known)), written(max(known))
    return middle + (unknown if least == most else f" ({least} – {most}{unknown})")
