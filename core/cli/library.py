"""`aimm prompts …` and `aimm datasets …`: prompts in versions, and cases to try them on."""

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import Any

from core import ModelManager
from core.cli.parts import command, file_text, group
from core.domain.evaluation.dataset import DatasetVersion
from core.domain.evaluation.prompt import PromptVersion
from core.errors import InvalidRequest
from core.formats import strict_json as json
from core.prompts import files
from core.prompts.rendering import variables_of

EXIT_BAD = 1


def add(commands: Any) -> None:
    """Add the commands and their parts to the parser."""
    parts = group(commands, "prompts", "prompts, their versions and labels")
    one = command(parts, "push", "save a file as a version: YAML, JSON, or a text with {{variables}}", _push, "file")
    one.add_argument("--name", help="the prompt's name; by default the file's")
    one.add_argument("--note", default="", help="what is new about it")
    one.add_argument("--label", help="point this label at it, such as live")
    command(parts, "list", "each prompt with its versions and labels", _prompts)
    command(parts, "show", "a version: NAME, NAME@7 or NAME@live", _show, "ref")
    command(parts, "diff", "the lines that differ between two versions", _diff, "old", "new")
    one = command(parts, "label", "point a label at a version, NAME@NUMBER or NAME@LABEL", _label, "ref", "label")
    one.add_argument("--undo", action="store_true", help="point it at what it pointed at before, whatever the version")
    one = command(parts, "pull", "write a version as YAML", _pull, "ref")
    one.add_argument("-o", "--output", metavar="FILE", help="by default standard output")

    parts = group(commands, "datasets", "cases to try prompts on")
    one = command(parts, "import", "a file as a version: CSV, JSONL, JSON, YAML; - is standard input", _import, "file")
    one.add_argument("--name", help="the dataset's name; by default the file's")
    one.add_argument("--format", choices=("csv", "jsonl", "json", "yaml"))
    one.add_argument(
        "--encoding", default="", help="such as windows-1252; by default UTF-8 or what the file's mark says"
    )
    told = "what a column is: variable, expected, tags, description, threshold or metadata"
    one.add_argument("--map", action="append", default=[], metavar="COLUMN=ROLE", help=told)
    one.add_argument("--note", default="")
    one.add_argument("--add", action="store_true", help="put the rows at the end of the newest version")
    one.add_argument("--skip-bad", action="store_true", help="leave bad rows out, counted and named")
    one.add_argument("--dry-run", action="store_true", help="only say what would be imported")
    command(parts, "list", "each dataset with its newest version", _datasets)
    one = command(parts, "show", "the rows of a version: NAME or NAME@3", _rows, "ref")
    one.add_argument("-n", type=int, default=10)
    one = command(parts, "export", "a version as a file, by default in the form in which it came", _export, "ref")
    one.add_argument("-o", "--output", metavar="FILE", help="by default standard output")
    one.add_argument("--format", choices=("csv", "jsonl", "yaml"))
    one.add_argument("--safe", action="store_true", help="put a ' before what a spreadsheet would compute")


def _author() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


# Prompts


def _push(mm: ModelManager, args: argparse.Namespace) -> None:
    name, content, note = files.read(file_text(args.file), args.file)
    version = mm.prompts.save(args.name or name, content, note=args.note or note, author=_author())
    print(_described(version))
    if args.label:
        mm.prompts.move_label(version.prompt, args.label, version.number, author=_author())
        print(f"{args.label} is {version.ref} now.")


def _described(version: PromptVersion) -> str:
    names = ", ".join(variables_of(version.content)) or "none"
    return f"{version.ref}  {version.digest[:12]}  variables: {names}"


def _prompts(mm: ModelManager, _args: argparse.Namespace) -> None:
    for prompt in mm.prompts.all():
        labels = "  ".join(f"{label}@{number}" for label, number in prompt.labels.items())
        versions = f"{prompt.n_versions} version{'s' * (prompt.n_versions > 1)}"
        print(f"{prompt.name}\t{versions}\t{prompt.newest.created_at:%Y-%m-%d %H:%M}\t{labels}")


