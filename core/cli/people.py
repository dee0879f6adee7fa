"""`aimm users …`: people who log in to the pages; `aimm audit`: who changed what."""

import argparse
import getpass
import sys
from datetime import datetime
from typing import Any

from core import ModelManager, clock
from core.cli.parts import command, group
from core.domain.people.actor import ROLES
from core.domain.people.entry import AUDIT_FORMATS, Wanted
from core.domain.people.person import Person
from core.errors import InvalidRequest


def add(commands: Any) -> None:
    """Add the commands and their parts to the parser."""
    parts = group(commands, "users", "people who log in to the pages")
    one = command(parts, "add", "make a person; the password is asked for, or read from standard input", _add, "name")
    one.add_argument("--role", choices=ROLES, default="viewer")
    one.add_argument("--team", default="", help="the team that their calls are charged to")
    command(parts, "list", "each person with role, team and last login", _list)
    one = command(parts, "change", "another role or team", _change, "person")
    one.add_argument("--role", choices=ROLES)
    one.add_argument("--team", help="empty takes it away")
    command(parts, "password", "another password; open sessions end", _password, "person")
    command(parts, "disable", "end the logins and the keys of a person", _disable, "person")
    command(parts, "enable", "let a person in again", _enable, "person")

    one = command(commands, "audit", "who changed what, the newest first", _audit)
    one.add_argument("-n", type=int, default=20, help="how many at most, unless a file is written")
    one.add_argument("--who", default="", help="the name or id of a person, a key or cli:USER")
    one.add_argument("--kind", action="append", default=[], help="budget, key, alias …; may be repeated")
    one.add_argument("--subject", default="", help="the name of what was changed")
    one.add_argument("--refused", action="store_true", help="only what was tried and refused")
    one.add_argument("--since", default="", help="a day or moment (UTC where no zone is named)")
    one.add_argument("--until", default="", help="the same, not included")
    one.add_argument("--format", choices=sorted(AUDIT_FORMATS), help="all that is found as a file, to standard output")


def _add(mm: ModelManager, args: argparse.Namespace) -> None:
    person = mm.people.add(args.name, _asked(), role=args.role, team=args.team)
    print(f"Made {person.id} {_described(person)}.")
    if len([each for each in mm.people.all() if each.password is not None]) == 1:
        print("From now on pages ask who looks at them, and programs need a key (aimm keys create NAME).")


def _list(mm: ModelManager, _args: argparse.Namespace) -> None:
    for person in mm.people.all():
        last = f"{person.last_login_at:%Y-%m-%d %H:%M}" if person.last_login_at else "never"
        print(f"{person.id}\t{_described(person)}\tlast login {last}")


def _change(mm: ModelManager, args: argparse.Namespace) -> None:
    person = mm.people.change(mm.people.named(args.person).id, role=args.role, team=args.team)
    print(f"Changed {_described(person)}.")


def _password(mm: ModelManager, args: argparse.Namespace) -> None:
    person = mm.people.set_password(mm.people.named(args.person).id, _asked())
    print(f"Changed the password of {person.name}.")


def _disable(mm: ModelManager, args: argparse.Namespace) -> None:
    print(f"Disabled {mm.people.disable(mm.people.named(args.person).id).name}.")


def _enable(mm: ModelManager, args: argparse.Namespace) -> None:
    print(f"Enabled {mm.people.enable(mm.people.named(args.person).id).name}.")


def _asked() -> str:
    """A password typed twice, or the first line of what is piped in. It is no argument: others see those."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise InvalidRequest("The two are not the same.")
    return password


def _described(person: Person) -> str:
    parts = [person.name, person.role]
    parts += [f"team {person.team}"] if person.team else []
    parts += [] if person.password is not None else ["by identity provider"]
    parts += [] if person.is_active else ["disabled"]
    return ", ".join(parts)


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
