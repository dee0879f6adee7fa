"""`aimm logs` and `aimm export`: the log by filter, on the screen and as files."""

import argparse
import os
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from core import ModelManager, clock
from core.cli.parts import command, group
from core.domain.log.breakdown import BREAKDOWNS, fields_of
from core.domain.log.filter import DESCRIBED, LogFilter, from_texts
from core.errors import InvalidRequest
from core.formats.figures import percent
from core.log.exporting import FORMATS

MISUSED = 2  # the exit code of a filter that cannot be, as argparse has it


def add(commands: Any) -> None:
    """Add the commands and their parts to the parser."""
    listed = command(commands, "logs", "calls, the newest first", _logs)
    listed.add_argument("-n", type=int, default=10, help="how many at most")
    told = f"sums by one or two fields instead, such as key,model: {', '.join(BREAKDOWNS)}"
    listed.add_argument("--by", metavar="FIELD,FIELD", help=told)
    _add_filter(listed)

    export = command(commands, "export", "calls, or the configuration, as a file", _export)
    export.add_argument(
        "what", nargs="?", choices=("calls", "config"), default="calls", help="calls, if nothing is said"
    )
    export.add_argument("--format", default="jsonl", help=f"{', '.join(FORMATS)}; jsonl where nothing is said")
    export.add_argument("-o", "--output", metavar="FILE", help="where to write; else to standard output")
    export.add_argument("--texts", action="store_true", help="with prompts and answers")
    _add_filter(export)

    parts = group(commands, "sessions", "calls that programs count together")
    command(parts, "list", "the latest, with their costs", _sessions).add_argument("-n", type=int, default=20)
    command(parts, "show", "the conversation, with the cost of each call", _session, "session")


def _add_filter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", default="", help=DESCRIBED["from"].lower())
    parser.add_argument("--until", default="", help=DESCRIBED["to"].lower())
    names = ", ".join(name for name in DESCRIBED if name not in ("from", "to"))
    told = f"may be repeated; {names}"
    parser.add_argument("--filter", action="append", default=[], metavar="NAME=VALUE", help=told)


def _wanted(args: argparse.Namespace) -> LogFilter:
    """Raises: InvalidRequest."""
    given: dict[str, str] = {}
    for text in args.filter:
        name, is_pair, value = text.partition("=")
        if not is_pair:
            raise InvalidRequest(f"--filter {text[:60]!r} must be NAME=VALUE, such as model=gpt-4o")
        if name in given:
            raise InvalidRequest(f"--filter {name[:60]} is given twice; the log takes one of each.")
        given[name] = value
    for name, value in (("from", args.since), ("to", args.until)):
        if value:
            given[name] = value
    return from_texts(given, clock.now())


def _logs(mm: ModelManager, args: argparse.Namespace) -> int:
    try:
        if args.by is not None:
            return _sums(mm, _wanted(args), args)
        page = mm.log.search(_wanted(args), limit=max(1, min(args.n, 10_000)), counts=False)
    except InvalidRequest as error:
        return _misused(error)
    for g in page.calls:
        cost = "unknown" if g.cost_usd is None else f"${g.cost_usd:f}"
        mark = "  (demo)" if g.source == "demo" else ""
        print(f"{g.created_at:%Y-%m-%d %H:%M:%S}  {g.model}  {g.status}  {g.latency_s:.2f} s  {cost}  {g.id}{mark}")
    if page.note:
        print(page.note, file=sys.stderr)
    return 0


def _sums(mm: ModelManager, wanted: LogFilter, args: argparse.Namespace) -> int:
    """Print the sums of calls, the most expensive first. Raises: InvalidRequest."""
    cells = mm.log.breakdown(wanted, args.by)
    keys = {key.id: key.name for key in mm.keys.all()}
    names = fields_of(args.by)
    total = mm.log.search(wanted, limit=1).total
    cost = total.cost_usd if total else Decimal(0)
    for cell in cells[: max(1, args.n)]:
        of = "  ".join(
            f"no {name}" if value is None else keys.get(value, value) if name == "key" else value
            for name, value in zip(names, cell.of, strict=True)
        )
        parts = [of, f"{cell.n} calls", f"{cell.n_failed} failed"]
        parts.append("no p95" if cell.p95_s is None else f"p95 {cell.p95_s:.2f} s")
        parts.append(f"${cell.cost_usd:f}" if cell.n > cell.n_unpriced else "unknown")
        parts += [f"{percent(float(cell.cost_usd / cost))} of the cost"] if cost and cell.n > cell.n_unpriced else []
        parts += [f"{cell.n_unpriced} unpriced"] if cell.n_unpriced else []
        print("  ".join(parts))
    if len(cells) > args.n:
        print(f"{len(cells) - args.n:,} more: -n {len(cells)}", file=sys.stderr)
    if note := mm.log.deleted(wanted):
        print(note, file=sys.stderr)
    return 0


def _export(mm: ModelManager, args: argparse.Namespace) -> int:
    try:
        if args.what == "config":
            parts: Iterator[bytes] = iter([mm.configuration.export().encode()])
        else:
            parts = mm.log.export(_wanted(args), args.format, texts=args.texts)
    except InvalidRequest as error:
        return _misused(error)
    if note := mm.log.deleted(_wanted(args)):
        print(note, file=sys.stderr)
    if args.output is not None:
        _write(Path(args.output), parts)
        return 0
    if args.format == "parquet" and sys.stdout.isatty():
        return _misused(InvalidRequest("Parquet is no text: name a file with -o FILE."))
    for part in parts:
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
    return 0


def _write(path: Path, parts: Iterator[bytes]) -> None:
    """Write a file whole or not at all. Raises: InvalidRequest: It cannot be written."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            for part in parts:
                file.write(part)
        unfinished.replace(path)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written ({error.strerror or type(error).__name__}).") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _sessions(mm: ModelManager, args: argparse.Namespace) -> None:
    for s in mm.log.sessions.latest(max(1, min(args.n, 10_000))):
        unknown = f" + {s.n_unpriced} unpriced" if s.n_unpriced else ""
        print(f"{s.last_at:%Y-%m-%d %H:%M:%S}  {s.n} calls  {s.n_failed} failed  ${s.cost_usd:f}{unknown}  {s.id}")


def _session(mm: ModelManager, args: argparse.Namespace) -> None:
    found, exchanges = mm.log.session(args.session)
    print(f"{found.n} calls, ${found.cost_usd:f}{f' and {found.n_unpriced} unpriced' if found.n_unpriced else ''}")
    for each in exchanges:
        cost = "unknown" if each.call.cost_usd is None else f"${each.call.cost_usd:f}"
        print(f"\n{each.call.created_at:%Y-%m-%d %H:%M:%S}  {each.call.model}  {cost}  {each.call.id}")
        for turn in each.turns:
            print(f"{turn.role}: {turn.text}")
        print(f"model: {each.call.text or each.call.error_message}")


def _misused(error: InvalidRequest) -> int:
    print(f"{error.message} {error.hint}".strip(), file=sys.stderr)
    return MISUSED
