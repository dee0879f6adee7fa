"""Charts of experiments. No streamlit in here."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dashboard import formatting
from dashboard.charts.base import Span
from dashboard.charts.colours import Ink
from dashboard.charts.stack import AXIS_PX, COUNT, Series, Stack, Tip, config

EFFECT_PX = 160


def effect_over_time(
    frame: pd.DataFrame, titles: Sequence[str], axes: tuple[str, str], lines: dict[str, float], ink: Ink
) -> dict[str, Any]:
    """The difference as it stood at each look with the band that held then; a panel a variant.

    titles: Of the variants, in the frame's order.
    axes: The title of x, and the unit of y.
    lines: Bounds that the band has to leave, besides 0, by name.
    """
    # The first bands are so wide that they would flatten all that follows.
    late = frame.loc[frame["units"] >= frame["units"].max() / 4, ["lower", "upper"]]
    limit = 1.6 * max(float(late.abs().max().max()), *(abs(value) for value in lines.values()), 0.0) or 1.0
    panels = [
        _panel(frame[frame["variant"] == name], title, axes[1], lines, limit, ink)
        for name, title in zip(frame["variant"].unique(), titles, strict=True)
    ]
    axis = {"title": axes[0], "labels": True, "ticks": True}
    for layer in panels[-1]["layer"]:
        if "axis" in layer["encoding"].get("x", {}):
            layer["encoding"]["x"]["axis"] |= axis
    return {"vconcat": panels, "spacing": 14, "config": config(ink)}


def _panel(
    frame: pd.DataFrame, title: str, unit: str, lines: dict[str, float], limit: float, ink: Ink
) -> dict[str, Any]:
    axis: dict[str, Any] = {"title": None, "ticks": False}
    reach = {"domainMax": 1.05 * float(frame["units"].max()), "nice": False}  # room for the name of the last number
    x = {
        "field": "units", "type": "quantitative", "scale": reach | {"zero": False},
        "axis": axis | {"grid": False, "labelExpr": "format(datum.value, '~s')", "labels": False, "tickCount": 8},
    }  # fmt: skip
    number = f"datum.value ? datum.label + '{unit}' : '0'"
    axis |= {"labelExpr": number, "minExtent": AXIS_PX, "maxExtent": AXIS_PX, "tickCount": 5, "domain": False}
    y = {
        "type": "quantitative",
        "scale": {"domain": [-limit, limit], "nice": True},
        "axis": axis | {"format": "+,.3~r"},
    }
    named = {"units": "So far", "at": "Look", "effect text": "Effect", "bounds text": "Interval"}
    tips = [{"field": field, "type": "nominal", "title": text} for field, text in named.items()]
    bounds = {"y": y | {"field": "lower"}, "y2": {"field": "upper"}}
    line = {"type": "line", "clip": True, "interpolate": "linear", "color": ink.brand, "strokeWidth": 1.75}
    rows = formatting.defused(frame.drop(columns=["variant"]))[0].to_dict("records")
    marks = [{"y": 0.0, "name": ""}, *({"y": value, "name": name} for name, value in lines.items())]
    at = {"y": y | {"field": "y"}}
    dy = {"expr": "datum.y < 0 ? 11 : -7"}  # where the line at 0 does not cross it
    label = {"type": "text", "align": "right", "dx": -4, "dy": dy, "color": ink.muted, "fontSize": 11}
    title_of = {"text": formatting.cell(title), "anchor": "start", "frame": "bounds", "fontSize": 13, "offset": 8}
    area = {"type": "area", "color": ink.brand, "opacity": 0.16, "clip": True}
    rule, right = {"type": "rule", "strokeDash": [4, 3], "color": ink.muted}, {"value": {"expr": "width"}}
    points = {"point": {"size": 22, "filled": True, "color": ink.brand}}
    return {
        "height": EFFECT_PX,
        "title": title_of | {"color": ink.text, "limit": {"expr": f"width + {AXIS_PX}"}},
        "data": {"values": rows},
        "layer": [
            {"mark": area, "encoding": {"x": x, **bounds}},
            {"data": {"values": marks}, "mark": rule, "encoding": at},
            {"data": {"values": marks}, "mark": label, "encoding": at | {"x": right, "text": {"field": "name"}}},
            {"mark": line | points, "encoding": {"x": x, "y": y | {"field": "effect"}, "tooltip": tips}},
        ],
    }


def units_per_day(frame: pd.DataFrame, names: Sequence[str], title: str, span: Span, ink: Ink) -> dict[str, Any]:
    """New units by the day on which they came. frame: A row a day, with a column a variant, by its name."""
    shades = (ink.answered, ink.brand, *ink.percentiles, ink.unpriced)
    columns = {f"units {at}": name for at, name in enumerate(names)}
    stack = Stack(frame, span, ink, tips=[Tip(column, name) for column, name in columns.items()])
    series = [Series(column, name, shades[at % len(shades)]) for at, (column, name) in enumerate(columns.items())]
    stack.bars(title, series, COUNT)
    return stack.spec()
