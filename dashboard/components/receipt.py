"""The receipt of a call: its tokens and its cost, down to the formula."""

from collections.abc import Sequence

import streamlit as st

from core.domain.generation import Generation
from core.domain.price import Elsewhere
from dashboard import formatting, tables
from dashboard.formatting import UNKNOWN
from dashboard.frames.money import prices

HELP = {
    "Input": "Prompt tokens that did not come from the vendor's cache.",
    "Cached": "Prompt tokens that came from the vendor's cache, at a lower price.",
    "Thinking": "Tokens the model spent thinking and did not show. Billed as output.",
    "Output": "Tokens of the visible answer.",
    "First token": "From the request to the first text.",
    "Speed": "Visible output tokens per second, from the first text to the end.",
    "Total time": "From the request to the last byte, retries included.",
    "Cost": "In USD. ≈ marks an estimate, – an unknown price.",
}


_PER = {1_000_000: " / M", 1: " each"}


def line(g: Generation) -> str:
    """The receipt in one line of Markdown."""
    parts = [
        formatting.plain(g.model) + (" *(simulated)*" if g.is_simulated else ""),
        f"{formatting.tokens(g.usage.total_tokens)}",
        f"{formatting.seconds(g.latency_s)}",
        formatting.plain(cost_text(g)),
    ]
    if g.status != "ok":
        parts.append(f"**{g.error_class or g.status}**")
    elif g.finish_reason == "length":
        parts.append("**cut off at max output tokens**")
    return " · ".join(parts)


def line_beside_others(g: Generation) -> str:
    """The line under one answer of several."""
    return f"First token {formatting.seconds(g.ttft_s)} · {len(g.text):,} characters · {line(g)}"


def cost_text(g: Generation) -> str:
    if g.cost_usd is None:
        return "cost unknown"
    prefix = {"estimated": "≈ ", "cached": "cached "}.get(g.cost_status, "")
    return prefix + formatting.usd(g.cost_usd)


def _row_text(price_id: str) -> str:
    """The price row that was charged, as it is kept, with the day from which it held."""
    row = prices.pinned(price_id)
    since = f", in force since {row.effective_from}" if row is not None and row.effective_from else ""
    return f"Price row {price_id}{since}."


def _elsewhere(g: Generation) -> None:
    """The cost of the same tokens on the other models that can be used."""
    if not g.usage.total_tokens:
        return
    others = prices.elsewhere(g)
    if not others:
        return
    cheapest, dearest = others[0], others[-1]
    st.caption(
        f"The same tokens on other models: {formatting.usd(cheapest.usd)} ({formatting.plain(cheapest.model)}) to"
        f" {formatting.usd(dearest.usd)} ({formatting.plain(dearest.model)}){_other_tier(g, others)}".replace(
            "$", "\\$"
        )
    )
    with st.expander("All models", icon=":material/compare_arrows:"):
        tables.show(prices.elsewhere_table(g, others))


def _other_tier(g: Generation, others: Sequence[Elsewhere]) -> str:
    n = sum(other.service_tier != g.service_tier for other in others)
    return f". Models without a {g.service_tier} price, shown at the standard one: {n}" if n else ""


def show(g: Generation) -> None:
    """The whole receipt."""
    u = g.usage
    numbers = {
        "Input": formatting.count(u.input_tokens - u.cached_tokens),
        "Cached": formatting.count(u.cached_tokens),
        "Thinking": formatting.count(u.thinking_tokens),
        "Output": formatting.count(u.output_tokens - u.thinking_tokens),
        "First token": formatting.seconds(g.ttft_s),
        "Speed": formatting.rate(g.tokens_per_s),
        "Total time": formatting.seconds(g.latency_s),
        "Cost": cost_text(g),
    }
    for place, (label, value) in zip([*st.columns(4), *st.columns(4)], numbers.items(), strict=True):
        place.metric(label, value, help=HELP[label])
    for receipt in g.receipts:
        terms = [
            f"{part.count:>9,} {part.kind:<15} × ${part.price_usd.normalize():f}{_PER.get(part.per, '')}"
            f" = ${part.usd:.9f}"
            for part in receipt.lines
        ]
        total = f"{'':>9} {'total':<15} = ${receipt.usd:.9f}"
        st.code("\n".join([*terms, total]), language=None)
        st.caption(formatting.plain(f"{_row_text(receipt.price_id)} {receipt.note}"))
    _elsewhere(g)
    if g.note:
        st.caption(formatting.plain(g.note))
    if g.cost_status == "estimated":
        st.caption("The vendor sent no final token count: tokens are estimated, and the cost is a lower bound.")
    if g.cost_usd is None:
        st.caption("No price is known for this model, so its cost is unknown – not zero.")
        st.page_link(
            "pages/models.py", label="Set a price", icon=":material/sell:", query_params={"prices_view": "Unpriced"}
        )
    attempts = f" · {g.n_attempts} attempts" if g.n_attempts > 1 else ""
    is_answered = g.status not in ("error", "blocked")
    who = f"answered by {g.response_model or UNKNOWN}" if is_answered else f"asked of {g.request_model}, not answered"
    text = f"finish reason: {g.finish_reason or UNKNOWN} · {who}{attempts}"
    st.caption(formatting.plain(f"{text} · {formatting.when(g.created_at)} · {g.id}"))
