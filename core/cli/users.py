"""`aimm users …`: people who log in to the pages."""

import argparse
import getpass
import sys
from typing import Any

from core import ModelManager
from core.cli.parts import command, group
from core.domain.people.actor import ROLES
from core.domain.people.person import Person
from core.errors import InvalidRequest


def add(commands: Any) -> None:
    """Add the command and its parts to the parser."""
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


def _add(mm: ModelManager, args: argparse.Namespace) -> None:
    person = mm.people.add(args.name, _asked(), role=args.role, team=args.team)
    print(f"Made {person.id} {_described(person)}.")
    if len([each for each in mm.people.all() if each.password is not None]) == 1:
        told = "From now on pages ask who looks at them, and programs need a key (aimm keys create NAME)."
        print(told if person.role == "admin" else f"{told} Make an admin too: aimm users add NAME --role admin")


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
