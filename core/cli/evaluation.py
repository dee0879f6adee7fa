"""`aimm eval …`: run a file of cases, hold the run against its gate, and say what broke."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from core import ModelManager
from core.calls.origin import Origin
from core.cli.parts import command, group
from core.datasets.reading import UNCHECKED
from core.domain.evaluation.dataset import DatasetRow, can_fail
from core.domain.evaluation.run import EvaluationRun, Plan
from core.errors import AimmError, AuthenticationError, InvalidRequest, NotFound
from core.evaluation.file import EvaluationFile, plan_of, read_file
from core.evaluation.gate import ERROR, USAGE, GateResult, held_against
from core.evaluation.report import as_json, as_junit, as_markdown, as_text, cell_to_dict, table
from core.evaluation.verdict import Verdict, sentence
from core.formats import strict_json as json
from core.formats.money import dollars
from core.formats.names import as_own

LOOK_S, TELL_S = 0.2, 10.0
MOST_SHOWN = 20  # items of a difference, on the terminal


def add(commands: Any) -> None:
    """Add the command and its parts to the parser."""
    parts = group(commands, "eval", "evaluations: prompts and models on a dataset, with checks and a gate")
    run = command(
        parts, "run", "run a file, and exit 0, 100 (the gate failed), 1 (not all ran) or 2 (usage)", _run, "file"
    )
    run.add_argument("--against", default="", help="a baseline or a run, in place of the gate's own")
    run.add_argument("--limit", help="what the run may cost, in dollars")
    run.add_argument("--yes", action="store_true", help="begin without asking, whatever it may cost")
    run.add_argument("--fresh", action="store_true", help="take over no answer of an earlier run")
    run.add_argument("--allow-python", action="store_true", help="let checks of the file be Python")
    _add_reports(run)
    resume = command(parts, "resume", "ask what has no answer yet", _resume, "run_id")
    resume.add_argument("--limit", help="the new spending limit of the whole run, in dollars")
    resume.add_argument("--against", default="")
    _add_reports(resume)
    show = command(parts, "show", "a run as it stands, and its gate", _show, "run_id")
    show.add_argument("--against", default="")
    _add_reports(show)
    listed = command(parts, "list", "the latest runs", _list)
    listed.add_argument("-n", type=int, default=20)
    diff = command(
        parts, "diff", "what broke and what was fixed between two runs or baselines", _diff, "before", "after"
    )
    diff.add_argument("--metric", default="pass")
    bless = command(parts, "bless", "point a baseline at a run", _bless, "run_id")
    bless.add_argument("--as", dest="name", required=True)
    export = command(
        parts, "export", "the run with every cell, its row and its answer, as JSON lines", _export, "run_id"
    )
    export.add_argument("-o", "--output", help="a file; else standard output")


def _add_reports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--junit", metavar="FILE", help="write a JUnit report")
    parser.add_argument("--json", metavar="FILE", help="write everything as JSON")
    parser.add_argument("--summary", metavar="FILE", help="write a summary in Markdown")
    parser.add_argument("--github", action="store_true", help="annotate the job of a GitHub action and add its summary")


def _run(mm: ModelManager, args: argparse.Namespace) -> int:
    try:
        _check_writable(args.junit, args.json, args.summary)
        found = read_file(Path(args.file), mm.prompts.get, mm.models.default)
        plan = _plan(mm, found, args)
        if not _agreed(mm, plan, args):
            return USAGE
        run_id = mm.evaluations.start(plan, origin=Origin(source="evaluation"), author=os.environ.get("USER", ""))
    except AuthenticationError:
        raise
    except (InvalidRequest, NotFound) as error:
        print(error.text, file=sys.stderr)
        return USAGE
    print(f"run {run_id}", file=sys.stderr)
    return _watched(mm, run_id, args)


def judged(path: Path) -> tuple[GateResult, str]:
    """The gate's answer to a file, run in this process, and the table of its contestants."""
    with ModelManager.open(source="cli") as mm:
        plan = _plan(mm, read_file(path, mm.prompts.get, mm.models.default), argparse.Namespace(**_NOTHING))
        run = mm.evaluations.wait(mm.evaluations.start(plan))
        result = mm.evaluations.verdicts.conclude(run.id)
        return result, as_text(table(run, mm.evaluations.tallies(run.id)))


