"""Past calls as a table, and what was said in them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import streamlit as st

from core.domain.generation import Generation
from core.domain.log.filter import LogFilter
from core.domain.message import Message, Part, Thought, ToolCall, ToolResult
from core.domain.metrics import Counted
from dashboard import address, formatting, tables, theme
from dashboard.charts.colours import INKS, Mode
from dashboard.frames import log, models
from dashboard.process import manager

PAGE_SIZE, MAX_PAGE, HEIGHT = 100, 1000, 640


class Drawn(NamedTuple):
    """Calls as they are drawn.

    ids: Of those that are shown, in their order.
    refs: All that they belong to.
    total: Of all that were read.
    """

    ids: list[str]
    refs: list[str]
    total: Counted
    table: Any
    config: dict[str, Any]


def read(wanted: LogFilter, limit: int, offset: int) -> Drawn:
    """A page of the log for who reads; what those with the same filters have read just now is shared."""
    found = _read(theme.mode(), [], wanted, limit, offset)
    unseen = sorted(log.hidden(found.refs))
    return _read(theme.mode(), unseen, wanted, limit, offset) if unseen else found


def listed(place: Any, wanted: LogFilter, total: Counted | None) -> list[str]:
    """Draw a page of what a filter finds, with the way to the others in a place; the ids of the calls on it."""
    n_pages, page = MAX_PAGE if total is None else min(MAX_PAGE, -(-total.n // PAGE_SIZE)), 1
    if n_pages > 1:
        # Wide enough for all it shows: in a row with other things it would take less room and leave pages out.
        page = place.pagination(n_pages, key="log_page", max_visible_pages=5, bind="query-params", width=250)
    found = read(wanted, PAGE_SIZE, (page - 1) * PAGE_SIZE)
    return draw(found, "log_table", height=HEIGHT if found.total.n > 18 else "auto") if found.total.n else []


@st.cache_data(ttl=2, show_spinner=False, max_entries=50)
def _read(mode: Mode, unseen: list[str], wanted: LogFilter, limit: int, offset: int) -> Drawn:
    return drawn(log.latest(wanted, limit, offset), mode, unseen)


def draw(drawn: Drawn, key: str, **options: Any) -> list[str]:
    """Draw calls, of which a click on any cell opens one; the ids of those that are shown, in their order."""
    at = tables.opened(drawn.table, key, drawn.ids, column_config=drawn.config, row_height=32, **options)
    if at is not None:
        address.put("call", at)
    return drawn.ids


def drawn(
    generations: Sequence[Generation], mode: Mode, unseen: Collection[str], keys: Mapping[str, str] | None = None
) -> Drawn:
    """Get calls ready to be drawn, but for those of comparisons that are unseen.

    keys: Names by id; then each call's key stands in the place of its source.
    """
    frame = log.table(generations, unseen)
    if keys is not None:
        of = {g.id: formatting.short(keys.get(g.key_id, g.key_id), 11) or formatting.UNKNOWN for g in generations}
        frame["source"] = frame["id"].map(of)
    latencies = frame["latency s"].dropna()
    slowest = max(1.0, float(latencies.quantile(0.99))) if len(latencies) else 1.0
    statuses = [formatting.status_text(name) for name in frame["status"]]
    shown = frame.assign(
        status=[[name] for name in statuses],
        model=tables.chips(frame["model"], tables.LETTERS),
    ).drop(columns=["id", *([] if frame["feedback"].any() else ["feedback"])])
    c, ink = st.column_config, INKS[mode]
    config = {
        "time": c.DatetimeColumn("Time", format="D MMM HH:mm:ss", width=124),
        "status": tables.model_column(
            statuses, dict.fromkeys(statuses, ink.fail) | {"OK": ink.pale_good}, label="Status", width=128
        ),
        "model": tables.model_column(frame["model"], models.colours(mode), letters=tables.LETTERS, width=150),
        "prompt": c.TextColumn("Prompt", width=276 if frame["feedback"].any() else 352),
        "source": c.TextColumn("Source" if keys is None else "Key", width=80),
        "feedback": c.TextColumn("Feedback", width=76),
        "tokens": c.NumberColumn("Tokens", format="localized", width=64),
        "latency s": c.ProgressColumn("Latency", format="%.2f s", min_value=0, max_value=slowest, width=112),
        "cost": c.TextColumn("Cost", width=92, alignment="right"),
    }
    refs = sorted({g.ref_id for g in generations if g.ref_id})
    return Drawn([str(each) for each in frame["id"]], refs, log.summed(generations), tables.ready(shown), config)


def says_hidden(g: Generation) -> bool:
    """Say so where a call belongs to a blind comparison on which the reader has yet to vote."""
    if g.ref_id is None or not log.hidden([g.ref_id]):
        return False
    text = "This call belongs to a blind comparison. It appears here after you have voted."
    st.info(text, icon=":material/visibility_off:")
    st.page_link("pages/compare.py", label="Vote", icon=":material/how_to_vote:", query_params={"comparison": g.ref_id})
    return True


def deleted(at: datetime) -> bool:
    """Say so where texts of what was made then were deleted."""
    note = manager().retention.texts_note(at)
    if note:
        st.caption(f":material/auto_delete: {formatting.plain(note)}")
    return bool(note)


def missing(what: str, at: datetime) -> None:
    """Say why a text is not there: it was deleted, or never kept."""
    if not deleted(at):
        st.caption(f"{what} was not stored.")


def turn(message: Message) -> None:
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
    if isinstance(part, Thought):
        return f"[thought: {part.text or 'hidden'}]"
    return part if isinstance(part, str) else f"[{part.media_type or 'a file'}{f' at {part.url}' if part.url else ''}]"
