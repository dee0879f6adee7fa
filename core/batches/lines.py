"""The lines of a batch as its caller wrote them: read one by one, and refused in the words that OpenAI has for it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from core.calls.call import Call
from core.calls.origin import Origin
from core.domain.batches.batch import Batch, BatchError, BatchLine
from core.domain.generation import Chunk, Generation, Request
from core.domain.key import Key
from core.errors import AimmError
from core.formats import strict_json as json
from core.formats.lines import LineSplitter
from core.formats.text import MAX_TAGS

MAX_LINES = 50_000
MAX_LINE_BYTES = 32 * 1024 * 1024  # as a request by itself may have, which holds pictures and documents
TAG = "batch"  # of its lines' calls
MAX_ERRORS = 100  # more of them help nobody
_BOM = b"\xef\xbb\xbf"


class AskedLine(Protocol):
    """A line as its wire understands it, and the answer as that wire writes it."""

    request: Request
    origin: Origin

    def feed(self, chunk: Chunk | None) -> None: ...

    def response(self, g: Generation, call: Call) -> tuple[int, bytes]:
        """The status and the body of what a recorded call came to."""

    async def keep(self, g: Generation, call: Call) -> None:
        """Do with an answer what its wire does besides."""


class LineReader(Protocol):
    """The wires that lines are written in. endpoints: The addresses that a batch can be for."""

    endpoints: tuple[str, ...]

    async def read(
        self, endpoint: str, body: Mapping[str, Any], key: Key | None, headers: Mapping[str, str]
    ) -> AskedLine:
        """Raises: AimmError: The line cannot be asked as it is."""

    def refusal(self, endpoint: str, error: AimmError) -> tuple[int, bytes]:
        """The status and the body of an error before there was a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One taking-up of a batch."""

    batch: Batch
    start: int
    reader: LineReader

    @property
    def lines_start(self) -> int:
        """See BatchStore.end_line."""
        return 0 if self.batch.vendor_model else self.start


def split(pieces: Iterable[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """(number from 1, offset, bytes) of each line that is not blank; a mark at the file's beginning is no part of it.

    A line that is longer than it may be is cut there.
    """
    splitter, offset, number, is_first = LineSplitter(), 0, 0, True
    for piece in pieces:
        if is_first and piece.startswith(_BOM):
            piece, offset = piece[len(_BOM) :], len(_BOM)
        is_first = False
        for line in splitter.feed(piece):
            number += 1
            if line.strip():
                yield number, offset, line
            offset += len(line) + 1
        if splitter.n_held > MAX_LINE_BYTES:
            break
    if (rest := splitter.rest()).strip():
        yield number + 1, offset, rest


class Validation:
    """The check of a whole file. model: The one that all lines name. vendor_model: See Batch."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._ids: set[str] = set()
        self.model = self.vendor_model = ""
        self.n_lines = 0
        self.errors: list[BatchError] = []

    def take(self, number: int, offset: int, raw: bytes) -> tuple[BatchLine, dict[str, Any]] | None:
        """A line and its body; None where something is wrong with it."""
        self.n_lines += 1
        if self.n_lines == MAX_LINES + 1:
            self.refuse("too_many_tasks", f"The file has more than {MAX_LINES:,} requests.")
        try:
            custom_id, body = self._checked(raw)
        except _Wrong as wrong:
            self.refuse(wrong.code, wrong.message, number, wrong.param)
            return None
        return BatchLine(line=number, custom_id=custom_id, offset=offset, n_bytes=len(raw)), body

    def refuse(self, code: str, message: str, line: int | None = None, param: str | None = None) -> None:
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(BatchError(code=code, message=message, line=line, param=param))

    def _checked(self, raw: bytes) -> tuple[str, dict[str, Any]]:
        """Raises: _Wrong."""
        value = _parsed(raw)
        custom_id, body = value["custom_id"], value["body"]
        if custom_id in self._ids:
            raise _Wrong("duplicate_custom_id", "The custom_id is that of another line; each is unique.", "custom_id")
        self._ids.add(custom_id)
        if value["method"].upper() != "POST":
            raise _Wrong("invalid_method", f"method == {value['method'][:20]!r}, must be POST.", "method")
        if value["url"] != self._endpoint:
            text = f"The url {value['url'][:80]!r} is not the batch's endpoint, {self._endpoint}."
            raise _Wrong("url_mismatch", text, "url")
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise _Wrong("missing_required_parameter", "Missing required parameter: 'body.model'.", "body.model")
        self.model = self.model or model
        if model.startswith("exp:"):
            raise _Wrong("invalid_model", "An experiment cannot be asked in a batch; name a model.", "body.model")
        if model != self.model:
            text = f"The model {model[:80]!r} is not that of the lines before, {self.model[:80]!r}: a batch has one."
            raise _Wrong("model_mismatch", text, "body.model")
        return custom_id, body


