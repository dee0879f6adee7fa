"""Verdicts on runs, gates, and the baselines that runs are held against."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from core import clock
from core.domain.evaluation.run import (
    MEASURED,
    OVERALL,
    Cell,
    Contestant,
    EvaluationRun,
    Gate,
    Plan,
    Requirement,
    by_contestant,
    placed,
)
from core.errors import Conflict, InvalidRequest, NotFound
from core.evaluation.gate import ERROR, FAILED, OK, GateResult, Opponents, judge, to_dict
from core.evaluation.verdict import Verdict, corrected, counterpart, metrics_of, verdict
from core.formats import strict_json as json
from core.runs.job import JobTools
from core.statistics.rates import Rate, rate
from core.storage.engine.audit import note as audit
from core.storage.engine.database import Connection
from core.storage.evaluation.baselines import Baseline, BaselineStore
from core.storage.evaluation.cells import CellStore
from core.storage.evaluation.readings import ReadingStore
from core.storage.evaluation.runs import RunStore

CONFIRMING = 3  # answers to each item of a confirmation


class VerdictService:
    def __init__(self, tools: JobTools, runs: RunStore, cells: CellStore, get: Callable[[str], EvaluationRun]) -> None:
        """get: A run by its id; NotFound where there is none."""
        self._writer = tools.writer
        self._baselines = BaselineStore(tools.database)
        self._runs = runs
        self._cells = cells
        self._readings = ReadingStore(tools.database)
        self._get = get

    def judge(self, run_id: str, *, against: str = "") -> GateResult:
        """Hold a run against its gate, and keep the answer with it; what confirmed it before still does.

        against: A baseline or a run in place of the gate's; with no gate, the pass rate may not be worse than its.

        Raises:
            NotFound: The run, or no such baseline. InvalidRequest: a gate that cannot be asked.
        """
        run = self._get(run_id)
        gate = run.plan.gate
        against = against or (gate.against if gate is not None else "")
        if against and (gate is None or not gate.require):
            gate = replace(gate or Gate(), require=(Requirement(not_worse_than_points=0.0),))
        run = replace(run, plan=replace(run.plan, gate=gate))
        opponents, n_looks = None, 1
        if against:
            other, baseline = self._opponent(against)
            opponents = Opponents(name=against, contestants=other.plan.contestants, cells=self._by_contestant(other))
            n_looks = max(1, self._runs.n_looks(run.plan.name, clock.to_us(baseline or other.created_at)))
        result = judge(run, self._by_contestant(run), opponents, n_looks=n_looks)
        told = json.dumps(to_dict(result) | {"against": against})
        self._writer.run(lambda connection: self._runs.set(connection, run_id, judged=told))
        if result.exit_code == FAILED and run.judged.get("against") == against:
            confirmed = run.judged.get("runs", [])
            if confirmed and all(self._runs.get(each) for each in confirmed):
                return self.settle(run_id, confirmed)
        return result

    def confirmations(self, run_id: str) -> list[Plan]:
        """The plans that ask once more, fresh and three times, what failed a nightly gate: baseline and candidate.

        None where the gate does not ask for it, or does not fail for being worse than a baseline; and none where
        something fails that has no counterpart to be asked beside it.
        """
        run = self._get(run_id)
        gate, against = run.plan.gate, str(run.judged.get("against", ""))
        if gate is None or gate.nightly != "confirm" or run.judged.get("exit_code") != FAILED or not against:
            return []
        if run.judged.get("runs"):  # it was confirmed
            return []
        other, _ = self._opponent(against)
        failed = {each["contestant"] for each in run.judged["requirements"] if each["state"] == "failed"}
        plans = []
        for contestant in run.plan.contestants:
            baseline = counterpart(contestant, other.plan.contestants)
            if contestant.position in failed:
                if baseline is None:
                    return []
                sides = placed([replace(baseline, name=against), contestant])
                same = replace(run.plan, name=f"{run.plan.name}: confirmation"[:200], contestants=sides)
                once = replace(gate, against="", nightly="confirming")
                plans.append(replace(same, repetitions=CONFIRMING, max_age_s=0, gate=once, first_try=""))
        return plans

    def settle(self, run_id: str, confirmations: Sequence[str]) -> GateResult:
        """The gate's answer once what failed was asked again: red only if that failed too.

        Cells of the run itself that have no answer still have none: it is not green then.
        """
        results = [self.judge(each) for each in confirmations]
        first = str(self._get(run_id).judged.get("reason", ""))
        red = [each for each in results if each.exit_code]
        said = "; ".join(each.reason for each in red or results)
        lead = (
            "Confirmed by asking both again, three times" if red else "Not confirmed by asking both again, three times"
        )
        n_missing = sum(t.outcomes.get(each, 0) for t in self._cells.tallies(run_id) for each in ("error", "not_run"))
        code = red[0].exit_code if red else ERROR if n_missing else OK
        result = GateResult(exit_code=code, reason=f"{lead}: {said} At first: {first}")
        told = to_dict(result) | {"against": self._get(run_id).judged.get("against", ""), "runs": list(confirmations)}
        self._writer.run(lambda connection: self._runs.set(connection, run_id, judged=json.dumps(told)))
        return result

    def verdict(
        self, run_id: str, candidate: int, *, baseline: int = 0, against: str = "", metric: str = OVERALL
    ) -> Verdict:
        """One contestant against another: of its run, or the counterpart in a baseline or another run.

        Raises:
            NotFound: The run, the baseline, a contestant.
        """
        run = self._get(run_id)
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

    def read(self, run: EvaluationRun, metric: str = OVERALL) -> Mapping[int, Sequence[Cell]]:
        """The cells of each contestant with what a metric reads of them, without texts."""
        found: dict[int, list[Cell]] = {contestant.position: [] for contestant in run.plan.contestants}
        for cell in self._readings.cells(run.id, tuple(found), metric):
            found[cell.contestant].append(cell)
        return found

    def all(
        self,
        run: EvaluationRun,
        cells: Mapping[int, Sequence[Cell]],
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
        theirs = cells if other.id == run.id else self.read(other, metric)
        n_tests = max(1, sum(each is not None for each in held.values()))
        return corrected(
            [
                None
                if (opponent := held.get(each.position)) is None
                else verdict(
                    theirs[opponent.position],
                    cells[each.position],
                    metric=metric,
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
        if not name or len(name) > 100 or name != name.strip() or name.startswith("ev_"):
            raise InvalidRequest("A baseline's name has 1 to 100 characters and does not begin with ev_.")
        run = self._get(run_id)
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
        if baseline is None and not ref.startswith("ev_"):
            raise NotFound(
                f"There is no baseline {ref[:60]!r} yet: bless a run as it, with `aimm eval bless RUN --as {ref[:60]}`."
            )
        return self._get(baseline.run_id if baseline else ref), baseline.moved_at if baseline else None

    def _by_contestant(self, run: EvaluationRun) -> dict[int, list[Cell]]:
        return by_contestant(run.plan, self._cells.cells(run.id))


def _contestant(run: EvaluationRun, position: int) -> Contestant:
    if not 0 <= position < len(run.plan.contestants):
        raise NotFound(f"The evaluation has {len(run.plan.contestants)} contestants, no contestant {position}.")
    return run.plan.contestants[position]
