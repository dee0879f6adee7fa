"""The cost of a period at its end: the expected spend and the range it should fall into. Pure.

Method: spend of a day = level x weekday factor x noise. The level is followed by a discount local-level model with
unknown noise, once per half-life; these are averaged by how well each foretold every day from the days before it, so
a steady history is averaged over weeks and a shifted one over its last days. The rest of the period is log-normal.

Sources: West & Harrison (1997), Bayesian Forecasting and Dynamic Models, 2nd ed., 4.5 and 10.8 (noise), 6.3 (discount);
Raftery, Karny, Ettler (2010), Technometrics 52 (averages that forget); Huber (1964), Ann. Math. Stat. 35 (surprises).

Assumptions: a day's noise grows with the level, days are independent given it, today's hours are alike. A shift to come
cannot be foreseen: DRIFT_PER_DAY prices it in as if every second month had one. Where none ever comes the range covers
more than it says, above all early and with little noise; where every month has one, less: benchmarks/forecast.py.
"""

import math
from dataclasses import astuple, dataclass
from datetime import date, timedelta
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.8
NEEDED_DAYS = 7  # each weekday once: before, a quiet weekend cannot be told from a fall of the level
# Calibrated by benchmarks/forecast.py: the share by which the level may wander in a day beyond what history shows.
DRIFT_PER_DAY = 0.055
# Calibrated too: what half-lives and factors, chosen on the same days, make the noise look smaller than it is.
NOISE_MARGIN = 1.3

