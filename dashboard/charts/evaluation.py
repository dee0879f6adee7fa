"""Charts of evaluations, as Vega-Lite itself: intervals are always drawn, and rates stand on their whole axis."""

from collections.abc import Mapping, Sequence

import pandas as pd

from core.formats import strict_json as json
from dashboard import formatting
from dashboard.charts.colours import Ink, of_contestant
from dashboard.charts.stack import AXIS_PX, Spec, config, headed

ROW_PX, QUALITY_PX, TREND_PX, CELL_PX = 26, 300, 180, 28
SPREAD = 20.0  # times the cheapest, from which costs stand on a logarithmic axis
_PERCENT = {"domain": [0, 1], "nice": False}
_PERCENTS: Spec = {"format": ".0%", "values": [0, 0.25, 0.5, 0.75, 1], "title": None, "domain": False, "ticks": False,
                   "minExtent": AXIS_PX, "maxExtent": AXIS_PX}  # fmt: skip
_NAMES: Spec = {  # as wide as the style sheet leaves room for
    "title": None, "ticks": False, "domain": False, "minExtent": 120, "maxExtent": 120, "labelLimit": 112,
    "labelPadding": 8,
}  # fmt: skip
_SAID = {"points": "points", "$": "USD", "s": "seconds"}


def forest(frame: pd.DataFrame, ink: Ink) -> Spec:
    """The differences from the baseline with their intervals: a panel a unit, right is better, the line is 0."""
    panels = [_forest_panel(frame[frame["unit"] == unit], unit, ink) for unit in frame["unit"].unique()]
    return {"vconcat": panels, "spacing": 18, "config": config(ink)}


def _forest_panel(frame: pd.DataFrame, unit: str, ink: Ink) -> Spec:
    frame = frame.assign(
        row=[f"{letter}  {metric}" for letter, metric in zip(frame["letter"], frame["metric"], strict=True)],
        colour=[of_contestant(at, ink.mode) for at in frame["position"]],
    )
    reach = 1.08 * float(frame[["better", "low", "high"]].abs().max().max()) or 1.0
    # What costs or takes less is better, and its axis tells the difference as it is.
    sign = "" if unit == "points" else "-"
    of_ms = unit == "s" and reach < 1
    form, scaled = {"points": "+.1~f", "$": "+$.2~r", "s": "+.2~r"}[unit], "datum.value" + " * 1000" * of_ms
    x: Spec = {
        "type": "quantitative", "scale": {"domain": [-reach, reach], "nice": False},
        "axis": {
            "title": f"worse ← {'ms' if of_ms else _SAID[unit]} → better",
            "tickCount": 5,
            "labelExpr": f"datum.value ? format({sign}{scaled}, '{form}') : '0'",
            "labelFlush": True,
        },
    }  # fmt: skip
    names = list(dict.fromkeys(frame["row"]))
    y: Spec = {"field": "row", "type": "nominal", "scale": {"domain": names}, "axis": _NAMES}
    tips = _tips(
        {"contestant": "Contestant", "difference": "Difference", "interval": "Interval", "p": "p", "items": "Items"}
    )
    colour = {"field": "colour", "type": "nominal", "scale": None}
    both = {"y": y, "color": colour, "tooltip": tips}
    return {
        "height": ROW_PX * len(names),
        "data": {"values": _rows(frame)},
        "layer": [
            {"data": {"values": [{"at": 0}]}, "mark": {"type": "rule", "color": ink.axis, "strokeWidth": 1.5},
             "encoding": {"x": x | {"field": "at"}}},
            {"mark": {"type": "rule", "strokeWidth": 7, "opacity": 0.35, "strokeCap": "round"},
             "encoding": both | {"x": x | {"field": "low"}, "x2": {"field": "high"}}},
            {"mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
             "encoding": both | {"x": x | {"field": "better"}}},
        ],
    }  # fmt: skip


