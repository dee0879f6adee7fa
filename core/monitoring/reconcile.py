"""The vendor's bill against our own books: where they drift apart, by how much, and the likely cause. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from core.errors import InvalidRequest
from core.monitoring.bills import Bill, BillLine
from core.monitoring.notation import MAX_USD

AGREES = Decimal("0.01")
CONSTANT = Decimal("0.02")


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """What is on record for a day (UTC) and model; on: None = for the whole range."""

    on: date | None
    model: str
    usd: Decimal
    n_calls: int = 0
    n_unpriced: int = 0
    n_estimated: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What was billed beside what is booked; on, model: None = all, or not said by the bill."""

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


def reconcile(bill: Bill, booked: Sequence[Booked], since: date, until: date) -> Reconciliation:
    """Compare the days from `since` to `until`, both included. Raises: InvalidRequest"""
    if since > until:
        raise InvalidRequest("The range ends before it begins.")
    if abs(bill.usd) > MAX_USD:
        raise InvalidRequest(f"The bill adds up to {bill.usd:,.2f} US dollars, must be at most {MAX_USD:,}")
    books = [
        replace(row, model=bill.groups.get(row.model, row.model))
        for row in booked
        if row.on is not None and since <= row.on <= until
    ]
    lines = [line for line in bill.lines if line.on is None or since <= line.on <= until]
    skipped = bill.skipped
    n_ranges = sum(line.until is not None for line in lines)
    if n_ranges or all(line.on is None for line in lines):  # no day can be held against a day
        lines = [replace(line, on=None) for line in lines]
        books = [replace(row, on=None) for row in books]
    if n_ranges:
        text = f"{n_ranges:,} lines are of several days each: the range is compared as a whole, not day by day."
        skipped = (*skipped, text)
    ratio = _constant_ratio(lines, books)
    keys = {(line.on, line.model) for line in lines} | {(row.on, row.model) for row in books}
    rows = [_drift(on, model, lines, books, ratio) for on, model in sorted(keys, key=_order)]
    models = sorted({model for _, model in keys}, key=lambda name: name or "")
    days = sorted({on for on, _ in keys}, key=lambda day: day or date.min)
    by_model = [
        _drift(None, model, _of(lines, "model", model), _of(books, "model", model), ratio, all_=True)
        for model in models
    ]
    by_day = [_drift(on, None, _of(lines, "on", on), _of(books, "on", on), ratio, all_=True) for on in days]
    return Reconciliation(
        since=since,
        until=until,
        source=bill.source,
        provider=bill.provider,
        total=_drift(None, None, lines, books, ratio, all_=True),
        by_model=tuple(by_model),
        by_day=tuple(_across_midnight(by_day)),
        rows=tuple(rows),
        skipped=skipped,
    )


def _order(key: tuple[date | None, str | None]) -> tuple[date, str]:
    return key[0] or date.min, key[1] or ""


def _of(things: Iterable[object], name: str, value: object) -> list:  # type: ignore[type-arg]
    return [thing for thing in things if getattr(thing, name) == value]


def _drift(
    on: date | None, model: str | None, lines: Sequence[BillLine], books: Sequence[Booked], ratio: Decimal | None, *, all_: bool = False
) -> Drift:  # fmt: skip
    """`all_`: of all the lines and rows given; else of those of this very day and model."""
    if not all_:
        lines = [line for line in lines if (line.on, line.model) == (on, model)]
        books = [row for row in books if (row.on, row.model) == (on, model)]
    billed, own = sum((line.usd for line in lines), Decimal(0)), sum((row.usd for row in books), Decimal(0))
    return Drift(
        on=on, model=model, billed_usd=billed, booked_usd=own, cause=_cause(lines, books, (billed, own), ratio)
    )


def _cause(
    lines: Sequence[BillLine], books: Sequence[Booked], sums: tuple[Decimal, Decimal], ratio: Decimal | None
) -> str:
    billed, own = sums
    if abs(billed - own) <= AGREES * max(abs(billed), abs(own)):
        return "agrees"
    beside: Mapping[str, Decimal] = {
        kind: sum((line.usd for line in lines if line.kind == kind), Decimal(0))
        for kind in ("storage", "grounding", "tax", "credit")
    }
    n_unpriced, n_estimated = sum(row.n_unpriced for row in books), sum(row.n_estimated for row in books)
    if billed > own and n_unpriced:
        return f"{n_unpriced:,} calls have no price"
    if not books or not lines:
        return _one_sided(lines)
    for kind, usd in beside.items():
        if usd and abs(usd - (billed - own)) <= Decimal("0.2") * abs(billed - own):
            return f"{kind} lines of ${usd:f}, which are not charged per call"
    if ratio is not None:
        return f"the bill is {ratio:.3f} times the books on every day: a discount, a service tier, or another price"
    if n_estimated and billed > own:
        return f"{n_estimated:,} calls are estimated: they broke off or came without a count"
    if billed > own:
        return "calls that did not come through here, or a higher price"
    return "a lower price or a free allowance" if not any(row.cached_tokens for row in books) else "cached tokens billed lower, or a lower price"  # fmt: skip


def _one_sided(lines: Sequence[BillLine]) -> str:
    """Why something is only billed (lines), or only on record (no line)."""
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


def _constant_ratio(lines: Sequence[BillLine], books: Sequence[Booked]) -> Decimal | None:
    """Billed over booked, where it is nearly the same on at least three days and not 1."""
    days = {line.on for line in lines if line.on is not None} & {row.on for row in books}
    ratios = []
    for day in days:
        own = sum((row.usd for row in books if row.on == day), Decimal(0))
        if own > 0:
            ratios.append(sum((line.usd for line in lines if line.on == day), Decimal(0)) / own)
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
        if (
            one.on is None
            or two.on is None
            or two.on - one.on != timedelta(days=1)
            or "agrees" in (one.cause, two.cause)
        ):
            continue
        left = abs(one.difference_usd + two.difference_usd)
        if left <= Decimal("0.1") * abs(one.difference_usd):
            cause = "days are cut at another midnight (Google bills by Pacific time): the two cancel out"
            for index in (at, at + 1):
                old = found[index]
                found[index] = Drift(
                    on=old.on, model=old.model, billed_usd=old.billed_usd, booked_usd=old.booked_usd, cause=cause
                )
    return found
