"""Past calls: search, filter, open."""

import streamlit as st

from core import NotFound
from core.domain.generation import Generation
from core.domain.message import Message, Part, ToolCall, ToolResult
from dashboard import address, formatting, tables
from dashboard.components import answer, receipt
from dashboard.components.log import feedback
from dashboard.components.playground import schema
from dashboard.frames import log
from dashboard.process import manager

PAGE_SIZE = 50
_COLUMNS = {
    "time": tables.TIME,
    "tokens": st.column_config.NumberColumn(format="localized"),
    "latency s": st.column_config.NumberColumn(format="%.2f"),
    "first token s": st.column_config.NumberColumn(format="%.2f"),
    "id": None,
}


def table(generations: list[Generation], key: str) -> str | None:
    """Draw them; the id of the call that was selected, which stands in the address."""
    return address.table(log.table(generations), "call", key, column_config=_COLUMNS)


def show(source: str) -> None:
    """The history of one page."""
    with st.expander("History", icon=":material/history:", expanded=address.value("call") is not None):
        search = st.text_input(
            "Search prompts and answers", key=f"{source}_search", placeholder="words", icon=":material/search:",
            bind="query-params", max_chars=1000,
        )  # fmt: skip
        found = log.latest(limit=PAGE_SIZE, source=source, search=search or None)
        if not found:
            st.caption("No calls match." if search else "No calls yet.")
        elif table(found, f"{source}_history") is None:
            st.caption("Select a row to open the call.")
        opened()


def opened() -> None:
    """The call that the address names, whole; said in words where there is none of this id."""
    call_id = address.value("call")
    if call_id is None:
        return
    try:
        g = manager().log.get(call_id)
    except NotFound:
        address.missing("call", "call")
        return
    if says_hidden(g):
        return
    if g.operation == "chat" and g.messages:
        st.page_link(
            "pages/playground.py", label="Open in Playground", icon=":material/open_in_new:",
            query_params={"conversation": g.id},
            help="With its conversation, model, system prompt and parameters. Your next message continues it.",
        )  # fmt: skip
    detail(g)


def says_hidden(g: Generation) -> bool:
    """Say so where a call belongs to a blind comparison on which the reader has yet to vote."""
    if g.ref_id is None or g.ref_id not in log.hidden():
        return False
    text = "This call belongs to a blind comparison. It appears here after you have voted."
    st.info(text, icon=":material/visibility_off:")
    st.page_link("pages/compare.py", label="Vote", icon=":material/how_to_vote:", query_params={"comparison": g.ref_id})
    return True


def detail(g: Generation) -> None:
    """A call, whole."""
    if g.damaged:
        st.warning(
            f"Damaged in the database and left out here: {', '.join(g.damaged)}. The rest of the call is intact.",
            icon=":material/warning:",
        )
    left, right = st.columns([1.4, 1])
    with left:
        for message in g.messages:
            _turn(message)
        if g.system:
            st.caption("System prompt")
            st.code(g.system, language=None, wrap_lines=True)
        if not g.messages and "messages" not in g.damaged:
            st.caption("The prompt and the answer of this call were not stored.")
        if g.error_message:
            st.error(formatting.plain(f"{g.error_class}: {g.error_message}"))
        if g.text:
            st.caption("Answer")
            answer.show(st, g.text)
            schema.verdict(g)
        if g.tool_calls:
            st.caption("Tool calls")
            st.code(
                "\n".join(f"{call.name}({call.arguments})" for call in g.tool_calls), language=None, wrap_lines=True
            )
        if g.tools:
            st.caption("Available tools: " + formatting.plain(", ".join(tool.name for tool in g.tools)))
    with right:
        receipt.show(g)
        feedback.of_call(g)
        if parameters := g.parameters.as_dict():
            st.json(parameters)


def _turn(message: Message) -> None:
    """A turn of the conversation; media, calls and results of tools in words."""
    st.caption("Prompt" if message.role == "user" else "Earlier answer")
    text = text_of(message)
    st.code(text, language=None, wrap_lines=True, height=min(300, 60 + 20 * (text.count("\n") + len(text) // 80)))


def text_of(message: Message) -> str:
    return "\n".join(text_of_part(part) for part in message.content)


def text_of_part(part: Part) -> str:
    if isinstance(part, ToolCall):
        return f"[calls {part.name}({part.arguments})]"
    if isinstance(part, ToolResult):
        return f"[{part.name} gave: {part.text}]"
    return part if isinstance(part, str) else f"[{part.media_type or 'a file'}{f' at {part.url}' if part.url else ''}]"