_NOTHING: dict[str, Any] = {"allow_python": False, "limit": None, "fresh": False, "against": ""}


def _plan(mm: ModelManager, found: EvaluationFile, args: argparse.Namespace) -> Plan:
    dataset = found.dataset
    if found.data is not None:
        preview = mm.datasets.read(found.data, name=found.data.name)
        is_checked = can_fail(found.checks, found.threshold)  # by the file itself
        for warning in (each for each in preview.warnings if not (is_checked and each.endswith(UNCHECKED))):
            print(f"{found.data.name}: {warning}", file=sys.stderr)
        dataset = mm.datasets.load(preview, as_own(found.data.stem)).ref
    changes: dict[str, Any] = {"allows_python": args.allow_python}
    if args.limit is not None:
        changes["limit_usd"] = _amount(args.limit)
    if args.fresh:
        changes["max_age_s"] = 0
    if args.against:
        changes["gate"] = held_against(found.gate, args.against)
    return plan_of(found, dataset, **changes)


def _agreed(mm: ModelManager, plan: Plan, args: argparse.Namespace) -> bool:
    """Say what the run may cost, and ask who sits there unless a limit holds it; and if its baseline is not there."""
    if plan.gate is not None and plan.gate.against:
        try:
            mm.evaluations.verdicts.find(plan.gate.against)
        except NotFound as error:
            print(f"warning: {error.text}", file=sys.stderr)
    ranges = mm.evaluations.estimate(plan)
    for each in ranges:
        contestant = plan.contestants[each.contestant]
        cost = "no known price"
        if each.low_usd is not None and each.expected_usd is not None and each.high_usd is not None:
            cost = f"about {dollars(each.expected_usd)} ({dollars(each.low_usd)} to at most {dollars(each.high_usd)})"
        noun = "answer" if each.n_cells == 1 else "answers"
        print(f"{contestant.letter}  {contestant.label}: {each.n_cells:,} {noun}, {cost}", file=sys.stderr)
    if args.yes or plan.limit_usd is not None or not sys.stdin.isatty():
        return True
    print("Begin? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _resume(mm: ModelManager, args: argparse.Namespace) -> int:
    if mm.evaluations.get(args.run_id).is_running and args.limit is None:
        print("The evaluation runs, or its process ended and it is taken up; watching it.", file=sys.stderr)
    else:
        n = mm.evaluations.resume(args.run_id, limit_usd=_amount(args.limit))
        print(f"{n:,} cells to ask", file=sys.stderr)
    return _watched(mm, args.run_id, args)


def _watched(mm: ModelManager, run_id: str, args: argparse.Namespace) -> int:
    """Show how a run goes on until it is over, and what it came to."""
    is_terminal, told_at = sys.stderr.isatty(), time.monotonic()
    try:
        while (run := mm.evaluations.get(run_id)).is_running:
            if is_terminal or time.monotonic() - told_at > TELL_S:
                told_at = time.monotonic()
                print(
                    f"\r\033[K{_progress(mm, run)}" if is_terminal else _progress(mm, run),
                    end="" if is_terminal else "\n",
                    file=sys.stderr,
                    flush=True,
                )
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        mm.evaluations.stop(run_id)
        print(f"\nStopped; go on with: aimm eval resume {run_id}", file=sys.stderr)
        return ERROR
    if is_terminal:
        print("\r\033[K", end="", file=sys.stderr)
    return _report(mm, run, args)


def _progress(mm: ModelManager, run: EvaluationRun) -> str:
    """One line: how much is done, what failed, what is waited for, what it cost, how long it takes."""
    tallies = mm.evaluations.tallies(run.id)
    done = sum(t.n - t.outcomes.get("not_run", 0) for t in tallies)
    n_errors = sum(t.outcomes.get("error", 0) for t in tallies)
    share = done / run.n_cells
    bar = "█" * round(share * 20)
    parts = [f"{bar:·<20} {done:,}/{run.n_cells:,}", f"spent {dollars(run.spent_usd)}"]
    if n_errors:
        parts.append(f"{n_errors:,} failed")
    for vendor, told in run.waiting.items():
        left_s = told["until_us"] / 1e6 - time.time()
        if left_s > 0:
            parts.append(f"{vendor} takes no more for {left_s:.0f} s ({str(told['why'])[:60]})")
    return " · ".join(parts)


def _show(mm: ModelManager, args: argparse.Namespace) -> int:
    return _report(mm, mm.evaluations.verdicts.find(args.run_id), args, is_look=True)


def _report(mm: ModelManager, run: EvaluationRun, args: argparse.Namespace, *, is_look: bool = False) -> int:
    """Print what a run came to, write the reports that are asked for, and give the exit code.

    is_look: Nothing is kept of it, and what fails a nightly gate is not asked again.
    """
    evaluations = mm.evaluations
    tallies = evaluations.tallies(run.id)
    own = run.plan.gate.against if run.plan.gate is not None else ""
    try:
        if is_look or args.against not in ("", own):
            result = evaluations.verdicts.judge(run.id, against=args.against)
        else:
            if evaluations.verdicts.to_confirm(run.id):
                print("The gate failed; asking both sides again, three times.", file=sys.stderr)
            result = evaluations.verdicts.conclude(run.id)
    except (InvalidRequest, NotFound) as error:
        result = GateResult(exit_code=ERROR, reason=error.text)
    print(as_text(table(run, tallies)))
    verdicts = [each.verdict for each in result.results if each.verdict is not None] or _within(mm, run)
    for verdict in verdicts:
        print(sentence(verdict))
    if args.junit or args.json:
        _write_reports(mm, run, result, args)
    summary = as_markdown(run, tallies, result, verdicts)
    if args.summary:
        _write(args.summary, summary)
    if args.github:
        _tell_github(result, summary)
    if words := evaluations.told_try(run):
        print(f"This is {words} ({run.plan.first_try}).")
    print(result.reason)
    return result.exit_code


def _within(mm: ModelManager, run: EvaluationRun) -> list[Verdict]:
    """The other contestants against the first one, on everything that is measured of them."""
    return [mm.evaluations.verdicts.verdict(run.id, each.position) for each in run.plan.contestants[1:]]


def _write_reports(mm: ModelManager, run: EvaluationRun, result: GateResult, args: argparse.Namespace) -> None:
    cells = mm.evaluations.cells(run.id)
    answers = mm.evaluations.answers(cells)
    if args.json:
        told = (cell_to_dict(cell, answers.get(cell.place)) for cell in cells)
        _write(args.json, json.dumps(as_json(run, mm.evaluations.tallies(run.id), result, told), indent=1))
    if args.junit:
        rows = mm.evaluations.rows(run, sorted({cell.item for cell in cells}))
        _write(args.junit, as_junit(run, cells, rows, answers))


def _tell_github(result: GateResult, summary: str) -> None:
    if result.exit_code:
        words = result.reason.replace("%", "%25").replace("\n", "%0A")
        print(f"::error title=Evaluation::{words}")
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(summary)


def _list(mm: ModelManager, args: argparse.Namespace) -> None:
    runs, _ = mm.evaluations.page(max(1, min(args.n, 1000)))
    names = {each.run_id: each.name for each in mm.evaluations.verdicts.baselines()}
    for run in runs:
        told = {0: "passed", 100: "failed", 1: "not all ran"}.get(run.judged.get("exit_code", -1), "")
        baseline = f"  baseline {names[run.id]}" if run.id in names else ""
        size = f"{len(run.plan.contestants)} × {run.n_items:,}"
        print(
            f"{run.id}  {run.created_at:%Y-%m-%d %H:%M}  {run.status:8}  {run.plan.name}  {size}"
            f"  {dollars(run.spent_usd)}  {told}{baseline}"
        )


def _diff(mm: ModelManager, args: argparse.Namespace) -> None:
    after = mm.evaluations.verdicts.find(args.after)
    before = mm.evaluations.verdicts.find(args.before)
    for contestant in after.plan.contestants:
        verdict = mm.evaluations.verdicts.verdict(after.id, contestant.position, against=before.id, metric=args.metric)
        print(sentence(verdict))
        _print_items(mm, after, verdict)
        for what, run, ids in (
            ("only before", before, verdict.only_baseline),
            ("only after", after, verdict.only_candidate),
            ("no value", after, verdict.unpaired),
        ):
            _print_lone(mm, what, run, ids)


def _print_items(mm: ModelManager, run: EvaluationRun, verdict: Verdict) -> None:
    changed = [pair for pair in verdict.items if pair.change != "same"]
    rows = mm.evaluations.rows(run, [pair.item for pair in changed[:MOST_SHOWN]])
    for pair in changed[:MOST_SHOWN]:
        moved = f"{pair.baseline:.2f} → {pair.candidate:.2f}"
        print(f"  {pair.change:7} item {pair.item + 1:<5} {moved}  {_words_of(rows[pair.item])}")
    _print_more(len(changed))


def _print_lone(mm: ModelManager, what: str, run: EvaluationRun, ids: Sequence[str]) -> None:
    """The items that a comparison leaves out, as they stand in one of its runs."""
    at = {cell.row_id: cell.item for cell in mm.evaluations.cells(run.id, contestant=0)} if ids else {}
    items = sorted(at[each] for each in ids)[:MOST_SHOWN]
    for item, row in mm.evaluations.rows(run, items).items():
        print(f"  {what:11} item {item + 1:<5} {_words_of(row)}")
    _print_more(len(ids))


def _print_more(n: int) -> None:
    if n > MOST_SHOWN:
        print(f"  … and {n - MOST_SHOWN:,} more")


def _words_of(row: DatasetRow) -> str:
    """A row in a few words: what it asks."""
    asked = [*row.variables.values(), *(turn.get("content", "") for turn in row.messages[-1:])]
    return " ".join(map(str, asked)).replace("\n", " ")[:80] or row.description


def _bless(mm: ModelManager, args: argparse.Namespace) -> None:
    found = mm.evaluations.verdicts.bless(args.run_id, args.name, author=os.environ.get("USER", ""))
    print(f"The baseline {found.name} is {found.run_id}.")


def _export(mm: ModelManager, args: argparse.Namespace) -> None:
    run = mm.evaluations.verdicts.find(args.run_id)
    lines: list[str] = []
    after = None
    while cells := mm.evaluations.cells(run.id, after=after, limit=1000):
        after = cells[-1].place
        answers = mm.evaluations.answers(cells)
        rows = mm.evaluations.rows(run, sorted({cell.item for cell in cells}))
        told = (cell_to_dict(c, answers.get(c.place)) | {"row": rows[c.item].as_dict()} for c in cells)
        lines += map(json.dumps, told)
        if not args.output:
            print("\n".join(lines))
            lines = []
    if args.output:
        _write(args.output, "".join(f"{line}\n" for line in lines))


def _check_writable(*paths: str | None) -> None:
    """Raises: InvalidRequest: A report could not be written; nothing has been paid yet."""
    for path in filter(None, paths):
        if not os.access(path if os.path.exists(path) else os.path.dirname(path) or ".", os.W_OK) or os.path.isdir(
            path
        ):
            raise InvalidRequest(f"{path} cannot be written.")


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, "utf-8")
    except OSError as error:
        raise AimmError(f"{path} cannot be written ({type(error).__name__}).") from None


def _amount(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        return Decimal(text.removeprefix("$"))
    except InvalidOperation:
        raise InvalidRequest(f"--limit {text[:40]}: it is an amount in dollars, such as 2.50.") from None


LONG = (_run, _resume)  # those that begin work, and go on with what a dead process left
