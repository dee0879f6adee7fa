"""Gemini's batches: operations that hold all requests, and in the end all answers."""

import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import IO, Any

from core.formats import strict_json as json
from core.providers.batches import ASK_S, SEND_S, End, LineResult, VendorBatch, lines_of, streamed
from core.providers.http.client import HttpVendor

_ENDS: dict[str, End] = {
    "SUCCEEDED": "completed", "FAILED": "failed", "CANCELLED": "cancelled", "EXPIRED": "expired",
}  # fmt: skip
_HTTP = {3: 400, 5: 404, 7: 403, 8: 429, 9: 400, 13: 500, 14: 503, 16: 401}  # google.rpc.Code -> status
MAX_ANSWER_BYTES = 512 * 1024 * 1024


class GeminiBatches:
    joint = b","
    max_bytes = 19_000_000  # of what goes without a file

    def __init__(self, http: HttpVendor) -> None:
        self._http = http

    def takes(self, path: str) -> bool:
        return path.endswith(":generateContent")

    def line(self, custom_id: str, path: str, body: bytes) -> bytes:
        return b'{"request":%b,"metadata":%b}' % (body, json.encoded({"key": custom_id}))

    async def create(self, name: str, path: str, lines: IO[bytes]) -> VendorBatch:
        head = b'{"batch":{"displayName":%b,"inputConfig":{"requests":{"requests":[' % json.encoded(name)
        body, headers = streamed(head, lines, b"]}}}}")
        path = path.replace(":generateContent", ":batchGenerateContent")
        return _batch(await self._http.whole("POST", path, body, SEND_S, headers))

    async def find(self, name: str, since: datetime, n_lines: int) -> VendorBatch | None:
        after = ""
        while True:
            page = await self._asked(f"?pageSize=100{after}")
            for each in page.get("operations") or ():
                if each["metadata"].get("displayName") == name:
                    return _batch(each)
            if not (token := page.get("nextPageToken")):
                return None
            after = f"&pageToken={token}"

    async def get(self, batch_id: str) -> VendorBatch:
        return _batch(await self._asked(f"/{batch_id}"))

    async def cancel(self, batch_id: str) -> None:
        await self._http.post(f"/v1beta/batches/{batch_id}:cancel", {}, ASK_S)

    async def results(self, batch: VendorBatch) -> AsyncIterator[LineResult]:
        value = await self._asked(f"/{batch.id}")
        output = (value.get("metadata") or {}).get("output") or value.get("response") or {}
        for each in (output.get("inlinedResponses") or {}).get("inlinedResponses") or ():
            yield _result(each)
        if file := output.get("responsesFile"):
            async for each in lines_of(self._http, f"/download/v1beta/{file}:download?alt=media"):
                yield _result(each)

    async def forget(self, batch: VendorBatch) -> None:
        await self._http.whole("DELETE", f"/v1beta/batches/{batch.id}", b"", ASK_S)

    async def _asked(self, rest: str) -> Any:
        async with self._http.exchange("GET", f"/v1beta/batches{rest}", b"") as answer:
            return json.loads(await answer.raw(MAX_ANSWER_BYTES))


def _batch(value: Any) -> VendorBatch:
    told, error = value.get("metadata") or {}, value.get("error") or {}
    stats, end = told.get("batchStats") or {}, _ENDS.get(str(told.get("state")).rpartition("_STATE_")[2], "")
    n_ok, n_failed = (int(stats.get(f"{kind}RequestCount") or 0) for kind in ("successful", "failed"))
    errors = ((str(error.get("status") or error.get("code") or "failed"), str(error.get("message") or "")),)
    return VendorBatch(
        id=re.sub("^batches/", "", value["name"]), n_ok=n_ok, n_failed=n_failed, end=end,
        errors=errors if end == "failed" else (),
    )  # fmt: skip


def _result(value: dict[str, Any]) -> LineResult:
    """A result by its key alone: they come in any order, and one without a key could be any line's."""
    key, error = str(value.get("key") or (value.get("metadata") or {}).get("key") or ""), value.get("error")
    if not error:
        return LineResult(key, 200, json.encoded(value["response"]))
    code = int(error.get("code") or 13)
    status = code if code >= 400 else _HTTP.get(code, 500)
    return LineResult(key, status, json.encoded({"error": {**error, "code": status}}))
