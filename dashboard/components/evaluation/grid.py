"""The grid of items and contestants: filtered, the most damaged first, a page at a time."""

import streamlit as st

from dashboard import address, formatting, tables, theme
from dashboard.components.evaluation import linked
from dashboard.frames.evaluation import items, reading
from dashboard.frames.evaluation.items import SHOWS
from dashboard.frames.evaluation.reading import Seen, View

PAGE_SIZE = 100


def draw(of: Seen, view: View) -> list[int]:
    """Draw the filters and the page that they leave; the places of all items that match, in their order."""
    found = items.grid(of, view)
    counts = {show: int(found.which(show).sum()) for show in SHOWS}
    shows = [show for show in SHOWS if counts[show] or show in ("all", address.value("eval_show"))]
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    show = linked.control(
        row, "Items", "eval_show", shows, format_func=lambda each: f"{each.capitalize()} {counts[each]:,}"
    )
    tags = items.tags(of.run.plan.dataset)
    tag = ""
    if tags:
        tag = linked.choice(
            row, "Tag", "eval_tag", ["", *tags], "", label_visibility="collapsed", width=150,
            format_func=lambda each: f"{each} ({tags[each]:,})" if each else "Any tag",
        )  # fmt: skip
    words = linked.words(
        row, "Search items", "eval_words", label_visibility="collapsed", placeholder="Search items", width=220,
        icon=":material/search:",
    )  # fmt: skip
    places = items.items(of, view, show, tag, words)
    if of.run.is_running:
        row.button(
            "Refresh", key="eval_refresh", type="tertiary", icon=":material/refresh:",
            help="The evaluation runs: the items are as they were when they were drawn.",
        )  # fmt: skip
    row.space("stretch")
    page = linked.page(row, "eval_page", -(-len(places) // PAGE_SIZE))
    if not places:
        st.info("No item matches. Take a filter away.", icon=":material/filter_alt_off:")
        return []
    shown = places[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    frame, config = items.grid_table(of, view, shown), _config(of, view)
    at = tables.opened(
        frame, "eval_grid", shown, column_config=config, row_height=34, height=640 if len(shown) > 17 else "auto"
    )
    if at is not None:
        address.put("item", str(int(at) + 1))
    order = "by damage, the worst first" if any(reading.verdicts(of, view)) else "those that fail first"
    n = f"{len(places):,} of {of.run.n_items:,} items" if len(places) < of.run.n_items else f"{len(places):,} items"
    st.caption(formatting.plain(f"{n}, {order}. A click opens an item with all its answers."))
    return places


def _config(of: Seen, view: View) -> dict[str, object]:
    ink, c = theme.ink(), st.column_config
    colours = {
        "pass": ink.pale_good, "fail": ink.fail, "broken": ink.fail, "worse": ink.fail, "fixed": ink.good,
        "better": ink.good, "error": ink.failures["provider_unavailable"], "not run": ink.axis, "unchecked": ink.axis,
    }  # fmt: skip
    config: dict[str, object] = {
        "item": c.NumberColumn("#", width=52, format="localized"),
        "asked": c.TextColumn("Item", width=340),
        "expected": c.TextColumn("Expected", width=150),
        "tags": c.ListColumn("Tags", width=120),
        "damage": c.NumberColumn("Damage", width=80, format=_damage_format(view.metric), help=_DAMAGE),
    }
    for each in of.run.plan.contestants:
        is_baseline = view.is_baseline(each.position) and len(of.run.plan.contestants) > 1
        name = f"{each.letter} (baseline)" if is_baseline else each.letter
        config[each.letter] = tables.model_column(
            list(colours), colours, label=name, width=108 if is_baseline else 84, help=each.label
        )
    return config


_DAMAGE = "Baseline − candidate, of several candidates the largest: what an item has lost."


def _damage_format(metric: str) -> str:
    return {"cost": "$%.6f", "latency": "%.2f s"}.get(metric, "%.2f")