def pareto(frame: pd.DataFrame, title: str, ink: Ink) -> Spec:
    """Pass rate against dollars per 1,000 answers, both with intervals; who is outdone is grey."""
    frame = frame.assign(
        colour=[
            ink.answered if out else of_contestant(at, ink.mode) for out, at in frame[["outdone", "position"]].values
        ]
    )
    cheapest, dearest = float(frame["usd"].min()), float(frame["usd high"].max())
    is_log = cheapest > 0 and dearest / cheapest > SPREAD
    low = float(frame["usd low"][frame["usd low"] > 0].min()) if is_log else 0.0
    scale: Spec = (
        {"type": "log", "domain": [low / 1.3, dearest * 1.3]} if is_log else {"domain": [0, dearest * 1.1 or 1]}
    )
    x: Spec = {
        "type": "quantitative", "scale": scale | {"nice": False},
        "axis": {"title": "USD per 1,000 answers" + " (logarithmic)" * is_log, "format": "$,.2~r", "tickCount": 6},
    }  # fmt: skip
    y: Spec = {"type": "quantitative", "scale": _PERCENT, "axis": _PERCENTS}
    tips = _tips(
        {"contestant": "Contestant", "pass rate": "Pass rate", "per 1,000": "Per 1,000", "items": "Items", "said": ""}
    )
    colour = {"field": "colour", "type": "nominal", "scale": None}
    both = {"color": colour, "tooltip": tips}
    rule = {"type": "rule", "strokeWidth": 2, "opacity": 0.5}
    at = {"x": x | {"field": "usd"}, "y": y | {"field": "rate"}}
    view: Spec = {
        "height": QUALITY_PX,
        "title": headed(title, ink),
        "data": {"values": _rows(frame)},
        "layer": [
            {"mark": rule,
             "encoding": both | {"x": at["x"], "y": y | {"field": "rate low"}, "y2": {"field": "rate high"}}},
            {"mark": rule,
             "encoding": both | {"y": at["y"], "x": x | {"field": "usd low"}, "x2": {"field": "usd high"}}},
            {"mark": {"type": "point", "filled": True, "size": 130, "opacity": 1}, "encoding": both | at},
            {"mark": {"type": "text", "dx": 11, "dy": -10, "fontWeight": 600, "fontSize": 12, "color": ink.text},
             "encoding": at | {"text": {"field": "letter"}}},
        ],
    }  # fmt: skip
    return _alone(view, ink)


def by_tag(frame: pd.DataFrame, n_of: Mapping[str, int], few: int, title: str, ink: Ink) -> Spec:
    """Pass rates by tag and contestant on one scale of 0–100 %; tags with few items say so. n_of: Items by tag."""
    labels = {tag: f"{tag} ({n:,}{', few' if n < few else ''})" for tag, n in n_of.items()}
    frame = frame.assign(row=[str(formatting.cell(labels[tag])) for tag in frame["tag"]])
    dark = ink.mode == "dark"
    letters = list(dict.fromkeys(frame["letter"]))
    scale = {"domain": [0, 1], "range": [ink.panel, ink.brand]}
    axis: Spec = {
        "title": None,
        "domain": False,
        "ticks": False,
        "orient": "top",
        "labelAngle": 0,
        "labelFontWeight": 600,
    }
    encoding: Spec = {
        "x": {"field": "letter", "type": "nominal", "sort": letters, "axis": axis},
        "y": {"field": "row", "type": "nominal", "sort": [str(formatting.cell(each)) for each in labels.values()],
              "axis": _NAMES},
        "tooltip": _tips({"tag": "Tag", "contestant": "Contestant", "pass rate": "Pass rate", "n": "Items"}),
    }  # fmt: skip
    legend = {"title": None, "format": ".0%", "values": [0, 0.5, 1], "gradientLength": 90, "direction": "horizontal",
              "orient": "bottom"}  # fmt: skip
    text = {
        "condition": {"test": "datum.rate > 0.6", "value": ink.ground if not dark else "#0f141b"},
        "value": ink.text,
    }
    view: Spec = {
        "height": CELL_PX * len(labels),
        "title": headed(title, ink),
        "data": {"values": _rows(frame)},
        "encoding": encoding,
        "layer": [
            {"mark": {"type": "rect", "stroke": ink.ground, "strokeWidth": 2},
             "encoding": {"color": {"field": "rate", "type": "quantitative", "scale": scale, "legend": legend}}},
            {"mark": {"type": "text", "fontSize": 11}, "encoding": {"text": {"field": "text"}, "color": text}},
        ],
    }  # fmt: skip
    return _alone(view, ink)


