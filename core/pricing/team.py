"""The team's own price rows as text: `data/prices.yaml`, forms, the command line. Pure; the caller reads the file."""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from core import clock
from core.domain.generation import SERVICE_TIERS
from core.domain.price import RATE_NAMES, PriceSource, Rate, TeamPrice
from core.errors import InvalidRequest
from core.formats.names import is_pattern
from core.formats.text import is_storable
from core.formats.yaml_text import Scalar, is_null, read
from core.pricing.book import ALL_MODELS
from core.pricing.catalogue import normalise
from core.vendors import VENDORS

MAX_USD = Decimal(1_000_000)
MAX_PROMPT_TOKENS = 10**12
MAX_DECIMALS = 6  # a millionth of a dollar for a million tokens
# Fees by their fields, and for how many a field names the price where the fee is for one.
FEE_FIELDS = {
    "search_usd": ("search_per_1000", 1000), "storage_usd": ("storage_per_hour", 1),
    "request_usd": ("request_per_1000", 1000), "characters_usd": ("characters_per_million", 1),
    "sound_usd": ("sound_per_hour", 1), "picture_usd": ("picture_per_1000", 1000),
}  # fmt: skip
FIELDS = {
    "provider", "model", "effective_from", "discount_percent", "tiers", "note", "above", *RATE_NAMES,
    *(name for name, _ in FEE_FIELDS.values()),
}  # fmt: skip


def rows_from_yaml(text: str | bytes, servers: Collection[str] = ()) -> list[TeamPrice]:
    """The rows of a prices file: a list of mappings, or `prices:` with one.

    Raises:
        InvalidRequest: The file is not YAML, or a row is wrong; the message names the row.
    """
    try:
        content = read(text)
    except InvalidRequest as error:
        raise InvalidRequest(f"prices.yaml: {error.message}") from None
    if isinstance(content, dict) and (unknown := [name for name in content if name != "prices"]):
        raise InvalidRequest(
            f"prices.yaml{_line(content)}: {unknown[0][:60]} is not known here; rows stand under `prices:`"
        )
    rows = content.get("prices") if isinstance(content, dict) else content
    if is_null(rows):
        return []
    if not isinstance(rows, list):
        raise InvalidRequest("prices.yaml must hold a list of price rows under `prices:`.")
    found = []
    for number, row in enumerate(rows, 1):
        try:
            found.append(row_from(_given(row), source="file", servers=servers))
        except InvalidRequest as error:
            raise InvalidRequest(f"prices.yaml, row {number}{_line(row)}: {error.message}") from None
    return found


