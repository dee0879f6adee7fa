"""A comparison: its answers side by side, who was best, and the vote. Hidden ones show nothing that names a model."""

import time
from collections.abc import Sequence

import streamlit as st

from core.comparison import ballots, winners
from core.domain.comparison import Candidate, Comparison, Metric
from dashboard import formatting, process
from dashboard.components import answer, receipt
from dashboard.components.compare import columns, controls, differences, rule_editor, votes
from dashboard.components.log import history
from dashboard.frames import compare
from dashboard.process import manager
from dashboard.visitors import allowed
from dashboard.visitors.voter import voter

METRICS: tuple[tuple[Metric, str, bool], ...] = (
    ("latency", "Fastest", False),
    ("cost", "Cheapest", False),
    ("length", "Longest", True),
)
_LOST, _REVEAL = "No answer: the process ended first.", "Show names without voting"


def draw(comparison: Comparison, *, is_hidden: bool = False) -> None:
    """is_hidden: The reader has yet to vote. How fast an answer comes would say much about its model, so all wait."""
    if comparison.is_running and (is_hidden or not manager().comparisons.is_here(comparison)):
        controls.stop(comparison, st)
        controls.wait(comparison.id, "" if is_hidden else "Another process is running this comparison.")
        return
    if comparison.is_running:
        _watch(comparison)
        st.rerun()
    shown = _in_order(comparison)
    if is_hidden:
        shown = [candidate for candidate in shown if candidate.can_win]
        names = {candidate.position: f"Answer {n}" for n, candidate in enumerate(shown, 1)}
    else:
        names = {candidate.position: candidate.letter for candidate in shown}
        _verdict(comparison)
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    able = {at: name for at, name in names.items() if comparison.candidates[at].can_win}
    pair = differences.choose(row, able) if len(able) > 1 else None
    together = columns.toggle(row)
    row.space("stretch")
    failed = [candidate.position for candidate in comparison.candidates if not candidate.is_whole]
    if is_hidden and failed:
        row.caption(f"Failed answers, left out: {len(failed)} of {len(comparison.candidates)}.", width="content")
    again = [position for position in failed if not comparison.candidates[position].is_waiting]  # those are resumed
    if is_hidden or len(again) > 1:  # else the column has its own button
        controls.retry(comparison, again, row, "Try failed answers again", "compare_retry_all")
    controls.resume(comparison, row)
    if is_hidden and row.button(
        _REVEAL, key="compare_reveal", type="tertiary", icon=":material/visibility:", **allowed.needs("editor")
    ):
        manager().comparisons.voting.reveal(comparison.id, voter())
        st.rerun()
    for candidate, place in zip(shown, columns.places(len(shown), together=together), strict=True):
        before = comparison.candidates[pair[0]] if pair and candidate.position == pair[1] else None
        with place:
            columns.head(st, names[candidate.position], None if is_hidden else candidate)
            _text(candidate, before, names[before.position] if before else "", is_hidden=is_hidden)
            if not is_hidden:
                _receipt(comparison, candidate)
    votes.ask(comparison, able, blind=is_hidden)


def _in_order(comparison: Comparison) -> Sequence[Candidate]:
    """The candidates as they stand on the page: of a blind comparison in the voter's own order, also after the vote."""
    if not comparison.is_blind:
        return comparison.candidates
    order = ballots.shown_order(comparison.id, voter(), len(comparison.candidates))
    return [comparison.candidates[position] for position in order]


def _text(candidate: Candidate, before: Candidate | None, name: str, *, is_hidden: bool) -> None:
    """Draw an answer, or its differences from the one before it. name: Of the one before it."""
    g = candidate.generation
    if g is not None and before is not None and before.generation is not None:
        differences.draw(st, before.generation.text, g.text, name)
    elif g is not None and candidate.is_whole and not g.text:
        history.missing("The text of this answer", g.created_at)
    elif g is not None and is_hidden:
        answer.show(st, g.text)
    else:
        answer.Slot(st).settle(g, _error(candidate), "")


