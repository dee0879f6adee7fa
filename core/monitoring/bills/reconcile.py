"""The vendor's bill against our own ledger: where they drift apart, by how much, and the likely cause. Pure."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from core.domain.metrics import MetricsRow
from core.errors import InvalidRequest
from core.monitoring.bills.notation import MAX_USD
from core.monitoring.bills.reading import Bill, BillLine

Key = tuple[date | None, str | None]
AGREES = Decimal("0.01")
CONSTANT = Decimal("0.02")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A billed amount beside the booked one; on, model: None = all, or not said by the bill."""

    on: date | None
    model: str | None
    billed_usd: Decimal
    booked_usd: Decimal
    cause: str = ""

    @property
    def difference_usd(self) -> Decimal:
        return self.billed_usd - self.booked_usd

    @property
    def share(self) -> Decimal | None:
        """The difference as a share of the bill; None where nothing was billed."""
        return self.difference_usd / self.billed_usd if self.billed_usd else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """[since, until]: the days compared. by_model, by_day and rows each add up to the total."""

    since: date
    until: date
    source: str
    provider: str
    total: Drift
    by_model: tuple[Drift, ...]
    by_day: tuple[Drift, ...]
    rows: tuple[Drift, ...]
    skipped: tuple[str, ...] = ()


def one_number(usd: Decimal, provider: str) -> Bill:
    """A bill of which only the sum is known. Raises: InvalidRequest"""
    if not usd.is_finite() or not 0 <= usd <= MAX_USD:
        raise InvalidRequest(f"The amount == {str(usd)[:40]}, must be a number from 0 to {MAX_USD:,}")
    line = BillLine(on=None, model=None, usd=usd, kind="other")
    return Bill(source="one number", provider=provider, lines=(line,))


def days_of(bill: Bill) -> tuple[date, date] | None:
    """First and last day of a bill; None = it names none."""
    first = [line.on for line in bill.lines if line.on is not None]
    last = [line.last_on for line in bill.lines if line.last_on is not None]
    return (min(first), max(last)) if first else None


def reconcile(bill: Bill, booked: Sequence[MetricsRow], since: date, until: date) -> Reconciliation:
    """Compare the days from `since` to `until`, both included. Raises: InvalidRequest"""
    if since > until:
        raise InvalidRequest("The range ends before it begins.")
    if abs(bill.usd) > MAX_USD:
        raise InvalidRequest(f"The bill adds up to {bill.usd:,.2f} US dollars, must be at most {MAX_USD:,}")
    recorded = [
        replace(row, model=bill.groups.get(row.model or "", row.model))
        for row in booked
        if row.on is not None and since <= row.on <= until
    ]
    lines = [line for line in bill.lines if line.on is None or since <= line.on <= until]
    skipped = bill.skipped
    n_ranges = sum(line.until is not None for line in lines)
    if n_ranges or all(line.on is None for line in lines):  # no day can be held against a day
        lines = [replace(line, on=None) for line in lines]
        recorded = [replace(row, bucket=None) for row in recorded]
    if n_ranges:
        text = f"{n_ranges:,} lines are of several days each: the range is compared as a whole, not day by day."
        skipped = (*skipped, text)
    ratio = _constant_ratio(_drifts(lines, recorded, None, lambda each: (each.on, None)))
    by_day = _drifts(lines, recorded, ratio, lambda each: (each.on, None))
    return Reconciliation(
        since=since,
        until=until,
        source=bill.source,
        provider=bill.provider,
        total=_drift((None, None), lines, recorded, ratio),
        by_model=tuple(_drifts(lines, recorded, ratio, lambda each: (None, each.model))),
        by_day=tuple(_across_midnight(by_day)),
        rows=tuple(_drifts(lines, recorded, ratio, lambda each: (each.on, each.model))),
        skipped=skipped,
    )


def _drifts(
    lines: Sequence[BillLine],
    recorded: Sequence[MetricsRow],
    ratio: Decimal | None,
    key_of: Callable[[BillLine | MetricsRow], Key],
) -> list[Drift]:
    """One of each key, in order."""
    billed: defaultdict[Key, list[BillLine]] = defaultdict(list)
    booked: defaultdict[Key, list[MetricsRow]] = defaultdict(list)
    for line in lines:
        billed[key_of(line)].append(line)
    for row in recorded:
        booked[key_of(row)].append(row)
    keys = sorted(billed.keys() | booked.keys(), key=lambda key: (key[0] or date.min, key[1] or ""))
    return [_drift(key, billed[key], booked[key], ratio) for key in keys]


