"""The files that callers keep: their bytes in pieces, or the results of a batch's lines one after the other."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, and_, delete, insert, or_, select, update

from core.domain.batches.file import StoredFile
from core.storage.batches.schema import batch_lines, batches, file_chunks, stored_files
from core.storage.engine.database import Database
from core.storage.engine.records import from_row, to_row

CHUNK_BYTES = 256 * 1024
RESULTS_AT_ONCE = 100

_f = stored_files.c


class FileStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    # In transactions

    @staticmethod
    def insert(connection: Connection, file: StoredFile, *, is_whole: bool) -> None:
        connection.execute(insert(stored_files).values(**to_row(stored_files, file, is_whole=int(is_whole))))

    @staticmethod
    def append(connection: Connection, file_id: str, position: int, chunk: bytes) -> None:
        connection.execute(insert(file_chunks).values(file_id=file_id, position=position, bytes=chunk))

    @staticmethod
    def finish(connection: Connection, file: StoredFile) -> None:
        row = to_row(stored_files, file, is_whole=1)
        connection.execute(update(stored_files).where(_f.id == file.id).values(**row))

    @staticmethod
    def delete(connection: Connection, file: StoredFile) -> None:
        if file.batch_id:
            c = batch_lines.c
            mine = and_(c.batch_id == file.batch_id, c.state == file.part)
            connection.execute(update(batch_lines).where(mine).values(result=None))
        # Not left to the foreign key: PostgreSQL would look for the pieces of each file by itself.
        connection.execute(delete(file_chunks).where(file_chunks.c.file_id == file.id))
        connection.execute(delete(stored_files).where(_f.id == file.id))

    @staticmethod
    def is_used(connection: Connection, file_id: str) -> bool:
        """True while a batch that is not over reads it."""
        b = batches.c
        wanted = select(b.id).where(b.input_file_id == file_id, b.status != "ended").limit(1)
        return connection.execute(wanted).first() is not None

    # Reading

    def get(self, file_id: str) -> StoredFile | None:
        rows = self._database.rows(select(stored_files).where(_f.id == file_id, _f.is_whole == 1))
        return from_row(StoredFile, rows[0]) if rows else None

    def page(
        self, limit: int, after: str, *, key_id: str | None, purpose: str, oldest_first: bool
    ) -> Sequence[StoredFile]:
        """In the order of their ids, which is that of their making. key_id: None = of all."""
        statement = select(stored_files).where(_f.is_whole == 1)
        if key_id is not None:
            statement = statement.where(_f.key_id == key_id)
        if purpose:
            statement = statement.where(_f.purpose == purpose)
        if after:
            statement = statement.where(_f.id > after if oldest_first else _f.id < after)
        order = _f.id if oldest_first else _f.id.desc()
        return [from_row(StoredFile, row) for row in self._database.rows(statement.order_by(order).limit(limit))]

    def forgotten(self, now_us: int, unfinished_before_us: int, limit: int = 100) -> Sequence[StoredFile]:
        """Files whose time is up, and those that were never sent whole."""
        is_left = and_(_f.is_whole == 0, _f.created_at < unfinished_before_us)
        rows = self._database.rows(select(stored_files).where(or_(_f.expires_at < now_us, is_left)).limit(limit))
        return [from_row(StoredFile, row) for row in rows]

    def pieces(self, file: StoredFile) -> Iterator[bytes]:
        """The bytes of a file, a bounded part of them at a time."""
        yield from self._results(file) if file.batch_id else self._chunks(file.id)

    def read(self, file_id: str, offset: int, n_bytes: int) -> bytes:
        """A part of a file that was sent."""
        c, first = file_chunks.c, offset // CHUNK_BYTES
        last = (offset + n_bytes - 1) // CHUNK_BYTES
        wanted = select(c.bytes).where(c.file_id == file_id, c.position.between(first, last)).order_by(c.position)
        whole = b"".join(bytes(chunk) for (chunk,) in self._database.rows(wanted))
        begin = offset - first * CHUNK_BYTES
        return whole[begin : begin + n_bytes]

    def _chunks(self, file_id: str) -> Iterator[bytes]:
        c, position = file_chunks.c, 0
        while chunk := self._database.value(select(c.bytes).where(c.file_id == file_id, c.position == position)):
            yield bytes(chunk)
            position += 1

    def _results(self, file: StoredFile) -> Iterator[bytes]:
        c, line = batch_lines.c, 0
        mine = select(c.line, c.result).where(c.batch_id == file.batch_id, c.state == file.part, c.result.is_not(None))
        while rows := self._database.rows(mine.where(c.line > line).order_by(c.line).limit(RESULTS_AT_ONCE)):
            yield b"".join(bytes(row.result) for row in rows)
            line = rows[-1].line
