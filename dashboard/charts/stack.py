"""Panels over one axis of time: one rule under the mouse, one brush, all plots equally high.

Specifications are written as Vega-Lite itself and not through Altair, which takes over a second to build and check
four panels; the tests check them against Vega-Lite's schema.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import pandas as pd

from core.formats import strict_json as json
from dashboard import formatting
from dashboard.charts.base import Span
from dashboard.charts.colours import Ink

PANEL_PX, AXIS_PX, MAX_BAR_PX, MAX_LABELS = 110, 46, 40, 8
LETTER_PX, SYMBOL_PX, TITLE_LETTER_PX = 6.6, 30, 7.3  # widths of legends and titles are told from their letters
NARROW_LETTERS = 44  # of a title's line on a telephone
STRIPES, MANY = 6, 60  # of a hatch; buckets
MONEY, COUNT = "$,~r", "~s"
FEW_BUCKETS = 15  # so few values of a line are marked, too
LINE = {"type": "line", "interpolate": "linear", "strokeWidth": 1.75}
Spec = dict[str, Any]


class Series(NamedTuple):
    """A column of the frame as it is drawn: its name there, in the legend, and its colour."""

    column: str
    label: str
    colour: str


class Tip(NamedTuple):
    """A line of the tooltip: a column of texts, and its heading."""

    column: str
    title: str


class Stack:
    """Collects panels of one frame: a row a bucket, without gaps, with a column `time`.

    incidents: Spans of time to be shaded.
    tips: What the tooltip of every panel says.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        span: Span,
        ink: Ink,
        *,
        tips: Sequence[Tip] = (),
        incidents: Sequence[tuple[datetime, datetime]] = (),
        height: int = PANEL_PX,
    ) -> None:
        self._span, self._ink, self._tips, self._height = span, ink, tips, height
        self._incidents = incidents
        self._panels: list[Spec] = []
        self._rows = self._dated(frame)

    @property
    def selections(self) -> list[str]:
        """The names under which clicks and brushes come back."""
        return [f"{kind}{at}" for kind in ("pick", "zoom") for at in range(len(self._panels))]

    def bars(
        self,
        title: str,
        series: Sequence[Series],
        form: str,
        *,
        limit: float | None = None,
        marked: str = "",
        picked: str = "",
    ) -> None:
        """Bars stacked in the order of the series; the bucket that is not over is hatched.

        limit: A dashed line. marked: A column; where it has more than 0, a triangle says that the bar is not whole.
        picked: A column that a click gives beside the moment.
        """
        labels = [each.label for each in series]
        columns = {each.label: each.column for each in series}
        y = self._y(form, columns.values())
        bars = self._layer(
            {"type": "bar", "size": self._bar_px(), "stroke": self._ink.ground, "strokeWidth": 0.5},
            [row for row in self._long(columns) if row["value"]],
            y=y | {"field": "value", "aggregate": "sum", "stack": "zero"},
            color=self._colour(series),
            order={"field": "order", "type": "quantitative"},
        )
        # A hatch of bars in the ground's colour: Vega has no patterns, and finds a gradient by the address that the
        # page had when it was drawn.
        stripes = [
            {"mid": row["mid"], "a": high * at / STRIPES, "b": high * (at + 0.5) / STRIPES}
            for row in self._rows
            if row["part"] and (high := sum(row[each.column] or 0 for each in series))
            for at in range(STRIPES)
        ]
        stripe: Spec = {"type": "bar", "size": self._bar_px(), "color": self._ink.ground, "tooltip": None}
        layers = [bars, self._layer(stripe, stripes, y=y | {"field": "a"}, y2={"field": "b"})] if stripes else [bars]
        rows = [
            {"mid": row["mid"], "value": sum(row[each.column] or 0 for each in series)}
            for row in self._rows
            if marked and row[marked]
        ]
        if rows:
            mark = {"type": "point", "shape": "triangle-up", "filled": True, "size": 36, "color": self._ink.unpriced}
            layers.append(self._layer(mark | {"yOffset": -6}, rows, y=y | {"field": "value"}))
        self._add(title, layers + self._limit(limit, y), labels, picked)

    def fan(self, title: str, form: str, *, limit: float | None = None) -> None:
        """The columns spent, expected, lower and upper: a line up to now, and a pale range ahead of it."""
        y, colour = self._y(form, ("spent", "upper")), self._ink.brand
        ahead = [row for row in self._rows if row["expected"] is not None]
        area = self._layer(
            {"type": "area", "interpolate": "linear", "opacity": 0.32, "color": colour, "tooltip": None}, ahead,
            y=y | {"field": "lower"}, y2={"field": "upper"},
        )  # fmt: skip
        way = self._layer(LINE | {"strokeDash": [3, 3], "color": colour}, ahead, y=y | {"field": "expected"})
        spent = [row for row in self._rows if row["spent"] is not None]
        dots = {"color": colour, "point": {"size": 14, "color": colour}}
        done = self._layer(LINE | dots, spent, y=y | {"field": "spent"})
        self._add(title, [area, way, done, *self._limit(limit, y)], [])

    def _limit(self, limit: float | None, y: Spec) -> list[Spec]:
        mark = {"type": "rule", "strokeDash": [6, 4], "color": self._ink.warn, "strokeWidth": 1.5}
        rows = {"data": {"values": [{"limit": limit}]}}
        return (
            []
            if limit is None
            else [rows | {"mark": mark | {"aria": False}, "encoding": {"y": y | {"field": "limit"}}}]
        )

    def lines(self, title: str, series: Sequence[Series], form: str, *, unit: str = "") -> None:
        """Straight lines, broken where a bucket has no value; the way to the bucket that is not over is dashed."""
        columns = {each.label: each.column for each in series}
        y = self._y(form, columns.values(), unit=unit) | {"field": "value"}
        rows = self._long(columns)
        # A value between two gaps has no line: it is a dot. Where nothing is missing, dots are only more to draw.
        has_gaps = any(row[column] is None for row in self._rows for column in columns.values())
        mark = LINE | ({"point": {"size": 14, "filled": True}} if has_gaps or len(self._rows) < FEW_BUCKETS else {})
        last = next((at for at, row in enumerate(self._rows) if row["part"]), None)
        whole = [row for row in rows if not row["part"]]
        layers = [self._layer(mark, whole, y=y, color=self._colour(series))]
        if last is not None:
            mids = [row["mid"] for row in self._rows[max(0, last - 1) : last + 1]]
            way = [row for row in rows if row["mid"] in mids]
            dashed = mark | {"strokeDash": [3, 3], "opacity": 0.75}
            layers.append(self._layer(dashed, way, y=y, color=self._colour(series)))
        self._add(title, layers, list(columns))

    def spec(self) -> Spec:
        hovered = {"or": [{"param": f"hover{at}", "empty": False} for at in range(len(self._panels))]}
        for panel in self._panels:
            panel["layer"][-2]["transform"] = [{"filter": hovered}]  # the rule
        for panel in self._panels:
            self._label(panel)
        return {
            "vconcat": self._panels,
            "spacing": 10,
            "resolve": {"scale": {"color": "independent"}},
            "padding": {"left": 0, "right": 6, "top": 4, "bottom": 4},
            # Of the brushes, which have no other place for a name; the other marks are told by the table.
            "config": config(self._ink) | {"mark": {"description": "The range to zoom to"}},
            # A long range has more marks than a page can hold as elements.
            "usermeta": {"embedOptions": {"renderer": "svg" if self._span.n <= MANY else "canvas"}},
        }

    # The parts of a panel

    def _add(self, title: str, layers: list[Spec], labels: Sequence[str], picked: str = "") -> None:
        px = legend_px(labels)
        one_line = TITLE_LETTER_PX * len(title) + px  # where the plot is as wide, the legend stands beside the title
        self._panels.append(
            {
                "height": self._height,
                "title": headed(title, self._ink)
                | {"offset": {"expr": f"width > {one_line:.0f} ? -17 : 8"} if len(labels) > 1 else 8},
                "layer": [*self._bands(), *layers, *self._over(picked)],
                "resolve": {"scale": {"color": "independent"}},
            }
        )

    def _layer(self, mark: Spec, rows: Sequence[Spec], **encoding: Spec) -> Spec:
        return {
            "data": {"values": list(rows)},
            "mark": mark | {"aria": False},
            "encoding": {"x": self._x(), **encoding},
        }

    def _over(self, picked: str) -> list[Spec]:
        """The rule under the mouse in all panels, and what catches the mouse: an invisible bar a bucket.

        Each panel has selections of its own names: one name in several views makes a chart that stays blank.
        """
        at, ink = len(self._panels), self._ink
        fields = ["at", picked] if picked else ["at"]
        known = (*fields, "mid", "when", *(tip.column for tip in self._tips))
        rows = [{name: row[name] for name in known} for row in self._rows]
        rule = self._layer({"type": "rule", "strokeWidth": 1, "color": ink.muted}, rows)
        pick = {"type": "point", "fields": fields, "toggle": False}
        brush = {"fill": ink.brand, "fillOpacity": 0.15, "stroke": ink.brand}
        catch = self._layer(
            {"type": "bar", "size": {"expr": f"width / {self._span.n}"}, "opacity": 0.001, "color": ink.muted},
            rows,
            y={"value": 0},
            y2={"value": self._height},
        )
        catch["encoding"]["tooltip"] = [
            {"field": "when", "type": "nominal", "title": "Time"},
            *({"field": tip.column, "title": tip.title, "type": "nominal"} for tip in self._tips),
        ]
        catch["params"] = [
            {
                "name": f"hover{at}",
                "select": {"type": "point", "fields": ["at"], "on": "mouseover", "clear": "mouseout"},
            },
            {"name": f"pick{at}", "select": pick | {"on": "click"}},
            {"name": f"zoom{at}", "select": {"type": "interval", "encodings": ["x"], "mark": brush}},
        ]
        return [rule, catch]

    def _bands(self) -> list[Spec]:
        rows = [
            {
                "a": max(_ms(since), _ms(self._span.since)),
                "b": min(_ms(until), _ms(self._span.until)),
            }
            for since, until in self._incidents
        ]
        if not rows:
            return []
        mark = {"type": "rect", "color": self._ink.fail, "opacity": 0.1, "tooltip": None}
        return [self._layer(mark, rows, x=self._x("a"), x2={"field": "b"})]

    def _x(self, field: str = "mid") -> Spec:
        """The whole chosen range, whatever the data; milliseconds, which no browser's time zone shifts."""
        domain = [_ms(self._span.since), _ms(self._span.until)]
        axis = {"labels": False, "ticks": False, "grid": False, "title": None, "domain": True}
        scale = {"domain": domain, "nice": False, "zero": False}
        return {"field": field, "type": "quantitative", "scale": scale, "axis": axis}

    def _label(self, panel: Spec) -> None:
        """Write the times below a panel: at most eight, days under their middle and hours at their start."""
        span = self._span
        years = {formatting.at(each, "%Y", span.zone) for each in (span.since, span.until - timedelta(hours=1))}
        day, edges, texts = "%-d %b" if len(years) == 1 else "%-d %b %Y", span.edges, {}
        if span.bucket == "day":
            for a, b in list(pairwise(edges))[:: -(-span.n // MAX_LABELS)]:
                texts[_middle(a, b)] = formatting.at(a, day, span.zone)
        else:
            every = next((hours for hours in (1, 3, 6, 12) if span.n <= hours * MAX_LABELS), 24)
            for start in edges[:-1]:
                hour = int(formatting.at(start, "%-H", span.zone))
                if hour % every == 0:
                    form = "%H:%M" if hour and texts else f"{day} %H:%M"
                    texts[_ms(start)] = formatting.at(start, form, span.zone)
        # Written here: a browser knows its own time zone and UTC, and no other.
        written = json.dumps({str(at): text for at, text in texts.items()})
        named = {"values": list(texts), "labelExpr": f"({written})[datum.value]", "labels": True, "ticks": True}
        named |= {"tickSize": 4, "labelPadding": 4}
        named |= {"labelOverlap": "parity", "labelFlush": False, "labelBound": False}
        for layer in panel["layer"]:
            if "x" in layer["encoding"]:
                layer["encoding"]["x"]["axis"] |= named

    def _y(self, form: str, columns: Iterable[str], *, unit: str = "") -> Spec:
        axis: Spec = {"title": None, "tickCount": 3, "domain": False, "ticks": False, "labelPadding": 6}
        axis |= {"labelExpr": number_text(form, unit)}
        axis |= {"minExtent": AXIS_PX, "maxExtent": AXIS_PX} | ({"tickMinStep": 1} if form == COUNT else {})
        if not any(row[column] for row in self._rows for column in columns):  # else the axis says NaN
            return {"type": "quantitative", "axis": axis | {"labels": False}, "scale": {"domain": [0, 1]}}
        return {"type": "quantitative", "axis": axis, "scale": {"nice": True, "zero": True}}

    def _colour(self, series: Sequence[Series]) -> Spec:
        names = [str(formatting.cell(each.label)) for each in series]
        scale = {"domain": names, "range": [each.colour for each in series]}
        return {"field": "series", "type": "nominal", "scale": scale, "sort": names, "legend": _legend(names)}

    def _bar_px(self) -> Spec:
        return {"expr": f"min({MAX_BAR_PX}, max(2, 0.72 * width / {self._span.n}))"}

    # The rows

    def _dated(self, frame: pd.DataFrame) -> list[Spec]:
        """The frame's rows with where they are on the axis; texts that are no formulas to a spreadsheet."""
        form = "%a %-d %b" if self._span.bucket == "day" else "%a %-d %b %H:%M"
        safe, now = formatting.defused(frame)[0], self._span.now
        ends = dict(pairwise(self._span.edges))
        rows = []
        for row in safe.astype(object).where(safe.notna(), None).to_dict("records"):
            start = row.pop("time").to_pydatetime()
            is_part = start <= now < ends[start]
            when = formatting.at(start, form, self._span.zone) + (" · so far" if is_part else "")
            rows.append({**row, "at": _ms(start), "mid": _middle(start, ends[start]), "when": when, "part": is_part})
        return rows

    def _long(self, columns: Mapping[str, str]) -> list[Spec]:
        """A row a bucket and series."""
        return [
            {
                "mid": row["mid"],
                "part": row["part"],
                "series": formatting.cell(label),
                "value": row[column],
                "order": order,
            }
            for order, (label, column) in enumerate(columns.items())
            for row in self._rows
        ]


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _middle(start: datetime, end: datetime) -> int:
    return (_ms(start) + _ms(end)) // 2


def headed(title: str, ink: Ink) -> Spec:
    """A chart's title, which begins above its axis."""
    place = {"anchor": "start", "frame": "bounds", "offset": 8, "limit": {"expr": f"width + {AXIS_PX}"}}
    return {"text": _broken(title), "fontSize": 13, "fontWeight": 600, "color": ink.text, **place}


def _broken(title: str) -> str | Spec:
    """A title that breaks into lines where the chart is narrow."""
    lines = textwrap.wrap(title, NARROW_LETTERS)
    if len(lines) < 2:
        return title
    is_wide = f"width + {AXIS_PX} > {TITLE_LETTER_PX * len(title):.0f}"
    return {"expr": f"{is_wide} ? {json.dumps(title)} : {json.dumps(lines)}"}


def number_text(form: str, unit: str = "") -> str:
    """The text of a number on an axis: 0, 500, 1k; $0.50, and $0.002 where cents are too few."""
    if form == MONEY:
        cents = "datum.value % 1 && abs(datum.value * 100 - round(datum.value * 100)) < 1e-6"
        return f"format(datum.value, {cents} ? '$,.2f' : '{MONEY}')"
    return f"datum.value ? format(datum.value, '{form}') + '{unit and ' ' + unit}' : '0'"


def legend_px(labels: Sequence[str]) -> float:
    return sum(LETTER_PX * len(label) + SYMBOL_PX for label in labels)


def _legend(names: Sequence[str]) -> Spec | None:
    """One line at the right of the title; none for a single series, which the title names."""
    if len(names) < 2:
        return None
    is_narrow, n_more = f"width < {legend_px(names):.0f}", (len(names) - 1) // 2  # lines of two each
    place: Spec = {"orient": "none", "direction": "horizontal", "title": None}
    place |= {
        "columns": {"expr": f"{is_narrow} ? 2 : 0"},
        "legendY": {"expr": f"{is_narrow} ? -{23 + 16 * n_more} : -23"},
    }
    place |= {"legendX": {"expr": f"max(0, width - {legend_px(names):.0f})"}, "symbolType": "square", "symbolSize": 50}
    return place | {
        "labelFontSize": 12,
        "columnPadding": 10,
        "padding": 0,
        "rowPadding": 0,
        "symbolStrokeWidth": 0,
        "labelLimit": {"expr": f"{is_narrow} ? width / 2 - {SYMBOL_PX} : 160"},
    }


def config(ink: Ink) -> Spec:
    """The look that all charts have in common."""
    return {
        "view": {"strokeWidth": 0},
        "axis": {
            "gridColor": ink.grid,
            "domainColor": ink.axis,
            "tickColor": ink.axis,
            "labelColor": ink.muted,
            "titleColor": ink.muted,
            "labelFontSize": 11,
        },
        "axisY": {"labelFlush": False},
        "legend": {"labelColor": ink.text},
    }
