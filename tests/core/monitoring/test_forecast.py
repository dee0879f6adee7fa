"""The spend forecast: exact where spend is regular, quick after a shift, honest in its range, silent too early."""

import math
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.monitoring.forecast import NEEDED_DAYS, Forecast, History, TooEarly, forecast

NOVEMBER = (date(2026, 11, 1), date(2026, 12, 1))  # 30 days, the first one a Sunday
START, END = NOVEMBER


def history(*daily_usd: float, first_on: date = START, today_usd: float = 0.0, gone: float = 0.0) -> History:
    return History(first_on=first_on, daily_usd=daily_usd, today_usd=today_usd, share_of_today_gone=gone)


def foretold(past: History, limit_usd: float | None = None, period: tuple[date, date] = NOVEMBER) -> Forecast:
    found = forecast(past, period, limit_usd)
    assert isinstance(found, Forecast)
    return found


def office_days(n_days: int, *, first_on: date = START, weekday_usd: float = 10.0) -> tuple[float, ...]:
    days = (first_on + timedelta(days=at) for at in range(n_days))
    return tuple(weekday_usd if day.weekday() < 5 else 0.0 for day in days)


# The expected spend


def test_a_constant_history_goes_on_as_it_was() -> None:
    found = foretold(history(*[10.0] * 14))

    assert found.spent_usd == 140
    assert found.expected_usd == pytest.approx(300)
    assert [day.expected_usd for day in found.path] == pytest.approx([10.0 * n for n in range(15, 31)])
    assert found.lower_usd > 265
    assert found.upper_usd < 335


def test_only_the_rest_of_today_is_still_to_come() -> None:
    found = foretold(history(*[10.0] * 14, today_usd=4.0, gone=0.75))

    assert found.spent_usd == 144
    assert found.path[0].expected_usd == pytest.approx(146.5)
    assert found.expected_usd == pytest.approx(296.5)


def test_a_day_that_is_over_counts_as_complete() -> None:
    found = foretold(history(*[10.0] * 14, today_usd=10.0, gone=1.0))

    assert found.n_days == 15
    assert found.path[0].lower_usd == found.path[0].upper_usd == found.spent_usd == 150


def test_weekends_without_spend_stay_without_spend() -> None:
    found = foretold(history(*office_days(60, first_on=date(2026, 9, 17)), first_on=date(2026, 9, 17)))

    gains = {day.on: day.expected_usd - before.expected_usd for before, day in pairwise(found.path)}
    assert all(gain < 1 for on, gain in gains.items() if on.weekday() >= 5)
    assert all(9.5 < gain < 10.5 for on, gain in gains.items() if on.weekday() < 5)
    assert found.expected_usd == pytest.approx(210, rel=0.02)


def test_nine_days_are_enough_to_see_the_weekend() -> None:
    found = foretold(history(*[0.0, 10.0, 10.0, 10.0, 10.0, 10.0, 0.0, 0.0, 10.0, 10.0]))

    assert found.n_days == 9, "the Sunday before the first spend is no data"
    assert found.expected_usd == pytest.approx(210, rel=0.03)


def test_any_day_of_the_week_can_be_the_quiet_one() -> None:
    usd = [2.0 if (START + timedelta(days=at)).weekday() == 2 else 10.0 for at in range(-56, 15)]

    found = foretold(history(*usd, first_on=START - timedelta(days=56)))

    wednesday = next(at for at, day in enumerate(found.path) if day.on.weekday() == 2)
    gain = found.path[wednesday].expected_usd - found.path[wednesday - 1].expected_usd
    assert 2.0 < gain < 3.5, "ten Wednesdays, pulled a little towards the other days"


def test_recent_days_weigh_more_after_a_shift() -> None:
    """Five days at twice the level: nearer to twice than to the average of all days."""
    found = foretold(history(*[10.0] * 12, *[20.0] * 5))

    per_day = (found.expected_usd - found.spent_usd) / 13
    assert 17 < per_day < 21
    assert found.upper_usd > found.spent_usd + 13 * 20


def test_the_day_after_a_fall_is_not_yet_a_new_level_but_a_week_is() -> None:
    one, week = (foretold(history(*[10.0] * 10, *[5.0] * n)) for n in (1, 7))

    assert one.expected_usd - one.spent_usd > 19 * 8.5
    assert week.expected_usd - week.spent_usd == pytest.approx(13 * 5, rel=0.1)


def test_one_gigantic_day_is_spent_but_proves_no_level() -> None:
    for at in (0, 5, 15):
        usd = [10.0] * 16
        usd[at] = 5000.0

        found = foretold(history(*usd))

        assert found.spent_usd == 5150
        assert 120 < found.expected_usd - found.spent_usd < 190
        assert found.upper_usd - found.lower_usd < 120


