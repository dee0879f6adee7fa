"""Reads a vendor's bill: Google Cloud's cost table, OpenAI's costs export, or any CSV with a date, a model and a cost. Pure."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Literal

from core.errors import InvalidRequest

Kind = Literal["input", "output", "cached", "thinking", "storage", "grounding", "credit", "tax", "other"]
Source = Literal["google-cloud-csv", "openai-costs-csv", "generic-csv", "one number"]
MAX_BYTES = 50_000_000
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
_FOREIGN = re.compile(r"cost \((€|£|¥|₹|eur|gbp|chf|inr|jpy)\)")
_OF_MODELS = re.compile(r"gemini|generative|vertex|gemma|imagen|veo", re.IGNORECASE)
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
        InvalidRequest: It is no such file, has no dollars, or is in another currency.
    """
    if len(text) > MAX_BYTES:
        raise InvalidRequest("The file is larger than 50 MB.")
    rows = _rows(text)
    at, columns = _header(rows)
    header = [name.lower() for name in rows[at]]
    source: Source = "generic-csv"
    if _SERVICE[0] in header or _SERVICE[1] in header or "sku description" in header:
        source = "google-cloud-csv"
    elif "line_item" in header or "amount_value" in header:
        source = "openai-costs-csv"
    skipped: dict[str, int] = {}
    lines = [line for row in rows[at + 1 :] if (line := _line(row, columns, models, skipped)) is not None]
    if not lines:
        raise InvalidRequest("The file has no line with a date or model and a cost.")
    provider = {"google-cloud-csv": "gemini", "openai-costs-csv": "openai"}.get(source, "")
    texts = tuple(f"{n:,} lines: {why}" for why, n in skipped.items())
    return Bill(source=source, provider=provider, lines=tuple(lines), skipped=texts)


def _rows(text: str) -> list[list[str]]:
    text = text.removeprefix("\ufeff")
    if "\x00" in text or text.lstrip().startswith(("<", "%PDF", "PK\x03")):
        raise InvalidRequest("This is not a CSV file.")
    sample = text[:20_000]
    separator = max(",;\t", key=sample.count)
    try:
        return [
            [cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=separator) if any(row)
        ]
    except csv.Error as error:
        raise InvalidRequest(f"This is not a CSV file: {error}") from None


def _header(rows: Sequence[Sequence[str]]) -> tuple[int, dict[str, int]]:
    """Where the header is (invoices begin with other lines) and which column is what."""
    groups = {"date": _DATE, "cost": _COST, "model": _MODEL, "service": _SERVICE, "currency": _CURRENCY}
    for at, row in enumerate(rows[:40]):
        if foreign := _FOREIGN.search(" ".join(row).lower()):
            raise InvalidRequest(f"The bill is in {foreign[1].upper()}; only US dollars can be compared.")
        names = [re.sub(r"\s*\((\$|usd)\)", "", name.lower()).strip() for name in row]
        columns = {
            group: names.index(found) for group, wanted in groups.items() if (found := next((w for w in wanted if w in names), None))
        }  # fmt: skip
        if "cost" in columns and ("date" in columns or "model" in columns):
            return at, columns
        if "n_context_tokens_total" in names or "num_model_requests" in names:
            raise InvalidRequest("This is OpenAI's usage export: it has tokens and no dollars. Export *Costs* instead.")
    raise InvalidRequest("No header with a cost and a date or model was found in the first 40 lines.")


def _line(
    row: Sequence[str], columns: Mapping[str, int], models: Sequence[str], skipped: dict[str, int]
) -> BillLine | None:
    cells = {group: row[at] if at < len(row) else "" for group, at in columns.items()}
    currency = cells.get("currency", "").upper()
    if currency not in ("", "USD", "$"):
        raise InvalidRequest(f"The bill is in {currency[:10]}; only US dollars can be compared.")
    text, on = cells.get("model", ""), _date(cells.get("date", ""))
    why = _why_not(row, cells, on)
    usd = Decimal(0) if why else _amount(cells["cost"])
    if not why and usd == 0:
        why = "nothing was charged"
    if why:
        skipped[why] = skipped.get(why, 0) + 1
        return None
    return BillLine(on=on, model=_model(text, models), usd=usd, kind=_kind(text))


def _why_not(row: Sequence[str], cells: Mapping[str, str], on: date | None) -> str:
    """Why a line is left out; empty = it counts."""
    text, service = cells.get("model", ""), cells.get("service", "")
    if not cells["cost"] or (on is None and not text) or re.match(r"(grand |sub)?total\b", row[0].lower()):
        return "totals and lines without a date or model"
    if service and not _OF_MODELS.search(service) and not _OF_MODELS.search(text):
        return "other services than models"
    return ""


def _amount(text: str) -> Decimal:
    """1,234.56 and 1.234,56 and $-3 and (3.00)."""
    bare = re.sub(r"[\s$]|USD", "", text)
    if bare.startswith("(") and bare.endswith(")"):
        bare = f"-{bare[1:-1]}"
    if re.search(r",\d{1,2}$", bare) or (bare.count(",") == 1 and "." in bare and bare.index(".") < bare.index(",")):
        bare = bare.replace(".", "").replace(",", ".")
    try:
        amount = Decimal(bare.replace(",", ""))
    except InvalidOperation:
        raise InvalidRequest(f"cost == {text[:40]!r}, must be a number") from None
    if not amount.is_finite():
        raise InvalidRequest(f"cost == {text[:40]!r}, must be a number")
    return amount


def _date(text: str) -> date | None:
    if re.fullmatch(r"\d{10}", text):
        return date.fromordinal(date(1970, 1, 1).toordinal() + int(text) // 86_400)
    try:
        return date.fromisoformat(text[:10].replace("/", "-"))
    except ValueError:
        return None


def _model(text: str, models: Sequence[str]) -> str | None:
    """Our name of what a line's text speaks of: the longest name whose words are all in it, in order."""
    words = " " + re.sub(r"[^a-z0-9.]+", " ", text.lower()) + " "
    found = [name for name in models if " " + re.sub(r"[^a-z0-9.]+", " ", name.lower()) + " " in words]
    if found:
        return max(found, key=len)
    slug = re.search(
        r"\b(gemini|gpt|claude|o\d)[ -][\w. -]*?(?=,| input| output| cach| short| long| thinking| token|$)",
        text.lower(),
    )
    return re.sub(r"\s+", "-", slug[0].strip()) if slug else None


def _kind(text: str) -> Kind:
    return next((kind for kind, pattern in _KINDS if re.search(pattern, text.lower())), "other")
