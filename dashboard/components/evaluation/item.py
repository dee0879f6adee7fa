"""One item in a drawer: its variables, each contestant's answer beside the baseline's, its checks, its call."""

from collections.abc import Sequence
from html import escape
from typing import Any

import streamlit as st

from core.domain.evaluation.run import Cell, Contestant
from dashboard import address, formatting, theme
from dashboard.charts.colours import of_contestant
from dashboard.components import answer
from dashboard.components.compare import differences
from dashboard.components.interval import Pill, Tone
from dashboard.components.log import history
from dashboard.frames.evaluation import items
from dashboard.frames.evaluation.items import ItemSeen
from dashboard.frames.evaluation.reading import Seen, View

PER_ROW, LEAST_PX, SHORT = 3, 260, 100
_ITEMS = "eval_items"


def show(of: Seen, view: View, order: Sequence[int]) -> None:
    """Open the drawer where the address names an item. order: The items to step through, in their order."""
    given = address.value("item")
    if given is None:
        return
    if not given.isdecimal() or not 1 <= int(given) <= of.run.n_items:
        address.missing("item", "item")
        return
    st.session_state[_ITEMS] = list(order)
    address.window("item", "Item", width="large")(_inside)(of, view)


def _inside(of: Seen, view: View) -> None:
    given, order = address.value("item"), st.session_state.get(_ITEMS, [])
    if given is None:
        st.rerun()
    place = int(given or 1) - 1
    found = items.item(of, view, place)
    _head(of, found, order, place)
    if any(not text for text in found.texts.values()):
        history.deleted(of.run.created_at)
    _given(found)
    n = of.run.plan.repetitions
    repetition = 0
    if n > 1:
        options = list(range(n))
        picked = st.segmented_control(
            "Repetition", options, default=found.first_failed, key=f"eval_repetition_{place}",
            format_func=lambda at: f"{at + 1}", required=True,
        )  # fmt: skip
        repetition = int(picked or 0)
    is_marked = st.toggle(
        "Mark differences", True, key="eval_marked", persist_state="session",
        help="Words that only the baseline's answer has are struck, those that it lacks are marked.",
    )  # fmt: skip
    contestants = of.run.plan.contestants
    n_columns = len(contestants) + bool(found.before)
    grid = st.grid(min(n_columns, PER_ROW), min_column_width=LEAST_PX, gap="small")
    if found.before:
        with grid.container(border=True):
            _before(view.against, found, repetition)
    for each in contestants:
        with grid.container(border=True, key=f"eval_answer_{each.position}"):
            base = None
            if is_marked:
                base = found.baseline_text(view, each.position, repetition)
            _answer(each, found, repetition, base, view.against or contestants[view.baseline].letter)


def _head(of: Seen, found: ItemSeen, order: Sequence[int], place: int) -> None:
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    row.markdown(f"**Item {place + 1:,}** of {of.run.n_items:,}", width="content")
    for tag in found.row.tags if found.row is not None else ():
        row.badge(formatting.plain(tag), color="gray")
    row.space("stretch")
    at = order.index(place) if place in order else None

    def step(to: int) -> None:
        address.put("item", str(order[to] + 1))

    row.button(
        "", icon=":material/keyboard_arrow_up:", key="item_up", help="Previous item", shortcut="K", type="tertiary",
        disabled=not at, on_click=step, args=((at or 0) - 1,),
    )  # fmt: skip
    row.button(
        "", icon=":material/keyboard_arrow_down:", key="item_down", help="Next item", shortcut="J", type="tertiary",
        disabled=at is None or at + 1 >= len(order), on_click=step, args=((at or 0) + 1,),
    )  # fmt: skip


