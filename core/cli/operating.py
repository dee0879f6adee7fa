"""`aimm db …`, `aimm doctor`, `aimm apply`: backups, copies and versions; what is wrong; what a file configures."""

import argparse
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from core import ModelManager
from core.cli.parts import command, file_text, group
from core.clock import from_us
from core.config import Settings
from core.doctor.examination import examined
from core.doctor.sums import differences
from core.errors import InvalidRequest
from core.formats import strict_json as json
from core.storage.transfer.service import Report, Transfers
from core.storage.transfer.tables import Contents

EXIT_ERROR, EXIT_LATER = 1, 3
_SHOWN = (
    "The password in --to shows in the list of processes: put the address into AIMM_COPY_TO instead, or the password"
    " into PGPASSWORD."
)
_SIGNS = {"ok": "ok     ", "note": "note   ", "warning": "WARNING", "fault": "FAULT  "}


def add(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add the command and its parts to the parser."""
    parts = group(commands, "db", "backup, restore, copy into another database, versions")
    one = command(parts, "backup", "write a backup while servers go on", _backup, "file")
    one.add_argument("--check", action="store_true", help="recompute all sums in it too, as aimm check does")

    one = command(
        parts, "restore", "put a backup in the place of the database; servers must be stopped", _restore, "file"
    )
    one.add_argument("--force", action="store_true", help="although it holds records; these are kept beside it")

    one = command(parts, "copy", "copy into another, empty database; the same command again goes on", _copy)
    one.add_argument("--to", metavar="ADDRESS", help="sqlite:///… or postgresql://…; default: AIMM_COPY_TO")
    told = "end when all is there but what servers go on writing; the same command finishes it when they are stopped"
    one.add_argument("--once", action="store_true", help=told)
    one.add_argument(
        "--abandon", action="store_true", help="go on with this database: give up a copy that was begun, or is finished"
    )
    one.add_argument("--no-check", action="store_true", help="do not recompute the sums of both sides at the end")

    one = command(parts, "upgrade", "bring the tables up to date, as each start does", _upgrade)
    one.add_argument("--without-backup", action="store_true", help="do not copy a file before")
    command(parts, "version", "the version of the tables and of this program", _version)
    for each in parts.choices.values():
        each.set_defaults(stands_alone=True)

    one = command(commands, "doctor", "say what is wrong with this installation, and what to do", _doctor)
    one.add_argument("--online", action="store_true", help="try the vendors' keys and their clocks; costs nothing")
    one.add_argument("--deep", action="store_true", help="look through all indexes and recompute all sums; takes long")
    one.add_argument("--port", type=int, default=8501, help="the port that the server is to have")
    one.add_argument("--json", action="store_true", help="one JSON object")
    one.set_defaults(stands_alone=True)

    apply = command(commands, "apply", "bring keys, budgets, aliases … to what a file says", _apply, "file")
    apply.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    apply.add_argument("--source", default="", help="the name by which what the file manages is known; else its own")


def checked(settings: Settings, address: str) -> list[str]:
    with ModelManager.open(replace(settings, database_url=address), source="cli", takes_up=False) as mm:
        return differences(mm)


def _backup(args: argparse.Namespace) -> int:
    settings = Settings.load()
    found = Transfers(settings.database_url, _tell).back_up(args.file)
    print(f"{found.sentence}\n{_sums(found.contents)}")
    if not args.check:
        return 0
    wrong = Transfers.with_copy(found.file, lambda address: checked(settings, address))
    print("\n".join(wrong) or "Its rollups, ledger and experiments' sums equal its raw rows.")
    return EXIT_ERROR if wrong else 0


def _restore(args: argparse.Namespace) -> None:
    found = Transfers(Settings.load().database_url, _tell).restore(args.file, force=args.force)
    print(f"{found.sentence}\nIs restored. Runs that were under way are taken up at the next start.")


def _copy(args: argparse.Namespace) -> int:
    settings = Settings.load()
    if args.abandon:
        print(Transfers(settings.database_url, _tell).abandon())
        return 0
    address = args.to or settings.copy_to
    if not address:
        raise InvalidRequest("Where to copy is not said: set AIMM_COPY_TO, or give --to.")
    transfers = Transfers(settings.database_url, _tell)
    if args.to and transfers.has_password(args.to):
        print(_SHOWN, file=sys.stderr)
    check = None if args.no_check else lambda address: checked(settings, address)
    report = transfers.copy(address, waits=not args.once, check=check)
    if report is None:
        print("Stop the servers on the old database, then run the same command again: it takes seconds.")
        return EXIT_LATER
    _print_report(report)
    return 0 if report.differences is None else _print_checks(report)


def _print_report(report: Report) -> None:
    width = max(map(len, report.contents.rows))
    print(f"\nFrom {report.source}\nto   {report.target}\n\n{'rows':{width}} {'from':>14} {'to':>14}")
    for name, n in report.contents.rows.items():
        if n:
            print(f"{name:{width}} {n:14,} {n:14,}")
    print(f"\nEqual on both sides, other tables are empty. {_sums(report.contents)}")
    if report.replaced:
        where = ", ".join(f"{name} ({n})" for name, n in report.replaced.items())
        print(f"Texts with characters that PostgreSQL does not keep have ? or \ufffd in their place: {where}.")
    print(
        f"{report.brought:,} rows had changed meanwhile and were brought over; nobody could write for"
        f" {report.still_s:.1f} s.\nNow set DATABASE_URL to the new address and start the servers."
    )


def _print_checks(report: Report) -> int:
    old, new = report.differences or ([], [])
    if old == new:
        print("\n".join(old) or "aimm check: the sums equal the raw rows on both sides.")
        return EXIT_ERROR if old else 0
    for name, found in ((report.source, old), (report.target, new)):
        print(f"aimm check on {name}:\n" + ("\n".join(found) or "The sums equal the raw rows."))
    return EXIT_ERROR


def _upgrade(args: argparse.Namespace) -> None:
    print(Transfers(Settings.load().database_url, _tell).upgrade(keeps_backup=not args.without_backup))


def _version(_args: argparse.Namespace) -> int:
    sentence, is_usable = Transfers(Settings.load().database_url, _tell).version()
    print(sentence)
    return 0 if is_usable else EXIT_ERROR


def _sums(contents: Contents) -> str:
    money = Decimal(contents.sums.get("generations.cost_nano_usd", 0)) / 1_000_000_000
    first, last = (
        None if us is None else f"{from_us(us):%Y-%m-%d %H:%M:%S}" for us in (contents.first_us, contents.last_us)
    )
    calls = contents.rows.get("generations", 0)
    return f"{calls:,} calls, ${money:f}" + (f", from {first} to {last} UTC." if first else ".")


def _tell(sentence: str) -> None:
    if sentence:
        print(sentence, file=sys.stderr, flush=True)


def _doctor(args: argparse.Namespace) -> int:
    """1 = there is a fault."""
    found = examined(online=args.online, deep=args.deep, port=args.port)
    has_fault = any(each.level == "fault" for each in found)
    if args.json:
        rows = [{"area": f.area, "level": f.level, "found": f.found, "todo": f.todo} for f in found]
        print(json.dumps({"ok": not has_fault, "findings": rows}, ensure_ascii=False, indent=2))
        return int(has_fault)
    for each in found:
        print(f"{_SIGNS[each.level]}  {each.area}: {each.found}")
        if each.todo:
            print(f"         → {each.todo}")
    counts = [(sum(each.level == level for each in found), level) for level in ("fault", "warning")]
    print("\n" + ", ".join(f"{n} {level}{'' if n == 1 else 's'}" for n, level in counts) + ".")
    return int(has_fault)


def _apply(mm: ModelManager, args: argparse.Namespace) -> None:
    document = mm.configuration.read(file_text(args.file))
    source = args.source or Path(args.file).name
    if args.dry_run:
        found = mm.configuration.differences(document, source)
        print("\n".join(each.text for each in found) or "No change.")
        return
    n = 0
    for done in mm.configuration.apply(document, source):
        n += 1
        print(done.difference.text)
        if done.told:
            print(f"    {done.told}    (shown this once)")
    print(f"{n:,} changes." if n > 1 else "1 change." if n else "No change.")
