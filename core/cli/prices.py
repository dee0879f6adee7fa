"""`aimm prices …`: what holds, the team's own rows, a newer catalogue, models without a price, past calls."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import ModelManager
from core.domain.price import RATE_NAMES, Price
from core.errors import InvalidRequest
from core.pricing.team import above_from_text

DEFAULT_URL = "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json"

_NUMBERS = (*RATE_NAMES, "discount_percent", "search_per_1000", "storage_per_hour", "request_per_1000")


def add(commands: Any) -> None:
    """Add the command and its parts to the parser."""
    prices = commands.add_parser("prices", help="price rows, unpriced models, back-pricing")
    parts = prices.add_subparsers(required=True, metavar="WHAT")

    one = parts.add_parser("list", help="the price of each model that can be asked, and the team's own rows")
    one.add_argument("model", nargs="*", help="provider/model, to ask for others")
    one.set_defaults(run=_list)

    one = parts.add_parser("set", help="add a row of your own; USD per million tokens")
    one.add_argument("provider")
    one.add_argument("model")
    for name in _NUMBERS:
        one.add_argument(f"--{name.replace('_', '-')}")
    one.add_argument(
        "--above", action="append", default=[], metavar="TOKENS:NAME=PRICE,…",
        help="the prices of longer prompts, such as 200000:input=4,output=18",
    )  # fmt: skip
    one.add_argument("--from", dest="effective_from", metavar="DATE", help="holds from this day on (UTC)")
    one.add_argument("--tier", action="append", default=[], metavar="NAME=FACTOR", help="such as batch=0.5")
    one.add_argument("--note")
    one.set_defaults(run=_set)

    for name, text in (("diff", "show what a newer catalogue would change"), ("update", "the same, and take it")):
        one = parts.add_parser(name, help=text)
        one.add_argument(
            "where", nargs="?", default=DEFAULT_URL, help="a file or an address; default: genai-prices' own"
        )
        if name == "update":
            one.add_argument("--yes", action="store_true", help="take it without asking")
            one.add_argument("--shipped", action="store_true", help="go back to the installed catalogue")
        one.set_defaults(run=_update if name == "update" else _diff)

    one = parts.add_parser("unpriced", help="models whose calls have no known cost")
    one.set_defaults(run=_unpriced)

    one = parts.add_parser("apply", help="charge past calls with the prices that are known now; shows a preview first")
    one.add_argument("provider")
    one.add_argument("model")
    one.add_argument("--since", metavar="DATE")
    one.add_argument("--until", metavar="DATE")
    one.add_argument("--all", action="store_true", help="also calls that have a cost")
    one.add_argument("--yes", action="store_true", help="apply without asking")
    one.set_defaults(run=_apply)


def _list(mm: ModelManager, args: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    pairs = [name.partition("/")[::2] for name in args.model] or [(m.provider, m.name) for m in mm.models()]
    for provider, model in pairs:
        price = mm.prices.price(provider, model, now)
        print(f"{provider}\t{model}\t{'unknown' if price is None else _text(price)}")
    for row in mm.prices.book.rows:
        off = f" -{100 * row.discount:f} %" if row.discount is not None else ""
        rates = " ".join(f"{name} {rate}" for name, rate in row.rates.items())
        print(f"own\t{row.provider}\t{row.model}\tfrom {row.effective_from:%Y-%m-%d}\t{rates}{off}\t{row.id}")
    _warn(mm)
    return 0


def _warn(mm: ModelManager) -> None:
    for text in mm.prices.warnings:
        print(text, file=sys.stderr)


def _text(price: Price) -> str:
    cached = f" cached {price.cached.base.normalize():f}" if price.cached else ""
    return f"input {price.input.base.normalize():f}{cached} output {price.output.base.normalize():f}\t{price.id}"


def _set(mm: ModelManager, args: argparse.Namespace) -> int:
    row = {name: getattr(args, name) for name in ("provider", "model", *_NUMBERS, "effective_from", "note")}
    tiers = dict(text.partition("=")[::2] for text in args.tier)
    made = mm.prices.set_price(row | {"tiers": tiers, "above": above_from_text(" ".join(args.above))})
    print(f"Set {made.provider} {made.model} ({made.id}). Past calls: aimm prices apply {made.provider} {made.model}")
    return 0


def _diff(mm: ModelManager, args: argparse.Namespace) -> int:
    _show(mm, _content(args.where))
    return 0


def _update(mm: ModelManager, args: argparse.Namespace) -> int:
    if args.shipped:
        mm.prices.use_shipped()
        print(f"In use: genai-prices {mm.prices.book.catalogue.version}.")
        return 0
    content = _content(args.where)
    if not _show(mm, content) or not _agreed(args, "Take it?"):
        return 0
    print(f"In use: {mm.prices.take(content).version}.")
    return 0


def _show(mm: ModelManager, content: str) -> int:
    _warn(mm)
    changes = mm.prices.compare(content)
    for change in changes:
        before, after = (
            "-" if each is None else _text(each).partition("\t")[0] for each in (change.before, change.after)
        )
        print(f"{change.kind}\t{change.provider}\t{change.model}\t{before} -> {after}")
    print(f"{len(changes)} models would change.")
    return len(changes)


def _content(where: str) -> str:
    """A file, or an address that is read only because the user asked for it."""
    if not where.startswith(("http://", "https://")):
        try:
            return Path(where).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"{where} cannot be read ({type(error).__name__}).") from None
    import httpx2

    try:
        response = httpx2.get(where, timeout=30.0, follow_redirects=True)
        response.raise_for_status()
    except httpx2.HTTPError as error:
        raise InvalidRequest(f"{where} cannot be read ({type(error).__name__}).") from None
    return response.text


def _unpriced(mm: ModelManager, _args: argparse.Namespace) -> int:
    for each in mm.repricing.unpriced():
        tokens = f"{each.input_tokens:,} in\t{each.output_tokens:,} out"
        days = f"{each.first_at:%Y-%m-%d} to {each.last_at:%Y-%m-%d}"
        print(f"{each.provider}\t{each.model}\t{each.n_calls:,} calls\t{tokens}\t{days}")
    return 0


def _apply(mm: ModelManager, args: argparse.Namespace) -> int:
    span = {"since": _moment(args.since), "until": _moment(args.until)}
    days = mm.repricing.preview(args.provider, args.model, only_unpriced=not args.all, **span)
    for day in days:
        print(f"{day.on}\t{day.n_calls:,} calls\t${day.before_usd:f} -> ${day.after_usd:f}")
    n, before, after = sum(d.n_calls for d in days), sum(d.before_usd for d in days), sum(d.after_usd for d in days)
    print(f"{n:,} calls on {len(days)} days: ${before:f} -> ${after:f}")
    if not n or not _agreed(args, "Apply?"):
        return 0
    done = mm.repricing.reprice(args.provider, args.model, only_unpriced=not args.all, **span)
    print(f"{done:,} calls charged anew.")
    return 0


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{text!r} is not a date such as 2026-11-01") from None


def _agreed(args: argparse.Namespace, question: str) -> bool:
    return bool(args.yes) or (sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() == "y")