def _drift(key: Key, lines: Sequence[BillLine], recorded: Sequence[MetricsRow], ratio: Decimal | None) -> Drift:
    billed, own = (
        sum((line.usd for line in lines), Decimal(0)),
        sum((row.metrics.cost_usd for row in recorded), Decimal(0)),
    )
    cause = _cause(lines, recorded, (billed, own), ratio)
    return Drift(on=key[0], model=key[1], billed_usd=billed, booked_usd=own, cause=cause)


def _cause(
    lines: Sequence[BillLine], recorded: Sequence[MetricsRow], sums: tuple[Decimal, Decimal], ratio: Decimal | None
) -> str:
    billed, own = sums
    if abs(billed - own) <= AGREES * max(abs(billed), abs(own)):
        return "agrees"
    beside: Mapping[str, Decimal] = {
        kind: sum((line.usd for line in lines if line.kind == kind), Decimal(0))
        for kind in ("storage", "grounding", "tax", "credit")
    }
    n_unpriced = sum(row.metrics.n_unpriced for row in recorded)
    n_estimated = sum(row.metrics.n_estimated for row in recorded)
    if billed > own and n_unpriced:
        return f"{n_unpriced:,} calls have no price"
    if not recorded or not lines:
        return _one_sided(lines)
    for kind, usd in beside.items():
        if usd and abs(usd - (billed - own)) <= Decimal("0.2") * abs(billed - own):
            return f"{kind} lines of ${usd:f}, which are not charged per call"
    if ratio is not None:
        return f"the bill is {ratio:.3f} times the ledger on every day: a discount, a service tier, or another price"
    if n_estimated and billed > own:
        return f"{n_estimated:,} calls are estimated: they broke off or came without a count"
    if billed > own:
        return "calls that did not come through here, or a higher price"
    if any(row.metrics.cached_tokens for row in recorded):
        return "cached tokens billed lower, or a lower price"
    return "a lower price or a free allowance"


def _one_sided(lines: Sequence[BillLine]) -> str:
    """The cause of an amount that is only billed (lines), or only on record (no line)."""
    if not lines:
        return "recorded but not billed: free tier, or the bill is not complete yet (bills lag by a day or two)"
    if any(line.model is not None or not line.text for line in lines):
        return "billed but not recorded: calls that did not come through here, or another name of the model"
    sums: dict[str, Decimal] = {}
    for line in lines:
        sums[line.text] = sums.get(line.text, Decimal(0)) + line.usd
    named = [f"{text} ${usd:f}" for text, usd in sorted(sums.items(), key=lambda each: -abs(each[1]))]
    more = f" and {len(named) - 10:,} more" if len(named) > 10 else ""
    return f"billed for no model: {', '.join(named[:10])}{more}"


def _constant_ratio(days: Sequence[Drift]) -> Decimal | None:
    """Billed over booked, where it is nearly the same on at least three days and not 1."""
    ratios = [day.billed_usd / day.booked_usd for day in days if day.on and day.billed_usd and day.booked_usd > 0]
    if len(ratios) < 3:
        return None
    middle = sorted(ratios)[len(ratios) // 2]
    steady = all(abs(ratio - middle) <= CONSTANT * middle for ratio in ratios)
    return middle if steady and abs(middle - 1) > AGREES else None


def _across_midnight(days: Sequence[Drift]) -> list[Drift]:
    """Opposite drifts of neighbouring days: the vendor's day ends at another hour than ours."""
    found = list(days)
    for at in range(len(found) - 1):
        one, two = found[at], found[at + 1]
        if not one.on or not two.on or two.on - one.on != timedelta(days=1) or "agrees" in (one.cause, two.cause):
            continue
        if abs(one.difference_usd + two.difference_usd) <= Decimal("0.1") * abs(one.difference_usd):
            cause = "days are cut at another midnight (Google bills by Pacific time): the two cancel out"
            found[at : at + 2] = replace(one, cause=cause), replace(two, cause=cause)
    return found
