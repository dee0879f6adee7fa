"""Retention: how long texts and calls are kept, what goes next, when it ran last, and rules to change."""

import pandas as pd
import streamlit as st

from core.domain.log.retention import Progress, Round
from core.formats.days import shown_days
from dashboard import formatting, process, tables
from dashboard.components import inputs, managed
from dashboard.frames import log
from dashboard.process import manager
from dashboard.visitors import allowed

_KINDS = {"All calls": "all", "A key": "key:", "A tag": "tag:"}
_HELP = (
    "Older prompts and answers, and older calls, are deleted a little at a time. Sums of them stay: metrics, costs,"
    " budgets and experiments are as before. A rule of a key or a tag takes the place of that for all calls; of"
    " several, the shortest holds."
)


def show() -> None:
    st.subheader("Retention", help=_HELP, anchor=False)
    _rules()
    managed.note("retention")
    _next()
    with st.expander("Change a rule", icon=":material/edit:"):
        _form()


def _name(scope: str) -> str:
    """A rule's calls in words; a key by its name."""
    kind, _, name = scope.partition(":")
    shown = log.key_labels().get(name, name) if kind == "key" else name
    return f"{kind.capitalize()} {shown}" if name else "All calls"


def _rules() -> None:
    deleted = {(each.scope, each.part): each for each in manager().retention.progress()}
    lines = []
    for rule in manager().retention.rules():
        kept = [
            shown_days(days) or ("for ever" if rule.scope == "all" else "as all calls")
            for days in (rule.texts_days, rule.calls_days)
        ]
        n = [_n(deleted.get((rule.scope, part))) for part in ("texts", "calls")]
        where = "environment" if rule.is_fixed else "here"
        lines.append({
            "Calls of": formatting.cell(_name(rule.scope)),
            "Texts kept": kept[0], "Calls kept": kept[1], "Set by": where,
            "Texts deleted so far": n[0], "Calls deleted so far": n[1],
        })  # fmt: skip
    tables.show(pd.DataFrame(lines))


def _n(progress: Progress | None) -> str:
    return formatting.count(progress.n if progress else 0)


def _next() -> None:
    retention = manager().retention
    st.caption(formatting.plain(_told(retention.last_round())))
    if note := retention.note():
        st.caption(formatting.plain(note))
    if retention.can_shrink() is False:
        st.caption(
            "The database's file does not shrink, as an earlier version made it: room of what was deleted is used"
            " for new calls. `aimm retention shrink` changes that, with the server stopped."
        )
    line = st.container(horizontal=True, gap="small")
    if line.button("Show what goes next", icon=":material/search:", key="retention_due"):
        _due()
    options = allowed.needs("admin", "Begins within some seconds instead of within the hour.")
    if line.button("Delete now", icon=":material/delete_sweep:", key="retention_run", **options):
        retention.wake()
        st.success("It begins within some seconds.", icon=":material/check_circle:")


def _told(last: Round) -> str:
    if last.begun_at is None:
        return "Nothing was deleted yet. It is looked for every hour."
    done = f"{last.n_texts:,} calls left without texts, {last.n_calls:,} calls deleted"
    if last.is_running:
        return f"At work since {formatting.when(last.begun_at)}: {done} so far."
    if last.ended_at is None:
        return f"The round of {formatting.when(last.begun_at)} was cut off: {done}. The next one goes on."
    return f"Last round {formatting.when(last.begun_at)}: {done}. It is looked for every hour."


def _due() -> None:
    with process.aside(), st.spinner("Counting …"):
        found = manager().retention.due()
    if not found:
        st.info("Everything is kept for ever.", icon=":material/all_inclusive:")
    for each in found:
        what = "texts of calls" if each.part == "texts" else "calls"
        oldest = "" if each.oldest is None else f"; the oldest is of {formatting.when(each.oldest)}"
        st.write(
            formatting.plain(f"{_name(each.scope)}: {each.n:,} {what} before {formatting.when(each.before)}{oldest}")
        )


def _form() -> None:
    left, middle, right = st.columns(3)
    kind = inputs.choice(left, "Calls of", "retention_kind", list(_KINDS))
    scope = _KINDS[kind]
    if scope == "key:":
        labels = log.key_labels()
        scope += inputs.choice(left, "Key", "retention_key", list(labels), format_func=labels.get) or ""
    elif scope == "tag:":
        scope += inputs.text(left, "Tag", "retention_tag", max_chars=200).strip()
    texts = inputs.text(middle, "Keep texts for", "retention_texts", placeholder="30d, forever, or empty")
    calls = inputs.text(right, "Keep calls for", "retention_calls", placeholder="400d, forever, or empty")
    line = st.container(horizontal=True, gap="small")
    retention = manager().retention
    if line.button("Save rule", key="retention_save", **allowed.needs("admin")) and inputs.done(
        st, retention.set_rule, scope, texts, calls
    ):
        st.rerun()
    if line.button("Remove rule", key="retention_drop", **allowed.needs("admin")) and inputs.done(
        st, retention.drop_rule, scope
    ):
        st.rerun()