def _given(found: ItemSeen) -> None:
    row = found.row
    if row is None:
        st.caption("The row of this item is no longer kept.")
        return
    if row.description:
        st.markdown(formatting.plain(row.description))
    told = {**row.variables, **{f"{turn.get('role')} turn": turn.get("content") for turn in row.messages}}
    if row.expected not in (None, ""):
        told["expected"] = row.expected
    short = {name: str(value) for name, value in told.items() if len(str(value)) <= SHORT and "\n" not in str(value)}
    if short:
        pairs = (f"<span><small>{escape(name)}</small> {escape(value)}</span>" for name, value in short.items())
        st.html(f'<div class="aimm-given">{"".join(pairs)}</div>')
    for name, value in told.items():
        if name not in short:
            st.caption(formatting.plain(str(name)))
            text = str(value)
            lines = 1 + text.count("\n") + len(text) // 100
            st.code(text, language=None, wrap_lines=True, height=220 if lines > 9 else "content")


def _title(letter: str, label: str, position: int | None) -> None:
    colour = theme.ink().muted if position is None else of_contestant(position, theme.mode())
    dot = f'<i class="aimm-dot" style="background:{colour}"></i>'
    st.html(f'<div class="aimm-title">{dot}{escape(letter)} {escape(label)}</div>')


def _before(name: str, found: ItemSeen, repetition: int) -> None:
    """The baseline's own answer, of another run."""
    cell = next((each for each in found.before.values() if each.repetition == repetition), None)
    _title("", name, None)
    if cell is None:
        st.caption("The baseline has no such item.")
        return
    _badges(cell)
    _text(found.texts.get(("before", *cell.place)), None, "")


def _answer(each: Contestant, found: ItemSeen, repetition: int, base: str | None, name: str) -> None:
    _title(each.letter, each.label, each.position)
    cell = found.cells.get((each.position, repetition))
    if cell is None:
        st.caption("There is no such answer.")
        return
    _badges(cell)
    if cell.outcome == "error" and cell.error:
        st.error(formatting.plain(f"{formatting.failure_text(cell.error_class)}: {cell.error}"))
    elif cell.outcome == "not_run":
        st.caption(formatting.plain(cell.error or "Not asked yet."))
    _text(found.texts.get(("mine", *cell.place)), base, name)
    _checks(cell)
    if cell.generation_id:
        st.page_link(
            "pages/log.py", label="Receipt", icon=":material/receipt_long:", query_params={"call": cell.generation_id}
        )


def _badges(cell: Cell) -> None:
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    colour: Any = {"pass": "green", "fail": "red", "error": "red"}.get(cell.outcome, "gray")
    row.badge(cell.outcome.replace("_", " "), color=colour)
    if cell.is_reused:
        row.badge("reused", color="gray", help="The answer of an identical cell of another run: it was not paid again.")
    parts = [] if cell.score is None else [f"score {cell.score:.2f}"]
    parts += [formatting.usd(cell.cost_usd), formatting.seconds(cell.latency_s)] if cell.state == "answered" else []
    row.caption(formatting.plain(" · ".join(parts)), width="content")


def _text(text: str | None, base: str | None, name: str) -> None:
    if text is None:
        return
    if not text:
        st.caption("The model answered no text.")
    elif base is not None and base != text:
        differences.draw(st, base, text, name)
    else:
        answer.show(st, text)


def _checks(cell: Cell) -> None:
    if not cell.scores:
        return
    ink, lines = theme.ink(), []
    for each in cell.scores:
        tone: Tone = "flat" if each.passed else "fail"
        word = "error" if each.passed is None else "pass" if each.passed else "fail"
        named = f"{each.type} · {each.metric}" if each.metric else each.type
        score = "" if each.passed is None else f" {each.score:.2f}"
        why = "" if each.passed else f" <small>{escape(each.reason)}</small>"  # of a pass it says what it is not
        told = f"<b>{escape(named)}</b>{score}{why}"
        lines.append(f"<div>{Pill(word, tone).html(ink)} {told}</div>")
    st.html(f'<div class="aimm-checks">{"".join(lines)}</div>')
