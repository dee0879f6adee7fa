"""Texts that are kept beside calls: of runs and comparisons, outcomes, stored and cached responses, and files."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, delete, or_, select, true, update

from core.domain.batches.file import StoredFile
from core.domain.evaluation.run import plan_from_json, plan_to_json
from core.domain.log.retention import ALL, Sweep
from core.formats import strict_json as json
from core.storage.batches.files import FileStore
from core.storage.batches.schema import batches, stored_files
from core.storage.engine.bulk import is_one_of
from core.storage.engine.damaged import UNREADABLE
from core.storage.engine.database import Store
from core.storage.engine.records import from_row
from core.storage.evaluation.schema import evaluation_cells, evaluations
from core.storage.experiments.schema import experiment_outcomes
from core.storage.gateway.schema import cached_responses, stored_responses
from core.storage.schema import step_runs, workflow_runs

w, s, e, x = workflow_runs.c, step_runs.c, evaluations.c, evaluation_cells.c
_o, _r, _k, _f = experiment_outcomes.c, stored_responses.c, cached_responses.c, stored_files.c
AT_ONCE = 50
_CELLS_AT_ONCE = 200


class Kind(NamedTuple):
    """A kind of rows with texts.

    id: Their key. at: The moment that counts. key: Of whose calls they are; None = it is not said: for all.
    has: Whether there is anything to clear. clear: Takes texts out of some of the rows at least.
    """

    id: Any
    at: Any
    key: Any
    has: Any
    clear: Callable[[Connection, Sequence[str]], None]


class OtherTexts(Store):
    def next_ids(self, kind: Kind, sweep: Sweep, since_us: int) -> list[str]:
        """Rows of a kind with texts that a sweep is to clear, the oldest first."""
        where = [kind.at >= since_us, kind.at < sweep.before_us, kind.has]
        of, _, name = sweep.scope.partition(":")
        if sweep.scope != ALL:
            if of != "key" or kind.key is None:
                return []
            where.append(kind.key == name)
        elif kind.key is not None:
            where.append(kind.key.not_in([each[4:] for each in sweep.but if each.startswith("key:")]))
        rows = self._database.rows(select(kind.id).where(*where).order_by(kind.at, kind.id).limit(AT_ONCE))
        return [row[0] for row in rows]


def clear_workflow_runs(connection: Connection, ids: Sequence[str]) -> None:
    mine = is_one_of(connection, s.run_id, ids)
    connection.execute(update(step_runs).where(mine).values(prompt="", output="", error=""))
    connection.execute(update(workflow_runs).where(is_one_of(connection, w.id, ids)).values(inputs="{}"))


def _clear_cells(connection: Connection, ids: Sequence[str]) -> None:
    """Some cells of the first run; the reasons of their checks quote answers."""
    cells = select(evaluation_cells).where(x.run_id == ids[0], _CELL_HAS_TEXTS).limit(_CELLS_AT_ONCE)
    for cell in connection.execute(cells).mappings().all():
        mine = and_(*(x[name] == cell[name] for name in ("run_id", "item", "contestant", "repetition")))
        values = {"output": None, "scores": _without_reasons(cell["scores"])}
        connection.execute(update(evaluation_cells).where(mine).values(**values))


def _without_reasons(scores: str) -> str:
    if not scores:
        return ""
    try:
        kept = [{name: value for name, value in score.items() if name != "reason"} for score in json.loads(scores)]
    except UNREADABLE:
        return ""
    return json.dumps(kept)


def _clear_comparisons(connection: Connection, ids: Sequence[str]) -> None:
    for id_, text in connection.execute(select(e.id, e.plan).where(is_one_of(connection, e.id, ids))).all():
        try:
            plan = plan_from_json(text)
            quick = plan.quick
            bare = quick and replace(quick, prompt="", system=None, systems=(None,) * len(quick.systems))
            changed = plan_to_json(replace(plan, quick=bare))
        except UNREADABLE:
            changed = "{}"  # damaged: what cannot be read cannot be cleaned
        connection.execute(update(evaluations).where(e.id == id_).values(plan=changed))


def _set_null(column: Any, key: Any) -> Callable[[Connection, Sequence[str]], None]:
    def clear(connection: Connection, ids: Sequence[str]) -> None:
        connection.execute(update(column.table).where(is_one_of(connection, key, ids)).values({column.name: None}))

    return clear


def _delete_cached(connection: Connection, ids: Sequence[str]) -> None:
    connection.execute(delete(cached_responses).where(is_one_of(connection, _k.digest, ids)))


def _delete_file(connection: Connection, ids: Sequence[str]) -> None:
    """The first file: it may be large."""
    for row in connection.execute(select(stored_files).where(_f.id == ids[0])).all():
        FileStore.delete(connection, from_row(StoredFile, row))


_CELL_HAS_TEXTS = or_(x.output.is_not(None), x.scores.contains('"reason"'))
_IS_READ = select(batches.c.id).where(batches.c.input_file_id == _f.id, batches.c.status != "ended").exists()
_HAS_PROMPT = and_(e.is_quick == 1, ~e.plan.contains('"prompt": "", "system": null'))
_IS_OVER = e.status.in_(("finished", "stopped"))
_RUN_IS_OVER = and_(w.status.in_(("succeeded", "failed", "cancelled")), w.is_paused == 0)
KINDS = (
    Kind(w.id, w.finished_at, w.key_id, and_(_RUN_IS_OVER, w.inputs != "{}", w.source != "demo"), clear_workflow_runs),
    Kind(
        e.id, e.ended_at, e.key_id, and_(_IS_OVER, e.source != "demo", _HAS_PROMPT), _clear_comparisons
    ),
    Kind(
        e.id, e.ended_at, e.key_id,
        and_(_IS_OVER, e.source != "demo", select(x.item).where(x.run_id == e.id, _CELL_HAS_TEXTS).exists()),
        _clear_cells,
    ),
    Kind(_o.id, _o.created_at, None, _o.text.is_not(None), _set_null(_o.text, _o.id)),
    Kind(_r.id, _r.created_at, _r.key_id, _r.content.is_not(None), _set_null(_r.content, _r.id)),
    Kind(_k.digest, _k.created_at, None, true(), _delete_cached),
    Kind(_f.id, _f.created_at, _f.key_id, ~_IS_READ, _delete_file),
)  # fmt: skip
