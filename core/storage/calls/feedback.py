"""Opinions of answers: one a person and answer, the last one counts."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, select

from core.domain.metrics import Feedback
from core.storage.engine.damaged import readable
from core.storage.engine.database import Store
from core.storage.engine.records import from_row, put
from core.storage.gateway.schema import feedback
from core.storage.schema import generations

_c = feedback.c


class FeedbackStore(Store):
    @staticmethod
    def put(connection: Connection, key: dict[str, str], given: dict[str, Any], now_us: int) -> None:
        """Add an opinion, or change what of it is given."""
        row = {**key, **given, "created_at": now_us, "updated_at": now_us}
        put(connection, feedback, row, first=("created_at",))

    @staticmethod
    def remove(connection: Connection, key: dict[str, str]) -> None:
        connection.execute(delete(feedback).where(*(_c[name] == value for name, value in key.items())))

    def of(self, generation_ids: Sequence[str]) -> list[Feedback]:
        """The latest first."""
        statement = select(feedback).where(_c.generation_id.in_(generation_ids)).order_by(_c.updated_at.desc())
        return readable("feedback", self._database.rows(statement), lambda row: from_row(Feedback, row))

    def marks(
        self, since_us: int, until_us: int, *, simulated: bool
    ) -> list[tuple[str, str, str | None, float | None]]:
        """(model, tags as stored, thumb, rating) of each opinion of the answers of a span."""
        g = generations.c
        at = g.created_at + 0  # not by the index of the calls: an opinion is younger than its answer, and there are few
        span = _c.created_at >= since_us, at >= since_us, at < until_us, (g.provider == "simulated") == simulated
        statement = select(g.request_model, g.tags, _c.thumb, _c.rating).join_from(feedback, generations).where(*span)
        rows = self._database.rows(statement)
        return readable("feedback", rows, lambda row: (*row[:3], row[3] and float(row[3])))
