"""`aimm experiments …`: what runs, its decision record, and whether a record still holds."""

import argparse
import sys
from pathlib import Path
from typing import Any

from core import ModelManager
from core.errors import InvalidRequest


def add(commands: Any) -> None:
    """Add the command and its parts to the parser."""
    experiments = commands.add_parser("experiments", help="A/B tests: verdicts, decision records")
    parts = experiments.add_subparsers(required=True, metavar="WHAT")

    one = parts.add_parser("list", help="each experiment with its verdict")
    one.set_defaults(run=_list)

    one = parts.add_parser("record", help="write the decision record to standard output")
    one.add_argument("experiment")
    one.set_defaults(run=_record)

    one = parts.add_parser("verify", help="recompute every number of a decision record and say what differs")
    one.add_argument("file")
    one.set_defaults(run=_verify)


def _list(mm: ModelManager, _args: argparse.Namespace) -> int:
    for experiment in mm.experiments.all():
        headline = mm.experiments.report(experiment.id).decision.headline
        mark = " (demo)" if experiment.is_demo else ""
        print(f"{experiment.id}  {experiment.status:8}  {experiment.name}{mark}: {headline}")
    return 0


def _record(mm: ModelManager, args: argparse.Namespace) -> int:
    sys.stdout.write(mm.experiments.record_of(args.experiment))
    return 0


def _verify(mm: ModelManager, args: argparse.Namespace) -> int:
    try:
        text = Path(args.file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{args.file} cannot be read: {type(error).__name__}") from None
    found = mm.experiments.verify(text)
    print("\n".join(found) if found else "Every number of the record is what the database says.")
    return 1 if found else 0
