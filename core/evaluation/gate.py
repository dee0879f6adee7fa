"""The gate of a run: which of its requirements hold, what the process that ran it exits with, and why. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.run import MEASURED, OVERALL, Cell, Contestant, EvaluationRun, Gate, Requirement
from core.errors import InvalidRequest
from core.evaluation.verdict import Verdict, could_see, counterpart, item_means, verdict
from core.formats.figures import percent, signed
from core.formats.money import dollars
from core.formats.names import instead_of
from core.statistics.multiplicity import holm
from core.statistics.paired import significance_at_look

OK, ERROR, USAGE, FAILED = 0, 1, 2, 100
_UNCHECKED = "neither the file nor their rows have a check of a weight above 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementResult:
    """One requirement of one contestant. verdict: None = no baseline matters to it."""

    requirement: Requirement
    contestant: int
    state: Literal["passed", "failed", "unknown"]
    reason: str
    verdict: Verdict | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """The gate's answer.

    exit_code: 0 fine, 100 a requirement fails, 1 something did not run. reason: The last line.
    runs: Those that asked again what failed a nightly gate. is_open: That is not done.
    """

    exit_code: int
    reason: str
    results: tuple[RequirementResult, ...] = ()
    runs: tuple[str, ...] = ()
    is_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Opponents:
    """The baseline that a run is held against, with its cells by contestant; name: As it is told."""

    name: str
    contestants: Sequence[Contestant]
    cells: Mapping[int, Sequence[Cell]]


def held_against(gate: Gate | None, against: str) -> Gate | None:
    """The gate with its baseline; where nothing would be held against it, the pass rate may not be worse."""
    if not against:
        return gate
    was = gate or Gate()
    is_held = any(each.not_worse_than_points is not None for each in was.require)
    more = () if is_held or (was.require and was.against == against) else (Requirement(not_worse_than_points=0.0),)
    return replace(was, against=against, require=(*was.require, *more))


def check_metrics(gate: Gate | None, checks: Iterable[Mapping[str, Any]], rows: Iterable[DatasetRow]) -> None:
    """See to it that each metric of a gate is given by some check, before anything is paid.

    checks: Those of every item. rows: Those of the dataset, read only where `checks` lack a metric.

    Raises:
        InvalidRequest: It names the metric and those that there are.
    """
    missing = {each.metric for each in gate.require} - {OVERALL, *MEASURED} if gate is not None else set()
    there: set[str] = set()
    for check in _checks_until(missing, checks, rows):
        metric = str(check.get("metric") or "")
        if "{{" in metric:  # known only once a row has filled it
            return
        there.add(metric)
    if not missing <= there:
        metric, known = sorted(missing - there)[0], (OVERALL, *MEASURED, *sorted(there - {""}))
        raise InvalidRequest(f"gate: no check has the metric {metric[:80]!r}{instead_of(metric, known)}")


def _checks_until(missing: set[str], checks: Iterable[Mapping[str, Any]], rows: Iterable[DatasetRow]) -> Iterator[Any]:
    """The checks of every item; those of the rows too, where the first lack a metric."""
    yield from (common := list(_each_check(checks)))
    if not missing <= {str(check.get("metric") or "") for check in common}:
        yield from _each_check(check for row in rows for check in row.checks)


def _each_check(checks: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for check in checks:
        yield check
        yield from _each_check(each for each in check.get("assert") or () if isinstance(each, Mapping))


def judge(
    run: EvaluationRun,
    cells: Mapping[int, Sequence[Cell]],
    opponents: Opponents | None = None,
    *,
    n_looks: int = 1,
) -> GateResult:
    """Hold a run against its gate; without one, or where it requires nothing, each failed check counts.

    cells: By contestant. opponents: None = the run's first contestant. n_looks: At this baseline, for a nightly gate.

    Raises:
        InvalidRequest: A requirement needs a baseline, and the run has one contestant alone.
    """
    gate = run.plan.gate
    results = () if gate is None else _results(run, gate, cells, opponents, n_looks)
    missing = _missing(run, cells)
    if failed := [each for each in results if each.state == "failed"]:
        return GateResult(exit_code=FAILED, reason=_join("The gate failed", failed, missing), results=results)
    if not results and (n := _count(cells, "fail")):
        total = _count(cells, "fail", "pass")
        words = f"{n:,} of {total:,} answers failed a check; a gate in the file says how many may."
        code = ERROR if _count(cells, "not_run") else FAILED
        return GateResult(exit_code=code, reason=f"{words} {missing}".strip())
    if missing:
        return GateResult(exit_code=ERROR, reason=missing, results=results)
    if unknown := [each for each in results if each.state == "unknown"]:
        return GateResult(exit_code=ERROR, reason=_join("The gate cannot say", unknown), results=results)
    if not _count(cells, "pass", "fail"):
        return GateResult(exit_code=ERROR, reason=f"No answer was checked: {_UNCHECKED}.")
    if n := _count(cells, "unchecked"):
        words = f"{n:,} answers were not checked: {_UNCHECKED}."
        return GateResult(exit_code=ERROR, reason=words, results=results)
    return GateResult(exit_code=OK, reason=_green(results, cells), results=results)


def _results(
    run: EvaluationRun, gate: Gate, cells: Mapping[int, Sequence[Cell]], opponents: Opponents | None, n_looks: int
) -> tuple[RequirementResult, ...]:
    if gate.nightly == "looks":
        gate = replace(gate, significance=significance_at_look(n_looks, gate.significance))
    asked = [
        (requirement, contestant)
        for requirement in gate.require
        for contestant in run.plan.contestants
        if not (opponents is None and requirement.not_worse_than_points is not None and contestant.position == 0)
    ]
    if any(r.not_worse_than_points is not None for r in gate.require) and not any(
        r.not_worse_than_points is not None for r, _ in asked
    ):
        raise InvalidRequest("The gate compares with a baseline, and the run has one contestant: say against which.")
    tested = [pair for pair in asked if pair[0].not_worse_than_points is not None and not pair[0].is_strict]
    verdicts = {
        (requirement, contestant.position): _verdict(
            run, gate, requirement, contestant, cells, opponents, max(1, len(tested))
        )
        for requirement, contestant in asked
        if requirement.not_worse_than_points is not None
    }
    found = [verdicts[r, c.position] for r, c in tested]
    known = [each for each in found if each is not None and each.comparison is not None]
    adjusted = dict(zip(map(id, known), holm([v.comparison.p_worse for v in known if v.comparison]), strict=True))
    return tuple(
        _result(requirement, contestant, cells, verdicts.get((requirement, contestant.position)), gate, adjusted)
        for requirement, contestant in asked
    )


def _verdict(  # noqa: PLR0913 - a requirement with all that it is judged by
    run: EvaluationRun,
    gate: Gate,
    requirement: Requirement,
    contestant: Contestant,
    cells: Mapping[int, Sequence[Cell]],
    opponents: Opponents | None,
    n_tests: int,
) -> Verdict | None:
    if opponents is None:
        other, theirs = run.plan.contestants[0], cells[0]
    else:
        found = counterpart(contestant, opponents.contestants)
        if found is None:
            return None
        other, theirs = found, opponents.cells[found.position]
    return verdict(
        theirs,
        cells[contestant.position],
        metric=requirement.metric,
        labels=(opponents.name if opponents is not None else other.letter, contestant.letter),
        n_tests=1 if requirement.is_strict else n_tests,
        is_exact=gate.is_exact,
        significance=gate.significance,
    )


def _result(
    requirement: Requirement,
    contestant: Contestant,
    cells: Mapping[int, Sequence[Cell]],
    found: Verdict | None,
    gate: Gate,
    adjusted: Mapping[int, float],
) -> RequirementResult:
    told = f"{contestant.letter} ({contestant.label}) {_named(requirement.metric)}"
    means = item_means(cells[contestant.position], requirement.metric)
    p = adjusted.get(id(found)) if found is not None else None
    state: Literal["passed", "failed", "unknown"] = "passed"
    reasons = []
    if not means:
        return RequirementResult(
            requirement=requirement, contestant=contestant.position, state="unknown", reason=f"{told}: no answer has it"
        )
    mean = sum(means.values()) / len(means)
    for bound, is_broken, words in (
        (requirement.not_below, requirement.not_below is not None and mean < requirement.not_below, "below"),
        (requirement.not_above, requirement.not_above is not None and mean > requirement.not_above, "above"),
    ):
        if bound is not None:
            is_word = "is" if is_broken else "is not"
            reasons.append(f"{_shown(requirement.metric, mean)} {is_word} {words} {_shown(requirement.metric, bound)}")
            state = "failed" if is_broken else state
    if requirement.not_worse_than_points is not None:
        if found is None or found.comparison is None:
            state = "unknown" if state == "passed" else state
            reasons.append("the baseline has no counterpart, or no item in common")
        else:
            is_worse, words = _worse(requirement, found, gate, p)
            state = "failed" if is_worse else state
            reasons.append(words)
    return RequirementResult(
        requirement=requirement, contestant=contestant.position, state=state, reason=f"{told}: {', '.join(reasons)}",
        verdict=found, p_adjusted=p,
    )  # fmt: skip


def _worse(requirement: Requirement, found: Verdict, gate: Gate, p: float | None) -> tuple[bool, str]:
    """(does the requirement fail against the baseline, the figures in words)"""
    comparison = found.comparison
    assert comparison is not None and requirement.not_worse_than_points is not None  # noqa: S101 - asked by who knows
    margin = requirement.not_worse_than_points
    if requirement.metric not in MEASURED:
        margin /= 100
    is_worse = comparison.fails(
        margin=margin,
        significance=gate.significance,
        rule="strict" if requirement.is_strict else "alarm",
        p_worse=p,
        is_confirmation=gate.nightly == "confirming",
    )
    unit = 1.0 if requirement.metric in MEASURED else 100.0
    drop, p_shown = comparison.drop * unit, comparison.p_worse if p is None else p
    words = f"{signed(-drop, '.1f')} points" if unit == 100.0 else signed(drop, ".6g")
    words += f" against {found.baseline.label}"
    if drop > 0 and not requirement.is_strict:
        words += f", one-sided p = {p_shown:.4f}"
    words += f" ({found.n('broken', 'worse'):,} worse, {found.n('fixed', 'better'):,} better)"
    if lonely := len(found.only_baseline) + len(found.only_candidate):
        words += f"; {lonely:,} items are in one run only and not compared"
    # Of what is shown to be better, nothing more has to be said.
    return is_worse, words if comparison.difference.lower > 0 else f"{words}; {could_see(found).rstrip('.')}"


def _missing(run: EvaluationRun, cells: Mapping[int, Sequence[Cell]]) -> str:
    """The cells without an answer, by contestant, in words; empty = there are none."""
    parts = []
    for contestant in run.plan.contestants:
        n_not_run = sum(cell.outcome == "not_run" for cell in cells[contestant.position])
        errors = [cell for cell in cells[contestant.position] if cell.outcome == "error"]
        if n_not_run:
            why = next((cell.error for cell in cells[contestant.position] if cell.state == "skipped"), run.reason)
            noun = "cell" if n_not_run == 1 else "cells"
            parts.append(f"{n_not_run:,} {noun} of {contestant.letter} did not run{f' ({why[:160]})' if why else ''}")
        if errors:
            first = next((s.reason for s in errors[0].scores if s.passed is None), errors[0].error)
            parts.append(
                f"{len(errors):,} of {contestant.letter} failed ({errors[0].error_class or 'check'}: {first[:160]})"
            )
    return f"{'; '.join(parts)}." if parts else ""


def _green(results: Sequence[RequirementResult], cells: Mapping[int, Sequence[Cell]]) -> str:
    if results:
        return f"The gate passed: {'; '.join(each.reason for each in results)}."
    n = _count(cells, "pass")
    return f"All {n:,} answers passed their checks."


def _join(lead: str, results: Sequence[RequirementResult], more: str = "") -> str:
    return f"{lead}: {'; '.join(each.reason for each in results)}. {more}".strip()


def _count(cells: Mapping[int, Sequence[Cell]], *outcomes: str) -> int:
    return sum(cell.outcome in outcomes for each in cells.values() for cell in each)


def _named(metric: str) -> str:
    return {OVERALL: "pass rate", "cost": "cost of an answer", "latency": "latency of an answer"}.get(metric, metric)


def _shown(metric: str, value: float) -> str:
    return dollars(value) if metric == "cost" else f"{value:.3g} s" if metric == "latency" else percent(value)


def to_dict(result: GateResult) -> dict[str, Any]:
    """Ready for JSON."""
    return {
        "exit_code": result.exit_code,
        "reason": result.reason,
        "runs": list(result.runs),
        "is_open": result.is_open,
        "requirements": [
            {
                "metric": each.requirement.metric,
                "contestant": each.contestant,
                "state": each.state,
                "reason": each.reason,
                "p_adjusted": each.p_adjusted,
            }
            for each in result.results
        ],
    }
