"""Win rates over time."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dashboard import formatting
from dashboard.charts.base import Span
from dashboard.charts.colours import Ink
from dashboard.charts.stack import Series, Stack, Tip

LINES = 6


def win_rate_over_time(frame: pd.DataFrame, ink: Ink, colours: Mapping[str, str]) -> dict[str, Any]:
    """A line a model, the best now first. frame: A row a day, a column a model with its win rate so far in per cent."""
    span = Span.around("day", frame["time"].iloc[0], frame["time"].iloc[-1] + pd.Timedelta(days=1))
    now = frame.iloc[-1].drop("time").sort_values(ascending=False, na_position="last")
    best, rate = str(now.index[0]), formatting.percent(now.iloc[0] / 100, 0)
    shown = f", {LINES} of {len(now)} models" if len(now) > LINES else ""
    models = [str(name) for name in now.index[:LINES]]
    tips = [Tip(f"tip {at}", name) for at, name in enumerate(models)]
    texts = {
        f"tip {at}": [formatting.UNKNOWN if pd.isna(each) else f"{each:.0f}%" for each in frame[name]]
        for at, name in enumerate(models)
    }
    stack = Stack(frame.assign(**texts), span, ink, tips=tips, height=160)
    series = [Series(name, name, colours.get(name, ink.muted)) for name in models]
    stack.lines(f"Win rate so far: {best} leads with {rate}{shown}", series, "d", unit="%")
    return stack.spec()
