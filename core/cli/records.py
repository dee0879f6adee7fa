"""`aimm comparisons …` and `aimm workflows …`: what was compared and run, and going on where something is missing."""

import argparse
import sys
from decimal import Decimal, InvalidOperation
from typing import Any

from core import ModelManager
from core.cli.parts import command, group
from core.errors import InvalidRequest

PAGE: dict[str, Any] = {"type": int, "default": 20}


def add(commands: Any) -> None:
    """Add the commands and their parts to the parser."""
    parts = group(commands, "comparisons", "past comparisons, their answers and votes")
    command(parts, "list", "the latest, with status and winner by the rule", _comparisons).add_argument("-n", **PAGE)
    command(parts, "show", "prompt, answers and votes", _comparison, "comparison")
    one = command(parts, "resume", "ask for the answers that are missing", _resume, "comparison")
    one.add_argument("--cap", help="what these answers may cost together, in US dollars")
    one = command(parts, "win-rates", "what people's votes add up to", _win_rates)
    one.add_argument("--by-model", action="store_true", help="whatever prompt and parameters a model had")

    parts = group(commands, "workflows", "workflows and their runs")
    command(parts, "list", "each workflow with its steps", _workflows)
    command(parts, "show", "a workflow as YAML", _workflow, "workflow")
    command(parts, "runs", "the latest runs", _runs).add_argument("-n", **PAGE)


def _comparisons(mm: ModelManager, args: argparse.Namespace) -> None:
    for c in mm.comparisons.latest(_count(args.n)):
        models = ", ".join(candidate.model for candidate in c.candidates)
        winner = "–" if c.winner is None else c.candidates[c.winner].letter
        print(f"{c.id}  {c.created_at:%Y-%m-%d %H:%M:%S}  {c.status:11}  {c.source}  winner {winner}  {models}")


def _comparison(mm: ModelManager, args: argparse.Namespace) -> None:
    c = mm.comparisons.get(args.comparison)
    print(f"{c.prompt or 'The prompt was not kept.'}\n\n{c.status}")
    for candidate in c.candidates:
        g = candidate.generation
        text = g.text or g.error_message or g.status if g else candidate.error or "no answer"
        print(f"\n{candidate.letter}  {candidate.contestant.label}\n{text}")
    votes, _ = mm.comparisons.voting.page(200, comparison_id=c.id)
    for vote in votes:
        pair = f"{c.candidates[vote.position_a].letter}/{c.candidates[vote.position_b].letter}"
        print(f"\n{vote.voter or 'not known'}: {pair} {vote.choice}{' (blind)' if vote.is_blind else ''}")


def _resume(mm: ModelManager, args: argparse.Namespace) -> None:
    try:
        cap = None if args.cap is None else Decimal(args.cap)
    except InvalidOperation:
        raise InvalidRequest(f"--cap == {args.cap!r}, must be an amount of US dollars") from None
    n = mm.comparisons.resume(args.comparison, cap_usd=cap)
    c = mm.comparisons.wait(args.comparison)
    print(f"{n} asked. {c.status}")


def _win_rates(mm: ModelManager, args: argparse.Namespace) -> None:
    for rate in mm.comparisons.win_rates(by_model=args.by_model):
        low, high = 100 * (rate.lower or 0), 100 * (rate.upper or 0)
        share = "too few votes" if rate.rate is None else f"{100 * rate.rate:.1f}% ({low:.1f} to {high:.1f})"
        print(f"{rate.contestant.label}: {share}; {rate.n_wins} won, {rate.n_losses} lost, {rate.n_ties} tied")


def _workflows(mm: ModelManager, _args: argparse.Namespace) -> None:
    for name, workflow in sorted(mm.workflows.all().items()):
        print(f"{name}  {', '.join(step.name for step in workflow.steps)}")


def _workflow(mm: ModelManager, args: argparse.Namespace) -> None:
    mm.workflows.get(args.workflow)
    sys.stdout.write(mm.workflows.definitions.texts()[args.workflow])


def _runs(mm: ModelManager, args: argparse.Namespace) -> None:
    for run in mm.workflows.runs(limit=_count(args.n)):
        cost = "unknown" if run.total_cost_usd is None else f"${run.total_cost_usd:f}"
        print(f"{run.id}  {run.created_at:%Y-%m-%d %H:%M:%S}  {run.workflow_name}  {run.status}  {cost}")


def _count(n: int) -> int:
    return max(1, min(n, 10_000))
