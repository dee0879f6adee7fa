"""The sums of votes: win rates with their intervals, each pair's verdict, and the votes themselves."""

from collections.abc import Sequence

import streamlit as st

from core.comparison import win_rates
from core.comparison.win_rates import MIN_DECIDED, HeadToHead
from core.domain.comparison import Vote, WinRate
from dashboard import formatting, tables, theme
from dashboard.components import demo as demo_data
from dashboard.components import interval
from dashboard.components.compare import opening
from dashboard.components.interval import Bar, Cell, Head, Pill
from dashboard.frames import compare, models, monitoring

HELP = (
    "Share of decided pairs that a contestant (a model with its prompt and settings) won. Ties do not count. One vote"
    " per voter and pair. The 95% intervals hold however often you look."
)
MAX_PAIRS, HALF = 10, 0.5
_SAID: dict[interval.Tone, str] = {
    "good": "Wins more than half", "warn": "Wins less than half", "flat": "Not decided yet",
}  # fmt: skip
_SCALE = Head("0% ← 50% → 100%", is_scale=True)


def draw() -> None:
    row = st.container(horizontal=True, vertical_alignment="center")
    n_cast = st.session_state.get("votes_cast", 0)
    no_own = not compare.votes(False, n_cast)
    is_demo = monitoring.has_demo() and row.toggle("Demo votes", no_own, key="votes_demo")
    by_model = row.toggle("Group by model", key="votes_by_model", help="Regardless of prompt and settings.")
    cast = compare.votes(bool(is_demo), n_cast)
    rates = win_rates.rates_of(cast, by_model=by_model)
    if not rates:
        demo_data.offer(
            "No votes yet. Compare models and press a digit to say which answer is best.", "votes_demo_load"
        )
        return
    _rates(rates)
    _pairs(win_rates.head_to_head(cast, by_model=by_model))
    if words := compare.first_shown(cast):
        st.caption(words)
    _votes(cast)


def _rates(rates: Sequence[WinRate]) -> None:
    ink = theme.ink()
    colours = models.colours(ink.mode)
    rows: list[interval.Row | str] = []
    for rate in rates:
        name = Cell(rate.contestant.label, is_strong=True, dot=colours.get(rate.contestant.model, ink.muted))
        n = Cell(f"{rate.n_wins} – {rate.n_losses} – {rate.n_ties}")
        if rate.rate is None or rate.lower is None or rate.upper is None:
            few = f"{rate.n_decided} decided votes, {MIN_DECIDED - rate.n_decided} more needed"
            rows.append([name, Cell(formatting.UNKNOWN), Cell("", few), n, Pill("Too few votes", "flat")])
            continue
        tone: interval.Tone = "good" if rate.lower > HALF else "warn" if rate.upper < HALF else "flat"
        bounds = _bounds(rate.lower, rate.upper)
        bar = Bar(rate.rate, rate.lower, rate.upper, HALF, tone, f"{bounds}: {_SAID[tone]}", zero=HALF)
        share = Cell(formatting.percent(rate.rate, 0), bounds, is_strong=True)
        rows.append([name, share, bar, n, Pill(_SAID[tone], tone)])
    share_head, n_head = (
        Head(text, is_number=True, tip=HELP) for text in ("Win rate, 95% interval", "Won – lost – tied")
    )
    interval.table(
        [Head("Model · prompt · settings"), share_head, _SCALE, n_head, Head("Verdict")], rows, ink, label="Win rates"
    )


def _pairs(pairs: Sequence[HeadToHead]) -> None:
    """Draw each pair's verdict as a sentence with its uncertainty."""
    rows: list[interval.Row | str] = []
    for pair in pairs[:MAX_PAIRS]:
        tone: interval.Tone = "good" if pair.is_decided else "flat"
        bar = Bar(*pair.share, HALF, tone, sentence(pair), zero=HALF) if pair.share else Cell("")
        rows.append([Cell(sentence(pair)), bar])
    interval.table([Head("Against each other", tip=HELP), _SCALE], rows, theme.ink(), label="Against each other")
    if len(pairs) > MAX_PAIRS:
        st.caption(f"Pairs with fewer votes, left out here: {len(pairs) - MAX_PAIRS}.")


def sentence(pair: HeadToHead) -> str:
    """The verdict on two contestants, with its uncertainty."""
    if pair.share is None:
        return f"{pair.a.label} and {pair.b.label}: no decided vote, {pair.n_ties} tied"
    won, bounds = formatting.percent(pair.share.estimate, 0), _bounds(pair.share.lower, pair.share.upper)
    n = f"{pair.n_decided} vote{'s' if pair.n_decided > 1 else ''}"
    said = "decided" if pair.is_decided else "not decided yet"
    return f"{pair.a.label} wins {won} of {n} against {pair.b.label}; 95% interval {bounds}: {said}"


def _bounds(lower: float, upper: float) -> str:
    return f"{100 * lower:.0f}–{100 * upper:.0f}%"


def _votes(cast: Sequence[Vote]) -> None:
    frame, n_hidden = compare.vote_history(cast)
    known = models.colours(theme.mode())
    chips = {each.label: known.get(each.model, "gray") for vote in cast for each in (vote.a, vote.b)}
    config = {side: tables.model_column(chips, chips, label=side) for side in "AB"}
    config |= {"time": tables.TIME, "blind": st.column_config.CheckboxColumn("Blind", width=70), "id": None}
    st.subheader("Votes", anchor=False)
    at = tables.opened(frame, "votes_table", frame["id"], column_config=config)
    if n_hidden:
        st.caption(f"Votes on blind comparisons that you have yet to vote on, left out here: {n_hidden}.")
    if at is not None:
        opening.show(at)
