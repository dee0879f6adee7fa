"""The table of models, and a dialog with the prices of one."""

import streamlit as st

from core import clock
from dashboard import address, formatting, tables, theme
from dashboard.components import key_card
from dashboard.components.models import own_prices
from dashboard.frames import models
from dashboard.frames.money import prices
from dashboard.process import manager

HEIGHT, LETTERS = 620, 25
_CAPTION = (
    "Calls, cost per call and cost are yours, of the last 30 days. Prices are in USD per 1M tokens."
    " Own prices come before the list prices of the installed genai-prices; nothing is fetched."
    " Thinking is billed as output. An empty price is unknown, not zero. Click a model for its prices."
)


def show() -> None:
    frame = models.table()
    key_card.problems()
    c, utc = st.column_config, formatting.of_utc()
    money = {
        f"{kind} $/M": c.NumberColumn(label, format="$%.4g", width=64)
        for kind, label in (("input", "Input"), ("output", "Output"), ("cached", "Cached"))
    }
    config = money | {
        "model": tables.model_column(frame["model"], models.colours(theme.mode()), letters=LETTERS, width=190),
        "provider": c.TextColumn("Vendor", width=84),
        "context": c.NumberColumn("Context", format="compact", width=74, help="Tokens of prompt and answer together."),
        "price": c.TextColumn("Price from", width=90),
        "last": c.DateColumn(f"Last used{utc}", format="D MMM YYYY", width=124 if utc else 96),
        "unpriced": c.NumberColumn("Unpriced", width=74, help="Calls of the last 30 days whose cost is unknown."),
        "calls": c.NumberColumn("Calls", format="localized", width=74, help="Of the last 30 days."),
        "per call $": tables.money_column("Cost per call", frame["per call $"], width=104, help="Mean of 30 days."),
        "cost": c.TextColumn("Cost, 30 days", width=104, alignment="right", help="Known cost of the last 30 days."),
    }
    empty = [] if any(frame["unpriced"]) else ["unpriced"]
    shown = frame.drop(columns=["id", "from", *empty]).assign(model=tables.chips(frame["model"], LETTERS))
    at = tables.opened(
        shown,
        "models_table",
        frame["id"],
        column_config=config,
        row_height=32,
        height=HEIGHT if len(frame) > 17 else "auto",
    )
    if at is not None:
        address.put("model_of", at)
    st.caption(_CAPTION)
    _aliases()
    dialog()


def _aliases() -> None:
    """The aliases, and what each stood for before."""
    changes = models.alias_changes()
    if changes.empty:
        return
    st.subheader("Aliases", anchor=False)
    config = {"time": tables.TIME | {"label": "Since"}, "is now": None}
    tables.show(changes[changes["is now"]], column_config=config, placeholder=formatting.UNKNOWN)
    if not changes["is now"].all():
        with st.expander("What they stood for before"):
            tables.show(changes[~changes["is now"]], column_config=config, placeholder=formatting.UNKNOWN)


def dialog() -> None:
    """The dialog of the model that the address names, as its vendor and its name."""
    given = address.value("model_of")
    if given is None:
        return
    provider, _, name = given.partition(" ")
    if given not in set(models.table()["id"]):
        address.missing("model_of", "model")
        return
    address.window("model_of", formatting.plain(name))(_one)(provider, name)


def _one(provider: str, name: str) -> None:
    row = models.table().set_index("id").loc[f"{provider} {name}"]
    price = manager().prices.price(provider, name, clock.now())
    if price is None:
        st.warning("No price is known, so that its calls cost *unknown*. Set one.", icon=":material/help:")
    else:
        since = f", holds from {row['from']:%-d %b %Y}" if row["from"] else ", holds always"
        st.markdown(f"**{models.SOURCES[price.source]}**{since}")
        st.caption(formatting.plain(price.id))
        rates = {"Input": price.input, "Output": price.output, "Cached input": price.rate("cached")}
        st.table({f"{kind} ($ per 1M)": str(rate) for kind, rate in rates.items() if rate})
    own = prices.own((provider, name))
    if not own.empty:
        st.markdown("**Own prices**")
        own_prices.table(own.drop(columns=["provider", "model"]))
    if row["cost"]:
        per_call = f", {formatting.usd(row['per call $'])} a call" if row["per call $"] > 0 else ""
        st.caption(formatting.plain(f"Last 30 days: {row['cost']} for {row['calls']:,} calls{per_call}"))
    if provider in manager().prices.providers:
        line = st.container(horizontal=True)
        line.page_link(
            "pages/models.py", label=f"Set an own price of {formatting.plain(name)}", icon=":material/sell:",
            query_params={"prices_view": "Own prices", "own_for": f"{provider} {name}"},
        )  # fmt: skip
        line.page_link(
            "pages/models.py", label="Recalculate costs", icon=":material/published_with_changes:",
            query_params={"prices_view": "Recalculate costs", "past_provider": provider, "past_model": name},
        )  # fmt: skip
