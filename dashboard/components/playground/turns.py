"""The turns of a conversation, and what can be done with each: what was asked, answers, tools, failures."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from core import Call
from core.domain.generation import Generation, Message
from core.domain.message import Media, Thought, ToolCall, ToolResult
from dashboard import address, answer_html, formatting, tables, theme
from dashboard.components import answer, receipt
from dashboard.components.playground import attachments, checks, code, conversation, schema, spread
from dashboard.frames import models
from dashboard.process import manager
from dashboard.visitors import allowed
from dashboard.visitors.voter import voter

RUNS = (3, 5, 10)
Live = list[tuple[Call, answer.Slot]]  # calls under way, and where they are painted


def draw(shown: conversation.Conversation) -> Live:
    """All turns; those of the first call's past without actions, which they have where they were made."""
    if not shown.calls:
        return []
    first, ids = shown.calls[0], [g.id for g in shown.calls]
    past = first.messages[:-1] if shown.n is None else shown.messages
    for at, message in enumerate(past, 1):
        _draw_past(first, at, message)
    if shown.n is not None:
        return []
    others: dict[str, list[Generation]] = {}
    for g in manager().log.parts_of(ids, conversation.BESIDE):
        others.setdefault(str(g.ref_id), []).append(g)
    starred = {each.generation_id for each in manager().feedback.of(*ids) if _is_star(each)}
    live: Live = []
    for g in shown.calls:
        _asked(g.messages[-1] if g.messages else None, g.id, len(g.messages))
        live += _draw_answers(g, others.get(g.id, []), starred)
    return live


def draw_live(call: Call) -> Live:
    """A turn that is being answered; or that could not be put on record."""
    _asked(call.request.messages[-1], "", 0)
    place = st.container(key="turn_live")
    _model_line(place, call.request.model)
    slot = answer.Slot(place)
    if not call.done.done():
        return [(call, slot)]
    made, failure = answer.outcome(call)
    if made is not None:  # it ended while this run was drawing
        st.rerun()
    slot.settle(None, failure, "")
    if st.button("Retry", icon=":material/refresh:", key="again_live", **allowed.needs("editor")):
        conversation.again(call.request.messages, call.origin.ref_id)
    return []


def draft(shown: conversation.Conversation, *, may_send: bool) -> None:
    """The turn that is to be written anew, in a field in its place."""
    given = shown.draft
    if given is None:
        return
    st.text_area("Edited prompt", key="play_draft", height=120, persist_state="session")
    row = st.container(horizontal=True, gap="small")
    if row.button("Send", key="play_draft_send", type="primary", **allowed.needs("editor", disabled=not may_send)):
        conversation.send(shown, st.session_state.play_draft or given.text, given.media)
    row.button("Cancel", key="play_draft_cancel", on_click=address.put, args=("conversation", shown.calls[-1].id))


# One turn


def _draw_past(g: Generation, n: int, message: Message) -> None:
    if message.role == "user":
        _asked(message, g.id, n)
        return
    with st.container(key=f"turn_{g.id}_{n}", gap="xsmall"):
        _parts(message)
        _branch(g, n)


def _asked(message: Message | None, call_id: str, n: int) -> None:
    """A person's turn, at the right; results of tools as cards."""
    with st.container(key=f"turn_user_{call_id}_{n}", gap="xsmall", horizontal_alignment="right"):
        if message is None:
            st.caption("The prompt of this call was not stored.")
            return
        with st.container(key=f"turn_bubble_{call_id}_{n}", gap="xsmall", width="content"):
            _parts(message)
        if call_id:
            st.button(
                "Edit", key=f"branch_{call_id}_{n}", type="tertiary", icon=":material/edit:",
                on_click=address.put, args=("conversation", f"{call_id}:{n}"),
                help="Write it anew, and continue from there in a separate conversation.",
            )  # fmt: skip


def _parts(message: Message) -> None:
    for part in message.content or ("(empty)",):
        match part:
            case Media():
                attachments.show(part)
            case ToolCall():
                _tool(f"calls {part.name}", part.arguments)
            case ToolResult():
                _tool(f"{part.name} {'failed' if part.is_error else 'answered'}", part.text)
            case Thought():
                _tool("thought", part.text or "(hidden)")
            case _ if message.role == "user":
                answer.verbatim(st, part)
            case _:
                answer.show(st, part)


