"""Anthropic's batches: one body of all requests, and what came of them as lines. They have no name of their own."""

from collections.abc import AsyncIterator
from typing import IO, Any

from core.errors import ProviderUnavailable
from core.formats import strict_json as json
from core.providers.batches import (
    SEND_S,
    UNANSWERED,
    BatchApi,
    End,
    LineResult,
    VendorBatch,
    custom_id_of,
    lines_of,
    streamed,
)

_STATUS = {  # of an answer by itself
    "authentication_error": 401, "billing_error": 402, "permission_error": 403, "not_found_error": 404,
    "request_too_large": 413, "rate_limit_error": 429, "api_error": 500, "timeout_error": 504, "overloaded_error": 529,
}  # fmt: skip


class AnthropicBatches(BatchApi):
    path = "/v1/messages/batches"
    max_bytes = 256_000_000

    def takes(self, path: str) -> bool:
        return path == "/v1/messages"

    def line(self, custom_id: str, path: str, body: bytes) -> bytes:
        return b'{"custom_id":%b,"params":%b}' % (json.encoded(custom_id), body)

    async def create(self, name: str, path: str, lines: IO[bytes]) -> VendorBatch:
        body, headers = streamed(b'{"requests":[', lines, b"]}")
        return self.read(await self.http.whole("POST", self.path, body, SEND_S, headers))

    def page(self, value: Any) -> tuple[list[Any], str]:
        found = value["data"]
        return found, f"?limit=100&after_id={found[-1]['id']}" if found and value.get("has_more") else ""

    async def is_named(self, value: Any, name: str, n_lines: int) -> bool:
        """One of as many lines is ours if its first result says so, which is not known before its end."""
        if sum((value.get("request_counts") or {}).values()) != n_lines:
            return False
        if not (found := self.read(value)).end:
            raise ProviderUnavailable(f"It is not known yet whether {found.id} is {name}.")
        async for value in self.results(found):
            return custom_id_of(value).startswith(f"{name}-")
        return False

    def results(self, batch: VendorBatch) -> AsyncIterator[Any]:
        return lines_of(self.http, f"{self.path}/{batch.id}/results")

    def result(self, value: Any) -> LineResult:
        custom_id, result = value["custom_id"], value["result"]
        if result["type"] == "succeeded":
            return LineResult(custom_id, 200, json.encoded(result["message"]))
        if result["type"] == "errored":
            error = result["error"].get("error") or result["error"]
            return LineResult(custom_id, _STATUS.get(str(error.get("type")), 400), json.encoded({"error": error}))
        return LineResult(custom_id, 0, code=UNANSWERED.get(result["type"], str(result["type"])))

    def read(self, value: Any) -> VendorBatch:
        counts = value.get("request_counts") or {}
        end: End = "cancelled" if counts.get("canceled") else "expired" if counts.get("expired") else "completed"
        return VendorBatch(
            id=value["id"],
            n_ok=counts.get("succeeded") or 0,
            n_failed=counts.get("errored") or 0,
            end=end if value["processing_status"] == "ended" else "",
            files=(f"{self.path}/{value['id']}",),
        )