def test_spend_that_stopped_is_expected_to_stay_low_and_finds_its_way_back() -> None:
    first_on = START - timedelta(days=30)
    stopped = foretold(history(*[10.0] * 25, *[0.0] * 20, first_on=first_on))
    resumed = foretold(history(*[10.0] * 25, *[0.0] * 10, *[10.0] * 10, first_on=first_on))

    assert stopped.expected_usd < 15
    assert resumed.expected_usd - resumed.spent_usd > 100
    assert resumed.upper_usd - resumed.spent_usd > 150


# The range


def test_earlier_months_narrow_the_range() -> None:
    rng = np.random.default_rng(3)
    usd = (10 * np.exp(rng.normal(0, 0.3, 70))).tolist()

    alone, informed = foretold(history(*usd[60:])), foretold(history(*usd, first_on=START - timedelta(days=60)))

    assert alone.spent_usd == pytest.approx(informed.spent_usd)
    assert informed.upper_usd - informed.lower_usd < alone.upper_usd - alone.lower_usd


def test_noise_and_days_to_go_widen_the_range() -> None:
    calm, wild = (foretold(history(*[10.0 - swing, 10.0 + swing] * 7)) for swing in (0.5, 6.0))

    assert wild.upper_usd - wild.lower_usd > 2 * (calm.upper_usd - calm.lower_usd)
    widths = [day.upper_usd - day.lower_usd for day in wild.path]
    assert widths == sorted(widths)


def test_the_calmest_history_leaves_room_for_a_shift_to_come() -> None:
    found = foretold(history(*[10.0] * 60, first_on=START - timedelta(days=50)))

    assert found.lower_usd < found.expected_usd - 20
    assert found.upper_usd > found.expected_usd + 20


def test_at_the_period_s_end_all_is_spent() -> None:
    found = foretold(history(*[10.0] * 29, today_usd=12.0, gone=1.0))

    assert found.lower_usd == found.expected_usd == found.upper_usd == found.spent_usd == 302
    assert [day.on for day in found.path] == [END - timedelta(days=1)]


def test_the_range_holds_the_true_total_about_as_often_as_it_says() -> None:
    """200 months of noise, weekends and, in every second one, a level shift; forecast on days 10, 18 and 26."""
    hits = [_is_hit(np.random.default_rng(seed), day, n_earlier) for seed in range(200) for day, n_earlier in _LOOKS]

    for look in range(len(_LOOKS)):
        assert 0.72 <= np.mean(hits[look :: len(_LOOKS)]) <= 0.92, _LOOKS[look]


_LOOKS = [(day, n_earlier) for day in (10, 18, 26) for n_earlier in (0, 60)]


def _is_hit(rng: np.random.Generator, day: int, n_earlier: int) -> bool:
    """The same seed is the same month, whatever the day it is looked at."""
    level = np.full(90, 10.0)
    shift_at, factor = rng.integers(61, 90), math.exp(rng.uniform(math.log(0.5), math.log(2)))
    level[shift_at if rng.random() < 0.5 else 90 :] *= factor
    weekdays = np.array([1.0, 1.1, 1.1, 1.0, 0.9, 0.4, 0.4])[(START.weekday() - 60 + np.arange(90)) % 7]
    usd = (level * weekdays * np.exp(rng.normal(0, 0.3, 90))).tolist()
    past = history(*usd[60 - n_earlier : 59 + day], first_on=START - timedelta(days=n_earlier))

    found = foretold(past)

    return bool(found.lower_usd <= sum(usd[60:]) <= found.upper_usd)


# Too early


@pytest.mark.parametrize(("n_days", "n_zero_days"), [(0, 0), (3, 0), (NEEDED_DAYS - 1, 0), (NEEDED_DAYS - 1, 20)])
def test_before_a_week_since_the_first_spend_there_is_no_forecast(n_days: int, n_zero_days: int) -> None:
    found = forecast(history(*[0.0] * n_zero_days, *[5.0] * n_days), NOVEMBER)

    assert isinstance(found, TooEarly)
    assert (found.n_days, found.needed_days) == (n_days, NEEDED_DAYS)
    assert str(NEEDED_DAYS) in found.reason


def test_a_week_since_the_first_spend_is_enough() -> None:
    assert foretold(history(*[0.0] * 9, *[5.0] * NEEDED_DAYS)).n_days == NEEDED_DAYS


def test_nothing_ever_spent_is_too_early_not_a_forecast_of_nothing() -> None:
    found = forecast(history(*[0.0] * 25, today_usd=1.0, gone=0.5), NOVEMBER)

    assert isinstance(found, TooEarly)
    assert found.n_days == 0


