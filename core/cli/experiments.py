"""`aimm experiments …`: what runs, its decision record, and whether a record still holds."""

import argparse
import sys
from typing import Any

from core import ModelManager
from core.cli.parts import command, file_text, group


def add(commands: Any) -> None:
    """Add the command and its parts to the parser."""
    parts = group(commands, "experiments", "A/B tests: verdicts, decision records")
    command(parts, "list", "each experiment with its verdict", _list)
    command(parts, "record", "write the decision record to standard output", _record, "experiment")
    command(parts, "verify", "recompute every number of a decision record and say what differs", _verify, "file")


def _list(mm: ModelManager, _args: argparse.Namespace) -> None:
    for experiment in mm.experiments.all():
        headline = mm.experiments.report(experiment.id).decision.headline
        mark = " (demo)" if experiment.is_demo else ""
        print(f"{experiment.id}  {experiment.status:8}  {experiment.name}{mark}: {headline}")


def _record(mm: ModelManager, args: argparse.Namespace) -> None:
    sys.stdout.write(mm.experiments.record_of(args.experiment))


def _verify(mm: ModelManager, args: argparse.Namespace) -> int:
    found = mm.experiments.verify(file_text(args.file))
    print("\n".join(found) if found else "Every number of the record is what the database says.")
    return 1 if found else 0
