"""The charts of a run: differences, quality against cost, tags, the suite over time."""

from html import escape

import streamlit as st

from core import AimmError
from dashboard import formatting, theme
from dashboard.charts import evaluation
from dashboard.charts.colours import of_contestant
from dashboard.components import inputs
from dashboard.frames.evaluation import figures, items
from dashboard.frames.evaluation.reading import Seen, View


def draw(of: Seen, view: View) -> None:
    for words in figures.few(of):
        st.caption(formatting.plain(words))
    try:
        _forest(of, view)
    except AimmError as error:
        inputs.refused(st, error)
    _pareto(of)
    _by_tag(of)
    _trend(of)


def _forest(of: Seen, view: View) -> None:
    frame = figures.forest(of, view)
    if frame.empty:
        return
    name = view.against or of.run.plan.contestants[view.baseline].letter
    st.html(
        f'<p class="aimm-title">Differences of an answer from {escape(name)}, with 95% intervals that hold together'
        " within a metric</p>"
    )
    with st.container(key="plots_named_forest"):
        st.vega_lite_chart(spec=evaluation.forest(frame, theme.ink()), key="eval_forest", width="stretch")


def _pareto(of: Seen) -> None:
    found = figures.pareto(of)
    if found.frame.empty:
        st.caption("No cost is known: quality cannot be drawn against it.")
        return
    front = [letter for letter, out in zip(found.frame["letter"], found.frame["outdone"], strict=True) if not out]
    title = "Pass rate against cost"
    if len(found.frame) > 1:
        title += f": nobody is both better and cheaper than {', '.join(front)}"
    with st.container(key="plots_eval_pareto"):
        st.vega_lite_chart(spec=evaluation.pareto(found.frame, title, theme.ink()), key="eval_pareto", width="stretch")
    out = len(found.frame) - len(front)
    words = ["Bars are 95% intervals over items.", *(["Grey: outdone by another, as estimated."] if out else [])]
    words += [f"Without a known cost: {', '.join(found.left_out)}."] if found.left_out else []
    st.caption(formatting.plain(" ".join(words)))


def _by_tag(of: Seen) -> None:
    frame, all_tags = figures.by_tag(of), items.tags(of.run.plan.dataset)
    if frame.empty:
        return
    shown = {tag: all_tags[tag] for tag in dict.fromkeys(frame["tag"])}
    more = len(all_tags) - len(shown)
    spec = evaluation.by_tag(frame, shown, figures.FEW, "Pass rate by tag", theme.ink())
    with st.container(key="plots_named_tags"):
        st.vega_lite_chart(spec=spec, key="eval_tags", width="stretch")
    if more:
        st.caption(f"The {len(shown)} most frequent tags; {more:,} more are in the filter of items.")


def _trend(of: Seen) -> None:
    frame = figures.trend(of)
    n = frame["run"].nunique() if not frame.empty else 0
    if n < 2:
        st.caption(formatting.plain(f"No other run is named {of.run.plan.name}: run it again to see a trend."))
        return
    colours = {figures.line_of(each): of_contestant(each.position, theme.mode()) for each in of.run.plan.contestants}
    colours |= {
        f"{each.letter} {each.label}": of_contestant(each.position, theme.mode()) for each in of.run.plan.contestants
    }
    title = f"Pass rate in the last {n} runs of {of.run.plan.name}"
    with st.container(key="plots_eval_trend"):
        st.vega_lite_chart(spec=evaluation.trend(frame, colours, title, theme.ink()), key="eval_trend", width="stretch")
    names = ", ".join(dict.fromkeys(frame["line"]))
    grey = "" if set(frame["line"]) <= set(colours) else "Grey: not in this one. "
    st.caption(formatting.plain(f"By contestant ({names}), with 95% intervals. {grey}Dashed: a baseline's run."))
