"""Comparisons, and what votes on them add up to."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence

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


def history(cast: Sequence[Vote]) -> pd.DataFrame:
    """A row a comparison, the newest first; of the hidden ones nothing that tells their answers apart."""
    latest = manager().comparisons.latest(SHOWN)
    hidden, said = log.hidden(c.id for c in latest), _said(cast)
    groups = {frozenset(x.model for x in c.candidates) for c in latest}
    between = {names: leader(cast, names, is_short=True) for names in groups if len(names) > 1}
    columns: dict[str, Callable[[Comparison], object]] = {
        "time": lambda c: c.created_at,
        "prompt": lambda c: formatting.short(c.prompt, 30),
        "models": lambda c: [HIDDEN] if c.id in hidden else [candidate.model for candidate in c.candidates],
        "winner by rule": lambda c: [] if c.id in hidden else [x.model for x in c.candidates if x.position == c.winner],
        "certainty": lambda c: HIDDEN if c.id in hidden else between.get(frozenset(x.model for x in c.candidates), ""),
        "votes": lambda c: HIDDEN if c.id in hidden else said.get(c.id, ""),
        "status": lambda c: c.status.capitalize(),
        "source": lambda c: c.source,
        "id": lambda c: c.id,
    }
    return tables.frame(latest, columns)


def _said(cast: Sequence[Vote]) -> dict[str, str]:
    """By comparison, the model that won most of its votes: `sim-fast 1 of 1`."""
    found: dict[str, Counter[str]] = {}
    for vote in cast:
        if vote.choice != "skip":
            name = {"a": vote.a.model, "b": vote.b.model}.get(vote.choice, "undecided")
            found.setdefault(vote.comparison_id, Counter())[name] += 1
    return {of: "{} {} of {}".format(*each.most_common(1)[0], each.total()) for of, each in found.items()}


def leader(cast: Sequence[Vote], models: Collection[str] = (), *, is_short: bool = False) -> str:
    """The model that people's votes put first and how sure that is, as a sentence or short.

    models: Only votes between these.
    """
    rates = win_rates.rates_of([v for v in cast if not models or {v.a.model, v.b.model} <= {*models}], by_model=True)
    best = rates[0] if rates else None
    if best is None or best.rate is None or best.lower is None or best.upper is None:
        if is_short:
            return "too few votes"
        return f"too few votes to say ({win_rates.MIN_DECIDED} decided ones are needed)"
    sure = "decided" if best.lower > 0.5 else "not decided yet"
    if is_short:
        low, high = (formatting.percent(each, 0) for each in (best.lower, best.upper))
        return (
            f"{best.contestant.model} {formatting.percent(best.rate, 0)} ({low} to {high}), {sure.removesuffix(' yet')}"
        )
    reach = f"95% interval {formatting.percent(best.lower, 0)} – {formatting.percent(best.upper, 0)}"
    won = f"{best.contestant.model} won {formatting.percent(best.rate, 0)} of its {best.n_decided} decided votes"
    return f"{won} ({reach}): {sure}"


def own_votes() -> list[Vote]:
    """The votes on people's own comparisons; where there are none, those of the demo data."""
    n_cast = st.session_state.get("votes_cast", 0)
    return votes(False, n_cast) or votes(True, n_cast)


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
