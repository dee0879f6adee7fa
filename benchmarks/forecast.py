"""Measures how often the range of the spend forecast holds the month's true total, and how wide it is.

800 simulated months per world, forecast at a random moment of days 10 to 28, once from the month alone and once with
60 earlier days. A day costs level x weekday factor x noise; the level shifts on a random day of some months by a factor
between 0.5 and 2. `DRIFT_PER_DAY` and `NOISE_MARGIN` of core/monitoring/forecast.py were chosen by tables like these.
The range claims 80 %. Width: upper - lower in % of the true total, median.
"""

import math
import statistics
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from common import print_table

from core.monitoring.forecast import History, TooEarly, forecast

N_MONTHS, SEED = 800, 2026
DAYS = (10, 15, 20, 25, 28)
EARLIER_DAYS = 60
OFFICE = (1.0, 1.1, 1.1, 1.05, 0.95, 0.4, 0.4)
MILD = (0.9, 1.0, 1.15, 1.1, 1.0, 0.8, 0.75)
QUIET_WEEKEND = (1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 0.1)
FRIDAY_OFF = (1.0, 1.0, 1.0, 1.0, 0.3, 0.3, 1.0)
EVEN = (1.0,) * 7


@dataclass(frozen=True, slots=True)
class World:
    """`noise` is the sigma of a log-normal factor, or of an added normal term in shares of the level."""

    name: str
    noise: float
    share_shifted: float  # of all months
    weekdays: tuple[float, ...] = OFFICE
    factors: tuple[float, float] = (0.5, 2.0)
    is_noise_added: bool = False


@dataclass(frozen=True, slots=True)
class Month:
    first_on: date  # of the earlier days
    start: date
    end: date
    daily_usd: tuple[float, ...]
    share_of_today_gone: float

    @property
    def total_usd(self) -> float:
        return sum(self.daily_usd[EARLIER_DAYS:])


WORLDS = (
    World("main: noise 0.3, office week, every 2nd month shifts", 0.3, 0.5),
    World("noise 0.1", 0.1, 0.5),
    World("noise 0.3, Friday and Saturday off", 0.3, 0.5, FRIDAY_OFF),
    World("noise 0.45, weekends 10 %", 0.45, 0.5, QUIET_WEEKEND),
    World("noise 0.6, mild week", 0.6, 0.5, MILD),
    World("added noise 0.2", 0.2, 0.5, is_noise_added=True),
    World("added noise 0.4, weekends 10 %", 0.4, 0.5, QUIET_WEEKEND, is_noise_added=True),
    World("every month shifts 0.6-2, noise 0.15, mild week", 0.15, 1.0, MILD, (0.6, 2.0)),
    World("every month shifts 0.6-2, noise 0.3, weekends 10 %", 0.3, 1.0, QUIET_WEEKEND, (0.6, 2.0)),
    World("every month shifts, noise 0.6, no weekly pattern", 0.6, 1.0, EVEN),
    World("no month shifts, noise 0.1", 0.1, 0.0),
    World("no month shifts, noise 0.3", 0.3, 0.0),
)


def main() -> None:
    months = {
        world.name: [a_month(world, np.random.default_rng((SEED, n))) for n in range(N_MONTHS)] for world in WORLDS
    }
    for title, n_earlier in (("The month alone", 0), (f"With {EARLIER_DAYS} earlier days", EARLIER_DAYS)):
        rows = [(name, *(measured(made, day, n_earlier) for day in DAYS)) for name, made in months.items()]
        print_table(f"{title}: coverage / median width", ("world", *(f"day {day}" for day in DAYS)), rows)


def a_month(world: World, rng: np.random.Generator) -> Month:
    at = int(rng.integers(60))
    start = date(2024 + at // 12, at % 12 + 1, 1)
    end = (start + timedelta(days=31)).replace(day=1)
    first_on = start - timedelta(days=EARLIER_DAYS)
    n_days = (end - first_on).days
    level = np.full(n_days, 10.0)
    if rng.random() < world.share_shifted:
        low, high = world.factors
        level[EARLIER_DAYS + rng.integers(1, (end - start).days) :] *= math.exp(
            rng.uniform(math.log(low), math.log(high))
        )
    mean = level * np.array(world.weekdays)[(first_on.weekday() + np.arange(n_days)) % 7]
    noise = rng.normal(0, world.noise, n_days)
    usd = np.maximum(mean + level * noise, 0) if world.is_noise_added else mean * np.exp(noise)
    return Month(first_on, start, end, tuple(usd.tolist()), float(rng.random()))


def measured(months: list[Month], day: int, n_earlier: int) -> str:
    hits, widths = [], []
    for month in months:
        found = forecast(history_of(month, day, n_earlier), (month.start, month.end))
        if isinstance(found, TooEarly):  # its first days were without spend, so they are no data; hardly ever
            continue
        hits.append(found.lower_usd <= month.total_usd <= found.upper_usd)
        widths.append((found.upper_usd - found.lower_usd) / month.total_usd)
    return f"{statistics.fmean(hits):.0%} / {statistics.median(widths):.0%}"


def history_of(month: Month, day: int, n_earlier: int) -> History:
    """What is known on that day of the month, at the month's moment of the day."""
    first, today = EARLIER_DAYS - n_earlier, EARLIER_DAYS + day - 1
    return History(
        first_on=month.first_on + timedelta(days=first),
        daily_usd=month.daily_usd[first:today],
        today_usd=month.daily_usd[today] * month.share_of_today_gone,
        share_of_today_gone=month.share_of_today_gone,
    )


if __name__ == "__main__":
    main()
