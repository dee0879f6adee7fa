"""The steps of a run over time, as Vega-Lite itself."""

from collections.abc import Mapping

import pandas as pd

from core.formats import strict_json as json
from dashboard import formatting
from dashboard.charts.colours import Ink
from dashboard.charts.stack import Spec, config

ROW_PX, AXIS_PX = 30, 40
SELECTION = "step"
# The longest time that is not longer than some tens of each unit.
_UNITS = ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h"), (float("inf"), 86_400, "days"))


def gantt(frame: pd.DataFrame, sums: Mapping[str, str], colours: Mapping[str, str], ink: Ink) -> Spec:
    """Waits, calls and repeated calls of each step; its cost at the right.

    sums: All steps from top to bottom, and what stands at the right of each.
    colours: By model.
    """
    names = [str(formatting.cell(name)) for name in sums]
    frame = frame.assign(colour=[_colour(kind, model, colours, ink) for kind, model in frame[["kind", "model"]].values])
    rows = formatting.defused(frame)[0].to_dict("records")
    end = max((row["end"] for row in rows), default=0.0) or 1.0
    _, unit, unit_name = next(each for each in _UNITS if end <= each[0])
    axis: Spec = {"title": None, "ticks": False, "domain": False}
    right = {str(formatting.cell(name)): text for name, text in sums.items()}
    y: Spec = {"field": "step", "type": "nominal", "scale": {"domain": names}, "axis": None}
    left, right_axis = (y | {"axis": axis | {"orient": side, "labelLimit": 130}} for side in ("left", "right"))
    x = {
        "field": "start", "type": "quantitative", "scale": {"domain": [0, end], "nice": False},
        "axis": {"title": None, "tickCount": 6, "labelExpr": f"format(datum.value / {unit}, '~g') + ' {unit_name}'"},
    }  # fmt: skip
    tips = [
        {"field": name, "type": "nominal", "title": name.capitalize()} for name in ("step", "what", "model", "took")
    ]
    encoding = {"x": x, "x2": {"field": "end"}, "tooltip": tips}
    colour = {"field": "colour", "type": "nominal", "scale": None}
    pick = {"name": SELECTION, "select": {"type": "point", "fields": ["step"], "toggle": False}}
    thin = {"waiting": 2, "approval": 6}
    layers: list[Spec] = [
        _layer({"type": "bar", "height": size, "cornerRadius": 1}, kind, encoding | {"y": y, "color": colour})
        for kind, size in thin.items()
    ]
    asked = _layer({"type": "bar", "height": 16, "cornerRadius": 2, "cursor": "pointer"}, "", encoding)
    asked["transform"] = [{"filter": {"not": {"field": "kind", "oneOf": list(thin)}}}]
    again = {"condition": {"test": "datum.kind == 'again'", "value": 0.5}, "value": 1}
    asked["encoding"] |= {"y": left, "color": colour, "opacity": again}
    asked["params"] = [pick]
    right_axis["axis"] |= {"labelExpr": f"({json.dumps(right)})[datum.value]", "labelColor": ink.text}
    ends = {
        "data": {"values": [{"step": name} for name in names]},
        "mark": {"type": "point", "opacity": 0, "aria": False},
        "encoding": {"y": right_axis},
    }
    return {
        "data": {"values": rows},
        "height": ROW_PX * len(names) + AXIS_PX,
        "layer": [*layers, asked, ends],
        "resolve": {"axis": {"y": "independent"}},
        "config": config(ink),
    }


def _layer(mark: Spec, kind: str, encoding: Spec) -> Spec:
    return {
        "mark": mark | {"aria": False},
        "transform": [{"filter": {"field": "kind", "equal": kind}}],
        "encoding": dict(encoding),
    }


def _colour(kind: str, model: str, colours: Mapping[str, str], ink: Ink) -> str:
    kinds = {"failed": ink.fail, "waiting": ink.axis, "approval": ink.warn}
    return kinds.get(kind) or colours.get(model, ink.muted)