def test_zero_days_before_the_first_spend_change_nothing() -> None:
    late = foretold(history(*[10.0, 12.0] * 5, first_on=date(2026, 11, 6)))

    assert foretold(history(*[0.0] * 5, *[10.0, 12.0] * 5)) == late


# The limit


@pytest.mark.parametrize(
    ("limit_usd", "runs_out_on"),
    [
        (None, None),
        (301.0, None),
        (200.5, date(2026, 11, 21)),  # 200 at the end of the 20th
        (140.0, date(2026, 11, 15)),  # reached by yesterday's end, but passed today
        (139.0, date(2026, 11, 14)),
        (55.0, date(2026, 11, 6)),  # 60 at the end of the 6th
        (0.0, date(2026, 11, 1)),
    ],
)
def test_the_limit_is_passed_on_the_day_whose_end_lies_above_it(
    limit_usd: float | None, runs_out_on: date | None
) -> None:
    assert foretold(history(*[10.0] * 14), limit_usd).runs_out_on == runs_out_on


def test_a_limit_that_today_has_passed_runs_out_today() -> None:
    assert foretold(history(*[10.0] * 14, today_usd=30.0, gone=0.5), 165.0).runs_out_on == date(2026, 11, 15)


def test_days_before_the_period_count_for_the_level_but_not_for_the_limit() -> None:
    found = foretold(history(*[10.0] * 30, first_on=date(2026, 10, 2)), 95.5)

    assert (found.spent_usd, found.n_days) == (0, 30)
    assert found.expected_usd == pytest.approx(300)
    assert found.runs_out_on == date(2026, 11, 10)


def test_a_week_is_a_period_too() -> None:
    week = (date(2026, 11, 9), date(2026, 11, 16))

    found = foretold(history(*[10.0] * 10), period=week)

    assert found.spent_usd == 20
    assert found.expected_usd == pytest.approx(70)
    assert [day.on for day in found.path] == [date(2026, 11, day) for day in range(11, 16)]


# What is refused


@pytest.mark.parametrize("period", [(date(2026, 10, 1), date(2026, 11, 1)), (date(2026, 12, 1), date(2027, 1, 1))])
def test_a_period_without_today_is_refused(period: tuple[date, date]) -> None:
    with pytest.raises(ValueError, match="today == 2026-11-11, must be in"):
        forecast(history(*[10.0] * 10), period)


@pytest.mark.parametrize(("usd", "gone"), [(-1.0, 0.5), (math.nan, 0.5), (math.inf, 0.5), (1.0, -0.1), (1.0, 1.1)])
def test_impossible_days_are_refused(usd: float, gone: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        history(10.0, usd, gone=gone)


# Whatever the history

spend = st.one_of(st.just(0.0), st.floats(1e-6, 1e6), st.sampled_from([1.0, 10.0]))
histories = st.builds(
    History,
    first_on=st.just(START - timedelta(days=40)),
    daily_usd=st.lists(spend, min_size=40, max_size=69).map(tuple),
    today_usd=spend,
    share_of_today_gone=st.sampled_from([0.0, 0.001, 0.5, 0.999, 1.0]),
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(histories, st.floats(0, 1e7))
def test_the_path_rises_within_its_bounds_to_the_forecast(past: History, limit_usd: float) -> None:
    found = forecast(past, NOVEMBER, limit_usd)
    if isinstance(found, TooEarly):
        return

    for column in ("lower_usd", "expected_usd", "upper_usd"):
        values = [getattr(day, column) for day in found.path]
        assert all(map(math.isfinite, values))
        assert values == sorted(values)
        assert values[-1] == getattr(found, column)
    assert all(found.spent_usd <= day.lower_usd <= day.expected_usd <= day.upper_usd for day in found.path)
    assert [found.path[0].on, found.path[-1].on] == [past.today, END - timedelta(days=1)]
    assert (found.runs_out_on is not None) == (found.expected_usd > limit_usd)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(histories, st.sampled_from([2.0**-10, 2.0**10]))
def test_another_unit_of_money_is_the_same_forecast(past: History, rate: float) -> None:
    other = history(
        *(usd * rate for usd in past.daily_usd),
        first_on=past.first_on,
        today_usd=past.today_usd * rate,
        gone=past.share_of_today_gone,
    )

    found, converted = forecast(past, NOVEMBER), forecast(other, NOVEMBER)

    if isinstance(found, Forecast) and isinstance(converted, Forecast):
        assert converted.expected_usd == pytest.approx(found.expected_usd * rate)
        assert converted.upper_usd == pytest.approx(found.upper_usd * rate)
