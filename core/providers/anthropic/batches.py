"""Anthropic's batches: one body of all requests, and what came of them as lines. They have no name of their own."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import IO, Any

from core.errors import ProviderUnavailable
from core.formats import strict_json as json
from core.providers.batches import ASK_S, SEND_S, UNANSWERED, End, LineResult, VendorBatch, lines_of, streamed
from core.providers.http.client import HttpVendor

_PATH = "/v1/messages/batches"
_STATUS = {  # of an answer by itself
    "authentication_error": 401, "billing_error": 402, "permission_error": 403, "not_found_error": 404,
    "request_too_large": 413, "rate_limit_error": 429, "api_error": 500, "timeout_error": 504, "overloaded_error": 529,
}  # fmt: skip


_NO_END: End = ""


class AnthropicBatches:
    joint = b","
    max_bytes = 256_000_000

    def __init__(self, http: HttpVendor) -> None:
        self._http = http

    def takes(self, path: str) -> bool:
        return path == "/v1/messages"

    def line(self, custom_id: str, path: str, body: bytes) -> bytes:
        return b'{"custom_id":%b,"params":%b}' % (json.encoded(custom_id), body)

    async def create(self, name: str, path: str, lines: IO[bytes]) -> VendorBatch:
        body, headers = streamed(b'{"requests":[', lines, b"]}")
        return _batch(await self._http.whole("POST", _PATH, body, SEND_S, headers))

    async def find(self, name: str, since: datetime, n_lines: int) -> VendorBatch | None:
        """One of as many lines is ours if its first result says so, which is not known before its end."""
        after = ""
        while True:
            page = await self._http.get(f"{_PATH}?limit=100{after}", ASK_S)
            for each in page["data"]:
                if datetime.fromisoformat(each["created_at"]) < since:
                    return None
                if sum((each.get("request_counts") or {}).values()) != n_lines:
                    continue
                found = _batch(each)
                if not found.end:
                    raise ProviderUnavailable(f"It is not known yet whether {found.id} is {name}.")
                async for result in self.results(found):
                    if result.custom_id.startswith(f"{name}-"):
                        return found
                    break
            if not page["data"] or not page.get("has_more"):
                return None
            after = f"&after_id={page['data'][-1]['id']}"

    async def get(self, batch_id: str) -> VendorBatch:
        return _batch(await self._http.get(f"{_PATH}/{batch_id}", ASK_S))

    async def cancel(self, batch_id: str) -> None:
        await self._http.post(f"{_PATH}/{batch_id}/cancel", {}, ASK_S)

    async def results(self, batch: VendorBatch) -> AsyncIterator[LineResult]:
        async for line in lines_of(self._http, f"{_PATH}/{batch.id}/results"):
            yield _result(line)

    async def forget(self, batch: VendorBatch) -> None:
        await self._http.whole("DELETE", f"{_PATH}/{batch.id}", b"", ASK_S)


def _batch(value: Any) -> VendorBatch:
    counts, end = value.get("request_counts") or {}, _NO_END
    if value["processing_status"] == "ended":
        end = "cancelled" if counts.get("canceled") else "expired" if counts.get("expired") else "completed"
    return VendorBatch(id=value["id"], n_ok=counts.get("succeeded") or 0, n_failed=counts.get("errored") or 0, end=end)


def _result(line: dict[str, Any]) -> LineResult:
    custom_id, result = line["custom_id"], line["result"]
    if result["type"] == "succeeded":
        return LineResult(custom_id, 200, json.encoded(result["message"]))
    if result["type"] == "errored":
        error = result["error"].get("error") or {}
        return LineResult(custom_id, _STATUS.get(str(error.get("type")), 400), json.encoded(result["error"]))
    return LineResult(custom_id, 0, code=UNANSWERED.get(result["type"], str(result["type"])))
