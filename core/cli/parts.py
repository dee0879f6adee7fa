"""The parts that all groups of commands are made of."""

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import InvalidRequest


def group(commands: Any, name: str, told: str) -> Any:
    """Add a group of commands, such as `aimm keys`; its commands are added to what this returns."""
    return commands.add_parser(name, help=told).add_subparsers(required=True, metavar="WHAT")


def command(commands: Any, name: str, told: str, run: Callable[..., object], *needs: str) -> ArgumentParser:
    """Add a command. run: What it does; it gives the exit code, None = 0. needs: The arguments it cannot go without."""
    parser: ArgumentParser = commands.add_parser(name, help=told)
    for need in needs:
        parser.add_argument(need)
    parser.set_defaults(run=run)
    return parser


def file_text(path: str) -> str:
    """The text of a file. Raises: InvalidRequest: It cannot be read."""
    try:
        return Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read ({type(error).__name__}).") from None
