"""Comparisons, and what votes on them add up to."""

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from core.comparison import win_rates
from core.domain.comparison import Comparison, Vote
from dashboard import formatting, tables
from dashboard.frames import log
from dashboard.process import manager

SHOWN, HIDDEN = 50, "hidden until you vote"
CHOICES = {"a": "A is better", "b": "B is better", "tie": "Tie", "both_bad": "Both bad"}


def blank_candidates(models: Sequence[str]) -> pd.DataFrame:
    """A row a model, for the table that chooses what is compared."""
    frame = pd.DataFrame({"model": list(models)})
    return frame.assign(**{"temperature": float("nan"), "max tokens": float("nan"), "system prompt": ""})


def history() -> pd.DataFrame:
    """A row a comparison, the newest first; of the hidden ones nothing that tells their answers apart."""
    latest = manager().comparisons.latest(SHOWN)
    hidden = log.hidden(c.id for c in latest)
    columns: dict[str, Callable[[Comparison], object]] = {
        "time": lambda c: c.created_at,
        "prompt": lambda c: formatting.short(c.prompt, 46),
        "models": lambda c: [HIDDEN] if c.id in hidden else [candidate.model for candidate in c.candidates],
        "winner by rule": lambda c: [] if c.id in hidden else [x.model for x in c.candidates if x.position == c.winner],
        "status": lambda c: c.status.capitalize(),
        "source": lambda c: c.source,
        "id": lambda c: c.id,
    }
    return tables.frame(latest, columns)


@st.cache_data(ttl=5, show_spinner=False)
def votes(demo: bool, n_cast: int) -> list[Vote]:
    """All votes, oldest first, shared by all viewers. n_cast: How many this viewer has cast, who sees them at once."""
    return manager().comparisons.votes(demo=demo)


def vote_history(cast: Sequence[Vote]) -> tuple[pd.DataFrame, int]:
    """A row a vote, the newest first; and how many are left out, as their comparisons are hidden from who reads."""
    hidden = log.hidden(vote.comparison_id for vote in cast)
    shown = [vote for vote in cast if vote.comparison_id not in hidden and vote.choice != "skip"]
    columns: dict[str, Callable[[Vote], object]] = {
        "time": lambda vote: vote.created_at,
        "A": lambda vote: [vote.a.label],
        "B": lambda vote: [vote.b.label],
        "vote": lambda vote: CHOICES[vote.choice],
        "blind": lambda vote: vote.is_blind,
        "id": lambda vote: vote.comparison_id,
    }
    return tables.frame(shown[: -SHOWN - 1 : -1], columns), sum(vote.comparison_id in hidden for vote in cast)


def first_shown(cast: Sequence[Vote]) -> str:
    """Share of blind votes won by the answer that stood first, in words; empty while there are too few."""
    n, share = win_rates.first_shown(cast)
    if share is None:
        return ""
    low, high = formatting.percent(share.lower, 0), formatting.percent(share.upper, 0)
    return (
        f"The answer shown first won {formatting.percent(share.estimate, 0)} of {n} decided blind votes (95% interval"
        f" {low} to {high}). Without an effect of the order it would be half."
    )
