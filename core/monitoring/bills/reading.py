"""Reads a vendor's bill in any layout of `layouts`: nothing that was charged is dropped without being named. Pure."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any, Literal

from core.errors import InvalidRequest
from core.formats import strict_json as json
from core.monitoring.bills import layouts, notation
from core.monitoring.bills.layouts import IN_DOLLARS, MAX_PREAMBLE, PLAIN_MODEL, Header, Source, column
from core.monitoring.bills.models import Names
from core.monitoring.bills.notation import Mark, Order

Kind = Literal["input", "output", "cached", "thinking", "storage", "grounding", "credit", "tax", "other"]
MAX_BYTES = 50_000_000
WITHOUT = "totals and lines without a date, a model or a cost"
OTHERS = "other services than models"
FREE = "nothing was charged"
CENT = Decimal("0.01")
_SEPARATORS = ",;\t|"
_TOTAL = re.compile(
    r"(grand |sub[ -]?|filtered |invoice )?total\b(\W*(usd|costs?|amount|charges)?\W*$)?", re.IGNORECASE
)
_OF_MODELS = re.compile(
    r"gemini|generative|vertex|gemma|imagen|veo|openai|gpt|claude|anthropic|bedrock|foundry|cognitive"
    r"|ai (services|gateway)|tokens?\b|mistral|llama|cohere|deepseek|grok|qwen", re.IGNORECASE
)  # fmt: skip
_MONEY = re.compile(r"cost|charge|amount|fee|credit|discount|tax|saving|refund|adjust|usd|\$", re.IGNORECASE)
_MINUS = re.compile(r"(?<!\de)[-−]|\(", re.IGNORECASE)
_NO_MONEY = re.compile(
    r"usage.?amount|rate|price|currency|\bid$|type|name|description|unit|category|code", re.IGNORECASE
)
_KINDS: tuple[tuple[Kind, str], ...] = (
    ("tax", r"\btax\b|\bvat\b"), ("credit", r"credit|discount|promotion|refund|adjustment|saving|free (trial|tier)"),
    ("grounding", r"grounding|search"), ("storage", r"storage"), ("input", r"no[ _]cache|uncached"),
    ("cached", r"cach"), ("thinking", r"thinking|reasoning"), ("output", r"output|completion"),
    ("input", r"input|prompt"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One line of a bill.

    on, model: None where the bill does not say.
    until: Its last day.
    text: The item that is charged for, as the bill words it.
    """

    on: date | None
    model: str | None
    usd: Decimal
    kind: Kind
    until: date | None = None
    text: str = ""

    @property
    def last_on(self) -> date | None:
        return self.until or self.on


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A bill in US dollars.

    skipped: Sentences on each kind of line that was left out, and why.
    groups: Names of ours that it knows as one.
    """

    source: Source
    provider: str
    lines: tuple[BillLine, ...]
    skipped: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def usd(self) -> Decimal:
        return sum((line.usd for line in self.lines), Decimal(0))


@dataclass(slots=True)
class _LeftOut:
    """Lines left out for one reason: their number, their dollars, and dollars by name."""

    n: int = 0
    usd: Decimal = Decimal(0)
    names: dict[str, Decimal] = field(default_factory=dict)

    def add(self, usd: Decimal, name: str = "") -> None:
        self.n, self.usd = self.n + 1, self.usd + usd
        if name:
            self.names[name] = self.names.get(name, Decimal(0)) + usd


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file that is being read. left: What is left out, by why. totals: What it says that it adds up to.

    signs: Of its columns of credits: -1 where they are written without one.
    """

    header: Header
    mark: Mark
    order: Order
    names: Names
    signs: Mapping[int, int]
    left: dict[str, _LeftOut] = field(default_factory=dict)
    totals: list[Decimal] = field(default_factory=list)

    def leave(self, why: str, usd: Decimal, name: str = "") -> None:
        self.left.setdefault(why, _LeftOut()).add(usd, name)

    def charges(self, row: Sequence[str]) -> list[tuple[bool, Decimal]]:
        """A row's charges and credits as (is the cost itself, dollars); empty = it has none. Raises: InvalidRequest"""
        found = []
        for part in ("cost", "credits"):
            for at in self.header.columns[part]:
                if at < len(row) and not notation.is_blank(row[at]):
                    found.append((part == "cost", self.amount(row[at]) * self.signs.get(at, 1)))
        return found

    def amount(self, text: str) -> Decimal:
        if text[:1] in "[{":
            return _credits(text)
        layouts.check_amount(text)
        return notation.amount(text, self.mark) * self.header.layout.scale


