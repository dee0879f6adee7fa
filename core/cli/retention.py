"""`aimm retention …` and `aimm forget`: how long calls are kept, and what is deleted."""

import argparse
from typing import Any

from core import ModelManager
from core.cli.parts import command, group
from core.domain.log.retention import Progress
from core.formats.days import shown_days


def add(commands: Any) -> None:
    """Add the commands and their parts to the parser."""
    parts = group(commands, "retention", "how long texts and calls are kept")
    command(parts, "show", "the rules, what they have deleted, and the last round", _show)
    command(parts, "due", "what a round would delete now, without doing it", _due)
    command(parts, "run", "delete now what is older than it is kept", _run)
    one = command(parts, "set", "keep the calls of a key or a tag for another time", _set, "scope")
    one.add_argument("--texts", default="", metavar="DAYS", help="such as 30d, or forever")
    one.add_argument("--calls", default="", metavar="DAYS", help="such as 400d, or forever")
    told = "write an older SQLite file anew, so that it shrinks by itself from then on; stop servers before"
    command(parts, "shrink", told, _shrink)
    command(parts, "drop", "keep the calls of a key or a tag as all others are", _drop, "scope")

    one = command(commands, "forget", "delete a user's texts and name; sums stay", _forget)
    one.add_argument("--user", required=True, help="as programs say it in `user`")


def _show(mm: ModelManager, _args: argparse.Namespace) -> None:
    for rule in mm.retention.rules():
        texts, calls = (shown_days(days) or "–" for days in (rule.texts_days, rule.calls_days))
        print(f"{rule.scope}: texts {texts}, calls {calls}{'  (environment)' if rule.is_fixed else ''}")
    for each in mm.retention.progress():
        print(_progress(each))
    last = mm.retention.last_round()
    if last.begun_at is None:
        print("Nothing was deleted yet.")
        return
    end = "at work" if last.is_running else "cut off" if last.ended_at is None else f"ended {last.ended_at:%H:%M:%S}"
    print(f"Last round {last.begun_at:%Y-%m-%d %H:%M:%S} UTC, {end}: {last.n_texts:,} texts, {last.n_calls:,} calls")


def _progress(each: Progress) -> str:
    return f"{each.scope}: {each.n:,} {each.part} deleted so far"


def _due(mm: ModelManager, _args: argparse.Namespace) -> None:
    found = mm.retention.due()
    if not found:
        print("Everything is kept for ever: set AIMM_KEEP_TEXTS or AIMM_KEEP_CALLS, or a rule.")
    for each in found:
        oldest = "" if each.oldest is None else f", the oldest of {each.oldest:%Y-%m-%d}"
        what = "texts of calls" if each.part == "texts" else "calls"
        print(f"{each.scope}: {each.n:,} {what} before {each.before:%Y-%m-%d %H:%M} UTC{oldest}")


def _run(mm: ModelManager, _args: argparse.Namespace) -> int:
    if not mm.retention.run():
        print("Another process is deleting just now.")
        return 1
    last = mm.retention.last_round()
    print(f"{last.n_texts:,} calls were left without their texts, {last.n_calls:,} were deleted.")
    return 0


def _set(mm: ModelManager, args: argparse.Namespace) -> None:
    rule = mm.retention.set_rule(args.scope, args.texts, args.calls)
    texts, calls = (shown_days(days) or "as all others" for days in (rule.texts_days, rule.calls_days))
    print(f"{rule.scope}: texts {texts}, calls {calls}")


def _shrink(mm: ModelManager, _args: argparse.Namespace) -> None:
    before, after = mm.retention.make_shrinkable()
    print(
        f"{(before or 0) / 1e6:,.1f} MB before, {(after or 0) / 1e6:,.1f} MB after; from now on it shrinks by itself."
    )


def _drop(mm: ModelManager, args: argparse.Namespace) -> int:
    if mm.retention.drop_rule(args.scope):
        print(f"{args.scope} is kept as all others are.")
        return 0
    print(f"There is no rule for {args.scope}.")
    return 1


def _forget(mm: ModelManager, args: argparse.Namespace) -> None:
    found = mm.forgetting.forget(args.user)
    if not found.alias:
        print("There is nothing on record of this user.")
        return
    others = "".join(f", {n:,} {name}" for name, n in found.others.items() if n)
    print(
        f"Texts, sessions and the name are gone of {found.n_calls:,} calls{others}."
        f" Their sums are kept as of {found.alias}."
    )


def told(mm: ModelManager) -> str:
    """A sentence about deleted calls; empty = none were."""
    n = sum(each.n for each in mm.retention.progress() if each.part == "calls")
    return f"{n:,} calls were deleted by retention. {mm.retention.note()}" if n else ""
