"""`aimm keys …`: keys for a team's own programs."""

import argparse
import re
import sys
from datetime import datetime, timedelta
from typing import Any

from core import ModelManager, clock
from core.cli.parts import command, group
from core.domain.key import SCOPES, Key
from core.errors import InvalidRequest
from core.keys.issuing import Allowance
from core.keys.rules import LIMITS


def add(commands: Any) -> None:
    """Add the command and its parts to the parser."""
    parts = group(commands, "keys", "keys for your own programs")
    command(parts, "list", "each key with what it may do", _list)
    one = command(parts, "create", "make a key; it is written to standard output, this once", _create, "name")
    one.add_argument("--scope", action="append", choices=SCOPES, help="what it may do; several may be given (call)")
    one.add_argument("--model", action="append", default=[], metavar="PATTERN", help="what it may ask, such as gpt-4o*")
    one.add_argument("--tag", action="append", default=[], help="put on each of its calls")
    one.add_argument("--budget", metavar="USD/PERIOD", help="stop it there: 5/month, 1/day")
    for name, words in (("rpm", "requests a minute"), ("tpm", "tokens a minute"), ("max-parallel", "calls at once")):
        one.add_argument(f"--{name}", type=int, metavar="N", help=words)
        one.add_argument(f"--user-{name}", type=int, metavar="N", help=f"{words} of each of its users")
    one.add_argument("--expires", metavar="WHEN", help="30d, or the day on which it ends (UTC): 2027-01-31")
    one.add_argument(
        "--owner", default="", metavar="PERSON", help="whose it is: it may do no more, and stops with them"
    )
    one.add_argument("--team", default="", help="the team that its calls are charged to")
    one.add_argument("--log", choices=("full", "metadata", "none"), help="what is kept of its calls' texts")
    one.add_argument("--shared-cache", action="store_true", help="share cached responses with other keys that do so")
    one = command(parts, "revoke", "end a key; it holds everywhere within a second", _revoke)
    one.add_argument("key", metavar="ID_OR_NAME")


def _create(mm: ModelManager, args: argparse.Namespace) -> None:
    key, secret, budget = mm.issuer.issue(
        args.name,
        allowance=None if args.budget is None else Allowance.parse(args.budget),
        scopes=tuple(args.scope or ("call",)),
        models=tuple(args.model),
        tags=tuple(args.tag),
        **{name: getattr(args, name) for name in LIMITS},
        expires_at=None if args.expires is None else _moment(args.expires),
        log_content=args.log,
        shares_cache=args.shared_cache,
        owner=args.owner,
        team=args.team,
    )
    print(secret)
    stops = f"; stops at ${budget.limit_usd:f} a {budget.period}" if budget else ""
    print(f"Made {key.id} {key.name!r}: {_described(key)}{stops}. The key is shown this once.", file=sys.stderr)


def _list(mm: ModelManager, _args: argparse.Namespace) -> None:
    for key in mm.keys.all():
        used = f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never"
        print(f"{key.id}\t{key.hint}\t{key.name}\t{_described(key)}\tlast used {used}")


def _revoke(mm: ModelManager, args: argparse.Namespace) -> None:
    key = mm.keys.revoke(mm.keys.named(args.key).id)
    print(f"Revoked {key.id} {key.name!r}.")


def _described(key: Key) -> str:
    parts = [" ".join(key.scopes)]
    parts += [f"models {' '.join(key.models)}"] if key.models else []
    parts += [f"tags {' '.join(key.tags)}"] if key.tags else []
    for name, words in (("rpm", "a minute"), ("tpm", "tokens a minute"), ("max_parallel", "at once")):
        parts += [f"{most:,} {words}"] if (most := getattr(key, name)) else []
        parts += [f"{most:,} {words} a user"] if (most := getattr(key, f"user_{name}")) else []
    parts += [f"logs {key.log_content}"] if key.log_content else []
    parts += ["shared cache"] if key.shares_cache else []
    parts += [f"owner {key.owner_name or key.owner}"] if key.owner else []
    parts += [f"team {key.team}"] if key.team else []
    if key.has_lost_owner:
        parts.append("stopped with its owner")
    if key.revoked_at is not None:
        parts.append(f"revoked {key.revoked_at:%Y-%m-%d}")
    elif key.expires_at is not None:
        word = "expires" if key.is_valid_at(clock.now()) else "expired"
        parts.append(f"{word} {key.expires_at:%Y-%m-%d %H:%M}")
    return ", ".join(parts)


def _moment(text: str) -> datetime:
    """So many days from now, or a day or moment (UTC where no zone is named)."""
    try:
        if days := re.fullmatch(r"(\d{1,5})d", text.strip()):
            return clock.now() + timedelta(days=int(days[1]))
        return clock.from_iso(text)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{text[:40]!r} is neither days, such as 30d, nor a day such as 2027-01-31.") from None
