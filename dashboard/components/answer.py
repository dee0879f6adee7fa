"""Answers while they stream, one or several side by side. The script only looks; the calls run elsewhere."""

import html
import time
from collections.abc import Iterator, Sequence
from typing import Any

import streamlit as st

from core import AimmError, Call, CallView
from core.domain.generation import Generation
from dashboard import answer_html, formatting, process

PAINT_S = 0.05
FOLLOW_S = 2.0
CURSOR = " ▌"


def show(place: Any, text: str, *, streams: bool = False) -> None:
    """Draw a model's text in a place of its own: as it is, and without fetching anything from elsewhere.

    streams: There is more to come; a cursor says so.
    """
    found = answer_html.parts(text, streams=streams)
    box = place if len(found) == 1 or place is st else place.container()
    for part in found:
        is_last = streams and part is found[-1]
        if part.kind == "html":
            box.html(f'<div class="aimm-answer{" aimm-streams" if is_last else ""}">{part.text}</div>')
        elif part.kind == "math":
            box.latex(part.text)
        else:
            box.code(part.text + (CURSOR if is_last else ""), language=part.language or None, wrap_lines=True)


def verbatim(place: Any, text: str) -> None:
    """Draw what a person wrote, as it was typed."""
    place.html(f'<div class="aimm-verbatim">{html.escape(text)}</div>', width="content")


class Slot:
    """The place of one answer: thinking, text, a running line."""

    def __init__(self, place: Any) -> None:
        box = place.container()
        self._thinking = box.empty()
        self._text = box.empty()
        self.line = place.empty()
        self.place = place
        self._painted = (-1, -1)
        self._rests_until = 0.0

    def paint(self, view: CallView) -> None:
        now, began = (len(view.text), len(view.thinking)), time.monotonic()
        if now != self._painted and began >= self._rests_until:
            self._painted = now
            if view.thinking:
                self._thinking.caption(f"*thinking* · {formatting.plain(formatting.short(view.thinking[-160:], 160))}")
            if view.text:
                show(self._text, view.text, streams=True)
            else:
                self._text.markdown("*waiting for the first token …*")
            self._rests_until = time.monotonic() + 4 * (time.monotonic() - began)  # long texts take their time
        self.line.caption(formatting.plain(view.waiting or running_line(view)))

    def settle(self, generation: Generation | None, error: str, receipt: str) -> None:
        self._thinking.empty()
        if generation is not None and generation.thinking:
            with self._thinking.expander("Thinking"):
                show(st, generation.thinking)
        text = generation.text if generation is not None else ""
        if error:
            with self._text.container():
                show(st, text)
                st.error(formatting.plain(error), icon=":material/error:")
        elif text:
            show(self._text, text)
        else:
            self._text.caption("*stopped before any text arrived*")
        self.line.caption(receipt)


def running_line(view: CallView) -> str:
    if view.ttft_s is None:
        return f"{view.elapsed_s:.1f} s"
    n = view.usage.output_tokens if view.usage else max(1, len(view.text) // 4)
    speed = n / max(view.elapsed_s - view.ttft_s, 0.05)
    about = "" if view.usage else "≈ "
    return (
        f"first token {formatting.seconds(view.ttft_s)} · {about}{speed:.0f} tok/s · {about}{n} out"
        f" · {view.elapsed_s:.1f} s"
    )


def watch(calls: Sequence[Call], slots: Sequence[Slot], for_s: float = float("inf")) -> bool:
    """Paint until all are done, or for so long; True = they are. A click elsewhere ends this run; calls go on."""
    until = time.monotonic() + for_s
    while True:
        views = [call.view() for call in calls]
        for view, slot in zip(views, slots, strict=True):
            slot.paint(view)
        if all(view.is_done for view in views):
            return True
        if time.monotonic() >= until:
            return False
        with process.aside():
            time.sleep(PAINT_S)


@st.fragment(run_every=0.25)
def follow(calls: Sequence[Call], slots: Sequence[Slot], turn: Iterator[int]) -> None:
    """Paint while the page stands: its own run has ended, so nothing on it is stale, and every control answers.

    turn: Counts from 0; the first turn belongs to the page's own run and must not hold it up.
    """
    if watch(calls, slots, FOLLOW_S if next(turn) else 0):
        st.rerun()


def outcome(call: Call) -> tuple[Generation | None, str]:
    """The generation of a finished call, and its error in words ('' = none)."""
    try:
        generation = call.result(timeout_s=0)
    except AimmError as error:
        return None, f"{error.message} {error.hint}".strip()
    return generation, error_text(generation, call.error)


def error_text(g: Generation, error: AimmError | None = None) -> str:
    """The error of a call in words: the event, its cost, the way out."""
    if g.status in ("ok", "stopped"):
        return ""
    cost = "" if g.cost_usd is None else f" It cost {formatting.usd(g.cost_usd)}."
    hint = f" {error.hint}" if error and error.hint else ""
    message = g.error_message or g.status
    return f"{message}{'' if message.endswith(('.', '!', '?', ':')) else '.'}{cost}{hint}"
