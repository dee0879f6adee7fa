"""`aimm audit`: who changed what, from where, when, before and after."""

import argparse
import sys
from datetime import datetime
from typing import Any

from core import ModelManager, clock
from core.cli.parts import command
from core.domain.people.entry import AUDIT_FORMATS, Wanted
from core.errors import InvalidRequest


def add(commands: Any) -> None:
    """Add the command to the parser."""
    one = command(commands, "audit", "who changed what, the newest first", _audit)
    one.add_argument("-n", type=int, default=20, help="how many at most, unless a file is written")
    one.add_argument("--who", default="", help="the name or id of a person, a key or cli:USER")
    one.add_argument("--kind", action="append", default=[], help="budget, key, alias …; may be repeated")
    one.add_argument("--subject", default="", help="the name of what was changed")
    one.add_argument("--refused", action="store_true", help="only what was tried and refused")
    one.add_argument("--since", default="", help="a day or moment (UTC where no zone is named)")
    one.add_argument("--until", default="", help="the same, not included")
    one.add_argument("--format", choices=sorted(AUDIT_FORMATS), help="all that is found as a file, to standard output")


def _audit(mm: ModelManager, args: argparse.Namespace) -> None:
    since, until = (None if not text else _moment(text) for text in (args.since, args.until))
    wanted = Wanted(
        who=args.who,
        kinds=tuple(args.kind),
        subject=args.subject,
        outcome="refused" if args.refused else "",
        since=since,
        until=until,
    )
    if args.format is not None:
        for part in mm.audit.export(wanted, args.format):
            sys.stdout.write(part.decode())
        return
    for entry in mm.audit.page(wanted, max(1, min(args.n, 10_000)))[0]:
        door = " ".join(filter(None, (entry.door, entry.address)))
        print(f"{entry.created_at:%Y-%m-%d %H:%M:%S}  {entry.text}{f'  [{door}]' if door else ''}")


def _moment(text: str) -> datetime:
    try:
        return clock.from_iso(text)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{text[:40]!r} must be a day or a moment, such as 2027-01-31.") from None
