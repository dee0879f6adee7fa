"""Past calls: search, filter, open."""

import streamlit as st

from core.domain.generation import Generation
from core.domain.message import Message, Part, ToolCall, ToolResult
from dashboard import formatting, queries
from dashboard.components import receipt
from dashboard.session import manager

PAGE_SIZE = 50
_COLUMNS = {
    "time": st.column_config.DatetimeColumn("Time (UTC)", format="YYYY-MM-DD HH:mm:ss"),
    "tokens": st.column_config.NumberColumn("Tokens", format="localized"),
    "latency s": st.column_config.NumberColumn("Latency (s)", format="%.2f"),
    "TTFT s": st.column_config.NumberColumn("First token (s)", format="%.2f"),
    "id": None,
}


def table(generations: list[Generation], key: str) -> str | None:
    """Draw them; the id of the row that is selected."""
    frame = queries.log_frame(generations)
    event = st.dataframe(
        frame, hide_index=True, column_config=_COLUMNS, on_select="rerun", selection_mode="single-row", key=key
    )
    rows = event.selection.rows
    return str(frame["id"].iloc[rows[0]]) if rows and rows[0] < len(frame) else None


def show(source: str) -> Generation | None:
    """The history of one page; the generation whose «open» was clicked."""
    with st.expander("History", icon=":material/history:", expanded=False):
        search = st.text_input(
            "Search prompts and answers", key=f"{source}_search", placeholder="words", icon=":material/search:"
        )
        found = manager().log.latest(limit=PAGE_SIZE, source=source, search=search or None)
        if not found:
            st.caption("Nothing found." if search else "No calls yet.")
            return None
        chosen = table(found, f"{source}_history")
        if chosen is None:
            st.caption("Select a row to see the call.")
            return None
        generation = manager().generation(chosen)
        detail(generation)
        return (
            generation
            if st.button("Open with its settings", key=f"{source}_open", icon=":material/open_in_new:")
            else None
        )


def detail(g: Generation) -> None:
    """A call, whole."""
    left, right = st.columns([1.4, 1])
    with left:
        for message in g.messages:
            _turn(message)
        if g.system:
            st.caption("System prompt")
            st.code(g.system, language=None, wrap_lines=True)
        if not g.messages:
            st.caption("The prompt and the answer of this call were not kept.")
        if g.error_message:
            st.error(formatting.plain(f"{g.error_class}: {g.error_message}"))
        if g.text:
            st.caption("Answer")
            st.markdown(g.text)
        if g.tool_calls:
            st.caption("Tools it called")
            st.code(
                "\n".join(f"{call.name}({call.arguments})" for call in g.tool_calls), language=None, wrap_lines=True
            )
        if g.tools:
            st.caption("Tools that were offered: " + formatting.plain(", ".join(tool.name for tool in g.tools)))
    with right:
        receipt.show(g)
        if parameters := g.parameters.as_dict():
            st.json(parameters)


def _turn(message: Message) -> None:
    """A turn of the conversation; media, calls and results of tools in words."""
    st.caption("Prompt" if message.role == "user" else "Earlier answer")
    text = "\n".join(_part(part) for part in message.content)
    st.code(text, language=None, wrap_lines=True, height=min(300, 60 + 20 * (text.count("\n") + len(text) // 80)))


def _part(part: Part) -> str:
    if isinstance(part, ToolCall):
        return f"[calls {part.name}({part.arguments})]"
    if isinstance(part, ToolResult):
        return f"[{part.name} gave: {part.text}]"
    return part if isinstance(part, str) else f"[{part.media_type or 'a file'}{f' at {part.url}' if part.url else ''}]"


def restore(g: Generation) -> None:
    """Show a past call in the Playground, with its model and settings; the next prompt goes on from it."""
    state = st.session_state
    state["play_restore"] = g.id
    st.rerun()
