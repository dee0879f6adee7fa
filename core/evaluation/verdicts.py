"""Verdicts on runs, gates, and the baselines that runs are held against."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from core import clock
from core.calls.origin import Origin
from core.domain.budget import LEAST_CAP
from core.domain.evaluation.run import (
    MEASURED,
    OVERALL,
    RUN_IDS,
    Cell,
    Contestant,
    EvaluationRun,
    Plan,
    Reading,
    Tally,
    by_contestant,
    placed,
)
from core.errors import AimmError, Conflict, InvalidRequest, NotFound
from core.evaluation.gate import ERROR, FAILED, OK, GateResult, Opponents, held_against, judge, to_dict
from core.evaluation.verdict import Verdict, corrected, counterpart, gathered, metrics_of, verdict, verdict_of
from core.formats import strict_json as json
from core.runs.job import JobTools
from core.statistics.rates import Rate, rate
from core.storage.engine.database import Connection
from core.storage.evaluation.baselines import Baseline, BaselineStore
from core.storage.evaluation.cells import CellStore
from core.storage.evaluation.readings import ReadingStore
from core.storage.evaluation.runs import RunStore
from core.storage.people.audit import note as audit

GATED_RUNS, GATED_FOR = 100, timedelta(days=7)
CONFIRMING = 3  # answers to each item of a confirmation


class Service(Protocol):
    """The part of evaluations that verdicts need."""

    def get(self, run_id: str) -> EvaluationRun: ...
    def start(self, plan: Plan, *, origin: Origin) -> str: ...
    def resume(self, run_id: str, *, limit_usd: Decimal | None) -> int: ...
    def wait(self, run_id: str) -> EvaluationRun: ...


class VerdictService:
    def __init__(self, tools: JobTools, runs: RunStore, cells: CellStore, service: Service) -> None:
        self._writer = tools.writer
        self._baselines = BaselineStore(tools.database)
        self._runs = runs
        self._cells = cells
        self._readings = ReadingStore(tools.database)
        self._service = service

    def judge(self, run_id: str, *, against: str = "") -> GateResult:
        """The gate's answer to a run as it stands, with what was asked again to confirm it; nothing is kept of it.

        against: A baseline or a run in place of the gate's; with no gate, the pass rate may not be worse than its.

        Raises:
            NotFound: The run, or no such baseline. InvalidRequest: a gate that cannot be asked.
        """
        run = self._service.get(run_id)
        result = self._judged_once(run, against)
        own = run.plan.gate.against if run.plan.gate is not None else ""
        plans = self._wanted(run, result) if against in ("", own) else []
        return self._confirmed(run, result, plans) if plans else result

    def keep(self, run_id: str) -> GateResult:
        """The same, kept with a run that is over: the first answer stands, and a failed one makes the next run a try.

        What has still to be confirmed is not kept.
        """
        result, run = self.judge(run_id), self._service.get(run_id)
        if run.status == "finished" and not run.judged and not result.is_open:
            against = run.plan.gate.against if run.plan.gate is not None else ""
            told = json.dumps(to_dict(result) | {"against": against})
            self._writer.run(lambda connection: self._runs.set(connection, run_id, judged=told))
        return result

    def gated(self) -> list[tuple[str, str, bool | None, str]]:
        """Of each suite with a gate: its name, its last finished run of a week, whether that passed (None = it could
        not be judged), and why. Those of simulated models are not among them."""
        found: dict[str, tuple[str, str, bool | None, str]] = {}
        for run in self._runs.page(GATED_RUNS)[0]:
            is_real = run.plan.gate is not None and not run.plan.confirms and not run.is_simulated
            is_over = run.status == "finished" and clock.now() - run.created_at < GATED_FOR
            if is_real and is_over and run.plan.name not in found:
                found[run.plan.name] = (run.plan.name, run.id, *self._answered(run))
        return list(found.values())

    def _answered(self, run: EvaluationRun) -> tuple[bool | None, str]:
        try:
            told = dict(run.judged) or to_dict(self.keep(run.id))
        except AimmError as error:  # such as a baseline that is not there yet
            return None, f"{run.plan.name}: {error.message}"
        code = told.get("exit_code")
        passed = {OK: True, FAILED: False}.get(int(code)) if code is not None else None
        return passed, f"{run.plan.name}: {told.get('reason') or 'the gate was asked.'}"

    def conclude(self, run_id: str, *, origin: Origin | None = None, waits: bool = True) -> GateResult:
        """The same, once what fails a nightly gate was asked again; its calls are the origin's.

        waits: Until that is over; else it is begun, and the answer is open.

        Raises:
            As `judge`, and as the start of a run.
        """
        for _ in self._service.get(run_id).plan.contestants:
            if (found := self.to_confirm(run_id)) is None:
                break
            plan, paused = found
            if paused is None:
                again = self._service.start(plan, origin=origin or Origin(source="evaluation"))
            else:
                again = paused.id
                self._service.resume(again, limit_usd=plan.limit_usd)
            if not waits or self._service.wait(again).status != "finished":
                break
        return self.keep(run_id)

    def _judged_once(self, run: EvaluationRun, against: str) -> GateResult:
        gate = run.plan.gate
        against = against or (gate.against if gate is not None else "")
        run = replace(run, plan=replace(run.plan, gate=held_against(gate, against)))
        opponents, n_looks = None, 1
        if against:
            other, baseline = self._opponent(against)
            opponents = Opponents(name=against, contestants=other.plan.contestants, cells=self._by_contestant(other))
            n_looks = max(1, self._runs.n_looks(run.plan.name, clock.to_us(baseline or other.created_at)))
        return judge(run, self._by_contestant(run), opponents, n_looks=n_looks)

    # Confirmations: what fails a nightly gate is asked once more, fresh and three times, baseline and candidate

    def to_confirm(self, run_id: str) -> tuple[Plan, EvaluationRun | None] | None:
        """The next confirmation that a run needs, with the run that paused on it; None = none, or one is running.

        Its limit is what the run and the confirmations before it left of the run's own.
        """
        run = self._service.get(run_id)
        plans = self._wanted(run, self._judged_once(run, ""))
        for plan, found in self._pairs(run, plans):
            if found is not None and found.is_running:
                return None
            if found is None or found.status != "finished":
                left = self._left_usd(run)
                limit = left if left is None or found is None else left + found.spent_usd
                if left is None or limit is None:
                    return replace(plan, limit_usd=None), found
                is_more = left >= LEAST_CAP if found is None else limit > (found.plan.limit_usd or 0)
                return (replace(plan, limit_usd=limit), found) if is_more else None
        return None

    def _wanted(self, run: EvaluationRun, result: GateResult) -> list[Plan]:
        """A confirmation for each contestant that fails.

        None where the gate does not ask for it, or does not fail for being worse than a baseline; and none where
        something fails that has no counterpart to be asked beside it.
        """
        gate = run.plan.gate
        if gate is None or gate.nightly != "confirm" or result.exit_code != FAILED or not gate.against:
            return []
        other, _ = self._opponent(gate.against)
        failed = {each.contestant for each in result.results if each.state == "failed"}
        plans = []
        for contestant in run.plan.contestants:
            if contestant.position in failed:
                baseline = counterpart(contestant, other.plan.contestants)
                if baseline is None:
                    return []
                sides = placed([replace(baseline, name=gate.against), contestant])
                same = replace(run.plan, name=f"{run.plan.name}: confirmation"[:200], contestants=sides)
                once = replace(held_against(gate, gate.against) or gate, against="", nightly="confirming")
                plans.append(replace(same, repetitions=CONFIRMING, max_age_s=0, gate=once, confirms=run.id))
        return plans

    def _pairs(self, run: EvaluationRun, plans: Sequence[Plan]) -> list[tuple[Plan, EvaluationRun | None]]:
        """Each plan with the newest run that asked it with these checks."""
        known = self._confirmations(run)
        return [(plan, next((each for each in known if _asks_same(each.plan, plan)), None)) for plan in plans]

    def _confirmations(self, run: EvaluationRun) -> list[EvaluationRun]:
        name = f"{run.plan.name}: confirmation"[:200]
        return [each for each in self._runs.since(name, run.created_at) if each.plan.confirms == run.id]

    def _left_usd(self, run: EvaluationRun) -> Decimal | None:
        """The part of the limit that neither the run nor its confirmations spent; None = there is no limit."""
        if run.plan.limit_usd is None:
            return None
        return run.plan.limit_usd - run.spent_usd - sum(each.spent_usd for each in self._confirmations(run))

    def _confirmed(self, run: EvaluationRun, first: GateResult, plans: Sequence[Plan]) -> GateResult:
        """The gate's answer with what was asked again: red only if that failed too.

        Cells of the run itself that have no answer still have none: it is not green then.
        """
        found = [each for _, each in self._pairs(run, plans)]
        again = [each for each in found if each is not None]
        results = [self._judged_once(each, "") for each in again]
        left = [each for each in found if each is None or each.status != "finished"]
        red = [each for each in results if each.exit_code == FAILED]
        unsure = [each for each in results if each.exit_code == ERROR]
        if left:
            code, lead = ERROR, self._waits_for(run, [each for each in left if each is not None])
        elif red:
            code, lead = FAILED, "Confirmed by asking both again, three times"
        else:
            code, lead = ERROR if unsure or _n_missing(self._cells.tallies(run.id)) else OK, "Not confirmed"
            lead += " by asking both again, three times"
        said = "" if left else f": {'; '.join(each.reason for each in red or unsure or results)}"
        reason = f"{lead}{said}{'' if said.endswith('.') else '.'} At first: {first.reason}"
        return replace(first, exit_code=code, reason=reason, runs=tuple(each.id for each in again), is_open=bool(left))

    def _waits_for(self, run: EvaluationRun, begun: Sequence[EvaluationRun]) -> str:
        lead = "The gate failed once, which is to be confirmed by asking both again, three times"
        if running := [each.id for each in begun if each.is_running]:
            return f"{lead}; {', '.join(running)} does that"
        left = self._left_usd(run)
        is_short = left is not None and (bool(begun) or left < LEAST_CAP)
        paid = f", with a limit above ${run.plan.limit_usd:f}, of which ${left:f} is left" if is_short else ""
        return f"{lead}; resume the run for it{paid}"

    def verdict(
        self, run_id: str, candidate: int, *, baseline: int = 0, against: str = "", metric: str = OVERALL
    ) -> Verdict:
        """One contestant against another: of its run, or the counterpart in a baseline or another run.

        Raises:
            NotFound: The run, the baseline, a contestant.
        """
        run = self._service.get(run_id)
        mine = _contestant(run, candidate)
        if not against:
            other, theirs, label = run, _contestant(run, baseline), f"{_contestant(run, baseline).letter}"
        else:
            other, _ = self._opponent(against)
            found = counterpart(mine, other.plan.contestants)
            if found is None:
                raise NotFound(f"{against[:60]} has no contestant that {mine.label} could be held against.")
            theirs, label = found, against
        return verdict(
            self._cells.cells(other.id, contestant=theirs.position),
            self._cells.cells(run_id, contestant=candidate),
            metric=metric,
            labels=(label, mine.letter),
        )

    def read(self, run: EvaluationRun, metric: str = OVERALL) -> Mapping[int, Sequence[Cell | Reading]]:
        """The cells of each contestant with what a metric reads of them, without texts."""
        found: dict[int, list[Cell | Reading]] = {contestant.position: [] for contestant in run.plan.contestants}
        for cell in self._readings.cells(run.id, tuple(found), metric):
            found[cell.contestant].append(cell)
        return found

    def all(
        self,
        run: EvaluationRun,
        cells: Mapping[int, Sequence[Cell | Reading]],
        *,
        baseline: int = 0,
        against: str = "",
        metric: str = OVERALL,
    ) -> tuple[Verdict | None, ...]:
        """The verdict on each contestant, told as one family: intervals hold together, p values are Holm's.

        cells: As `read` gives them. baseline: The contestant that the others are held against. against: A baseline or a
        run in its place. A verdict is None for the baseline itself, and for what has no counterpart in the other run.

        Raises:
            NotFound: The baseline, a contestant.
        """
        other = self.find(against) if against else run
        first = _contestant(run, baseline)
        held = {
            each.position: counterpart(each, other.plan.contestants) if against else first
            for each in run.plan.contestants
            if against or each.position != baseline
        }
        mine = {position: gathered(each, metric) for position, each in cells.items()}
        theirs = mine
        if other.id != run.id:
            theirs = {position: gathered(each, metric) for position, each in self.read(other, metric).items()}
        n_tests = max(1, sum(each is not None for each in held.values()))
        return corrected(
            [
                None
                if (opponent := held.get(each.position)) is None
                else verdict_of(
                    theirs[opponent.position],
                    mine[each.position],
                    labels=(against or opponent.letter, each.letter),
                    n_tests=n_tests,
                )
                for each in run.plan.contestants
            ]
        )

    def rates(self, run: EvaluationRun) -> list[Rate]:
        """Of each contestant with an answer: its pass rate and its cost, with their intervals."""
        return [rate(*each, repetitions=run.plan.repetitions) for each in self._readings.spreads(run.id)]

    def metrics(self, run: EvaluationRun) -> tuple[str, ...]:
        """The metrics that a run can be read by, those of its checks as far as its first items tell them."""
        named = [str(check.get("metric") or "") for check in run.plan.checks]
        first = metrics_of(self._cells.cells(run.id, limit=200))
        return tuple(dict.fromkeys((OVERALL, *filter(None, named), *first, *MEASURED)))

    def find(self, ref: str) -> EvaluationRun:
        """A run by its id, or the one that a baseline points at. Raises: NotFound"""
        return self._opponent(ref)[0]

    def bless(self, run_id: str, name: str, *, author: str = "") -> Baseline:
        """Point a baseline at a run; where it pointed before is on record.

        Raises:
            NotFound; InvalidRequest: no name; Conflict: the run is not over, or has cells without an answer.
        """
        if not name or len(name) > 100 or name != name.strip() or name.startswith(RUN_IDS):
            raise InvalidRequest("A baseline's name has 1 to 100 characters and does not begin with ev_ or c_.")
        run = self._service.get(run_id)
        n_missing = sum(t.outcomes.get("not_run", 0) for t in self._cells.tallies(run_id))
        if run.is_running or n_missing:
            raise Conflict(
                f"The run is {run.status}, and {n_missing:,} of its cells have no answer: it is no baseline yet."
            )

        def work(connection: Connection) -> None:
            self._baselines.bless(connection, name, run_id, clock.now_us(), author)
            audit(connection, "baseline set", name, {"run": run_id})

        self._writer.run(work)
        found = self._baselines.get(name)
        if found is None:
            raise NotFound(f"There is no baseline {name!r}.")
        return found

    def baselines(self) -> list[Baseline]:
        return self._baselines.all()

    def _opponent(self, ref: str) -> tuple[EvaluationRun, datetime | None]:
        """A baseline's run and when it was blessed, or a run by its id."""
        baseline = self._baselines.get(ref)
        if baseline is None and not ref.startswith(RUN_IDS):
            raise NotFound(
                f"There is no baseline {ref[:60]!r} yet: bless a run as it, with `aimm eval bless RUN --as {ref[:60]}`."
            )
        return self._service.get(baseline.run_id if baseline else ref), baseline.moved_at if baseline else None

    def _by_contestant(self, run: EvaluationRun) -> dict[int, list[Cell]]:
        return by_contestant(run.plan, self._cells.cells(run.id))


def _asks_same(one: Plan, other: Plan) -> bool:
    """True where a confirmation is the one that a plan asks for; the model behind an alias may have moved since."""
    mine, theirs = ([replace(each, asked="") for each in plan.contestants] for plan in (one, other))
    return mine == theirs and (one.checks, one.threshold) == (other.checks, other.threshold)


def _n_missing(tallies: Sequence[Tally]) -> int:
    return sum(tally.outcomes.get(each, 0) for tally in tallies for each in ("error", "not_run"))


def _contestant(run: EvaluationRun, position: int) -> Contestant:
    if not 0 <= position < len(run.plan.contestants):
        raise NotFound(f"The evaluation has {len(run.plan.contestants)} contestants, no contestant {position}.")
    return run.plan.contestants[position]