_Z = 1.2815515655446004  # the normal quantile of (1 + LEVEL) / 2
_HALF_LIVES_DAYS = (2, 4, 8, 16)
_KEPT_PER_DAY = 0.95  # of what was learnt on noise and half-lives: a long calm must not outweigh this week
_MAX_SURPRISE = 8.0  # standard deviations that one day can count for
_FIRST_NOISE, _FIRST_NOISE_DAYS = 0.05, 2.0  # squared coefficient of variation, and the days it weighs
_LEAST_LEVEL = 0.1  # of the average day; a level of zero could never rise again
# Weekend and working days are pulled towards 1 as by that many days of history, single weekdays towards their group.
_GROUP_PRIOR_DAYS, _WEEKDAY_PRIOR_DAYS = 0.7, 2.0
_WEEKEND = np.arange(7) >= 5

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Spend per complete local day, consecutive, oldest first; zero where nothing was spent.

    `daily_usd[i]` is day `first_on` + i; the day after the last one is today. `today_usd` is today's spend so far,
    `share_of_today_gone` is in [0, 1]; at 1 today is a complete day.
    """

    first_on: date
    daily_usd: tuple[float, ...]
    today_usd: float
    share_of_today_gone: float

    def __post_init__(self) -> None:
        if not 0 <= self.share_of_today_gone <= 1:
            raise ValueError(f"share_of_today_gone == {self.share_of_today_gone}, must be in [0, 1]")
        wrong = [usd for usd in (*self.daily_usd, self.today_usd) if not 0 <= usd < math.inf]
        if wrong:
            raise ValueError(f"spend of a day == {wrong[0]}, must be finite and >= 0")

    @property
    def today(self) -> date:
        return self.first_on + timedelta(days=len(self.daily_usd))


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastDay:
    """Spend in USD from the period's start to the end of that day."""

    on: date
    expected_usd: float
    lower_usd: float
    upper_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """USD at the period's end with a prediction interval of `LEVEL`, and the way there from today on.

    `spent_usd` is since the period's start, today included. `n_days` complete days, from the first spend on, made it.
    `runs_out_on` is the day on which the expected path passes the limit, or on which spend has passed it already;
    None = not in this period, or no limit.
    """

    spent_usd: float
    expected_usd: float
    lower_usd: float
    upper_usd: float
    n_days: int
    runs_out_on: date | None
    path: tuple[ForecastDay, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TooEarly:
    """The answer where no forecast can be made yet; `reason` is a sentence for the user."""

    n_days: int
    needed_days: int
    reason: str


def forecast(history: History, period: tuple[date, date], limit_usd: float | None = None) -> Forecast | TooEarly:
    """The spend of the period [first day, day after the last day), which today lies in.

    Raises:
        ValueError: Today is outside of the period.
    """
    start, end = period
    if not start <= history.today < end:
        raise ValueError(f"today == {history.today}, must be in [{start}, {end})")
    usd, weekdays = _since_first_spend(history)
    if len(usd) < NEEDED_DAYS:
        reason = f"A forecast needs {NEEDED_DAYS} complete days since the first spend; there are {len(usd)} so far."
        return TooEarly(n_days=len(usd), needed_days=NEEDED_DAYS, reason=reason)
    past = _past(history, start)
    spent_usd = (past[-1][1] if past else 0.0) + history.today_usd
    path = _path(history, spent_usd, _rest(history, end, usd, weekdays))
    way = (*past, *((day.on, day.expected_usd) for day in path))
    return Forecast(
        spent_usd=spent_usd,
        expected_usd=path[-1].expected_usd,
        lower_usd=path[-1].lower_usd,
        upper_usd=path[-1].upper_usd,
        n_days=len(usd),
        runs_out_on=None if limit_usd is None else next((on for on, usd in way if usd > limit_usd), None),
        path=path,
    )


def _since_first_spend(history: History) -> tuple[Floats, NDArray[np.int64]]:
    """Complete days from the first with spend on: USD and weekday, Monday = 0."""
    complete = history.daily_usd + ((history.today_usd,) if history.share_of_today_gone == 1 else ())
    first = next((at for at, usd in enumerate(complete) if usd > 0), len(complete))
    usd = np.array(complete[first:], dtype=np.float64)
    return usd, (history.first_on.weekday() + first + np.arange(len(usd))) % 7


def _past(history: History, start: date) -> list[tuple[date, float]]:
    """The period's days before today, each with the spend in USD up to its end, as far as history tells."""
    skipped = max(0, (start - history.first_on).days)
    sums_usd = accumulate(history.daily_usd[skipped:])
    return [(history.first_on + timedelta(days=at), usd) for at, usd in enumerate(sums_usd, start=skipped)]


@dataclass(frozen=True, slots=True)
class _Outlook:
    """The level and the parts of the variance of the days to come, in units of the average day."""

    level: float
    noise: float
    doubt: float
    drift: float

    def over(self, ahead: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of the sum up to the end of each day; `ahead` is each one's length in typical days."""
        length = np.cumsum(ahead)
        before = length - ahead
        # The level may move before each day and then does so for the rest of the way: sum of (length - before)^2.
        moved = np.arange(1, len(ahead) + 1) * length**2 - 2 * length * np.cumsum(before) + np.cumsum(before**2)
        variance = self.noise * length + self.doubt * length**2 + self.drift * np.maximum(moved, 0)
        return self.level * length, variance


def _rest(history: History, end: date, usd: Floats, weekdays: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """USD from now to the end of today and of each later day of the period: expected, lower, upper."""
    second_largest = np.sort(usd)[-2]
    if second_largest > 0:  # one day alone proves no level: it counts as at most twice the second largest
        usd = np.minimum(usd, 2 * second_largest)
    unit = float(usd.mean())
    factors = _weekday_factors(usd / unit, weekdays)
    outlook = _outlook(usd / unit, factors[weekdays])
    ahead = factors[(history.today.weekday() + np.arange((end - history.today).days)) % 7]
    ahead[0] *= 1 - history.share_of_today_gone
    expected, variance = outlook.over(ahead)
    lower, upper = _bounds(expected, variance, len(usd))
    return expected * unit, lower * unit, upper * unit


def _bounds(expected: Floats, variance: Floats, freedom: int) -> tuple[Floats, Floats]:
    """Log-normal quantiles with Student's t for the normal, by the first term of Abramowitz & Stegun (1964), 26.7.5."""
    t = _Z + (_Z**3 + _Z) / (4 * freedom)
    sigma2 = np.log1p(np.divide(variance, expected**2, out=np.zeros_like(variance), where=expected > 0))
    lower = expected * np.exp(-sigma2 / 2 - t * np.sqrt(sigma2))
    upper = expected * np.exp(-sigma2 / 2 + t * np.sqrt(sigma2))
    # Spend never falls, not by rounding either; and a very wide log-normal's mean lies above its upper quantile.
    return np.maximum.accumulate(lower), np.maximum.accumulate(np.maximum(upper, expected))


def _path(history: History, spent_usd: float, rest: tuple[Floats, Floats, Floats]) -> tuple[ForecastDay, ...]:
    return tuple(
        ForecastDay(on=history.today + timedelta(days=at), expected_usd=expected, lower_usd=lower, upper_usd=upper)
        for at, (expected, lower, upper) in enumerate((spent_usd + np.array(rest)).T.tolist())
    )


def _weekday_factors(spend: Floats, weekdays: NDArray[np.int64]) -> Floats:
    """Spend of each weekday in typical days, mean 1: ratios to the spend around them, shrunk in two steps.

    Weekend and working days are told apart first, which needs the fewest days; other patterns show as weeks pass.
    """
    at = np.arange(len(spend))
    nearness = np.exp(-np.abs(at[:, None] - at) / 7)
    n_days = np.bincount(weekdays, minlength=7)
    factors = np.ones(7)
    for _ in range(6):  # factors and surroundings depend on each other; this is enough to settle
        around = (nearness @ spend) / (nearness @ factors[weekdays])
        ratios = np.bincount(weekdays, spend / around, minlength=7)
        group = np.empty(7)
        for days in (_WEEKEND, ~_WEEKEND):
            group[days] = (ratios[days].sum() + _GROUP_PRIOR_DAYS) / (n_days[days].sum() + _GROUP_PRIOR_DAYS)
        factors = (ratios + _WEEKDAY_PRIOR_DAYS * group) / (n_days + _WEEKDAY_PRIOR_DAYS)
        factors /= factors.mean()
    return factors


def _outlook(spend: Floats, factors: Floats) -> _Outlook:
    """The average over the half-lives, weighted by their evidence."""
    fits = [_fit(spend.tolist(), factors.tolist(), half_life) for half_life in _HALF_LIVES_DAYS]
    evidence = np.array([fit[0] for fit in fits])
    weights = np.exp(evidence - np.logaddexp.reduce(evidence))
    level, noise, doubt, drift = np.array([astuple(fit[1]) for fit in fits]).T
    mean = weights @ level
    return _Outlook(mean, weights @ noise, weights @ (doubt + (level - mean) ** 2), weights @ drift)


def _fit(spend: list[float], factors: list[float], half_life_days: float) -> tuple[float, _Outlook]:
    """The discount filter of one half-life, and its evidence: the log density of each day given the days before it."""
    discount = 0.5 ** (1 / half_life_days)
    # Noise is a squared coefficient of variation; doubt, the variance of the level, is in shares of the noise.
    level, doubt, noise, freedom, evidence = 1.0, 1.0, _FIRST_NOISE, _FIRST_NOISE_DAYS, 0.0
    for usd, factor in zip(spend, factors, strict=True):
        doubt /= discount
        spread = factor + doubt * factor**2
        scale = math.sqrt(spread * noise)
        error = max(-_MAX_SURPRISE, min((usd / level - factor) / scale, _MAX_SURPRISE))
        density = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom) / 2
        density -= math.log(scale * level) + (freedom + 1) / 2 * math.log1p(error**2 / freedom)
        evidence = _KEPT_PER_DAY * evidence + density
        freedom = _KEPT_PER_DAY * freedom + 1
        noise *= 1 + (error**2 - 1) / freedom
        level = max(_LEAST_LEVEL, level * (1 + doubt * factor / spread * error * scale))
        doubt *= factor / spread
    noise *= level**2
    drift = noise * doubt * (1 / discount - 1) + (DRIFT_PER_DAY * level) ** 2
    # A weekday's factor is known from n / 7 such days, which adds 7 / n of the noise.
    return evidence, _Outlook(level, noise * NOISE_MARGIN * (1 + 7 / len(spend)), noise * doubt, drift)
