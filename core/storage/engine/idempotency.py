"""Answers kept by Idempotency-Key, written in the transaction that does the work."""

import hashlib
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from core.clock import DAY_US
from core.errors import Conflict
from core.formats import strict_json as json
from core.storage.schema import idempotency_keys

KEPT_DAYS = 7


def once(
    connection: Connection, scope: str, key: str, request: object, now_us: int, work: Callable[[Connection], Any]
) -> Any:
    """Do `work` and keep its answer (JSON); the same key again gives that answer and does nothing.

    Raises:
        Conflict: The key came before with another request.
    """
    digest = hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()
    c = idempotency_keys.c
    found = connection.execute(select(c.digest, c.answer).where(c.scope == scope, c.key == key)).first()
    if found is not None:
        if found.digest != digest:
            raise Conflict("This Idempotency-Key came before with another request.")
        return json.loads(found.answer)
    answer = work(connection)
    row = {"scope": scope, "key": key, "digest": digest, "answer": json.dumps(answer), "created_at": now_us}
    connection.execute(insert(idempotency_keys), [row])
    connection.execute(delete(idempotency_keys).where(c.created_at < now_us - KEPT_DAYS * DAY_US))
    return answer