def trend(frame: pd.DataFrame, colours: Mapping[str, str], title: str, ink: Ink) -> Spec:
    """The pass rate of each run of a suite, evenly spaced, with intervals; baselines are named above theirs."""
    runs = list(dict.fromkeys(frame["run"]))
    lines = list(dict.fromkeys(frame["line"]))
    gap = min(0.12, 0.5 / len(lines))  # beside each other, so that no interval hides another
    frame = frame.assign(
        x=[
            runs.index(run) + gap * (lines.index(line) - (len(lines) - 1) / 2)
            for run, line in frame[["run", "line"]].values
        ],
        place=[runs.index(run) for run in frame["run"]],
        colour=[colours.get(line, ink.muted) for line in frame["line"]],
    )
    when = {str(at): label[5:] for at, label in zip(frame["place"], frame["at"], strict=True)}
    x: Spec = {
        "field": "x", "type": "quantitative", "scale": {"domain": [-0.5, len(runs) - 0.5], "nice": False},
        "axis": {"title": None, "grid": False, "values": _spaced(len(runs)), "labelOverlap": True,
                 "labelExpr": f"({json.dumps(when)})[datum.value]"},
    }  # fmt: skip
    y: Spec = {"type": "quantitative", "scale": _PERCENT, "axis": _PERCENTS}
    named = {"at": "Run", "contestant": "Contestant", "pass rate": "Pass rate", "items": "Items"}
    tips = _tips(named | {"dataset": "Dataset", "baseline": "Baseline"})
    rate = y | {"field": "rate"}
    label = {"type": "text", "dy": -7, "align": "center", "color": ink.muted, "fontSize": 11}
    colour = {"field": "colour", "type": "nominal", "scale": None}
    both: Spec = {"x": x, "color": colour, "detail": {"field": "line"}, "tooltip": tips}
    marked = frame[frame["baseline"] != ""].drop_duplicates("run").assign(x=lambda each: each["place"])
    view: Spec = {
        "height": TREND_PX,
        "title": headed(title, ink),
        "data": {"values": _rows(frame)},
        "layer": [
            {"data": {"values": _rows(marked)}, "mark": {"type": "rule", "strokeDash": [4, 3], "color": ink.muted},
             "encoding": {"x": x}},
            {"data": {"values": _rows(marked)}, "mark": label,
             "encoding": {"x": x, "y": {"value": 0}, "text": {"field": "baseline"}}},
            {"mark": {"type": "line", "interpolate": "linear", "strokeWidth": 1.75}, "encoding": both | {"y": rate}},
            {"mark": {"type": "rule", "strokeWidth": 5, "opacity": 0.35},
             "encoding": both | {"y": y | {"field": "low"}, "y2": {"field": "high"}}},
            {"mark": {"type": "point", "filled": True, "size": 60, "opacity": 1}, "encoding": both | {"y": rate}},
        ],
    }  # fmt: skip
    return _alone(view, ink)


def _alone(view: Spec, ink: Ink) -> Spec:
    """One view, whose height is that of its plot: title and legend are not taken from it."""
    return {"vconcat": [view], "config": config(ink)}


def _spaced(n: int, most: int = 8) -> list[int]:
    step = -(-n // most)
    return list(range(n - 1, -1, -step))[::-1]


def _tips(titles: Mapping[str, str]) -> list[Spec]:
    # A comma or a dot in a field's name would be a path.
    return [{"field": _field(name), "type": "nominal", "title": title or name} for name, title in titles.items()]


def _field(name: str) -> str:
    return name.replace(",", "\\,")


def _rows(frame: pd.DataFrame) -> Sequence[Spec]:
    safe = formatting.defused(frame)[0]
    found: list[Spec] = safe.astype(object).where(safe.notna(), None).to_dict("records")
    return found
