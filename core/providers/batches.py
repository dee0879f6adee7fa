"""Vendors' own batches: many requests handed over at once, answered within a day for about half the price."""

import asyncio
import copy
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Literal, NamedTuple, Self

from core.formats import strict_json as json
from core.formats.lines import LineSplitter
from core.providers.http.addressing import Addressing
from core.providers.http.client import HttpVendor
from core.providers.http.errors import UNREADABLE
from core.providers.http.session import Body, Session

End = Literal["", "completed", "failed", "expired", "cancelled"]
ASK_S = 60.0  # for what is small, and between two parts of what is not
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
    def results(self, batch: VendorBatch) -> AsyncIterator[Any]:
        """Results of its lines as its vendor writes them, in any order."""

    @abstractmethod
    def result(self, value: Any) -> LineResult:
        """A line's result. Raises what UNREADABLE names: it is none."""

    def told(self, value: Any) -> LineResult:
        """A line's result; one that cannot be read takes no other with it."""
        try:
            return self.result(value)
        except UNREADABLE:
            return LineResult(custom_id_of(value), 0, b"", "vendor_error", "Its vendor's result cannot be read.")

    @abstractmethod
    def page(self, value: Any) -> tuple[list[Any], str]:
        """The batches of a page of the list, newest first, and the query of the next; empty = there is none."""

    @abstractmethod
    async def is_named(self, value: Any, name: str, n_lines: int) -> bool:
        """Tell whether a batch of the list was created under a name."""

    def created_at(self, value: Any) -> Any:
        """The moment of a batch of the list, in seconds or in ISO form."""
        return value.get("created_at")

    async def find(self, name: str, n_lines: int, since: datetime) -> VendorBatch | None:
        """The batch that was created under a name, if it was. since: It is not older, by the vendor's clock."""
        more = "?"
        while more:
            found, more = self.page(await self.asked(more))
            for each in found:
                if not _is_older(self.created_at(each), since) and await self.is_named(each, name, n_lines):
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
    """A provider on HTTP. batches: Its own; None = it has none. deployment: See Provider."""

    deployment: str
    _http: HttpVendor
    batches: BatchApi | None = None

    def reach(self, addressing: Addressing, http: HttpVendor | None = None) -> None:
        """Ask by this addressing, and where connections are named by those; their vendor has no batches known here."""
        if http is not None:
            self._http, self.batches = http, None
        self._http.addressing = addressing

    def call(self, deployment: str) -> None:
        """Take the name of a deployment, which errors tell too."""
        self.deployment = deployment
        self._http.call(f"{self._http.label} ({deployment})")

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


async def pieces_of(http: HttpVendor, path: str) -> AsyncIterator[bytes]:
    """The answer to a GET as it comes, however long it is. Raises AimmError, and TimeoutError where it stops coming."""
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(ASK_S):
            answer = await stack.enter_async_context(http.exchange("GET", path, b""))
        while True:
            async with asyncio.timeout(ASK_S):
                piece = await answer.read()
            if not piece:
                return
            yield piece


async def lines_of(http: HttpVendor, path: str) -> AsyncIterator[Any]:
    """The JSON values of a file of lines, one by one.

    Raises:
        ValueError: A line is none, which is told after all others: it may have been cut off.
    """
    splitter, fault = LineSplitter(), None
    async for piece in pieces_of(http, path):
        for line in filter(bytes.strip, splitter.feed(piece)):
            try:
                value = json.loads(line)
            except ValueError as error:
                fault = error
            else:
                yield value
        if splitter.n_held > MAX_RESULT_BYTES:
            raise ValueError("a line has no end")
    if (rest := splitter.rest()).strip():
        yield json.loads(rest)
    if fault is not None:
        raise fault


def custom_id_of(value: Any) -> str:
    """The custom_id that a line's result names, where its vendor puts it; empty = none."""
    told = value if isinstance(value, dict) else {}
    more = told.get("metadata")
    found = told.get("custom_id") or told.get("key") or (more.get("key") if isinstance(more, dict) else "")
    return found if isinstance(found, str) else ""


def _is_older(moment: Any, since: datetime) -> bool:
    """Tell whether a vendor's moment is known to be before another."""
    try:
        at = datetime.fromisoformat(moment) if isinstance(moment, str) else datetime.fromtimestamp(moment, UTC)
        return at < since
    except (TypeError, ValueError, OverflowError, OSError):
        return False
