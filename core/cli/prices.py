"""`aimm prices …`: what holds, the team's own rows, a newer catalogue, models without a price, past calls."""

import argparse
import sys
from datetime import datetime
from typing import Any

from core import ModelManager, clock
from core.cli.parts import command, file_text, group
from core.domain.price import RATE_NAMES, Price
from core.errors import InvalidRequest
from core.pricing.team import FEE_FIELDS, above_from_text

DEFAULT_URL = "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json"

_NUMBERS = (*RATE_NAMES, "discount_percent", *(name for name, _ in FEE_FIELDS.values()))


def add(commands: Any) -> None:
    """Add the command and its parts to the parser."""
    parts = group(commands, "prices", "price rows, unpriced models, back-pricing")
    command(parts, "unpriced", "models whose calls have no known cost", _unpriced)

    one = command(parts, "list", "the price of each model that can be asked, and the team's own rows", _list)
    one.add_argument("model", nargs="*", help="provider/model, to ask for others")

    one = command(parts, "set", "add a row of your own; USD per million tokens", _set, "provider", "model")
    for name in _NUMBERS:
        one.add_argument(f"--{name.replace('_', '-')}")
    one.add_argument(
        "--above", action="append", default=[], metavar="TOKENS:NAME=PRICE,…",
        help="the prices of longer prompts, such as 200000:input=4,output=18",
    )  # fmt: skip
    one.add_argument("--from", dest="effective_from", metavar="DATE", help="holds from this day on (UTC)")
    one.add_argument("--tier", action="append", default=[], metavar="NAME=FACTOR", help="such as batch=0.5")
    one.add_argument("--note")

    diff = command(parts, "diff", "show what a newer catalogue would change", _diff)
    update = command(parts, "update", "the same, and take it", _update)
    for one in (diff, update):
        one.add_argument("where", nargs="?", default=DEFAULT_URL, help="a file or an address (genai-prices' own)")
    update.add_argument("--yes", action="store_true", help="take it without asking")
    update.add_argument("--shipped", action="store_true", help="go back to the installed catalogue")

    told = "charge past calls with the prices that are known now; shows a preview first"
    one = command(parts, "apply", told, _apply, "provider", "model")
    one.add_argument("--since", metavar="DATE")
    one.add_argument("--until", metavar="DATE")
    one.add_argument("--all", action="store_true", help="also calls that have a cost")
    one.add_argument("--yes", action="store_true", help="apply without asking")


def _list(mm: ModelManager, args: argparse.Namespace) -> None:
    now = clock.now()
    pairs = [name.partition("/")[::2] for name in args.model] or [(m.provider, m.name) for m in mm.models()]
    for provider, model in pairs:
        price = mm.prices.price(provider, model, now)
        print(f"{provider}\t{model}\t{'unknown' if price is None else _text(price)}")
    for row in mm.prices.book.rows:
        off = f" -{100 * row.discount:f}%" if row.discount is not None else ""
        rates = " ".join(f"{name} {rate}" for name, rate in row.rates.items())
        print(f"own\t{row.provider}\t{row.model}\tfrom {row.effective_from:%Y-%m-%d}\t{rates}{off}\t{row.id}")
    _warn(mm)


def _warn(mm: ModelManager) -> None:
    for text in mm.prices.warnings:
        print(text, file=sys.stderr)


def _text(price: Price) -> str:
    cached = f" cached {price.cached.base.normalize():f}" if price.cached else ""
    return f"input {price.input.base.normalize():f}{cached} output {price.output.base.normalize():f}\t{price.id}"


def _set(mm: ModelManager, args: argparse.Namespace) -> None:
    row = {name: getattr(args, name) for name in ("provider", "model", *_NUMBERS, "effective_from", "note")}
    tiers = dict(text.partition("=")[::2] for text in args.tier)
    made = mm.prices.set_price(row | {"tiers": tiers, "above": above_from_text(" ".join(args.above))})
    of = f"{made.provider} {made.model}"
    print(f"Set {of} ({made.id}). Recalculate costs: aimm prices apply {of}")


def _diff(mm: ModelManager, args: argparse.Namespace) -> None:
    _show(mm, _content(args.where))


def _update(mm: ModelManager, args: argparse.Namespace) -> None:
    if args.shipped:
        mm.prices.use_shipped()
        print(f"In use: genai-prices {mm.prices.book.catalogue.version}.")
        return
    content = _content(args.where)
    if not _show(mm, content) or not _agreed(args, "Take it?"):
        return
    print(f"In use: {mm.prices.take(content).version}.")


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
        return file_text(where)
    import httpx2

    try:
        response = httpx2.get(where, timeout=30.0, follow_redirects=True)
        response.raise_for_status()
    except httpx2.HTTPError as error:
        raise InvalidRequest(f"{where} cannot be read ({type(error).__name__}).") from None
    return response.text


def _unpriced(mm: ModelManager, _args: argparse.Namespace) -> None:
    for each in mm.repricing.unpriced():
        tokens = f"{each.input_tokens:,} in\t{each.output_tokens:,} out"
        days = f"{each.first_at:%Y-%m-%d} to {each.last_at:%Y-%m-%d}"
        print(f"{each.provider}\t{each.model}\t{each.n_calls:,} calls\t{tokens}\t{days}")


def _apply(mm: ModelManager, args: argparse.Namespace) -> None:
    span = {"since": _moment(args.since), "until": _moment(args.until)}
    days = mm.repricing.preview(args.provider, args.model, only_unpriced=not args.all, **span)
    for day in days:
        print(f"{day.on}\t{day.n_calls:,} calls\t${day.before_usd:f} -> ${day.after_usd:f}")
    n, before, after = sum(d.n_calls for d in days), sum(d.before_usd for d in days), sum(d.after_usd for d in days)
    print(f"{n:,} calls on {len(days)} days: ${before:f} -> ${after:f}")
    if not n or not _agreed(args, "Apply?"):
        return
    done = mm.repricing.reprice(args.provider, args.model, only_unpriced=not args.all, **span)
    print(f"{done:,} calls charged anew.")


def _moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else clock.from_iso(text)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{text!r} is not a date such as 2026-11-01") from None


def _agreed(args: argparse.Namespace, question: str) -> bool:
    return bool(args.yes) or (sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() == "y")
