"""Interval bars: right is always better, what is cut off is seen to be, and names stay texts."""

import math
import re

from dashboard.charts.colours import LIGHT
from dashboard.components.interval import Bar, Cell, Pill, reach_of


def place(bar: Bar) -> tuple[float, float, float]:
    """Where the interval begins, how long it is, and where its estimate stands, in per cent."""
    html = bar.html(LIGHT)
    left, width = re.search(r"left:([\d.]+)%;width:([\d.]+)%", html).groups()  # type: ignore[union-attr]
    return float(left), float(width), float(re.search(r'<u style="left:([\d.]+)%', html)[1])  # type: ignore[index]


def test_a_fall_in_cost_points_right_as_a_rise_in_success_does() -> None:
    rise = Bar(6, 2, 10, 20, "good", "")
    fall = Bar(-6, -10, -2, 20, "good", "", is_larger_better=False)

    assert place(rise) == place(fall) == (55.0, 20.0, 65.0)
    assert place(Bar(0.7, 0.6, 0.8, 0.5, "good", "", zero=0.5)) == (60.0, 20.0, 70.0)


def test_an_interval_without_an_end_fills_the_line_and_is_open_there() -> None:
    endless = Bar(4, -math.inf, math.inf, 20, "flat", "")

    assert place(endless) == (0.0, 100.0, 60.0)
    assert "aimm-open-left aimm-open-right" in endless.html(LIGHT)
    assert "open" not in Bar(4, 2, 6, 20, "flat", "").html(LIGHT)
    assert reach_of([-2.0, 10.0, math.inf]) == 10.5
    assert reach_of([]) == 1.0


def test_texts_are_no_markup() -> None:
    drawn = Bar(0, -1, 1, 2, "flat", '"><b>').html(LIGHT) + Pill("<i>", "fail", '"').html(LIGHT) + Cell("<u>", "&").html(LIGHT)  # fmt: skip

    assert "&quot;&gt;&lt;b&gt;" in drawn and "&lt;i&gt;" in drawn and "&lt;u&gt;" in drawn and "&amp;" in drawn
    assert LIGHT.fail in drawn
