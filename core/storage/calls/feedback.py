"""Opinions of answers: one a person and answer, the last one counts."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from core.clock import from_us
from core.domain.feedback import Feedback
from core.storage.engine.damaged import readable
from core.storage.engine.database import Database
from core.storage.gateway.schema import feedback
from core.storage.schema import generations

_c = feedback.c


class FeedbackStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def put(connection: Connection, key: dict[str, str], given: dict[str, Any], now_us: int) -> None:
        """Add an opinion, or change what of it is given."""
        dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
        changed = {**given, "updated_at": now_us}
        statement = dialect.insert(feedback).values(**key, **changed, created_at=now_us)
        connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changed))

    @staticmethod
    def remove(connection: Connection, key: dict[str, str]) -> None:
        connection.execute(delete(feedback).where(*(_c[name] == value for name, value in key.items())))

    def of(self, generation_ids: Sequence[str]) -> list[Feedback]:
        """The latest first."""
        statement = select(feedback).where(_c.generation_id.in_(generation_ids)).order_by(_c.updated_at.desc())
        with self._database.read() as connection:
            rows = connection.execute(statement).mappings().all()
        return readable("feedback", rows, _to_feedback)

    def marks(
        self, since_us: int, until_us: int, *, simulated: bool
    ) -> list[tuple[str, str, str | None, float | None]]:
        """(model, tags as stored, thumb, rating) of each opinion of the answers of a span."""
        g = generations.c
        is_simulated = g.provider == "simulated"
        span = and_(g.created_at >= since_us, g.created_at < until_us, is_simulated if simulated else ~is_simulated)
        statement = select(g.request_model, g.tags, _c.thumb, _c.rating).join_from(feedback, generations).where(span)
        with self._database.read() as connection:
            return readable("feedback", connection.execute(statement), lambda row: (*row[:3], row[3] and float(row[3])))


def _to_feedback(row: Any) -> Feedback:
    return Feedback(
        **{name: row[name] for name in ("generation_id", "key_id", "user_id", "thumb", "rating", "text")},
        updated_at=from_us(row["updated_at"]),
    )
