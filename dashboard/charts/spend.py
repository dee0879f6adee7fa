"""Money: cost by day against a budget, where the month is heading, and the causes of a change."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dashboard import formatting
from dashboard.charts.base import Span
from dashboard.charts.colours import Ink
from dashboard.charts.monitoring import cost_title, series_of, with_models
from dashboard.charts.stack import MONEY, Stack, Tip, config, headed, number_text
from dashboard.formatting import usd, usd_change

AMOUNT_PX = 64
FAR = 4  # times the dearest day, from which a budget's line would leave no room for the bars
STEPS = {
    "before": "Before", "volume": "Number of calls", "mix": "Which models", "input length": "Length of prompts",
    "answer length": "Length of answers", "cache share": "Part from the cache", "price": "Price per token",
    "other": "Other charges", "now": "Now",
}  # fmt: skip
Drawn = tuple[dict[str, Any], list[str]]


def daily(
    times: pd.DataFrame, models: pd.DataFrame, a_day: float | None, span: Span, ink: Ink, colours: Mapping[str, str]
) -> Drawn:
    """Cost a day by model. times: A row a day, without gaps. a_day: The month's budget by the day."""
    frame, shown = with_models(times, models)
    texts = {"cost text": frame["cost $"].map(usd), "calls text": frame["requests"].map(formatting.count)}
    texts["unpriced text"] = frame["unpriced calls"].map(formatting.count)
    tips = (Tip("cost text", "Cost"), Tip("calls text", "Calls"), Tip("unpriced text", "Without a price"))
    stack = Stack(frame.drop(columns=["failures", "model"]).assign(**texts), span, ink, tips=tips, height=170)
    title, dearest = cost_title(times, shown, frame), float(times["cost $"].max())
    if a_day is not None:
        n_over = int((times["cost $"] > a_day).sum())
        title += f" · {n_over} {'day' if n_over == 1 else 'days'} over the budget's {usd(a_day)} a day"
    limit = a_day if a_day is not None and a_day <= FAR * dearest else None
    stack.bars(title, series_of(shown, ink, colours), MONEY, limit=limit, marked="unpriced calls")
    return stack.spec(), stack.selections


def month(frame: pd.DataFrame, title: str, limit: float | None, span: Span, ink: Ink) -> Drawn:
    """Spend of the month so far, and where it is heading with its range."""
    columns = {"spent": "Spent", "expected": "Expected", "lower": "At least", "upper": "At most"}
    texts = {f"{name} text": [usd(None if pd.isna(v) else float(v)) for v in frame[name]] for name in columns}
    tips = [Tip(f"{name} text", label) for name, label in columns.items()]
    stack = Stack(frame.assign(**texts), span, ink, tips=tips, height=170)
    reach = float(frame[["spent", "upper"]].max().max())
    stack.fan(title, MONEY, limit=limit if limit is not None and limit <= FAR * reach else None)
    return stack.spec(), stack.selections


def bridge(frame: pd.DataFrame, title: str, ink: Ink) -> dict[str, Any]:
    """From the spend of one period to that of another, cause by cause: a row a step."""
    colours = {"total": ink.answered, "more": ink.warn, "less": ink.good}
    rows = [
        {
            "step": STEPS[row["step"]], "start": row["start"], "end": row["end"], "kind": row["kind"],
            "high": max(row["start"], row["end"]),
            "text": usd(row["end"]) if row["kind"] == "total" else usd_change(row["change"]),
        }
        for row in frame.to_dict("records")
    ]  # fmt: skip
    top = max(row["high"] for row in rows)
    reach = {"expr": f"{top or 1} * width / max({AMOUNT_PX}, width - {AMOUNT_PX})"}  # room for the amount of a bar
    x = {"type": "quantitative", "title": None, "scale": {"domainMin": 0, "domainMax": reach, "nice": False}}
    x["axis"] = {"labelExpr": number_text(MONEY), "tickCount": 4, "domain": False, "ticks": False}
    names = [row["step"] for row in rows]
    axis = {
        "title": None,
        "domain": False,
        "ticks": False,
        "minExtent": 116,
        "maxExtent": 116,
        "labelLimit": 112,
        "labelOverlap": False,
    }
    y = {"field": "step", "type": "nominal", "sort": names, "axis": axis, "scale": {"domain": names}}
    scale = {"domain": list(colours), "range": list(colours.values())}
    bars = {
        "mark": {"type": "bar", "height": 14},
        "encoding": {
            "x": x | {"field": "start"}, "x2": {"field": "end"}, "y": y,
            "color": {"field": "kind", "type": "nominal", "scale": scale, "legend": None},
        },
    }  # fmt: skip
    label = {"type": "text", "align": "left", "dx": 5, "color": ink.text, "fontSize": 11}
    texts = {"mark": label, "encoding": {"x": x | {"field": "high"}, "y": y, "text": {"field": "text"}}}
    layers = [layer | {"data": {"values": rows}} for layer in (bars, texts)]
    return {
        "height": 50 + 22 * len(rows),
        "title": headed(title, ink) | {"limit": {"expr": "width + 116"}},
        "layer": layers,
        "config": config(ink),
    }