def _tool(title: str, text: str) -> None:
    """A call of a tool, or its result."""
    with st.container(border=True, gap="xsmall", width=560):
        st.markdown(f":material/build: {formatting.plain(title)}")
        found = answer_html.as_json(text)
        st.code(found or text or "(nothing)", language="json" if found else None, wrap_lines=True)


def _draw_answers(g: Generation, others: Sequence[Generation], starred: set[str]) -> Live:
    """An answer, and beside it the others to the same question: two in columns, more in tabs, with their spread."""
    running = manager().calls.under_way(g.id)
    running = [call for call in running if call.origin.ref_part == conversation.BESIDE]
    n = 1 + len(others) + len(running)
    titles = [each.model for each in (g, *others)] + [call.request.model for call in running]
    places: Sequence[Any] = [st.container()]
    if n == 2:
        places = st.columns(2, gap="medium")
    elif n > 2:
        places = st.tabs([f"{at} · {formatting.plain(title)}" for at, title in enumerate(titles, 1)])
    live: Live = []
    shown: list[Generation | Call] = [g, *others, *running]
    for place, each in zip(places, shown, strict=True):
        with place:
            if isinstance(each, Generation):
                _answer(each, first=g, is_starred=each.id in starred)
            else:
                box = st.container(key=f"turn_{each.id}")
                _model_line(box, each.request.model)
                live.append((each, answer.Slot(box)))
    if others:
        tables.show(spread.spread([g, *others]))
    return live


def _answer(g: Generation, *, first: Generation, is_starred: bool) -> None:
    with st.container(key=f"turn_{g.id}", gap="xsmall"):
        _model_line(st, g.model, is_simulated=g.is_simulated)
        if g.thinking:
            with st.expander("Thinking"):
                answer.show(st, g.thinking)
        if g.text:
            answer.show(st, g.text)
        for call in g.tool_calls:
            _tool(f"calls {call.name}", call.arguments)
        if g.tool_calls and g is first:
            st.caption("Your next message is sent as the result.")
        if g.status not in ("ok", "stopped"):
            _failure(g)
        elif not g.text and not g.tool_calls:
            st.caption("Stopped before any text came." if g.status == "stopped" else "The model answered no text.")
        if g.finish_reason == "length":
            st.badge("Cut at max output tokens", icon=":material/content_cut:", color="orange")
        schema.verdict(g)
        checks.verdict(g)
        _actions(g, first, is_starred=is_starred)


def _model_line(place: Any, name: str, *, is_simulated: bool = False) -> None:
    colour = models.colours(theme.mode()).get(name, theme.ink().muted)
    note = " · simulated" if is_simulated else ""
    row = place.container(horizontal=True, gap="xsmall", vertical_alignment="center")
    row.html(f'<i class="aimm-dot" style="background:{colour}"></i>', width="content")
    row.caption(formatting.plain(f"{name}{note}"), width="content")


def _branch(g: Generation, n: int, place: Any = st) -> None:
    place.button(
        "Branch", key=f"branch_{g.id}_{n}", type="tertiary", icon=":material/call_split:",
        on_click=address.put, args=("conversation", f"{g.id}:{n}"),
        help="Continue from here in a separate conversation",
    )  # fmt: skip


def _actions(g: Generation, first: Generation, *, is_starred: bool) -> None:
    """Copy, ask again, branch, star, other answers beside it, receipt."""
    line = st.container(horizontal=True, gap="xxsmall", vertical_alignment="center", key=f"turn_actions_{g.id}")
    # Their labels are read out; what is seen are the icons, and the help of each.
    row = line.container(horizontal=True, gap="xxsmall", width="content", key=f"turn_icons_{g.id}")
    copy = row.popover(
        "Copy",
        icon=":material/content_copy:",
        key=f"copy_{g.id}",
        type="tertiary",
        help="Copy, also as code",
        on_change="rerun",
    )
    if copy.open:
        with copy:
            _copies(g)
    is_answer = g.status in ("ok", "stopped")
    if g.messages and is_answer and row.button(
        "Retry", key=f"again_{g.id}", icon=":material/refresh:", type="tertiary",
        **allowed.needs("editor", "Ask the same again with the current settings"),
    ):  # fmt: skip
        conversation.again(g.messages, conversation.followed(g))
    _branch(g, len(g.messages) + 1, row)
    row.button(
        "Remove star" if is_starred else "Star", key=f"star_{g.id}", type="tertiary",
        icon=":material/star:" if is_starred else ":material/star_border:",
        on_click=_star, args=(g.id, is_starred),
        **allowed.needs("editor", "Remove the star" if is_starred else "Mark as a good answer; the Log shows it"),
    )  # fmt: skip
    if g is not first:
        line.button(
            "Continue with this", key=f"continue_{g.id}", type="tertiary", on_click=address.put,
            args=("conversation", g.id),
        )  # fmt: skip
    elif g.messages and is_answer:
        _more_answers(g, row)
    label = [receipt.cost_text(g), formatting.seconds(g.latency_s), formatting.tokens(g.usage.total_tokens)]
    label += ["stopped"] if g.status == "stopped" else []
    opened = line.popover(
        formatting.plain(" · ".join(label)), key=f"receipt_{g.id}", type="tertiary", on_change="rerun",
        help="Receipt: tokens and cost, down to the formula",
    )  # fmt: skip
    if opened.open:
        with opened:
            receipt.show(g)


