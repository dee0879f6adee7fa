"""Answers of a user that are kept beside their calls, found by these calls' ids, keys and moments."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, or_, select, update

from core.storage.batches.files import CHUNK_BYTES
from core.storage.batches.schema import batch_lines, batches, file_chunks
from core.storage.engine.bulk import is_one_of
from core.storage.gateway.schema import cached_responses, keyed_requests, response_items, stored_responses

SLACK_US = 60_000_000  # from a call's end until its answer is kept
_l, _k, _s, _c, _f = batch_lines.c, keyed_requests.c, stored_responses.c, cached_responses.c, file_chunks.c
_FORGOTTEN = b',"response":null,"error":{"code":"forgotten"}}'

Calls = Sequence[Mapping[str, Any]]


def forget_answers(connection: Connection, calls: Calls) -> None:
    """Forget what is kept of the answers of calls. calls: With id, key_id, created_at and latency_us."""
    _lines(connection, [call["id"] for call in calls])
    _responses(connection, calls)
    for call in calls:
        _repeated(connection, call)
    # A cached response does not say who asked first: those that may be the user's are asked anew.
    during = or_(*(_c.created_at.between(call["created_at"], _end(call)) for call in calls))
    connection.execute(delete(cached_responses).where(during))


def _end(call: Mapping[str, Any]) -> int:
    return int(call["created_at"] + call["latency_us"] + SLACK_US)


def _responses(connection: Connection, calls: Calls) -> None:
    """Those with an id of ours, which is made of the call's; a vendor's own says nothing of its call."""
    ids = [f"resp_{str(call['id']).partition('_')[2]}" for call in calls]
    of_items = is_one_of(connection, response_items.c.response_id, ids)
    connection.execute(delete(response_items).where(of_items))
    connection.execute(update(stored_responses).where(is_one_of(connection, _s.id, ids)).values(content=None))


def _repeated(connection: Connection, call: Mapping[str, Any]) -> None:
    """The answer to a request with an Idempotency-Key, which names the call; what it was answered with is not told."""
    when = and_(_k.created_at <= call["created_at"], _k.answered_at >= call["created_at"], _k.answer.is_not(None))
    found = select(_k.key, _k.answer).where(_k.scope == call["key_id"], when)
    for key, answer in connection.execute(found).all():
        if str(call["id"]).encode() in bytes(answer):
            mine = and_(_k.scope == call["key_id"], _k.key == key)
            connection.execute(update(keyed_requests).where(mine).values(answer=None))


def _lines(connection: Connection, ids: Sequence[str]) -> None:
    """Lines of batches that are over: of the results, which keep their length, and of the file that was sent."""
    mine = and_(is_one_of(connection, _l.generation_id, ids), batches.c.status == "ended")
    wanted = select(batch_lines, batches.c.input_file_id).join(batches, batches.c.id == _l.batch_id).where(mine)
    for row in connection.execute(wanted).all():
        bare = bytes(row.result or b"").partition(b',"response":')[0] + _FORGOTTEN
        length = len(row.result or b"")
        line = and_(_l.batch_id == row.batch_id, _l.line == row.line)
        blank = bare if len(bare) < length else b""
        connection.execute(update(batch_lines).where(line).values(result=blank.ljust(max(0, length - 1)) + b"\n"))
        _blank(connection, row.input_file_id, row.offset, row.n_bytes)


def _blank(connection: Connection, file_id: str, offset: int, n_bytes: int) -> None:
    """Put spaces in the place of some bytes of a file."""
    end = offset + n_bytes
    touched = and_(_f.file_id == file_id, _f.position.between(offset // CHUNK_BYTES, (end - 1) // CHUNK_BYTES))
    for position, found in connection.execute(select(_f.position, _f.bytes).where(touched)).all():
        raw, at = bytearray(found), position * CHUNK_BYTES
        first, last = max(offset - at, 0), min(end - at, len(raw))
        raw[first:last] = b" " * (last - first)
        of_chunk = and_(_f.file_id == file_id, _f.position == position)
        connection.execute(update(file_chunks).where(of_chunk).values(bytes=bytes(raw)))
