"""The Playground's conversation: its turns, what is asked next, and what can be done with each message.

It stands in the address as its last call, `conversation=ID`, or as a call's first messages, `conversation=ID:N`. Each
call carries all turns before it and says which call it follows, so that its address is enough to go on anywhere.
"""

from dataclasses import replace
from typing import NamedTuple

import streamlit as st

from core import AimmError, Call, Origin
from core.domain.generation import Generation, Message, Parameters, Request
from core.domain.message import Media, Part, ToolCall, ToolResult
from core.formats import strict_json as json
from dashboard import address, formatting
from dashboard.components import answer, estimates, receipt
from dashboard.components.log import history
from dashboard.components.playground import code, parameters, schema
from dashboard.frames import models
from dashboard.process import manager

state = st.session_state
LONGEST = 200


class Conversation(NamedTuple):
    """calls: One after the other, oldest first. n: Only so many messages of the last one's; None = all, and its answer.
    live: The call under way, if there is one."""

    calls: tuple[Generation, ...] = ()
    n: int | None = None
    live: Call | None = None

    @property
    def messages(self) -> tuple[Message, ...]:
        """Messages before the next turn; a turn that was not answered, or is to be written anew, is left out."""
        if not self.calls:
            return ()
        whole = whole_of(self.calls[-1])[: self.n]
        return whole[:-1] if whole and whole[-1].role == "user" else whole


def whole_of(g: Generation) -> tuple[Message, ...]:
    """A call's messages and its answer."""
    parts: tuple[Part, ...] = (*((g.text,) if g.text else ()), *g.tool_calls)
    return (*g.messages, Message.of("model", parts)) if parts and g.messages else g.messages


def current() -> Conversation:
    """The conversation in the address; said in words where there is no such call."""
    given = address.value("conversation")
    if given is None:
        return Conversation()
    last_id, _, n = given.partition(":")
    live = manager().calls.running(last_id)
    if live is not None and (not live.done.done() or live.done.exception() is not None):
        return Conversation(_before(live.origin.ref_id), live=live)
    last = manager().log.remembered(last_id)
    if last is None or last.operation != "chat" or not (n == "" or n.isdecimal()):
        address.missing("conversation", "conversation")
        return Conversation()
    if history.says_hidden(last):
        return Conversation()
    return Conversation((last,), int(n)) if n else Conversation((*_before(_followed(last)), last))


def _followed(g: Generation) -> str | None:
    return g.ref_id if g.source == "playground" else None


def _before(call_id: str | None) -> tuple[Generation, ...]:
    found: list[Generation] = []
    while call_id and len(found) < LONGEST and (g := manager().log.remembered(call_id)) is not None:
        found.append(g)
        call_id = _followed(g)
    return tuple(reversed(found))


def load(shown: Conversation) -> None:
    """Take over the settings of a conversation that was opened, once; before any widget is drawn."""
    given = address.value("conversation")
    if not shown.calls or shown.live is not None or state.get("play_loaded") == given:
        return
    last = shown.calls[-1]
    state.play_loaded, state.play_system = given, last.system or ""
    if last.model in models.by_name():
        state.play_model = last.model
    else:
        st.warning(formatting.plain(f"{last.model} is not available here; another model is selected."))
    parameters.set_all("play", last.parameters)
    state.play_tools_of = last.id if last.tools else ""
    if shown.n is not None and (turns := whole_of(last)[: shown.n]) and turns[-1].role == "user":
        state.play_prompt = turns[-1].text


def asked(shown: Conversation, prompt: str) -> Request:
    """The request with all turns before it, and the settings as they are now."""
    before = tuple(_kept(message) for message in shown.messages)
    calls = [part for part in before[-1].content if isinstance(part, ToolCall)] if before else []
    results: tuple[Part, ...] = tuple(ToolResult(call.id, call.name, prompt) for call in calls)
    turn = Message.of("user", results) if results else Message("user", prompt)
    source = manager().log.remembered(state.get("play_tools_of") or "")
    return Request(
        model=state.play_model,
        messages=(*before, turn),
        system=state.get("play_system") or None,
        parameters=Parameters(**state.get("play_parameters", {})),
        tools=source.tools if source else (),
    )


def _kept(message: Message) -> Message:
    """A turn without the media whose bytes are not on record; where that is all there was, words stand for it."""
    if not any(_is_lost(part) for part in message.content):
        return message
    parts = tuple(part for part in message.content if not _is_lost(part))
    return Message.of(message.role, parts or ("[a file that was not stored]",))


def _is_lost(part: Part) -> bool:
    return isinstance(part, Media) and not part.data and not part.url


def start(request: Request, after: str | None) -> None:
    """Ask, as what follows the call `after`."""
    origin = Origin(source="playground", ref_id=after, cap_usd=estimates.cap("play_cap"))
    call = manager().submit(request, origin)
    address.put("conversation", call.id)
    state.play_loaded = call.id