def _given(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise InvalidRequest("it is not a mapping such as {provider: openai, model: gpt-5.4, input: 2.5, output: 15}")
    for name, value in row.items():
        if isinstance(value, dict | list) and name not in ("above", "tiers"):
            raise InvalidRequest(f"{name[:60]} must be a text or a number")
    return {str(name): None if is_null(value) else value for name, value in row.items()}


def _line(row: Any) -> str:
    first = next(iter(row), None) if isinstance(row, dict) else row
    return f" (line {first.line})" if isinstance(first, Scalar) else ""


def row_from(
    given: Mapping[str, Any],
    *,
    source: PriceSource = "team",
    id_: str | None = None,
    servers: Collection[str] = (),
) -> TeamPrice:
    """A row from plain values; prices in USD per million tokens, `discount_percent` in per cent.

    servers: The names of one's own servers, which have prices like a vendor.
    above: {prompt tokens: {rate name: price}} for long prompts. tiers: {service tier: factor on the standard rates}.
    What a row without prices does not say stays as the provider's `*` row has it.

    Raises:
        InvalidRequest: A value is missing or out of range.
    """
    if unknown := sorted(set(map(str, given)) - FIELDS):
        raise InvalidRequest(f"{', '.join(unknown)}: no such field; there are {', '.join(sorted(FIELDS))}")
    provider, model = str(given.get("provider") or "").strip().lower(), str(given.get("model") or "").strip()
    if not provider or not model or len(provider) > 60 or len(model) > 200:
        raise InvalidRequest("A price row needs a provider and a model.")
    note = str(given.get("note") or "")[:500]
    if not all(is_storable(text) for text in (provider, model, note)):
        raise InvalidRequest("A text of the row holds a character that cannot be kept.")
    _check_provider(provider, servers)
    rates = _rates(given)
    discount = _optional(given.get("discount_percent"), "discount_percent", Decimal(100))
    tiers = _tiers(given.get("tiers") or {})
    fees: dict[str, Any] = {
        fee: usd / per
        for fee, (name, per) in FEE_FIELDS.items()
        if (usd := _optional(given.get(name), name)) is not None
    }
    if model != ALL_MODELS and is_pattern(model):
        raise InvalidRequest(f"model == {model!r}, must be one model, or * for all of the provider.")
    if model == ALL_MODELS and rates:
        raise InvalidRequest("A row for all models (*) can hold a discount and tiers, not prices.")
    if not rates and not tiers and not fees and discount is None:
        raise InvalidRequest("The row says nothing: give input and output prices, a discount or a tier.")
    starts = _moment(given.get("effective_from"))
    row = TeamPrice(
        id="",
        provider=provider,
        model=normalise(model) if model != ALL_MODELS else model,
        effective_from=starts,
        source=source,
        rates=rates,
        discount=None if discount is None else discount / 100,
        tiers=tiers,
        **fees,
        note=note,
    )
    digest = hashlib.sha256(repr(row).encode()).hexdigest()[:10]
    return replace(row, id=id_ or digest)


def _check_provider(provider: str, servers: Collection[str]) -> None:
    if provider == "simulated":
        raise InvalidRequest("The prices of simulated models are examples and stay as they are.")
    known = tuple(dict.fromkeys((*VENDORS, *servers)))
    if provider not in known:
        raise InvalidRequest(
            f"provider == {provider!r} is not known, there are {', '.join(known)}; AIMM_SERVERS names further ones"
        )


def _rates(given: Mapping[str, Any]) -> dict[str, Rate]:
    base = {name: _number(given[name], name) for name in RATE_NAMES if given.get(name) is not None}
    above = _above(given.get("above") or {})
    if (base or above) and not {"input", "output"} <= set(base):
        raise InvalidRequest("A row with prices needs both input and output (0 where it is free).")
    for limit, steps in above.items():
        if alone := sorted(set(steps) - set(base)):
            raise InvalidRequest(f"above {limit} has a price for {', '.join(alone)}, and up to there the row has none")
    return {
        name: Rate(
            base=usd, above=tuple((limit, steps[name]) for limit, steps in sorted(above.items()) if name in steps)
        )
        for name, usd in base.items()
    }


def _above(given: Any) -> dict[int, dict[str, Decimal]]:
    """{prompt tokens: {rate name: price}}"""
    if not isinstance(given, Mapping) or not all(isinstance(steps, Mapping) for steps in given.values()):
        raise InvalidRequest("above must be like {200000: {input: 2.5, output: 15}}")
    found = {}
    for limit, steps in given.items():
        if not re.fullmatch("[0-9]{1,13}", str(limit)) or int(limit) > MAX_PROMPT_TOKENS:
            raise InvalidRequest(f"above {str(limit)[:60]!r}: must be prompt tokens from 0 to {MAX_PROMPT_TOKENS:,}")
        if unknown := sorted(set(map(str, steps)) - set(RATE_NAMES)):
            raise InvalidRequest(f"above {limit}: {', '.join(unknown)} is no price; there are {', '.join(RATE_NAMES)}")
        found[int(limit)] = {str(name): _number(usd, f"above {limit} {name}") for name, usd in steps.items()}
    return found


def above_from_text(text: str) -> dict[str, dict[str, str]]:
    """The field `above` as it is typed: `200000:input=4,output=18`, several of them with spaces between.

    Raises:
        InvalidRequest: It does not look like that; whether the prices can be is for `row_from` to say.
    """
    found = {}
    for part in text.split():
        limit, _, prices = part.partition(":")
        pairs = [pair.partition("=") for pair in prices.split(",")]
        if not all(name and sign for name, sign, _ in pairs):
            raise InvalidRequest(f"{part[:60]!r}: prices of long prompts must be like 200000:input=4,output=18")
        found[limit] = {name: usd for name, _, usd in pairs}
    return found


def _tiers(given: Any) -> dict[str, Decimal]:
    if not isinstance(given, Mapping) or set(given) - set(SERVICE_TIERS[1:]):
        raise InvalidRequest(f"tiers must be factors for {', '.join(SERVICE_TIERS[1:])}, such as batch: 0.5")
    return {str(name): _number(factor, f"tiers.{name}", Decimal(100)) for name, factor in given.items()}


def _optional(value: Any, name: str, most: Decimal = MAX_USD) -> Decimal | None:
    return None if value is None or value == "" else _number(value, name, most)


def _number(value: Any, name: str, most: Decimal = MAX_USD) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite() or not 0 <= number <= most:
        raise InvalidRequest(f"{name} == {value!r:.60}, must be a number from 0 to {most:,}")
    if -number.as_tuple().exponent > MAX_DECIMALS:  # type: ignore[operator]  # finite: an int
        raise InvalidRequest(f"{name} == {value!r:.60} has more than {MAX_DECIMALS} decimals")
    return number


def _moment(value: Any) -> datetime:
    """Midnight UTC of a date; a moment as it is. Without one, the row holds from the beginning of time."""
    if value is None or value == "":
        return clock.EPOCH
    try:
        if isinstance(value, str | date):
            return clock.from_iso(str(value))
    except (ValueError, OverflowError):  # the last moments of the year 9999 have no UTC
        pass
    raise InvalidRequest(f"effective_from == {str(value)[:60]!r}, must be a date such as 2026-12-01")
