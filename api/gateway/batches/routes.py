"""/v1/files and /v1/batches, as OpenAI has them; each key sees its own."""

import asyncio
from typing import Any
from urllib.parse import parse_qs

from api.errors import Nowhere
from api.gateway.exchange import Exchange
from api.gateway.openai.form import Form
from core import InvalidRequest, ModelManager
from core.domain.batches.batch import Batch
from core.domain.batches.file import StoredFile
from core.formats.strict_json import encoded

BYTES = b"application/octet-stream"
MAX_FORM_BYTES = 201 * 1024 * 1024  # the largest file, and what is around it
_HEADERS = (
    "x-aimm-user",
    "x-aimm-tags",
    "x-aimm-session",
    "x-aimm-fallbacks",
    "x-aimm-cap-usd",
    "x-aimm-cache",
    "x-aimm-no-store",
)


def owns(path: str) -> bool:
    """Tell whether an address below /v1 is one of these."""
    return path.startswith("/") and path.split("/", 2)[1] in ("files", "batches")


async def handle(exchange: Exchange, mm: ModelManager, path: str) -> None:
    """Answer a request. path: Below /v1. Raises: AimmError, CallerLeft."""
    kind, _, rest = path.removeprefix("/").partition("/")
    wanted, _, deed = rest.partition("/")
    answer = _ROUTES.get((exchange.method, kind, "ID" if wanted else "", deed))
    if answer is None:
        raise Nowhere
    found = await answer(exchange, mm, wanted)
    if found is not None:
        await exchange.answer(200, encoded(found))


async def _send(exchange: Exchange, mm: ModelManager, _: str) -> Any:
    body = await exchange.body(MAX_FORM_BYTES)
    form = await asyncio.to_thread(Form, body, exchange.header(b"content-type"))
    filename, pieces = form.only_file("file")
    life = form.fields.get("expires_after[seconds]")
    purpose = str(form.fields.get("purpose", ""))
    upload = mm.batches.files.upload(exchange.key, purpose, filename, _whole(None if life is None else str(life)))
    try:
        async for piece in pieces:
            await upload.write(piece)
        return _file_view(await upload.finish())
    except BaseException:
        await asyncio.shield(upload.give_up())
        raise


async def _files(exchange: Exchange, mm: ModelManager, _: str) -> Any:
    asked = _asked(exchange)
    if asked.get("order", "desc") not in ("asc", "desc"):
        raise InvalidRequest(f"order == {asked['order'][:20]!r}, must be asc or desc.")
    found, has_more = await asyncio.to_thread(
        mm.batches.files.page,
        exchange.key,
        _limit(asked, 10_000, 10_000),
        after=asked.get("after", ""),
        purpose=asked.get("purpose", ""),
        oldest_first=asked.get("order") == "asc",
    )
    return _page([_file_view(file) for file in found], has_more)


async def _file(exchange: Exchange, mm: ModelManager, file_id: str) -> Any:
    return _file_view(await asyncio.to_thread(mm.batches.files.get, file_id, exchange.key))


async def _content(exchange: Exchange, mm: ModelManager, file_id: str) -> None:
    file = await asyncio.to_thread(mm.batches.files.get, file_id, exchange.key)
    pieces = mm.batches.files.pieces(file)
    await exchange.begin(200, BYTES, {"content-length": str(file.n_bytes)})
    while piece := await asyncio.to_thread(next, pieces, b""):
        await exchange.write(piece)
    await exchange.write(b"", more=False)


async def _delete(exchange: Exchange, mm: ModelManager, file_id: str) -> Any:
    await asyncio.to_thread(mm.batches.files.delete, file_id, exchange.key)
    return {"id": file_id, "object": "file", "deleted": True}


async def _create(exchange: Exchange, mm: ModelManager, _: str) -> Any:
    body = await exchange.json()
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise InvalidRequest(f"Missing required parameter: {name!r}.")
    life = body.get("output_expires_after")
    if life is not None and not isinstance(life, dict):
        raise InvalidRequest("output_expires_after must be an object with anchor and seconds.")
    batch = await asyncio.to_thread(
        mm.batches.create,
        body["input_file_id"],
        body["endpoint"],
        body["completion_window"],
        metadata=body.get("metadata"),
        output_s=None if life is None else life.get("seconds"),
        headers=_headers_of(exchange),
        is_private=exchange.is_private,
        key=exchange.key,
    )
    return _batch_view(batch)


