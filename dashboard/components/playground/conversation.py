"""The Playground's conversation: its turns, what is asked next, and what can be done with each message.

It stands in the address as its last call, `conversation=ID`, or as a call's first messages, `conversation=ID:N`. Each
call carries all turns before it and says which call it follows, so that its address is enough to go on anywhere.
"""

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from core import AimmError, Call, Origin
from core.domain.generation import Generation, Message, Parameters, Request
from core.domain.message import Media, Part, ToolCall, ToolResult
from core.formats import strict_json as json
from dashboard import address, formatting
from dashboard.components import estimates
from dashboard.components.log import history
from dashboard.components.playground import parameters
from dashboard.frames import models
from dashboard.process import manager

state = st.session_state
LONGEST = 200
BESIDE = "beside"  # the part that another answer to the same question is of the first one


class Conversation(NamedTuple):
    """calls: One after the other, oldest first. n: Only so many messages of the last one's; None = all, and its answer.
    live: The call under way, if there is one."""

    calls: tuple[Generation, ...] = ()
    n: int | None = None
    live: Call | None = None

    @property
    def is_running(self) -> bool:
        return self.live is not None and not self.live.done.done()

    @property
    def draft(self) -> Message | None:
        """The turn that is to be written anew, if there is one."""
        whole = whole_of(self.calls[-1])[: self.n] if self.calls and self.n is not None else ()
        return whole[-1] if whole and whole[-1].role == "user" else None

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
    return Conversation((last,), int(n)) if n else Conversation((*_before(followed(last)), last))


def followed(g: Generation) -> str | None:
    """The call that a call came after; one that stands beside another came after the same."""
    if g.source != "playground" or g.ref_id is None:
        return None
    if g.ref_part != BESIDE:
        return g.ref_id
    first = manager().log.remembered(g.ref_id)
    return followed(first) if first is not None else None


def _before(call_id: str | None) -> tuple[Generation, ...]:
    found: list[Generation] = []
    while call_id and len(found) < LONGEST and (g := manager().log.remembered(call_id)) is not None:
        found.append(g)
        call_id = followed(g)
    return tuple(reversed(found))


def load(shown: Conversation) -> str:
    """Take over the settings of a conversation that was opened, once; before any widget is drawn. They come back."""
    given = address.value("conversation")
    is_opened = bool(shown.calls) and shown.live is None and state.get("play_loaded") != given
    last = shown.calls[-1] if shown.calls else None
    base, carried = parameters.of_call(last.system, last.parameters) if last else ("{}", {})
    if is_opened and last is not None:
        if last.model not in models.by_name():
            st.warning(formatting.plain(f"{last.model} is not available here; another model is selected."))
        elif "play_model" in state or address.value("model") not in models.by_name():  # else another one was chosen
            state.play_model = last.model
        state.play_loaded = given
        parameters.carry(carried)
        state.play_tools_of = last.id if last.tools else ""
        if shown.draft is not None:
            state.play_draft = shown.draft.text
    parameters.take(base, is_opened=is_opened)
    return base


def waiting_tools(shown: Conversation) -> list[ToolCall]:
    """The calls of tools that the next turn answers."""
    return [part for part in shown.messages[-1].content if isinstance(part, ToolCall)] if shown.messages else []


def asked(shown: Conversation, prompt: str, media: Sequence[Media] = ()) -> Request:
    """The request with all turns before it, and the settings as they are now."""
    results: tuple[Part, ...] = tuple(ToolResult(call.id, call.name, prompt) for call in waiting_tools(shown))
    turn = Message.of("user", (*media, *(results or (prompt,))))
    return set_now((*shown.messages, turn))


def set_now(messages: Sequence[Message], model: str | None = None) -> Request:
    """A request of these turns with the settings as they are now, those left out that the model does not take."""
    name = model or state.play_model
    taken = models.by_name()[name].accepts
    source = manager().log.remembered(state.get("play_tools_of") or "")
    return Request(
        model=name,
        messages=tuple(_kept(message) for message in messages),
        system=state.get("play_system") or None,
        parameters=Parameters(**{k: v for k, v in state.get("play_parameters", {}).items() if k in taken}),
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
    call = manager().submit(request, Origin(source="playground", ref_id=after, cap_usd=estimates.cap("play_cap")))
    address.put("conversation", call.id)
    state.play_loaded = call.id


def send(shown: Conversation, prompt: str, media: Sequence[Media] = ()) -> None:
    """Ask the next turn; a prompt that cannot be sent goes back into its field."""
    try:
        start(asked(shown, prompt, media), shown.calls[-1].id if shown.calls and shown.n is None else None)
    except AimmError as error:
        give_back(prompt, error.text)
    st.rerun()


def again(messages: Sequence[Message], after: str | None, model: str | None = None) -> None:
    """Ask the same turns once more, with the settings as they are now."""
    try:
        start(set_now(messages, model), after)
    except AimmError as error:
        give_back("", error.text)
    else:
        state.play_switch = model or ""
    st.rerun()


def beside(g: Generation, model: str, n: int = 1) -> None:
    """Ask n more answers to a call's question, to stand beside its own."""
    taken = models.by_name()[model].accepts
    given = {name: value for name, value in g.parameters.as_dict().items() if model == g.model or name in taken}
    request = Request(
        model=model, messages=tuple(_kept(message) for message in g.messages), system=g.system, tools=g.tools,
        parameters=Parameters(**given),
    )  # fmt: skip
    cap = estimates.cap("play_cap")
    try:
        for _ in range(n):  # never from the cache: several answers are asked for because they differ
            manager().submit(request, Origin(source="playground", ref_id=g.id, ref_part=BESIDE, cap_usd=cap, cache_s=0))
    except AimmError as error:
        give_back("", error.text)
    st.rerun()


def stop(calls: Sequence[Call]) -> None:
    for call in calls:
        call.cancel()


def give_back(prompt: str, problem: str) -> None:
    """Have the prompt in its field again in the next run, with what stood in its way."""
    state.play_returned, state.play_problem = prompt, problem


def take_back() -> None:
    """Fill in what was given back, and the model that was asked instead; before any widget is drawn."""
    if prompt := state.pop("play_returned", ""):
        state.play_prompt = prompt
    if model := state.pop("play_switch", ""):
        state.play_model = model


def tools_line() -> None:
    """Name what goes along with each call besides the fields, with a button to leave it out."""
    source = manager().log.remembered(state.get("play_tools_of") or "")
    words = [f"tools {', '.join(tool.name for tool in source.tools)}"] if source else []
    words += [f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in parameters.carried().items()]
    if not words:
        return
    st.caption(formatting.plain(f"Also sent, from the opened call: {'; '.join(words)}."))
    st.button("Remove these", key="play_leave_out", type="tertiary", icon=":material/remove:", on_click=_leave_out)


def _leave_out() -> None:
    state.play_tools_of = ""
    parameters.carry({})
