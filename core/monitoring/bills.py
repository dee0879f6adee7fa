"""Reads a vendor's bill: Google Cloud's cost table, OpenAI's costs export, or any CSV with a date, a model and a cost. Pure."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Literal

from core.errors import InvalidRequest
from core.monitoring import notation
from core.monitoring.notation import Mark, Order

Kind = Literal["input", "output", "cached", "thinking", "storage", "grounding", "credit", "tax", "other"]
Source = Literal["google-cloud-csv", "openai-costs-csv", "generic-csv", "one number"]
MAX_BYTES = 50_000_000
WITHOUT = "totals and lines without a date, a model or a cost"
_DATE = ("usage start date", "usage_start_time", "start_time_iso", "start time iso", "date", "day", "usage date", "start_time", "start time", "month")  # fmt: skip
_COST = (
    "unrounded subtotal", "subtotal", "unrounded cost", "cost", "amount_value", "amount value", "cost_usd", "cost usd", "amount", "usd", "total",
)  # fmt: skip
_MODEL = (
    "sku description",
    "sku.description",
    "sku_description",
    "line_item",
    "line item",
    "model",
    "model name",
    "sku",
)
_SERVICE = ("service description", "service.description", "service_description")
_CURRENCY = ("currency", "amount_currency", "amount currency")
_CREDITS = ("credits", "credit", "discounts", "savings programs", "other savings", "promotions and others")
_NET = ("unrounded subtotal", "subtotal", "total")  # credits are in it already
_KNOWN = {*_DATE, *_COST, *_MODEL, *_SERVICE, *_CURRENCY}
_SEPARATORS = ",;\t"
_MAX_PREAMBLE = 40
_FOREIGN = re.compile(r"cost \((€|£|¥|₹|eur|gbp|chf|inr|jpy)\)")
_OF_MODELS = re.compile(r"gemini|generative|vertex|gemma|imagen|veo", re.IGNORECASE)
_VERSION = r"(?:[ _-](?:preview|exp|latest|stable|ga|\d{2,8})(?![a-z0-9.]))*+"
_VARIANT = (
    r"lite|mini|nano|pro|flash|ultra|turbo|live|tts|native|codex|realtime|transcribe|embedding|computer|instruct"
    r"|image(?! input)|\d+b"
)
_SLUG = re.compile(
    r"\b(gemini|gpt|claude|o\d)[ -][\w. -]*?"
    r"(?=,| (?:input|output|text|audio input|audio output|image input|video|batch|cach|short|long|thinking|token)|$)"
)
_KINDS: tuple[tuple[Kind, str], ...] = (
    ("tax", r"\btax\b|\bvat\b"), ("credit", r"credit|discount|promotion"), ("grounding", r"grounding|search"),
    ("storage", r"storage"), ("cached", r"cach"), ("thinking", r"thinking|reasoning"), ("output", r"output|completion"),
    ("input", r"input|prompt"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One line; on, model: None where the bill does not say."""

    on: date | None
    model: str | None
    usd: Decimal
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How a file is written. columns: Which column is what. charges: The cost's, and those of credits to be added to it."""

    columns: Mapping[str, int]
    charges: Sequence[int]
    mark: Mark
    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A bill in US dollars. skipped: What was left out and why, in words."""

    source: Source
    provider: str
    lines: tuple[BillLine, ...]
    skipped: tuple[str, ...] = ()

    @property
    def usd(self) -> Decimal:
        return sum((line.usd for line in self.lines), Decimal(0))


def parse_bill(text: str, models: Sequence[str] = ()) -> Bill:
    """Read a CSV. models: Names in our own books; a line's text is matched with the longest of them.

    Raises:
        InvalidRequest: It is no such file, has no dollars, is in another currency, or can be read in two ways.
    """
    if len(text) > MAX_BYTES:
        raise InvalidRequest("The file is larger than 50 MB.")
    text = text.removeprefix("\ufeff")
    if "\x00" in text or text.lstrip().startswith(("<", "%PDF", "PK\x03")):
        raise InvalidRequest("This is not a CSV file.")
    separator = _separator(text)
    rows = _rows(text, separator)
    at, columns = _header(rows)
    header = [_column(name) for name in rows[at]]
    source = _source(header)
    layout = _layout(rows[at + 1 :], header, columns, "." if separator != ";" else ",")
    skipped: dict[str, int] = {}
    lines = [line for row in rows[at + 1 :] for line in _lines(row, layout, models, skipped)]
    if not lines:
        raise InvalidRequest("The file has no line with a date or model and a cost.")
    provider = {"google-cloud-csv": "gemini", "openai-costs-csv": "openai"}.get(source, "")
    texts = tuple(f"{n:,} lines: {why}" for why, n in skipped.items())
    return Bill(source=source, provider=provider, lines=tuple(lines), skipped=texts)


def _source(header: Sequence[str]) -> Source:
    if {*_SERVICE, "sku description"} & set(header):
        return "google-cloud-csv"
    return "openai-costs-csv" if {"line_item", "amount_value"} & set(header) else "generic-csv"


def _separator(text: str) -> str:
    """The one that cuts a line into the most columns with known names: cells may hold the others."""

    def n_known(separator: str) -> int:
        rows = islice(_rows(text[:100_000], separator), _MAX_PREAMBLE)
        return max((sum(_column(name) in _KNOWN for name in row) for row in rows), default=0)

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


def _column(name: str) -> str:
    return re.sub(r"\s*\((\$|usd)\)", "", name.lower()).strip()


def _header(rows: Sequence[Sequence[str]]) -> tuple[int, dict[str, int]]:
    """Where the header is (invoices begin with other lines) and which column is what."""
    groups = {"date": _DATE, "cost": _COST, "model": _MODEL, "service": _SERVICE, "currency": _CURRENCY}
    for at, row in enumerate(rows[:_MAX_PREAMBLE]):
        if foreign := _FOREIGN.search(" ".join(row).lower()):
            raise InvalidRequest(f"The bill is in {foreign[1].upper()}; only US dollars can be compared.")
        names = [_column(name) for name in row]
        columns = {
            group: names.index(found) for group, wanted in groups.items() if (found := next((w for w in wanted if w in names), None))
        }  # fmt: skip
        if "cost" in columns and ("date" in columns or "model" in columns):
            return at, columns
        if "n_context_tokens_total" in names or "num_model_requests" in names:
            raise InvalidRequest("This is OpenAI's usage export: it has tokens and no dollars. Export *Costs* instead.")
    raise InvalidRequest(f"No header with a cost and a date or model was found in the first {_MAX_PREAMBLE} lines.")


def _layout(rows: Sequence[Sequence[str]], header: Sequence[str], columns: Mapping[str, int], default: Mark) -> _Layout:
    is_net = header[columns["cost"]] in _NET
    credits = [] if is_net else [at for at, name in enumerate(header) if name in _CREDITS]
    charges = [columns["cost"], *credits]
    dates = [columns["date"]] if "date" in columns else []
    return _Layout(
        columns=columns,
        charges=charges,
        mark=notation.decimal_mark(_cells(rows, charges), default),
        order=notation.day_order(_cells(rows, dates)),
    )


def _cells(rows: Iterable[Sequence[str]], columns: Sequence[int]) -> Iterator[str]:
    return (row[at] for row in rows for at in columns if at < len(row))


def _lines(row: Sequence[str], layout: _Layout, models: Sequence[str], skipped: dict[str, int]) -> list[BillLine]:
    """What a row charges, and beside it what it credits; neither where it is left out."""
    cells = {group: row[at] if at < len(row) else "" for group, at in layout.columns.items()}
    currency = cells.get("currency", "").upper()
    if currency not in ("", "USD", "$"):
        raise InvalidRequest(f"The bill is in {currency[:10]}; only US dollars can be compared.")
    text, on = cells.get("model", ""), notation.day(cells.get("date", ""), layout.order)
    charges = [at for at in layout.charges if at < len(row) and row[at]]
    why = _why_not(row, cells, on) if charges else WITHOUT
    found = [] if why else [(at, notation.amount(row[at], layout.mark)) for at in charges]
    if not why and not any(usd for _, usd in found):
        why = "nothing was charged"
    if why:
        skipped[why] = skipped.get(why, 0) + 1
        return []
    if on is None:
        _refuse_unreadable(cells.get("date", ""))
    model, kind = _model(text, models), _kind(text)
    return [
        BillLine(on=on, model=model, usd=usd, kind=kind if at == layout.charges[0] else "credit")
        for at, usd in found
        if usd
    ]


def _refuse_unreadable(on: str) -> None:
    if on and not notation.is_month(on):
        raise InvalidRequest(f"date == {on[:40]!r}, must be a day such as 2026-11-24")


def _why_not(row: Sequence[str], cells: Mapping[str, str], on: date | None) -> str:
    """Why a line is left out; empty = it counts."""
    text, service = cells.get("model", ""), cells.get("service", "")
    if (on is None and not text) or re.match(r"(grand |sub)?total\b", row[0].lower()):
        return WITHOUT
    if service and not _OF_MODELS.search(service) and not _OF_MODELS.search(text):
        return "other services than models"
    return ""


def _model(text: str, models: Sequence[str]) -> str | None:
    """Our name of what a line's text speaks of: the longest that it speaks of; else the name that it gives."""
    text = text.lower()
    found = [name for name in models if _spoken(name.lower()).search(text)]
    if found:
        return max(found, key=len)
    slug = _SLUG.search(text)
    return re.sub(r"\s+", "-", slug[0].strip()) if slug else None


@lru_cache(maxsize=4096)
def _spoken(name: str) -> re.Pattern[str]:
    """Finds a model's name, in whatever way its words are joined, where it is not the beginning of another model's."""
    words = r"[^a-z0-9.]+".join(re.escape(word) for word in re.split(r"[^a-z0-9.]+", name))
    return re.compile(
        rf"(?<![a-z0-9.]){words}(?![a-z0-9.]){_VERSION}(?![a-z0-9.]|-[a-z0-9]|[^a-z0-9]*(?:{_VARIANT})\b)"
    )


def _kind(text: str) -> Kind:
    return next((kind for kind, pattern in _KINDS if re.search(pattern, text.lower())), "other")
