"""The result of a run for people, for CI and for programs: text, Markdown, JUnit, JSON. Pure."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.run import OUTCOMES, Cell, Contestant, EvaluationRun, Tally, by_contestant, gate_to_dict
from core.evaluation.gate import GateResult, to_dict
from core.evaluation.verdict import Side, Verdict, sentence
from core.formats.figures import percent
from core.formats.money import dollars

_UNFIT = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 has no way to say
_STATES = {"pass": "passed", "fail": "failed", "unchecked": "unchecked", "error": "errors", "not_run": "not run"}
SHOWN = 300


def table(run: EvaluationRun, tallies: Sequence[Tally]) -> list[list[str]]:
    """A head and a row a contestant: passes, failures, errors, what did not run, cost, latency."""
    shown = [name for name in OUTCOMES if any(t.outcomes.get(name) for t in tallies) or name in ("pass", "fail")]
    rows = [["", "contestant", "pass rate", *(_STATES[name] for name in shown), "cost", "an answer", "latency"]]
    known = {tally.contestant: tally for tally in tallies}
    for contestant in run.plan.contestants:
        tally = known.get(contestant.position, Tally(contestant=contestant.position, outcomes={}))
        rate = "" if tally.pass_rate is None else percent(tally.pass_rate)
        each = dollars(tally.cost_usd / tally.n_cost) if tally.n_cost else ""
        counts = [f"{tally.outcomes.get(name, 0):,}" for name in shown]
        latency = "" if tally.latency_s is None else f"{tally.latency_s:.2f} s"
        has_answers = tally.n > tally.outcomes.get("not_run", 0)
        cost = dollars(tally.cost_usd) if tally.n_cost else "unknown" if has_answers else ""
        rows.append([contestant.letter, contestant.label, rate, *counts, cost, each, latency])
    return rows


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """A table in columns."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def as_markdown(
    run: EvaluationRun, tallies: Sequence[Tally], result: GateResult, verdicts: Sequence[Verdict] = ()
) -> str:
    """A summary as GitHub shows it."""
    mark = {0: "✅", 100: "❌"}.get(result.exit_code, "⚠️")
    head, *rows = table(run, tallies)
    lines = [
        f"### {mark} {_cell(run.plan.name)}",
        "",
        _cell(result.reason),
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(map(_cell, row))} |" for row in rows),
        "",
        *(f"- {_cell(sentence(each))}" for each in verdicts),
        "",
        f"Run `{run.id}`, dataset {_cell(run.plan.dataset)}, {run.n_items:,} items"
        f"{f', try {run.n_try} of a run that failed' if run.n_try > 1 else ''}.",
    ]
    return "\n".join(lines) + "\n"


