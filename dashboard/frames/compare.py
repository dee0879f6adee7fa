"""Comparisons, and what votes on them add up to."""

from collections.abc import Sequence

import pandas as pd

from core.comparison import judging
from dashboard import formatting
from dashboard.frames import log
from dashboard.process import manager


def blank_candidates(models: Sequence[str]) -> pd.DataFrame:
    """A row a model, for the table that chooses what is compared."""
    frame = pd.DataFrame({"model": list(models)})
    return frame.assign(**{"temperature": float("nan"), "max tokens": float("nan"), "system prompt": ""})


def history() -> pd.DataFrame:
    """A row a comparison, the newest first; of the hidden ones nothing that tells their answers apart."""
    names, hidden = ("models", "winner by rule"), log.hidden()
    records = [
        {
            "time": c.created_at,
            "prompt": formatting.short(c.prompt),
            "source": c.source,
            "models": ", ".join(candidate.model for candidate in c.candidates),
            "winner by rule": next((x.model for x in c.candidates if x.position == c.winner), formatting.UNKNOWN),
            "status": c.status,
            "id": c.id,
        }
        | (dict.fromkeys(names, "hidden until you vote") if c.id in hidden else {})
        for c in manager().comparisons.latest(50)
    ]
    return pd.DataFrame(records, columns=["time", "prompt", "source", *names, "status", "id"])


def win_rates(demo: bool, by_model: bool = False) -> pd.DataFrame:
    """A row a contestant: rate and interval in percent; NaN while there are too few decided pairs."""
    records = [
        {
            "model": rate.contestant.label,
            "win rate %": None if rate.rate is None else 100 * rate.rate,
            "lower %": None if rate.lower is None else 100 * rate.lower,
            "upper %": None if rate.upper is None else 100 * rate.upper,
            "decided": rate.n_decided,
            "wins": rate.n_wins,
            "losses": rate.n_losses,
            "ties": rate.n_ties,
        }
        for rate in manager().comparisons.win_rates(demo=demo, by_model=by_model)
    ]
    columns = ["model", "win rate %", "lower %", "upper %", "decided", "wins", "losses", "ties"]
    return pd.DataFrame(records, columns=columns).astype({"win rate %": float, "lower %": float, "upper %": float})


def win_rate_over_time(demo: bool, by_model: bool = False) -> pd.DataFrame:
    """Each contestant's running win rate in percent at the end of each day, once there are enough decided pairs."""
    rates = judging.win_rate_history(manager().comparisons.votes(demo=demo), by_model=by_model)
    records = [
        {"time": pd.Timestamp(day, tz="UTC"), "model": model, "win rate %": 100 * rate}
        for (day, model), rate in rates.items()
    ]
    return pd.DataFrame(records, columns=["time", "model", "win rate %"])


def first_shown(demo: bool) -> str:
    """Share of blind votes won by the answer that stood first, in words; empty while there are too few."""
    n, share = judging.first_shown(manager().comparisons.votes(demo=demo))
    if share is None:
        return ""
    low, high = formatting.percent(share.lower, 0), formatting.percent(share.upper, 0)
    return (
        f"The answer shown first won {formatting.percent(share.estimate, 0)} of {n} decided blind votes (95 %: {low} to"
        f" {high}). Without an effect of the order it would be half."
    )
