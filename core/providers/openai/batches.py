"""OpenAI's batches: a file of lines is sent, a batch made of it, and what came of them is read from two more files."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import IO, Any

from core.domain.operation import ADDRESS_OF
from core.formats import strict_json as json
from core.providers.batches import ASK_S, SEND_S, UNANSWERED, LineResult, VendorBatch, lines_of, streamed
from core.providers.http.client import HttpVendor

_PATHS = ("/chat/completions", "/responses", "/embeddings", *(
    ADDRESS_OF[operation] for operation in ("text_completion", "moderation", "image_generation")
))  # fmt: skip
_OVER = ("completed", "failed", "expired", "cancelled")
MARK = "aimm_batch"  # in the metadata of a batch, with its name here
_PAGE = 100


class OpenAIBatches:
    joint = b"\n"
    max_bytes = 200_000_000

    def __init__(self, http: HttpVendor) -> None:
        self._http = http

    def takes(self, path: str) -> bool:
        return path in _PATHS

    def line(self, custom_id: str, path: str, body: bytes) -> bytes:
        head = json.encoded({"custom_id": custom_id, "method": "POST", "url": f"/v1{path}"})
        return b'%b,"body":%b}' % (head[:-1], body)

    async def create(self, name: str, path: str, lines: IO[bytes]) -> VendorBatch:
        edge = f"--{name}"
        part = f"{edge}\r\nContent-Disposition: form-data; name="
        head = f'{part}"purpose"\r\n\r\nbatch\r\n{part}"file"; filename="{name}.jsonl"\r\n'
        head += "Content-Type: application/jsonl\r\n\r\n"
        body, headers = streamed(head.encode(), lines, f"\r\n{edge}--\r\n".encode())
        headers |= {"content-type": f"multipart/form-data; boundary={name}"}
        file = await self._http.whole("POST", "/files", body, SEND_S, headers)
        asked = {"input_file_id": file["id"], "endpoint": f"/v1{path}", "completion_window": "24h"}
        return _batch(await self._http.post("/batches", {**asked, "metadata": {MARK: name}}, ASK_S))

    async def find(self, name: str, since: datetime, n_lines: int) -> VendorBatch | None:
        after = ""
        while True:
            page = await self._http.get(f"/batches?limit={_PAGE}{after}", ASK_S)
            found = page["data"]
            for each in found:
                if (each.get("metadata") or {}).get(MARK) == name:
                    return _batch(each)
            if not found or not page.get("has_more") or found[-1]["created_at"] < since.timestamp():
                return None
            after = f"&after={found[-1]['id']}"

    async def get(self, batch_id: str) -> VendorBatch:
        return _batch(await self._http.get(f"/batches/{batch_id}", ASK_S))

    async def cancel(self, batch_id: str) -> None:
        await self._http.post(f"/batches/{batch_id}/cancel", {}, ASK_S)

    async def results(self, batch: VendorBatch) -> AsyncIterator[LineResult]:
        for path in batch.results:
            async for line in lines_of(self._http, path):
                yield _result(line)

    async def forget(self, batch: VendorBatch) -> None:
        for path in batch.files:
            await self._http.whole("DELETE", path, b"", ASK_S)


def _batch(value: Any) -> VendorBatch:
    counts, status = value.get("request_counts") or {}, value["status"]
    files = [value[name] for name in ("output_file_id", "error_file_id") if value.get(name)]
    errors = [
        (str(e.get("code") or ""), str(e.get("message") or "")) for e in (value.get("errors") or {}).get("data", ())
    ]
    n_ok, n_failed = (counts.get(name) or 0 for name in ("completed", "failed"))
    return VendorBatch(
        id=value["id"],
        n_ok=n_ok,
        n_failed=n_failed,
        # Its files may be named a moment after its end.
        end=status if status in _OVER and (files or not n_ok + n_failed) else "",
        errors=tuple(errors or [("failed", "The vendor does not say why.")]) if status == "failed" else (),
        results=tuple(f"/files/{file}/content" for file in files),
        files=tuple(f"/files/{file}" for file in [value["input_file_id"], *files]),
    )


def _result(line: dict[str, Any]) -> LineResult:
    response, error = line.get("response") or {}, line.get("error") or {}
    if not response.get("status_code"):
        code = str(error.get("code") or "")
        return LineResult(line["custom_id"], 0, b"", UNANSWERED.get(code, code), str(error.get("message") or ""))
    return LineResult(line["custom_id"], response["status_code"], json.encoded(response.get("body") or {}))