def as_json(
    run: EvaluationRun, tallies: Sequence[Tally], result: GateResult, cells: Iterator[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Ready for JSON. cells: As `cell_to_dict` tells them; None = without them."""
    told: dict[str, Any] = {
        "id": run.id,
        "name": run.plan.name,
        "status": run.status,
        "reason": run.reason,
        "dataset": run.plan.dataset,
        "created_at": run.created_at.isoformat(),
        "n_items": run.n_items,
        "repetitions": run.plan.repetitions,
        "spent_usd": f"{run.spent_usd:f}",
        "n_unpriced": run.n_unpriced,
        "try": run.n_try,
        "is_simulated": run.is_simulated,
        "gate": None if run.plan.gate is None else gate_to_dict(run.plan.gate),
        "result": to_dict(result),
        "contestants": [_contestant_to_dict(each, tallies) for each in run.plan.contestants],
    }
    return told if cells is None else told | {"cells": list(cells)}


def cell_to_dict(cell: Cell, answer: str | None = None) -> dict[str, Any]:
    """A cell for programs. answer: Its text; None = not kept, or not asked for."""
    return {
        "item": cell.item,
        "contestant": cell.contestant,
        "repetition": cell.repetition,
        "row_id": cell.row_id,
        "outcome": cell.outcome,
        "score": cell.score,
        "checks": [
            {"type": s.type, "passed": s.passed, "score": s.score, "reason": s.reason, "metric": s.metric}
            for s in cell.scores
        ],
        "generation_id": cell.generation_id,
        "is_reused": cell.is_reused,
        "cost_usd": None if cell.cost_usd is None else f"{cell.cost_usd:f}",
        "latency_s": cell.latency_s,
        "finish_reason": cell.finish_reason,
        "error": cell.error,
        "error_class": cell.error_class,
        "answer": answer,
    }


def verdict_to_dict(found: Verdict) -> dict[str, Any]:
    """Ready for JSON. Differences are candidate − baseline, higher is better; of cost and latency negated."""
    comparison = found.comparison
    return {
        "metric": found.metric,
        "sentence": sentence(found),
        "baseline": _side_to_dict(found.baseline),
        "candidate": _side_to_dict(found.candidate),
        "comparison": None
        if comparison is None
        else {
            "n_items": comparison.n_items,
            "n_worse": comparison.n_worse,
            "n_better": comparison.n_better,
            "difference": _finite(comparison.difference.estimate),
            "lower": _finite(comparison.difference.lower),
            "upper": _finite(comparison.difference.upper),
            "p_value": comparison.p_value,
            "p_worse": comparison.p_worse,
            "method": comparison.method,
            "smallest_detectable_drop": _finite(comparison.smallest_detectable_drop),
        },
        "items": [
            {name: getattr(pair, name) for name in ("row_id", "item", "baseline", "candidate", "change", "damage")}
            for pair in found.items
            if pair.change != "same"
        ],
        "only_baseline": list(found.only_baseline),
        "only_candidate": list(found.only_candidate),
        "unpaired": list(found.unpaired),
    }


def _side_to_dict(side: Side) -> dict[str, Any]:
    names = ("label", "mean", "mean_with_errors", "n_items")
    return {name: getattr(side, name) for name in names} | {"outcomes": dict(side.outcomes)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def as_junit(
    run: EvaluationRun,
    cells: Sequence[Cell],
    rows: Mapping[int, DatasetRow],
    answers: Mapping[tuple[int, int, int], str],
) -> str:
    """A suite a contestant, a case a cell; what failed says why, what was answered and what was expected."""
    of = by_contestant(run.plan, cells)
    suites = [_suite(run, each, of[each.position], rows, answers) for each in run.plan.contestants]
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name={_attribute(run.plan.name)}>\n'
    return f"{head}{''.join(suites)}</testsuites>\n"


def _suite(
    run: EvaluationRun,
    contestant: Contestant,
    cells: Sequence[Cell],
    rows: Mapping[int, DatasetRow],
    answers: Mapping[tuple[int, int, int], str],
) -> str:
    n = {name: sum(cell.outcome == name for cell in cells) for name in OUTCOMES}
    seconds = sum(cell.latency_s or 0.0 for cell in cells)
    lines = [
        f"<testsuite name={_attribute(f'{contestant.letter} {contestant.label}')} tests={_attribute(len(cells))}"
        f" failures={_attribute(n['fail'])} errors={_attribute(n['error'])}"
        f" skipped={_attribute(n['not_run'] + n['unchecked'])} time={_attribute(f'{seconds:.3f}')}>\n"
    ]
    for cell in cells:
        row = rows.get(cell.item)
        repeated = f" (repetition {cell.repetition + 1})" if run.plan.repetitions > 1 else ""
        described = row.description if row is not None and row.description else ""
        name = f"item {cell.item + 1}{repeated}{f': {described}' if described else ''}"
        named = f"classname={_attribute(run.plan.name)} name={_attribute(name)}"
        result = _result(cell, row, answers.get(cell.place))
        lines.append(f'<testcase {named} time="{cell.latency_s or 0.0:.3f}">{result}</testcase>\n')
    return "".join([*lines, "</testsuite>\n"])


def _result(cell: Cell, row: DatasetRow | None, answer: str | None) -> str:
    if cell.outcome == "pass":
        return ""
    if cell.outcome in ("not_run", "unchecked"):
        why = cell.error or ("no check" if cell.outcome == "unchecked" else "not run")
        return f"<skipped message={_attribute(why)}/>"
    failed = [score for score in cell.scores if not score.passed]
    why = "; ".join(f"{score.type}: {score.reason}" for score in failed) or cell.error or cell.error_class
    details = [f"answer: {answer}" if answer is not None else "the answer is not kept"]
    if row is not None and row.expected is not None:
        details.append(f"expected: {row.expected}")
    tag, kind = ("error", cell.error_class or "check") if cell.outcome == "error" else ("failure", _kinds(failed))
    said = f"type={_attribute(kind)} message={_attribute(why[:SHOWN])}"
    return f"<{tag} {said}>{_text(chr(10).join([why, *details]))}</{tag}>"


def _kinds(scores: Sequence[Any]) -> str:
    return ",".join(dict.fromkeys(score.type for score in scores)) or "check"


def _contestant_to_dict(contestant: Contestant, tallies: Sequence[Tally]) -> dict[str, Any]:
    tally = next((each for each in tallies if each.contestant == contestant.position), None)
    return {
        "letter": contestant.letter,
        "label": contestant.label,
        "prompt": contestant.prompt,
        "model": contestant.asked or contestant.model,
        "parameters": contestant.parameters.as_dict(),
        "outcomes": dict(tally.outcomes) if tally else {},
        "pass_rate": tally.pass_rate if tally else None,
        "cost_usd": f"{tally.cost_usd:f}" if tally and tally.n_cost else None,
        "latency_s": tally.latency_s if tally else None,
        "n_reused": tally.n_reused if tally else 0,
    }


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _text(value: object) -> str:
    return escape(_UNFIT.sub("\ufffd", str(value)))


def _attribute(value: object) -> str:
    return quoteattr(_UNFIT.sub("\ufffd", str(value)).replace("\n", " "))