def _receipt(comparison: Comparison, candidate: Candidate) -> None:
    g, at = candidate.generation, candidate.position
    if candidate.system:
        st.caption(f"System prompt: {formatting.plain(formatting.short(candidate.system, 200))}")
    if not (candidate.is_whole or candidate.is_waiting):
        controls.retry(comparison, [at], st, "Try again", f"compare_retry_{at}")
    if g is not None:
        st.caption(receipt.line_beside_others(g))
        box = st.popover("Receipt", icon=":material/receipt_long:", key=f"receipt_{g.id}", on_change="rerun")
        if box.open:  # a receipt costs a page as much as all the rest of it
            with box:
                receipt.show(g)


def _watch(comparison: Comparison) -> None:
    """Paint the answers until all are there. A click elsewhere ends this run of the page; the calls go on."""
    calls = manager().comparisons.calls(comparison.id)
    bar = st.container(horizontal=True, vertical_alignment="center")
    progress = bar.empty()
    controls.stop(comparison, bar)
    slots, stops = {}, {}
    for candidate, place in zip(
        comparison.candidates, columns.places(len(comparison.candidates), together=True), strict=True
    ):
        columns.head(place, candidate.letter, candidate)
        slots[candidate.position] = answer.Slot(place.container())
        call, g = calls.get(candidate.position), candidate.generation
        if call is None and g:
            slots[candidate.position].settle(g, answer.error_text(g), "")
        elif call:
            box = stops[candidate.position] = place.empty()
            box.button(
                "Stop", key=f"stop_{candidate.position}", icon=":material/stop:", type="tertiary",
                on_click=call.cancel, **allowed.needs("editor", f"Stop answer {candidate.letter}"),
            )  # fmt: skip
    usual = {at: manager().models.estimate(call.request).output_tokens.expected for at, call in calls.items()}
    n_there = len(slots) - len(calls)
    while True:
        views = {at: call.view() for at, call in calls.items()}
        for at, view in views.items():
            slots[at].paint(view)
            if view.is_done and at in stops:
                stops.pop(at).empty()
        shares = [1.0 if view.is_done else min(0.99, view.n_tokens / usual[at]) for at, view in views.items()]
        left = [view.left_s(usual[at]) for at, view in views.items()]
        controls.progress(progress, [1.0] * n_there + shares, left, max(view.elapsed_s for view in views.values()))
        if all(view.is_done for view in views.values()):
            break
        with process.aside():
            time.sleep(answer.PAINT_S)
    manager().comparisons.settle(comparison.id)


def _error(candidate: Candidate) -> str:
    g = candidate.generation
    if g is not None:
        call = manager().calls.running(g.id)
        return answer.error_text(g, call.error if call else None)
    return candidate.error or _LOST


def _verdict(comparison: Comparison) -> None:
    if comparison.status == "interrupted":
        text = "This comparison was interrupted: its process ended before all answers had arrived."
        st.warning(text, icon=":material/link_off:")
    if len({c.contestant for c in comparison.candidates}) < 2:
        st.caption("The same model with the same settings: differences are chance, so no winner is named.")
        return
    crowned = [
        f"{word} **{_letters(comparison, best)}**"
        for metric, word, larger in METRICS
        if (best := winners.sole(comparison.candidates, metric, larger_is_better=larger)) is not None
    ]
    winner = next((c for c in comparison.candidates if c.position == comparison.winner), None)
    rule = rule_editor.words(comparison.rule)
    said = f"Winner by rule: {_names(comparison, winner)}" if winner else "No winner by the rule"
    st.markdown(f":material/emoji_events: {said}: {rule}. {' · '.join(crowned)}")
    cast = compare.votes(comparison.source == "demo", st.session_state.get("votes_cast", 0))
    led = compare.leader(cast, {candidate.model for candidate in comparison.candidates})
    st.caption(
        "The rule decides this one run, and another may differ. Which model is better, people's votes decide:"
        f" **{formatting.plain(led)}**."
    )


def _names(comparison: Comparison, best: Candidate) -> str:
    return f"**{_letters(comparison, best)}** ({formatting.plain(best.contestant.label)})"


def _letters(comparison: Comparison, best: Candidate) -> str:
    """The letters of all answers of its contestant."""
    return ", ".join(c.letter for c in comparison.candidates if c.can_win and c.contestant == best.contestant)
