"""Sessions: calls that callers count together, summed."""

from typing import Any

from sqlalchemy import case, func, select

from core.clock import from_us, to_us
from core.domain.log.session import Session
from core.formats.money import from_nano
from core.storage.engine.database import Store
from core.storage.schema import IS_NAMED, generations

c = generations.c


class SessionStore(Store):
    def latest(self, limit: int, since: Any = None, *, key: str | None = None) -> list[Session]:
        """Sessions with a call since a moment, the latest call first. key: Of the calls with this key alone."""
        where = [IS_NAMED["session"], *([c.created_at >= to_us(since)] if since else [])]
        where += [c.key_id == key] if key is not None else []
        return self._read(where, limit)

    def find(self, session_id: str, *, key: str | None = None) -> Session | None:
        where = [IS_NAMED["session"], c.session_id == session_id, *([c.key_id == key] if key is not None else [])]
        return next(iter(self._read(where, 1)), None)

    def _read(self, where: list[Any], limit: int) -> list[Session]:
        failed = func.sum(case((c.status.not_in(("ok", "stopped")), 1), else_=0))
        last = func.max(c.created_at)
        sums = (
            func.min(c.created_at), last, func.count(), failed, func.sum(c.cost_nano_usd),
            func.count() - func.count(c.cost_nano_usd), func.sum(c.input_tokens + c.output_tokens), func.max(c.user_id),
        )  # fmt: skip
        statement = select(c.session_id, *sums).where(*where).group_by(c.session_id)
        rows = self._database.rows(statement.order_by(last.desc(), c.session_id).limit(limit))
        return [
            Session(
                id=row[0], first_at=from_us(int(row[1])), last_at=from_us(int(row[2])), n=int(row[3]),
                n_failed=int(row[4]), cost_usd=from_nano(int(row[5] or 0)), n_unpriced=int(row[6]), tokens=int(row[7]),
                user=row[8],
            )
            for row in rows
        ]  # fmt: skip
