"""One call, whole, in a drawer at the right: its answer, its prompt, its receipt, and the rest of its record."""

from collections.abc import Sequence
from dataclasses import asdict

import streamlit as st

from core import AimmError, NotFound, Origin, Request
from core.domain.comparison import Candidate
from core.domain.generation import Generation
from dashboard import address, formatting, process, theme
from dashboard.components import answer, inputs, receipt
from dashboard.components.compare import candidates
from dashboard.components.library import adding
from dashboard.components.log import feedback, history
from dashboard.components.playground import schema
from dashboard.frames import models
from dashboard.process import manager
from dashboard.visitors import allowed

TABS = ("Answer", "Prompt", "Receipt", "Raw")
_IDS = "drawer_ids"
_COMPARE_HELP = "Fills in the form of Compare with its last prompt and its model. Nothing is sent yet."
_TEXTS = ("text", "thinking", "messages", "system", "tools", "receipts", "tool_calls", "damaged")


def show(ids: Sequence[str] = ()) -> None:
    """Open the drawer where the address names a call. ids: The calls to step through, in their order."""
    call_id = address.value("call")
    if call_id is None:
        return
    try:
        found = manager().log.get(call_id)
    except NotFound:
        address.missing("call", "call")
        return
    st.session_state[_IDS] = list(ids)
    address.window("call", "Call")(_inside)(found)


def _inside(g: Generation) -> None:
    """Draw what the address names now: a drawer is drawn again by itself, with the call of its first time."""
    call_id, ids = address.value("call"), st.session_state.get(_IDS, [])
    if call_id is None:
        st.rerun()
    try:
        g = g if g.id == call_id else manager().log.get(call_id)
    except NotFound:
        address.missing("call", "call")
        return
    if history.says_hidden(g):
        return
    _head(g, ids)
    _numbers(g)
    _actions(g)
    if g.damaged:
        text = f"Damaged in the database and left out here: {', '.join(g.damaged)}. The rest of the call is intact."
        st.warning(text, icon=":material/warning:")
    places = st.tabs(TABS)
    with places[0]:
        _answer(g)
    with places[1]:
        _prompt(g)
    with places[2]:
        receipt.show(g)
    with places[3]:
        record = {
            name: value for name, value in asdict(g).items() if name not in _TEXTS and value not in (None, "", ())
        }
        st.json(
            {
                name: value if isinstance(value, (dict, list, int, float, str)) else str(value)
                for name, value in record.items()
            }
        )
    feedback.of_call(g)


def _head(g: Generation, ids: Sequence[str]) -> None:
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    is_good = g.status == "ok"
    row.badge(formatting.status_text(g.error_class or g.status), color="green" if is_good else "red")
    colour = models.colours(theme.mode()).get(g.model, theme.ink().muted)
    row.html(f'<i class="aimm-dot" style="background:{colour}"></i>', width="content")
    row.markdown(f"**{formatting.plain(g.model)}** · {formatting.when(g.created_at)}", width="content")
    row.space("stretch")
    at = ids.index(g.id) if g.id in ids else None

    def step(to: int) -> None:
        address.put("call", ids[to])

    row.button(
        "", icon=":material/keyboard_arrow_up:", key="drawer_up", help="Previous call", shortcut="K", type="tertiary",
        disabled=not at, on_click=step, args=((at or 0) - 1,),
    )  # fmt: skip
    row.button(
        "", icon=":material/keyboard_arrow_down:", key="drawer_down", help="Next call", shortcut="J", type="tertiary",
        disabled=at is None or at + 1 >= len(ids), on_click=step, args=((at or 0) + 1,),
    )  # fmt: skip


def _numbers(g: Generation) -> None:
    grid = st.grid(4, min_column_width=110, gap="small")
    grid.metric("Cost", receipt.cost_text(g))
    grid.metric("Latency", formatting.seconds(g.latency_s))
    grid.metric("First token", formatting.seconds(g.ttft_s))
    grid.metric("Tokens in / out", f"{g.usage.input_tokens:,} / {g.usage.output_tokens:,}")


