"""Batches for their users: made, watched, cancelled."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from core import clock
from core.background import BackgroundLoop
from core.batches.asking import LineAsker
from core.batches.files import PURPOSE, FileService, checked_life_s, checked_place, is_owner, new_id
from core.batches.job import BatchJob
from core.batches.lines import LineReader
from core.budgets.ledger import Ledger
from core.domain.batches.batch import WAY, Batch
from core.domain.key import Key
from core.errors import Conflict, InvalidRequest, NotFound
from core.runs.engine import RunEngine
from core.runs.job import JobTools
from core.storage.batches.batches import BatchStore
from core.storage.batches.files import FileStore
from core.storage.people.audit import noted

BATCH = "batch_"
WINDOW = "24h"
WINDOW_S = 86_400
MAX_METADATA, MAX_NAME, MAX_VALUE = 16, 64, 512


class BatchService:
    def __init__(
        self, tools: JobTools, engine: RunEngine, loop: BackgroundLoop, ledger: Ledger, *, keeps_text: bool
    ) -> None:
        self._store = BatchStore(tools.database)
        self._writer = tools.writer
        self._engine = engine
        self._keeps_text = keeps_text
        self.files = FileService(tools.database, tools.writer)
        asker = LineAsker(tools, self._store, FileStore(tools.database), engine.is_closing)
        self.job = BatchJob(tools, loop, ledger, asker)

    def read_with(self, reader: LineReader) -> None:
        """Work on batches from now on: `reader` knows the wires that their lines are written in."""
        self.job.reader = reader

    def create(  # noqa: PLR0913 - as OpenAI has it
        self,
        input_file_id: str,
        endpoint: str,
        completion_window: str,
        *,
        metadata: Any = None,
        output_s: int | None = None,
        headers: Mapping[str, str] | None = None,
        is_private: bool = False,
        key: Key | None = None,
    ) -> Batch:
        """Begin a batch; what its file holds is checked in the background.

        output_s: For how long its results are kept.
        headers: Of the request, which hold for each line.
        is_private: Keep no text of it longer than it is needed.

        Raises:
            InvalidRequest, NotFound
        """
        endpoints = self.job.reader.endpoints if self.job.reader is not None else ()
        if endpoint not in endpoints:
            raise InvalidRequest(f"endpoint == {endpoint[:80]!r}, must be one of {', '.join(endpoints)}.")
        if completion_window != WINDOW:
            raise InvalidRequest(f"completion_window == {completion_window[:40]!r}, must be {WINDOW!r}.")
        file = self.files.get(input_file_id, key)
        if file.purpose != PURPOSE:
            raise InvalidRequest(
                f"The file {file.id} has the purpose {file.purpose!r}; a batch is read from {PURPOSE!r}."
            )
        now = clock.now()
        batch = Batch(
            id=new_id(BATCH),
            key_id=key.id if key is not None else "",
            input_file_id=file.id,
            endpoint=endpoint,
            status="queued",
            phase="validating",
            n_starts=0,
            owner=self._engine.owner_of_new(),
            created_at=now,
            expires_at=now + timedelta(seconds=WINDOW_S),
            metadata=_checked(metadata),
            headers=dict(headers or {}),
            is_brief=is_private or not self._keeps_text or not (key is None or key.keeps_text),
            output_s=checked_life_s(output_s),
        )
        self._writer.run(lambda connection: self._store.insert(connection, batch))
        self._engine.begin(self.job.kind, batch.id)
        return self.job.batch(batch.id)

    def get(self, batch_id: str, key: Key | None) -> Batch:
        """A batch that this key may see. Raises: NotFound."""
        batch = self._store.get(batch_id)
        if batch is None or not is_owner(key, batch.key_id):
            raise NotFound(f"No such Batch object: {batch_id[:60]}")
        return batch

    def page(self, key: Key | None, limit: int, *, after: str = "") -> tuple[list[Batch], bool]:
        """The batches that a key may see, newest first, and whether there are more."""
        mine = None if is_owner(key, "") else key.id if key is not None else ""
        return self._store.page(limit, checked_place(after, BATCH), key_id=mine)

    def cancel(self, batch_id: str, key: Key | None) -> Batch:
        """Ask no more lines; those that are being asked end, and what came is kept.

        Raises:
            NotFound; Conflict: it is over.
        """
        batch = self.get(batch_id, key)
        values = {"phase": "cancelling", "cancelling_at": clock.now_us()}
        came_from = ("validating", "in_progress")
        turn = partial(self._store.turn, batch_id=batch.id, start=None, came_from=came_from, values=values)
        if not self._writer.run(noted(turn, "batch cancelled", batch.id)):
            now = self.get(batch_id, key)
            if now.phase != "cancelling":
                raise Conflict(f"Cannot cancel a batch with status '{now.phase}'.")
        return self.get(batch_id, key)


def _checked(metadata: Any) -> Mapping[str, str] | None:
    """Raises: InvalidRequest."""
    if metadata is None:
        return None
    is_right = isinstance(metadata, dict) and len(metadata) <= MAX_METADATA
    if not is_right or not all(
        isinstance(value, str) and len(name) <= MAX_NAME and len(value) <= MAX_VALUE for name, value in metadata.items()
    ):
        raise InvalidRequest(
            f"metadata must be an object of at most {MAX_METADATA} texts, with names of at most {MAX_NAME} characters"
            f" and values of at most {MAX_VALUE}."
        )
    if metadata.get(WAY, "vendor") not in ("vendor", "paced"):
        raise InvalidRequest(f"metadata.{WAY} == {metadata[WAY][:40]!r}, must be vendor or paced.")
    return dict(metadata)