def _more_answers(g: Generation, row: Any) -> None:
    others = [name for name in models.by_name() if name != g.model]
    chosen = row.menu_button(
        "Another model beside it", others, key=f"beside_{g.id}", icon=":material/splitscreen_right:", type="tertiary",
        format_func=lambda name: models.labels().get(name, name),
        **allowed.needs("editor", "Ask another model the same, beside this answer"),
    )  # fmt: skip
    if chosen is not None:
        conversation.beside(g, chosen)
    n = row.menu_button(
        "Run several times", RUNS, key=f"runs_{g.id}", icon=":material/repeat:", type="tertiary",
        format_func=lambda n: f"Run {n} more times",
        **allowed.needs(
            "editor", "Run several times more, and see how cost, latency and length vary",
            disabled=g.model not in models.by_name(),
        ),
    )  # fmt: skip
    if n is not None:
        conversation.beside(g, g.model, n)


def _copies(g: Generation) -> None:
    """The answer with a button that copies it, and the call as code."""
    st.caption("Answer")
    st.code(g.text or "(no text)", language=None, wrap_lines=True, height=min(240, 60 + 20 * g.text.count("\n")))
    st.caption("The same call as code")
    code.show(g)


def _is_star(each: Any) -> bool:
    return bool(each.thumb == "up" and not each.key_id and each.user_id == voter())


def _star(call_id: str, is_starred: bool) -> None:
    if is_starred:
        manager().feedback.withdraw(call_id, user_id=voter())
    else:
        manager().feedback.give(call_id, {"thumb": "up"}, user_id=voter())


# A turn that failed


def _failure(g: Generation) -> None:
    """A card: the event, its cost as far as it is known, and the ways out."""
    made_here = manager().calls.running(g.id)
    error = made_here.error if made_here else None
    cost = "Cost unknown." if g.cost_usd is None else f"It cost {receipt.cost_text(g)}."
    words = [
        g.error_message or g.status,
        "Nothing was charged." if g.is_uncharged else cost,
        error.hint if error else "",
    ]
    with st.container(border=True, key=f"turn_failed_{g.id}", gap="small"):
        st.markdown(f":material/error: **{formatting.plain(formatting.failure_text(g.error_class or g.status))}**")
        st.markdown(formatting.plain(" ".join(_sentence(each) for each in words if each)))
        if not g.messages:
            return
        row = st.container(horizontal=True, gap="small")
        wait = error.retry_after_s if error else None
        until = g.created_at + timedelta(seconds=g.latency_s + (wait or 0))
        if wait and until > datetime.now(UTC):
            with row:
                st.fragment(run_every=1.0)(_countdown)(g.id, until)
        elif row.button(
            "Retry", icon=":material/refresh:", key=f"retry_{g.id}",
            **allowed.needs("editor", "With the current settings."),
        ):  # fmt: skip
            conversation.again(g.messages, conversation.followed(g))
        others = [name for name in models.by_name() if name != g.model]
        chosen = row.menu_button(
            "Other model", others, key=f"other_{g.id}", type="tertiary",
            format_func=lambda name: models.labels().get(name, name), **allowed.needs("editor"),
        )  # fmt: skip
        if chosen is not None:
            conversation.again(g.messages, conversation.followed(g), chosen)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


def _countdown(call_id: str, until: datetime) -> None:
    left = (until - datetime.now(UTC)).total_seconds()
    if left <= 0:
        st.rerun()
    st.button(f"Retry in {left:.0f} s", icon=":material/refresh:", key=f"wait_{call_id}", disabled=True)