def send(shown: Conversation, prompt: str) -> None:
    """Ask the next turn; a prompt that cannot be sent goes back into its field."""
    try:
        start(asked(shown, prompt), shown.calls[-1].id if shown.calls and shown.n is None else None)
    except AimmError as error:
        give_back(prompt, error.text)
    st.rerun()


def take_prompt() -> None:
    """Empty the field; only a callback may set a widget's value."""
    state.play_sent, state.play_prompt = state.play_prompt, ""


def give_back(prompt: str, problem: str) -> None:
    """Have the prompt in its field again in the next run, with what stood in its way."""
    state.play_returned, state.play_problem = prompt, problem


def take_back() -> None:
    """Fill in what was given back; before any widget is drawn."""
    if (prompt := state.pop("play_returned", None)) is not None and not state.get("play_prompt"):
        state.play_prompt = prompt


def draw(shown: Conversation) -> None:
    """All turns; those of the first call's past without a receipt, which they have where they were made."""
    if not shown.calls:
        return
    first = shown.calls[0]
    past = first.messages[:-1] if shown.n is None else shown.messages
    for at, message in enumerate(past, 1):
        _draw_message(first, at, message)
    if shown.n is None:
        for g in shown.calls:
            _draw_call(g)


def _draw_message(g: Generation, n: int, message: Message) -> None:
    with st.chat_message("user" if message.role == "user" else "assistant"):
        st.markdown(formatting.plain(history.text_of(message)) or "*empty*")
        _branch(g, n)


def _draw_call(g: Generation) -> None:
    if g.messages:
        _draw_message(g, len(g.messages), g.messages[-1])
    else:
        st.chat_message("user").markdown("*not stored*")
    with st.chat_message("assistant"):
        slot = answer.Slot(st)
        made_here = manager().calls.running(g.id)
        slot.settle(g, answer.error_text(g, made_here.error if made_here else None), receipt.line(g))
        if g.tool_calls:
            st.caption("Tool calls. Your next message is sent as their result.")
            st.code("\n".join(history.text_of_part(call) for call in g.tool_calls), language=None, wrap_lines=True)
        schema.verdict(g)
        with st.container(horizontal=True):
            receipt.button(g, f"receipt_{g.id}")
            _branch(g, len(g.messages) + 1)


def _branch(g: Generation, n: int) -> None:
    st.button(
        "Branch", key=f"branch_{g.id}_{n}", type="tertiary", icon=":material/call_split:",
        on_click=address.put, args=("conversation", f"{g.id}:{n}"),
        help="Continue from here in a separate conversation.",
    )  # fmt: skip


def draw_live(call: Call) -> None:
    """The call under way, until it ends; then what became of it is drawn anew."""
    st.chat_message("user").markdown(formatting.plain(history.text_of(call.request.messages[-1])))
    slot = answer.Slot(st.chat_message("assistant"))
    answer.watch([call], [slot])
    made, failure = answer.outcome(call)
    if made is not None:
        st.rerun()
    slot.settle(None, failure, "")


def actions(shown: Conversation) -> None:
    """A new conversation; the last turn again, where it failed; the same call as code."""
    row = st.container(horizontal=True)
    row.button(
        "New conversation",
        icon=":material/add_comment:",
        key="play_new",
        on_click=address.put,
        args=("conversation", None),
    )
    last = shown.calls[-1] if shown.calls else None
    failed = shown.live.request if shown.live is not None else None
    if last is not None and failed is None and last.status not in ("ok", "stopped") and last.messages:
        failed = Request(model=last.model, messages=last.messages, tools=last.tools)
    if failed is not None and row.button(
        "Retry", icon=":material/replay:", key="play_again", help="With the current settings and spending limit."
    ):
        now = asked(Conversation(), "")
        try:
            start(replace(now, messages=tuple(_kept(m) for m in failed.messages)), _before_last(shown))
        except AimmError as error:
            give_back(failed.prompt, error.text)
        st.rerun()
    if last is not None and shown.live is None and shown.n is None:
        with row.popover("Copy as code", icon=":material/code:"):
            code.show(last)


def _before_last(shown: Conversation) -> str | None:
    """The call before a turn that is asked again: the one it followed the first time."""
    return shown.live.origin.ref_id if shown.live is not None else _followed(shown.calls[-1])


def tools_line() -> None:
    """Name what goes along with each call besides the fields, with a button to leave it out."""
    source = manager().log.remembered(state.get("play_tools_of") or "")
    words = [f"tools {', '.join(tool.name for tool in source.tools)}"] if source else []
    words += [f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in parameters.carried("play").items()]
    if not words:
        return
    st.caption(formatting.plain(f"Also sent, from the opened call: {'; '.join(words)}."))
    st.button("Remove these", key="play_leave_out", type="tertiary", icon=":material/remove:", on_click=_leave_out)


def _leave_out() -> None:
    state.play_tools_of = ""
    parameters.drop_carried("play")