def decoded(data: bytes) -> str:
    """A file's text; spreadsheets write UTF-16 or the Windows code page too."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if data[1:2] == b"\0":  # the same without its mark
        return data.decode("utf-16-le", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def parse_bill(text: str, models: Sequence[str] = ()) -> Bill:
    """Read a CSV, or the JSON of a costs API or BigQuery.

    models: Names in our own ledger; a line's text is matched with the longest of them.

    Raises:
        InvalidRequest: It is no such file, has no dollars, is in another currency, or can be read in two ways.
    """
    if len(text) > MAX_BYTES:
        raise InvalidRequest("The file is larger than 50 MB.")
    text = text.removeprefix("\ufeff")
    if "\x00" in text or text.lstrip().startswith(("<", "%PDF", "PK\x03")):
        raise InvalidRequest("This is not a CSV file.")
    is_json = text.lstrip().startswith(("{", "["))
    separator = "," if is_json else _separator(text)
    rows = _json_rows(text) if is_json else _by_day(_rows(text, separator))
    header = layouts.header(rows)
    body = [row for row in rows[header.at + 1 :] if tuple(row) != header.names]  # files put one after the other
    if wrong := next((row for row in body if any(row[len(header.names) :])), None):
        text = f"A line has more cells than the header; amounts with commas need quotes: {separator.join(wrong)[:80]!r}"
        raise InvalidRequest(text)
    file = _File(
        header=header,
        mark=notation.decimal_mark(_cells(body, header, "cost", "credits"), "." if separator != ";" else ","),
        order=notation.day_order(_cells(body, header, "since", "until"), header.layout.order),
        names=Names(models),
        signs={
            at: -1
            for at in header.columns["credits"]
            if not any(_MINUS.search(row[at]) for row in body if at < len(row))
        },
    )
    lines = _without_sum([line for row in body for line in _lines(row, file)], file)
    if not lines:
        raise InvalidRequest("The file has no line with a date or model and a cost.")
    groups = dict(file.names.groups)
    lines = [replace(line, model=groups.get(line.model or "", line.model)) for line in lines]
    return Bill(
        source=header.layout.source,
        provider=header.layout.provider,
        lines=tuple(lines),
        skipped=(*_in_words(file, lines), *_unread_columns(body, file), *_other_pages(body, header)),
        groups=groups,
    )


def _separator(text: str) -> str:
    """The one that cuts a line into the most columns with known names: cells may hold the others."""

    def n_known(separator: str) -> int:
        rows = islice(_rows(text[:100_000], separator), MAX_PREAMBLE)
        return max((sum(column(name) in layouts.KNOWN for name in row) for row in rows), default=0)

    return max(_SEPARATORS, key=n_known)


def _rows(text: str, separator: str) -> list[list[str]]:
    try:
        return [
            [cell.strip() for cell in row]
            for row in csv.reader(io.StringIO(text, newline=None), delimiter=separator)
            if any(row)
        ]
    except csv.Error as error:
        raise InvalidRequest(f"This is not a CSV file: {error}") from None


def _by_day(rows: list[list[str]]) -> list[list[str]]:
    """One row for each cell of a table with a row a day and a column a service, as AWS's Cost Explorer writes it."""
    at = next((at for at, row in enumerate(rows[:MAX_PREAMBLE]) if column(row[-1]) == "totalcosts"), None)
    if at is None:
        return rows
    names = [re.sub(r"\s*\(\$\)$", "", name) for name in rows[at]]
    days = [row for row in rows[at + 1 :] if not row[0].endswith(" total")]
    cells = ([row[0], name, name, usd] for row in days for name, usd in zip(names[1:-1], row[1:], strict=False) if usd)
    return [["date", "model", "service name", "cost"], *cells]