async def _batches(exchange: Exchange, mm: ModelManager, _: str) -> Any:
    asked = _asked(exchange)
    limit = _limit(asked, 20, 100)
    found, has_more = await asyncio.to_thread(mm.batches.page, exchange.key, limit, after=asked.get("after", ""))
    return _page([_batch_view(batch) for batch in found], has_more)


async def _batch(exchange: Exchange, mm: ModelManager, batch_id: str) -> Any:
    return _batch_view(await asyncio.to_thread(mm.batches.get, batch_id, exchange.key))


async def _cancel(exchange: Exchange, mm: ModelManager, batch_id: str) -> Any:
    return _batch_view(await asyncio.to_thread(mm.batches.cancel, batch_id, exchange.key))


_ROUTES = {
    ("POST", "files", "", ""): _send,
    ("GET", "files", "", ""): _files,
    ("GET", "files", "ID", ""): _file,
    ("GET", "files", "ID", "content"): _content,
    ("DELETE", "files", "ID", ""): _delete,
    ("POST", "batches", "", ""): _create,
    ("GET", "batches", "", ""): _batches,
    ("GET", "batches", "ID", ""): _batch,
    ("POST", "batches", "ID", "cancel"): _cancel,
}


def _headers_of(exchange: Exchange) -> dict[str, str]:
    """The headers by which the request that makes a batch speaks for all its lines."""
    return {name: value for name in _HEADERS if (value := exchange.header(name.encode()))}


def _asked(exchange: Exchange) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(exchange.query.decode("latin-1")).items()}


def _limit(asked: dict[str, str], usual: int, most: int) -> int:
    limit = _whole(asked.get("limit"))
    if limit is not None and not 1 <= limit <= most:
        raise InvalidRequest(f"limit == {limit}, must be from 1 to {most:,}.")
    return usual if limit is None else limit


def _whole(text: str | None) -> int | None:
    if text is not None and not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidRequest(f"{text[:40]!r} is no whole number.")
    return None if text is None else int(text)


def _page(views: list[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    ids = [view["id"] for view in views] or [None]
    return {"object": "list", "data": views, "first_id": ids[0], "last_id": ids[-1], "has_more": has_more}


def _file_view(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.n_bytes,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": int(file.expires_at.timestamp()),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def _batch_view(batch: Batch) -> dict[str, Any]:
    moments: dict[str, Any] = {
        name: getattr(batch, name) for name in ("in_progress_at", "finalizing_at", "expires_at", "cancelling_at")
    }
    moments |= {f"{phase}_at": None for phase in ("completed", "failed", "expired", "cancelled")}
    if batch.is_over:
        moments[f"{batch.phase}_at"] = batch.ended_at
    errors = [{"code": e.code, "message": e.message, "line": e.line, "param": e.param} for e in batch.errors]
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model or None,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": batch.input_file_id,
        "completion_window": "24h",
        "status": batch.phase,
        "output_file_id": batch.output_file_id or None,
        "error_file_id": batch.error_file_id or None,
        "created_at": int(batch.created_at.timestamp()),
        **{name: None if moment is None else int(moment.timestamp()) for name, moment in moments.items()},
        "request_counts": {"total": batch.n_total, "completed": batch.n_ok, "failed": batch.n_failed},
        "usage": _usage_view(batch),
        "metadata": batch.metadata,
        # Asked one by one, its lines cost what any others do.
        "service_tier": "batch" if batch.vendor_model else "default",
        "vendor_batch_id": batch.vendor_id or None,
        "cost_usd": None if batch.usage is None else batch.usage["cost_usd"],
    }


def _usage_view(batch: Batch) -> dict[str, Any] | None:
    if (usage := batch.usage) is None:
        return None
    return {
        "input_tokens": usage["input_tokens"],
        "input_tokens_details": {"cached_tokens": usage["cached_tokens"]},
        "output_tokens": usage["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": usage["thinking_tokens"]},
        "total_tokens": usage["input_tokens"] + usage["output_tokens"],
    }
