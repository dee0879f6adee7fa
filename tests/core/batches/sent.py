"""A batch as a program without HTTP makes it. A process that is to be killed imports this."""

import asyncio
import json
import time
from typing import Any

from api.server import Server
from core import ModelManager
from core.domain.batches.batch import Batch

CHAT = "/v1/chat/completions"


def serving(mm: ModelManager) -> ModelManager:
    """The manager as a server has it: it reads the wires."""
    Server(lambda: mm).begin()
    return mm


def made(mm: ModelManager, models: list[str]) -> Batch:
    """A batch of a line a model; its custom_id is its place. Batches have one model: the lines ask it by aliases."""
    lines = []
    for at, model in enumerate(models):
        body = {"model": model, "messages": [{"role": "user", "content": f"Tell of the sea, {at}."}]}
        lines.append(json.dumps({"custom_id": str(at), "method": "POST", "url": CHAT, "body": body}))

    async def send() -> Any:
        upload = mm.batches.files.upload(None, "batch", "lines.jsonl")
        await upload.write("\n".join(lines).encode())
        return await upload.finish()

    return mm.batches.create(asyncio.run(send()).id, CHAT, "24h")


def in_the_middle(mm: ModelManager, batch_id: str) -> None:
    """Wait until some lines have ended and others are being asked."""
    deadline = time.monotonic() + 60
    while not (mm.batches.get(batch_id, None).n_ok and mm.calls.under_way(batch_id)):
        assert time.monotonic() < deadline, "the batch was never in its middle"
        time.sleep(0.002)


def ended(mm: ModelManager, batch_id: str) -> Batch:
    deadline = time.monotonic() + 60
    while not (batch := mm.batches.get(batch_id, None)).is_over:
        assert time.monotonic() < deadline, batch
        time.sleep(0.02)
    return batch


def results(mm: ModelManager, file_id: str) -> list[dict[str, Any]]:
    if not file_id:
        return []
    raw = b"".join(mm.batches.files.pieces(mm.batches.files.get(file_id, None)))
    return [json.loads(line) for line in raw.splitlines()]
