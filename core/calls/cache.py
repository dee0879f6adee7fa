"""The cache of responses: the same request of the same scope gets the answer of before, as a stream where it was one.

Opt-in by request, alias or experiment. Only whole answers are cached; what a key may see is its own, unless it shares.
"""

import asyncio
import base64
import hashlib
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from core import clock
from core.calls.call import Accumulator, Call
from core.calls.origin import Origin
from core.domain.generation import Chunk, Model, Request, ToolDelta, Usage
from core.formats import strict_json as json
from core.storage.calls.generations import usage_from_json, usage_to_json
from core.storage.calls.responses import ResponseStore
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Work, Writer

MAX_BYTES = 4 * 1024 * 1024
# Of a native body, what does not change the answer.
_BESIDE = frozenset(
    {"stream", "stream_options", "user", "metadata", "safety_identifier", "prompt_cache_key", "store", "model"}
)


class CachedResponse(NamedTuple):
    """An answer from before. A vendor's own bytes are left out where the caller asks in another way than then."""

    chunks: list[Chunk]
    usage: Usage

    def replay(self, call: Call) -> None:
        """Answer a call with it."""
        call.state.answerer = replace(call.answerer, is_hit=True)
        call.state.digest = ""  # it is cached already
        for chunk in self.chunks:
            call.feed(chunk)
        call.state.usages.append(self.usage)


class ResponseCache:
    def __init__(self, database: Database, writer: Writer) -> None:
        self._store = ResponseStore(database)
        self._writer = writer

    async def find(self, request: Request, model: Model, origin: Origin) -> tuple[str, CachedResponse | None]:
        """(digest of the request, its cached response if there is one)."""
        digest = digest_of(request, model, origin)
        found = await asyncio.to_thread(self._store.get, digest, clock.now_us())
        return digest, None if found is None else _from_json(found, request)

    def forget_old(self) -> None:
        """Delete what has expired; it would fill the database otherwise."""
        now_us = clock.now_us()
        if self._store.has_old(now_us):
            self._writer.run(lambda connection: ResponseStore.delete_old(connection, now_us))

    @staticmethod
    def keep(state: Accumulator, request: Request, ttl_s: int, usage: Usage) -> Work | None:
        """Work that caches an answer; None = it is too large."""
        digest, chunks = state.digest, state.chunks or []
        if sum(len(chunk.text) + len(chunk.raw or b"") for chunk in chunks) > MAX_BYTES:
            return None
        answer = {
            "shape": _shape(request),
            "usage": usage_to_json(usage),
            "chunks": [_to_json(chunk) for chunk in chunks],
        }

        def work(connection: Connection) -> None:
            ResponseStore.put(connection, digest, answer, clock.now_us(), ttl_s * 1_000_000)

        return work


def digest_of(request: Request, model: Model, origin: Origin) -> str:
    """SHA-256 of the whole effective request and of who may have its answer."""
    scope = "shared" if origin.key is not None and origin.key.shares_cache else f"key:{origin.key_id}"
    native = request.native
    whole = {
        "scope": scope,
        "provider": model.provider,
        "model": model.name,
        "operation": request.operation,
        "system": request.system,
        "messages": [asdict(message) for message in request.messages],
        "parameters": request.parameters.as_dict(),
        "tools": [asdict(tool) for tool in request.tools],
        "tool_choice": request.tool_choice,
        "n_answers": request.n_answers,
        "native": {k: v for k, v in native.body.items() if k not in _BESIDE} if native else None,
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()


def _to_json(chunk: Chunk) -> dict[str, Any]:
    value: dict[str, Any] = {
        "text": chunk.text,
        "thinking": chunk.thinking,
        "tools": [asdict(tool) for tool in chunk.tools],
        "vectors": chunk.vectors,
        "finish_reason": chunk.finish_reason,
        "response_model": chunk.response_model,
        "choice": chunk.choice,
        "raw": base64.b64encode(chunk.raw).decode() if chunk.raw else None,
    }
    return {name: each for name, each in value.items() if each}


def _shape(request: Request) -> list[Any] | None:
    """The form of an answer's bytes: wire, whether as a stream, and whether with its count."""
    native = request.native
    if native is None:
        return None
    options = native.body.get("stream_options")
    return [native.wire, request.is_streamed, isinstance(options, dict) and bool(options.get("include_usage"))]


def _from_json(found: dict[str, Any], request: Request) -> CachedResponse:
    is_alike = _shape(request) == found.get("shape")
    chunks = []
    for value in found["chunks"]:
        raw = value.pop("raw", None)
        value["tools"] = tuple(ToolDelta(**tool) for tool in value.get("tools", ()))
        value["vectors"] = tuple(value.get("vectors", ()))
        chunks.append(Chunk(**value, raw=base64.b64decode(raw) if raw and is_alike and request.native else None))
    return CachedResponse(chunks, usage_from_json(found["usage"]))
