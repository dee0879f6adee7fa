"""`aimm alerts …`: rules as a file, what fires, silences, and test messages."""

import argparse
from datetime import timedelta
from typing import Any

from core import ModelManager, clock
from core.cli.parts import command, file_text, group
from core.formats import yaml_text
from core.formats.spans import seconds_of
from core.monitoring.alerts.rule_file import as_document, read_rules

SILENCE_S = (60, 90 * 86_400)


def add(commands: Any) -> None:
    """Add the commands and their parts to the parser."""
    parts = group(commands, "alerts", "rules that tell when something is wrong")
    command(parts, "list", "the rules with their states, and silences", _list)
    apply = command(parts, "apply", "make the rules of a file; - = standard input", _apply, "file")
    apply.add_argument("--dry-run", action="store_true", help="say what would change")
    apply.add_argument("--prune", action="store_true", help="remove rules that the file does not have")
    command(parts, "export", "the rules as such a file", _export)
    silence = command(
        parts, "silence", "send nothing of a rule or a budget for a while; all = of any", _silence, "name"
    )
    silence.add_argument("--for", dest="span", required=True, metavar="SPAN", help="such as 2h")
    silence.add_argument("--reason", default="")
    command(parts, "unsilence", "end a silence before its time", _unsilence, "name")
    told = "send a test message by webhook, slack, email, pagerduty or email:NAME@HOST"
    command(parts, "test", told, _test, "channel")


def _list(mm: ModelManager, _args: argparse.Namespace) -> None:
    rules, states = mm.alert_rules.all(), mm.alert_rules.states()
    if not rules:
        print("There are no rules yet: aimm alerts apply FILE")
    for rule in rules:
        own = [state for state in states if state.rule == rule.name]
        print(f"{rule.name}\t{rule.kind}\t{'on' if rule.is_on else 'off'}")
        for state in own:
            print(f"  {state.state} since {state.since:%Y-%m-%d %H:%M} UTC: {state.text}")
        if rule.is_on and not own:
            print("  not looked at yet" if rule.is_window else "  nothing to tell")
    for each in mm.alert_rules.silences():
        if each.ends_at > clock.now():
            why = f": {each.reason}" if each.reason else ""
            print(f"silenced until {each.ends_at:%Y-%m-%d %H:%M} UTC by {each.author}: {each.name or 'all'}{why}")


def _apply(mm: ModelManager, args: argparse.Namespace) -> None:
    rules = read_rules(yaml_text.read(file_text("/dev/stdin" if args.file == "-" else args.file)))
    stay = {rule.name for rule in mm.alert_rules.all()} - {rule.name for rule in rules}
    found = mm.alert_rules.apply(rules, prunes=args.prune, is_trial=args.dry_run)
    for each in found:
        print(each.text)
    if not found:
        print("No change.")
    elif args.dry_run:
        print("Nothing was changed: this was a dry run.")
    if stay and not args.prune:
        print(f"Not in the file, and kept: {', '.join(sorted(stay))} (--prune removes them)")
    missing = {channel for rule in rules for channel in rule.channels if not mm.alerts.outbox.channels.has(channel)}
    for channel in sorted(missing):
        print(f"{channel} is not set up: its messages wait until it is; see .env.example.")


def _export(mm: ModelManager, _args: argparse.Namespace) -> None:
    print(yaml_text.dump({"rules": [as_document(rule) for rule in mm.alert_rules.all()]}), end="")


def _silence(mm: ModelManager, args: argparse.Namespace) -> None:
    span = timedelta(seconds=seconds_of(args.span, "--for", *SILENCE_S))
    made = mm.alert_rules.silence("" if args.name == "all" else args.name, span, args.reason)
    print(f"Nothing is sent of {made.name or 'any rule or budget'} until {made.ends_at:%Y-%m-%d %H:%M} UTC.")


def _unsilence(mm: ModelManager, args: argparse.Namespace) -> int:
    n = mm.alert_rules.unsilence("" if args.name == "all" else args.name)
    print(f"{args.name} is not silenced any more." if n else f"{args.name} was not silenced.")
    return 0 if n else 1


def _test(mm: ModelManager, args: argparse.Namespace) -> int:
    problem = mm.alerts.outbox.test(args.channel)
    print(problem or f"{args.channel} accepted it.")
    return 1 if problem else 0
