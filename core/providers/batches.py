"""Vendors' own batches: many requests handed over at once, answered within a day for about half the price."""

import copy
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO, Any, Literal, NamedTuple, Self

from core.formats import strict_json as json
from core.providers.http.client import HttpVendor
from core.providers.http.session import Body, Session

End = Literal["", "completed", "failed", "expired", "cancelled"]
ASK_S = 60.0  # for what is small
SEND_S = 900.0  # for all lines
PIECE_BYTES = 256 * 1024
MAX_RESULT_BYTES = 64 * 1024 * 1024  # of a line
# The codes of lines that a vendor never answered, by its words.
UNANSWERED = {"expired": "batch_expired", "canceled": "batch_cancelled", "cancelled": "batch_cancelled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorBatch:
    """A batch as its vendor tells of it.

    n_ok, n_failed: Its lines so far.
    end: How it ended; empty = it has not, or not all of it can be read yet.
    errors: (code, message) of why none of its lines was answered.
    results: The paths at which they are read. files: The paths of what it keeps of ours.
    """

    id: str
    n_ok: int = 0
    n_failed: int = 0
    end: End = ""
    errors: tuple[tuple[str, str], ...] = ()
    results: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class LineResult(NamedTuple):
    """A line's result: an answer or an error as the vendor's wire has it; status 0 = it was never asked."""

    custom_id: str
    status: int
    raw: bytes = b""
    code: str = ""
    message: str = ""


class BatchApi(ABC):
    """A vendor's batches.

    path: Where they are. cancel_mark: What is put behind a batch's address to cancel it.
    joint: What stands between two lines. max_bytes: Of all lines together.
    """

    path: str
    cancel_mark = "/cancel"
    joint = b","
    max_bytes: int

    def __init__(self, http: HttpVendor) -> None:
        self.http = http

    @abstractmethod
    def takes(self, path: str) -> bool:
        """Tell whether requests to this path can be in a batch."""

    @abstractmethod
    def line(self, custom_id: str, path: str, body: bytes) -> bytes:
        """A request as a line."""

    @abstractmethod
    async def create(self, name: str, path: str, lines: IO[bytes]) -> VendorBatch:
        """Hand lines over. name: By which `find` knows it again, and with which each custom_id begins."""

    @abstractmethod
    def read(self, value: Any) -> VendorBatch:
        """A batch as its vendor writes it."""

    @abstractmethod
    def results(self, batch: VendorBatch) -> AsyncIterator[LineResult]:
        """Results of its lines, in any order."""

    @abstractmethod
    def page(self, value: Any) -> tuple[list[Any], str]:
        """The batches of a page of the list, newest first, and the query of the next; empty = there is none."""

    @abstractmethod
    async def is_named(self, value: Any, name: str, n_lines: int) -> bool:
        """Tell whether a batch of the list was created under a name."""

    async def find(self, name: str, n_lines: int) -> VendorBatch | None:
        """The batch that was created under a name, if it was."""
        more = "?"
        while more:
            found, more = self.page(await self.asked(more))
            for each in found:
                if await self.is_named(each, name, n_lines):
                    return self.read(each)
        return None

    async def get(self, batch_id: str) -> VendorBatch:
        return self.read(await self.asked(f"/{batch_id}"))

    async def asked(self, rest: str) -> Any:
        return await self.http.get(f"{self.path}{rest}", ASK_S)

    async def cancel(self, batch_id: str) -> None:
        await self.http.post(f"{self.path}/{batch_id}{self.cancel_mark}", {}, ASK_S)

    async def forget(self, batch: VendorBatch) -> None:
        """Let the vendor delete what it keeps of ours."""
        for path in batch.files:
            await self.http.whole("DELETE", path, b"", ASK_S)


class Carried:
    """A provider on HTTP. batches: Its own; None = it has none."""

    _http: HttpVendor
    batches: BatchApi | None = None

    def over(self, session: Session) -> Self:
        """The same provider over another session."""
        other = copy.copy(self)
        other._http = self._http.over(session)
        return other


def streamed(head: bytes, lines: IO[bytes], tail: bytes) -> tuple[Body, dict[str, str]]:
    """Lines with what is around them as a body that is never whole in memory, and the header of its length."""
    size = lines.seek(0, 2)

    async def pieces() -> AsyncIterator[bytes]:
        lines.seek(0)
        yield head
        while piece := lines.read(PIECE_BYTES):
            yield piece
        yield tail

    return pieces, {"content-length": str(len(head) + size + len(tail))}


async def lines_of(http: HttpVendor, path: str) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a file of lines, one by one."""
    async with http.exchange("GET", path, b"") as answer:
        held = b""
        while piece := await answer.read():
            *lines, held = (held + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    yield json.loads(line)
            if len(held) > MAX_RESULT_BYTES:
                raise ValueError("a line has no end")
        if held.strip():
            yield json.loads(held)
