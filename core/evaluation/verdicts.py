"""Verdicts on runs, gates, and the baselines that runs are held against."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from core import clock
from core.domain.evaluation.run import OVERALL, Cell, Contestant, EvaluationRun, Gate, Requirement
from core.errors import Conflict, InvalidRequest, NotFound
from core.evaluation.gate import GateResult, Opponents, judge, to_dict
from core.evaluation.verdict import Verdict, counterpart, verdict
from core.formats import strict_json as json
from core.runs.job import JobTools
from core.storage.engine.audit import note as audit
from core.storage.engine.database import Connection
from core.storage.evaluation.baselines import Baseline, BaselineStore
from core.storage.evaluation.cells import CellStore
from core.storage.evaluation.runs import RunStore


class VerdictService:
    def __init__(self, tools: JobTools, runs: RunStore, cells: CellStore, get: Callable[[str], EvaluationRun]) -> None:
        """get: A run by its id; NotFound where there is none."""
        self._writer = tools.writer
        self._baselines = BaselineStore(tools.database)
        self._runs = runs
        self._cells = cells
        self._get = get

    def judge(self, run_id: str, *, against: str = "") -> GateResult:
        """Hold a run against its gate, and keep the answer with it.

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
        found: dict[int, list[Cell]] = {contestant.position: [] for contestant in run.plan.contestants}
        for cell in self._cells.cells(run.id):
            found[cell.contestant].append(cell)
        return found


def _contestant(run: EvaluationRun, position: int) -> Contestant:
    if not 0 <= position < len(run.plan.contestants):
        raise NotFound(f"The evaluation has {len(run.plan.contestants)} contestants, no contestant {position}.")
    return run.plan.contestants[position]