class _Wrong(Exception):
    """A line that is not as it must be."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        self.code, self.message, self.param = code, message, param


def _parsed(raw: bytes) -> dict[str, Any]:
    """The object of a line, with all that it must have. Raises: _Wrong."""
    if len(raw) > MAX_LINE_BYTES:
        raise _Wrong("line_too_long", f"This line is longer than {MAX_LINE_BYTES:,} bytes.")
    try:
        value = json.loads(raw)
    except ValueError:
        raise _Wrong("invalid_json_line", "This line is not parseable as valid JSON.") from None
    if not isinstance(value, dict):
        raise _Wrong("invalid_json_line", "This line is not a JSON object.")
    if b"\\u" in raw and (problem := json.problem_of(value)):
        raise _Wrong("invalid_json_line", problem)
    for name, kind in (("custom_id", str), ("method", str), ("url", str), ("body", dict)):
        if not value.get(name):
            raise _Wrong("missing_required_parameter", f"Missing required parameter: {name!r}.", name)
        if not isinstance(value[name], kind):
            raise _Wrong("invalid_type", f"{name!r} has the wrong type.", name)
    return value


def body_of(raw: bytes) -> dict[str, Any]:
    """The body of a line that was found to be right."""
    body: dict[str, Any] = json.loads(raw)["body"]
    return body


def origin_of(origin: Origin, batch: Batch, line: BatchLine, key: Key | None) -> Origin:
    """The origin of a line's call: whoever made the batch."""
    tags = origin.tags if TAG in origin.tags or len(origin.tags) >= MAX_TAGS else (*origin.tags, TAG)
    whole: dict[str, Any] = {"key_id": batch.key_id, "ref_id": batch.id, "hold_id": batch.id}
    is_batched = batch.way == "vendor"  # else it may come to cost the full price
    return replace(origin, key=key, tags=tags, ref_part=str(line.line), is_batched=is_batched, **whole)


def result_line(batch_id: str, line: BatchLine, status: int, request_id: str, body: bytes) -> bytes:
    """A line of the output, with an answer or an error as its wire wrote it."""
    head = {"id": _request_id(batch_id, line), "custom_id": line.custom_id}
    response = json.encoded({"status_code": status, "request_id": request_id})
    # Between the parts of JSON a line break is a space, and within a text there is none.
    one_line = body.strip().replace(b"\r", b" ").replace(b"\n", b" ")
    return b'%b,"response":%b,"body":%b},"error":null}\n' % (json.encoded(head)[:-1], response[:-1], one_line)


def outcome(batch: Batch, line: BatchLine, asked: AskedLine, g: Generation, call: Call) -> dict[str, Any]:
    """The row of a line whose call is on record."""
    status, body = asked.response(g, call)
    result = result_line(batch.id, line, status, g.id, body)
    return {"state": "ok" if status < 400 else "failed", "generation_id": g.id, "result": result}


def unasked_line(batch_id: str, line: BatchLine, code: str, message: str) -> bytes:
    """A line of the output for a request that was never answered."""
    head = {"id": _request_id(batch_id, line), "custom_id": line.custom_id, "response": None}
    return json.encoded({**head, "error": {"code": code, "message": message}}) + b"\n"


def _request_id(batch_id: str, line: BatchLine) -> str:
    return f"batch_req_{batch_id.removeprefix('batch_')}_{line.line}"
