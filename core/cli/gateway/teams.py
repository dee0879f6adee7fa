"""`aimm teams …`: the limits that all keys and people of a team have together."""

import argparse
from typing import Any

from core import ModelManager
from core.cli.parts import command, group
from core.domain.people.team import Team

_LIMITS = (("rpm", "requests a minute"), ("tpm", "tokens a minute"), ("max_parallel", "calls at once"))


def add(commands: Any) -> None:
    """Add the command and its parts to the parser."""
    parts = group(commands, "teams", "limits of teams, for all their keys and people together")
    command(parts, "list", "each team that a key or a person names, with its limits", _list)
    one = command(parts, "set", "give a team its limits; those left out are taken away", _set, "name")
    for name, words in _LIMITS:
        one.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help=words)


def _list(mm: ModelManager, _args: argparse.Namespace) -> None:
    for team in mm.teams.all():
        print(_described(team))


def _set(mm: ModelManager, args: argparse.Namespace) -> None:
    team = mm.teams.set(args.name, **{name: getattr(args, name) for name, _ in _LIMITS})
    print(f"Changed {_described(team)}.")


def _described(team: Team) -> str:
    limits = [f"{most:,} {words}" for name, words in _LIMITS if (most := getattr(team, name))]
    return f"{team.name}: {', '.join(limits) or 'no limits'}"