def _actions(g: Generation) -> None:
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    if g.operation == "chat" and g.messages:
        row.page_link(
            "pages/playground.py", label="Open in Playground", icon=":material/chat:",
            query_params={"conversation": g.id},
            help="With its conversation, model, system prompt and parameters. Your next message continues it.",
        )  # fmt: skip
        others = [name for name in models.names() if name != g.model]
        chosen = row.menu_button(
            "Replay on …", others, icon=":material/replay:", key="drawer_replay", type="tertiary",
            **allowed.needs("editor"),
        )  # fmt: skip
        if chosen is not None:
            _replay(g, chosen)
        if row.button("Compare", icon=":material/compare:", key="drawer_compare", type="tertiary", help=_COMPARE_HELP):
            _compare(g)
        adding.popover(row, f"drawer_rows_{g.id}", lambda: [g], "This call")
    if g.prompt_version:
        row.page_link(
            "pages/library/prompts.py", label=formatting.plain(g.prompt_version), icon=":material/edit_note:",
            query_params={"prompt": g.prompt_version},
        )  # fmt: skip
    if g.deployment:
        row.page_link(
            "pages/settings.py", label=formatting.plain(g.deployment), icon=":material/dns:",
            help="The deployment that answered.", query_params={"deployment": g.deployment},
        )  # fmt: skip
    if g.ref_id and g.source == "compare":
        row.page_link(
            "pages/compare.py", label="Comparison", icon=":material/compare:", query_params={"comparison": g.ref_id}
        )
    if g.ref_id and g.source == "workflow":
        row.page_link("pages/workflows.py", label="Run", icon=":material/account_tree:", query_params={"run": g.ref_id})
    if g.session_id:
        row.page_link("pages/log.py", label="Session", icon=":material/forum:", query_params={"session": g.session_id})
    with row.popover("Copy link", icon=":material/link:", type="tertiary"):
        st.code(f"{st.context.url.split('?')[0]}?call={g.id}" if st.context.url else g.id, language=None)


def _replay(g: Generation, model: str) -> None:
    """Ask another model the same, and open its answer."""
    try:
        with process.aside(), st.spinner(f"Asking {formatting.plain(model)} …"):
            request = Request(model=model, messages=g.messages, system=g.system, parameters=g.parameters, tools=g.tools)
            found = manager().generate(request, Origin(source="playground"))
    except AimmError as error:
        inputs.refused(st, error)
        return
    address.put("call", found.id)
    st.rerun()


def _compare(g: Generation) -> None:
    """Open Compare with what was asked, and beside its model those that a comparison begins with."""
    state = st.session_state
    state.compare_prompt, state.compare_system = history.text_of(g.messages[-1]), g.system or ""
    others = candidates.first_models([m for m in models.by_name().values() if m.name != g.model], models.default())
    chosen = (g.model, *others[:1])
    candidates.fill([Candidate(position=at, model=name, parameters=g.parameters) for at, name in enumerate(chosen)])
    state.compare_is_filled = True
    st.switch_page("pages/compare.py")


def _answer(g: Generation) -> None:
    if g.error_message:
        after = f" after {g.n_attempts} attempts" if g.n_attempts > 1 else ""
        st.error(formatting.plain(f"{formatting.failure_text(g.error_class)}{after}: {g.error_message}"))
    if g.thinking:
        with st.expander("Thinking"):
            answer.show(st, g.thinking)
    if g.text:
        answer.show(st, g.text)
        schema.verdict(g)
    elif not g.error_message and not g.tool_calls:
        if g.messages:
            st.caption("The model answered no text.")
        else:
            history.missing("The answer of this call", g.created_at)
    if g.tool_calls:
        st.caption("Tool calls")
        calls = "\n".join(f"{call.name}({call.arguments})" for call in g.tool_calls)
        st.code(calls, language=None, wrap_lines=True)


def _prompt(g: Generation) -> None:
    if g.system:
        st.caption("System prompt")
        st.code(g.system, language=None, wrap_lines=True)
    for message in g.messages:
        history.turn(message)
    if not g.messages and "messages" not in g.damaged:
        history.missing("The prompt of this call", g.created_at)
    if g.tools:
        st.caption("Available tools: " + formatting.plain(", ".join(tool.name for tool in g.tools)))
    if parameters := g.parameters.as_dict():
        st.caption("Parameters")
        st.json(parameters)
