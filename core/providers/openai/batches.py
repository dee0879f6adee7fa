"""OpenAI's batches: a file of lines is sent, a batch made of it, and what came of them is read from two more files."""

import contextlib
from collections.abc import AsyncIterator
from typing import IO, Any

from core import clock
from core.domain.operation import ADDRESS_OF
from core.errors import AimmError
from core.formats import strict_json as json
from core.providers.batches import ASK_S, SEND_S, UNANSWERED, BatchApi, LineResult, VendorBatch, lines_of, streamed

_PATHS = ("/chat/completions", "/responses", "/embeddings", *(
    ADDRESS_OF[operation] for operation in ("text_completion", "moderation", "image_generation")
))  # fmt: skip
_PARTS = (("output_file_id", "completed"), ("error_file_id", "failed"))
FILES_S = 900.0  # after its end, in which a batch may come to name its files
_OVER = ("completed", "failed", "expired", "cancelled")
MARK = "aimm_batch"  # in the metadata of a batch, with its name here


class OpenAIBatches(BatchApi):
    path = "/batches"
    joint = b"\n"
    max_bytes = 200_000_000

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
        file = await self.http.whole("POST", "/files", body, SEND_S, headers)
        asked = {"input_file_id": file["id"], "endpoint": f"/v1{path}", "completion_window": "24h"}
        try:
            return self.read(await self.http.post("/batches", {**asked, "metadata": {MARK: name}}, ASK_S))
        except AimmError as error:
            if error.upstream is not None and error.upstream.status < 500:  # nothing was made of it
                with contextlib.suppress(AimmError):
                    await self.http.whole("DELETE", f"/files/{file['id']}", b"", ASK_S)
            raise

    def page(self, value: Any) -> tuple[list[Any], str]:
        found = value["data"]
        return found, f"?limit=100&after={found[-1]['id']}" if found and value.get("has_more") else ""

    async def is_named(self, value: Any, name: str, n_lines: int) -> bool:
        return bool((value.get("metadata") or {}).get(MARK) == name)

    async def results(self, batch: VendorBatch) -> AsyncIterator[Any]:
        for path in batch.results:
            async for line in lines_of(self.http, path):
                yield line

    def result(self, value: Any) -> LineResult:
        response, error = value.get("response") or {}, value.get("error") or {}
        if not response.get("status_code"):
            code = str(error.get("code") or "")
            return LineResult(value["custom_id"], 0, b"", UNANSWERED.get(code, code), str(error.get("message") or ""))
        return LineResult(value["custom_id"], int(response["status_code"]), json.encoded(response.get("body") or {}))

    def read(self, value: Any) -> VendorBatch:
        counts, status = value.get("request_counts") or {}, value["status"]
        files = [value[name] for name in ("output_file_id", "error_file_id") if value.get(name)]
        is_here = all(value.get(name) or not counts.get(part) for name, part in _PARTS)
        faults = (value.get("errors") or {}).get("data") or [{"code": "failed"}]
        errors = [(str(each.get("code") or ""), str(each.get("message") or "It does not say why.")) for each in faults]
        n_ok, n_failed = (counts.get(name) or 0 for name in ("completed", "failed"))
        return VendorBatch(
            id=value["id"],
            n_ok=n_ok,
            n_failed=n_failed,
            end=status if status in _OVER and (is_here or _is_long_over(value)) else "",
            errors=tuple(errors) if status == "failed" else (),
            results=tuple(f"/files/{file}/content" for file in files),
            files=tuple(f"/files/{file}" for file in [value["input_file_id"], *files]),
        )


def _is_long_over(value: Any) -> bool:
    """True where a batch will name no more files."""
    ended_at = value.get(f"{value['status']}_at")
    return isinstance(ended_at, int) and clock.now().timestamp() > ended_at + FILES_S
