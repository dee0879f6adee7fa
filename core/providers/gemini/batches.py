"""Gemini's batches: operations that hold all requests, and in the end all answers."""

from collections.abc import AsyncIterator
from typing import IO, Any

from core.errors import ProviderError
from core.formats import strict_json as json
from core.providers.batches import (
    SEND_S,
    BatchApi,
    End,
    LineResult,
    VendorBatch,
    custom_id_of,
    lines_of,
    pieces_of,
    streamed,
)

_ENDS: dict[str, End] = {
    "SUCCEEDED": "completed", "PARTIALLY_SUCCEEDED": "completed", "FAILED": "failed", "CANCELLED": "cancelled",
    "EXPIRED": "expired",
}  # fmt: skip
_HTTP = {3: 400, 5: 404, 7: 403, 8: 429, 9: 400, 13: 500, 14: 503, 16: 401}  # google.rpc.Code -> status
MAX_ANSWER_BYTES = 512 * 1024 * 1024


class GeminiBatches(BatchApi):
    path = "/v1beta/batches"
    cancel_mark = ":cancel"
    max_bytes = 19_000_000  # of what goes without a file

    def takes(self, path: str) -> bool:
        return path.endswith(":generateContent")

    def line(self, custom_id: str, path: str, body: bytes) -> bytes:
        return b'{"request":%b,"metadata":%b}' % (body, json.encoded({"key": custom_id}))

    async def create(self, name: str, path: str, lines: IO[bytes]) -> VendorBatch:
        head = b'{"batch":{"displayName":%b,"inputConfig":{"requests":{"requests":[' % json.encoded(name)
        body, headers = streamed(head, lines, b"]}}}}")
        path = path.replace(":generateContent", ":batchGenerateContent")
        return self.read(await self.http.whole("POST", path, body, SEND_S, headers))

    def page(self, value: Any) -> tuple[list[Any], str]:
        token = value.get("nextPageToken")
        return value.get("operations") or [], f"?pageSize=100&pageToken={token}" if token else ""

    async def is_named(self, value: Any, name: str, n_lines: int) -> bool:
        return bool((value.get("metadata") or {}).get("displayName") == name)

    def created_at(self, value: Any) -> Any:
        return (value.get("metadata") or {}).get("createTime")

    async def results(self, batch: VendorBatch) -> AsyncIterator[Any]:
        value = await self.asked(f"/{batch.id}")
        output = (value.get("metadata") or {}).get("output") or value.get("response") or {}
        for each in (output.get("inlinedResponses") or {}).get("inlinedResponses") or ():
            yield each
        if file := output.get("responsesFile"):
            async for each in lines_of(self.http, f"/download/v1beta/{file}:download?alt=media"):
                yield each

    def result(self, value: Any) -> LineResult:
        """A result by its key alone: they come in any order, and one without a key could be any line's."""
        key, error = custom_id_of(value), value.get("error")
        if not error:
            return LineResult(key, 200, json.encoded(value["response"]))
        code = int(error.get("code") or 13)
        status = code if code >= 400 else _HTTP.get(code, 500)
        return LineResult(key, status, json.encoded({"error": {**error, "code": status}}))

    async def asked(self, rest: str) -> Any:
        whole = bytearray()
        async for piece in pieces_of(self.http, f"{self.path}{rest}"):
            whole += piece
            if len(whole) > MAX_ANSWER_BYTES:
                raise ProviderError(f"Gemini's answer is larger than {MAX_ANSWER_BYTES:,} bytes.")
        return json.loads(bytes(whole))

    def read(self, value: Any) -> VendorBatch:
        told, error = value.get("metadata") or {}, value.get("error") or {}
        stats, end = told.get("batchStats") or {}, _ENDS.get(str(told.get("state")).rpartition("_STATE_")[2], "")
        if not end and value.get("done"):  # a state that is not known here
            end = "failed" if error else "completed"
        errors = ((str(error.get("code") or "failed"), str(error.get("message") or "It does not say why.")),)
        return VendorBatch(
            id=value["name"].removeprefix("batches/"),
            n_ok=int(stats.get("successfulRequestCount") or 0),
            n_failed=int(stats.get("failedRequestCount") or 0),
            end=end,
            errors=errors if end == "failed" else (),
            files=(f"/v1beta/{value['name']}",),
        )