def _show(mm: ModelManager, args: argparse.Namespace) -> None:
    version = mm.prompts.get(args.ref)
    labels = f"  {' '.join(version.labels)}" if version.labels else ""
    by = f" by {version.author}" if version.author else ""
    print(f"{_described(version)}{labels}\n{version.created_at:%Y-%m-%d %H:%M:%S}{by}  {version.note}\n")
    print(version.content.text)


def _diff(mm: ModelManager, args: argparse.Namespace) -> None:
    print(files.difference(mm.prompts.get(args.old), mm.prompts.get(args.new)) or "They are the same.")


def _label(mm: ModelManager, args: argparse.Namespace) -> None:
    version = mm.prompts.get(args.ref)
    if args.undo:
        move = mm.prompts.undo_label(version.prompt, args.label, author=_author())
    else:
        move = mm.prompts.move_label(version.prompt, args.label, version.number, author=_author())
    now = f"is {move.prompt}@{move.number} now" if move.number else "is taken away"
    print(f"{args.label} {now}{f'; it was {move.prompt}@{move.was}' if move.was else ''}.")


def _pull(mm: ModelManager, args: argparse.Namespace) -> None:
    _write(args.output, [files.written(mm.prompts.get(args.ref)).encode()])


def _write(path: str | None, chunks: Any) -> None:
    """Write to a file or to standard output. Raises: InvalidRequest: The file cannot be written."""
    if path is None:
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    try:
        with Path(path).open("wb") as file:
            file.writelines(chunks)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written ({type(error).__name__}).") from None


# Datasets


def _import(mm: ModelManager, args: argparse.Namespace) -> int:
    is_piped = args.file == "-"
    mapping = dict(pair.rpartition("=")[::2] for pair in args.map)
    data = sys.stdin.buffer.read() if is_piped else Path(args.file)
    preview = mm.datasets.read(data, args.format, mapping=mapping or None, encoding=args.encoding)
    roles = ", ".join(f"{name} ({preview.layout.role(name)})" for name in preview.columns[:20])
    print(f"{preview.layout.kind}, {preview.shape.encoding}: {preview.n_rows:,} rows; {roles}")
    for warning in preview.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for problem in preview.problems[:20]:
        print(f"bad row: {problem}", file=sys.stderr)
    if args.dry_run:
        return EXIT_BAD if preview.problems else 0
    name = args.name or ("" if is_piped else os.path.basename(args.file).rpartition(".")[0])
    if not name:
        raise InvalidRequest("A dataset from standard input needs a --name.")
    said = {"skip_bad": args.skip_bad, "adds": args.add}
    print(_summary(mm.datasets.load(preview, name, note=args.note, author=_author(), **said)))
    return 0


def _summary(version: DatasetVersion) -> str:
    without = f", {version.n_without_checks:,} without a check" if version.n_without_checks else ""
    note = f"  {version.note}" if version.note else ""
    return f"{version.ref}\t{version.n_rows:,} rows{without}\t{version.created_at:%Y-%m-%d %H:%M}{note}"


def _datasets(mm: ModelManager, _args: argparse.Namespace) -> None:
    for dataset in mm.datasets.all():
        print(_summary(dataset.newest))


def _rows(mm: ModelManager, args: argparse.Namespace) -> None:
    print(_summary(mm.datasets.get(args.ref)))
    for row in mm.datasets.rows(args.ref, limit=max(1, min(args.n, 10_000))):
        print(f"{row.id}  {json.dumps(row.as_dict(), ensure_ascii=False)}")


def _export(mm: ModelManager, args: argparse.Namespace) -> None:
    _write(args.output, mm.datasets.export(args.ref, args.format, is_safe=args.safe))