def _json_rows(text: str) -> list[list[str]]:
    """A table of objects, one a line or in one document; what is in an object belongs to what is in its lists."""
    try:
        given = json.loads(text, parse_float=Decimal)
    except ValueError:
        try:
            given = [json.loads(line, parse_float=Decimal) for line in text.splitlines() if line.strip()]
        except ValueError:
            raise InvalidRequest("This is not a JSON file that can be read.") from None
    except RecursionError:
        raise InvalidRequest("This is not a JSON file that can be read.") from None
    objects = list(_objects(given, {}))
    names = list(dict.fromkeys(name for each in objects for name in each))
    return [names or [""], *([each.get(name, "") for name in names] for each in objects)]


def _objects(given: Any, outer: Mapping[str, str]) -> Iterator[dict[str, str]]:
    if isinstance(given, list):
        for each in given:
            yield from _objects(each, outer)
    elif isinstance(given, dict):
        inner = next((given[name] for name in ("data", "results") if isinstance(given.get(name), list)), None)
        flat = dict(outer) | dict(_flat({name: value for name, value in given.items() if value is not inner}, ""))
        if inner is None:
            yield flat
        else:
            yield from _objects(inner, flat)


def _flat(given: Mapping[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, list):
            yield before + name, json.dumps(value, default=str)
        else:
            yield before + name, "" if value is None else str(value)


def _cells(rows: Iterable[Sequence[str]], header: Header, *parts: str) -> Iterator[str]:
    columns = [at for part in parts for at in header.columns[part]]
    return (row[at] for row in rows for at in columns if at < len(row))


def _lines(row: Sequence[str], file: _File) -> list[BillLine]:
    """The charge of a row and beside it its credits; none where the row is left out."""
    header = file.header
    if header.cost not in IN_DOLLARS:
        layouts.check_currency(header.cell(row, "currency"))
    charges = file.charges(row)
    whole = sum((usd for _, usd in charges), Decimal(0))
    said, since = header.cell(row, "model"), header.cell(row, "since")
    on, until = _days(row, file)
    label = " ".join(filter(None, (said, header.cell(row, "kind"), "" if re.search(r"\d", since) else since)))
    service = header.cell(row, "service")
    if (why := _why_not(row, (label, service), charges, on)) is not None:
        file.leave(why, whole, service if why == OTHERS else "")
        if _is_total(row, on):
            file.totals.append(whole)
        return []
    if on is None and re.search(r"\d", since):
        raise InvalidRequest(f"date == {since[:40]!r}, must be a day such as 2026-11-24")
    model, kind = file.names.find(said or label) or _named(row, header), _kind(label)
    text = (label or service)[:120]
    return [
        BillLine(on=on, until=until, model=model, usd=usd, kind=kind if is_cost else "credit", text=text)
        for is_cost, usd in charges
        if usd
    ]


def _why_not(
    row: Sequence[str], said: tuple[str, str], charges: Sequence[tuple[bool, Decimal]], on: date | None
) -> str | None:
    """The reason to leave a line out; None = it counts."""
    label, service = said
    if not charges or _is_total(row, on) or (on is None and not (label or service)):
        return WITHOUT
    if service and not _OF_MODELS.search(service) and not _OF_MODELS.search(label):
        return OTHERS
    return None if any(usd for _, usd in charges) else FREE


def _days(row: Sequence[str], file: _File) -> tuple[date | None, date | None]:
    """First and last day of a line; an end with a time of day is the moment after the last."""
    since, until = file.header.cell(row, "since"), file.header.cell(row, "until")
    found = notation.days(since, file.order)
    if found is None:
        return None, None
    last = max(found[1], (notation.last_day(until, file.order) if until else None) or found[1])
    return found[0], last if last > found[0] else None


def _named(row: Sequence[str], header: Header) -> str | None:
    """The name of a model that we do not know, where a column holds nothing else."""
    found = (row[at] for at in header.columns["model"] if at < len(row) and column(header.names[at]) in PLAIN_MODEL)
    return next(filter(None, found), None)


def _credits(text: str) -> Decimal:
    """BigQuery's list of credits, `[{"name": "Promotion", "amount": -1.5}]`: their sum. Raises: InvalidRequest"""
    try:
        given = json.loads(text, parse_float=Decimal)
        amounts = [Decimal(str(each["amount"] or 0)) for each in (given if isinstance(given, list) else [given])]
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        raise InvalidRequest(f"credits == {text[:40]!r}, must be a list of objects with an amount") from None
    return notation.checked(sum(amounts, Decimal(0)), text)


@lru_cache(maxsize=4096)
def _kind(text: str) -> Kind:
    return next((kind for kind, pattern in _KINDS if re.search(pattern, text.lower())), "other")


def _in_words(file: _File, lines: Sequence[BillLine]) -> list[str]:
    """Sentences on the lines that were left out, and on a total of the file that is not that of its lines."""
    found = []
    for why, left in file.left.items():
        names = ", ".join(f"{name} ${usd:f}" for name, usd in list(left.names.items())[:20])
        sums = f", ${left.usd:f}" if left.usd else ""
        found.append(
            f"Left out: {left.n:,} line{'s' if left.n > 1 else ''}{sums}: {why}{f' ({names})' if names else ''}."
        )
    charged = sum((line.usd for line in lines), Decimal(0))
    others = sum((left.usd for why, left in file.left.items() if why != WITHOUT), Decimal(0))
    if file.totals and all(abs(total - sums) > CENT for total in file.totals for sums in (charged, charged + others)):
        found.append(f"The file's own total is ${file.totals[-1]:f}; its lines add up to ${charged + others:f}.")
    return found


def _unread_columns(rows: Sequence[Sequence[str]], file: _File) -> list[str]:
    """Columns that look like money and are not read, with what they add up to."""
    header, layout = file.header, file.header.layout
    known = {*layout.cost, *layout.inside, *layout.credits, *layouts.NET}
    read = {at for columns in header.columns.values() for at in columns}
    found = []
    for at, name in enumerate(header.names):
        if at in read or column(name) in known or layouts.is_foreign(name):
            continue
        if not _MONEY.search(name) or _NO_MONEY.search(name):
            continue
        try:
            total = sum(
                (
                    file.amount(row[at])
                    for row in rows
                    if at < len(row) and not notation.is_blank(row[at]) and not _is_total(row, _days(row, file)[0])
                ),
                Decimal(0),
            )
        except InvalidRequest:
            continue  # words, or an amount in another notation
        if total:
            found.append(f"Not compared: the column {name[:60]!r} adds up to ${total:f}.")
    return found


def _is_total(row: Sequence[str], on: date | None) -> bool:
    """True for a row that is a sum of others; a row with a day that only begins with the word may be a customer's."""
    is_one = _TOTAL.match if on is None else _TOTAL.fullmatch
    return any(is_one(cell) for cell in row if cell[:1].isalpha())


def _without_sum(lines: list[BillLine], file: _File) -> list[BillLine]:
    """The lines without one that has no day and is the sum of those that have: a total, in whatever language."""
    dated = [line for line in lines if line.on is not None]
    rest = [line for line in lines if line.on is None]
    if len(rest) != 1 or not dated or rest[0].usd != sum(line.usd for line in dated):
        return lines
    file.leave(WITHOUT, rest[0].usd)
    return dated


def _other_pages(rows: Sequence[Sequence[str]], header: Header) -> list[str]:
    """A word on an answer of an API that is not all of it."""
    at = next((at for at, name in enumerate(header.names) if column(name) == "hasmore"), None)
    said = set() if at is None else {row[at] for row in rows}
    if "True" not in said or "False" in said:  # the last page is among them
        return []
    return ["The file is one page of several (has_more): what is on the others is not compared."]
