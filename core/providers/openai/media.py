"""Pictures, sound and moderation on OpenAI's wire: handed on as they came, and read for what they say and cost."""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from decimal import Decimal
from typing import Any

from core.domain.generation import Chunk, Request, Usage
from core.domain.operation import ADDRESS_OF, HEARING, MAKING_PICTURES
from core.errors import ProviderError
from core.formats import strict_json as json
from core.providers.http.answer import Answer
from core.providers.http.client import HttpVendor
from core.providers.http.errors import quota_of
from core.providers.openai.response import to_text
from core.providers.openai.usage import to_usage

MOST_BYTES = 128 * 1024 * 1024  # of an answer or an event: ten large pictures
_PICTURE = re.compile(rb'("(?:b64_json|audio)"\s*:\s*")([^"]*)"')  # base64, in which there is no quote
_NUMBER = re.compile(r"\d{1,7}(\.\d{1,12})?")
_ENDS = (".completed", ".done")  # the types of the events that end something
EVENTS = "text/event-stream"


async def ask(http: HttpVendor, request: Request) -> AsyncGenerator[Chunk]:
    """One attempt; see Provider.stream."""
    async with _sent(http, request) as answer:
        kind = answer.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind == "text/html":
            raise ProviderError(f"{http.label} answered with a web page, not with {request.operation}.")
        if kind == EVENTS:
            async for events in answer.events(MOST_BYTES):
                said, error = http.until_error(events)
                if said:
                    values = [event.value for event in said if event.value is not None]
                    yield replace(_of_events(values, request), raw=b"".join(e.raw for e in said), content_type=EVENTS)
                if error is not None:
                    raise error
        elif kind.endswith("json") or request.operation in HEARING:
            raw = await answer.raw(MOST_BYTES)
            chunk = _of_text(raw) if not kind.endswith("json") else _of_value(http, raw, request)
            yield replace(chunk, raw=raw, content_type=answer.headers.get("content-type", ""))
        else:
            n_bytes, usage = 0, _units(request)
            while data := await answer.read():
                n_bytes += len(data)
                yield Chunk(raw=data, content_type=answer.headers.get("content-type", kind), usage=usage)
            if n_bytes:
                yield Chunk(finish_reason="stop", media=f"{kind}, {n_bytes:,} bytes", quota=quota_of(answer.headers))


def _sent(http: HttpVendor, request: Request) -> AbstractAsyncContextManager[Answer]:
    native, path = request.native, ADDRESS_OF[request.operation]
    assert native is not None  # noqa: S101 - nobody asks for it in other words
    upload = native.upload
    if upload is None:
        return http.answer(path, {**native.body, "model": request.model})
    model = http.addressing.named(request.model)
    headers = {"content-type": upload.content_type, "content-length": str(upload.n_bytes(model))}
    return http.exchange("POST", http.addressing.place(path, model), lambda: upload.chunks(model), headers)


def _of_text(raw: bytes) -> Chunk:
    """A transcription as plain text or subtitles, which does not say how long the sound was."""
    return Chunk(text=raw.decode("utf-8", "replace"), finish_reason="stop")


def _of_value(http: HttpVendor, raw: bytes, request: Request) -> Chunk:
    sizes = [len(found[2]) * 3 // 4 - found[2].count(b"=") for found in _PICTURE.finditer(raw)]
    value = json.loads(_PICTURE.sub(rb'\1"', raw) if sizes else raw)
    http.refuse_errors([value])
    made = [each for each in value.get("data") or () if isinstance(each, dict)]
    media = ""
    if request.operation in MAKING_PICTURES and made:
        kind = f"image/{value.get('output_format') or 'png'}"
        media = f"{len(made)} x {kind}" + (f", {sum(sizes):,} bytes" if sizes else "")
    texts = [to_text(value.get("text")), *(to_text(each.get("revised_prompt")) for each in made), *_judged(value)]
    return Chunk(
        text="\n".join(text for text in texts if text),
        usage=_usage(value, request, len(made)),
        finish_reason="stop",
        response_model=to_text(value.get("model")) or None,
        media=media,
    )


def _judged(value: Mapping[str, Any]) -> list[str]:
    """For each text that was judged, for what it was flagged."""
    found = []
    for each in value.get("results") or ():
        names = [name for name, is_so in (each.get("categories") or {}).items() if is_so]
        found.append(f"flagged: {', '.join(names)}" if each.get("flagged") else "not flagged")
    return found


def _of_events(values: list[dict[str, Any]], request: Request) -> Chunk:
    chunk = Chunk()
    for value in values:
        kind = str(value.get("type") or "")
        if kind == "transcript.text.delta":
            chunk.text += to_text(value.get("delta"))
        if kind.endswith(_ENDS):
            chunk.finish_reason = "stop"
            pictures = int(request.operation in MAKING_PICTURES)
            chunk.usage = _usage(value, request, pictures) or chunk.usage
            chunk.media = {"speech": "sound in events"}.get(request.operation, "1 picture" if pictures else "")
    return chunk


def _usage(value: Mapping[str, Any], request: Request, n_pictures: int) -> Usage | None:
    """The usage that an answer tells; None = it tells none.

    Output of which nothing more is said is of the kind that was asked for.
    """
    given = value.get("usage")
    given = given if isinstance(given, dict) else {}
    seconds = given.get("seconds", value.get("duration"))
    if request.operation in HEARING and given.get("type") != "tokens" and _NUMBER.fullmatch(str(seconds)):
        return Usage(more={"sound_ms": round(Decimal(str(seconds)) * 1000)})
    usage, units = to_usage(given), _units(request, n_pictures)
    if usage is None:
        return units
    more = {**usage.more, **(units.more if units is not None else {})}
    is_detailed = any(isinstance(given.get(f"{word}_tokens_details"), dict) for word in ("output", "completion"))
    if request.operation in MAKING_PICTURES and not is_detailed:
        more["output_image_tokens"] = usage.output_tokens
    if isinstance(drawn := value.get("svg_usage"), dict):  # by another model, at its prices
        more["svg_usage"] = max(1, int(drawn.get("total_tokens") or 1))
    speaks = request.operation == "speech"
    return replace(usage, more=more, output_audio_tokens=usage.output_tokens if speaks else usage.output_audio_tokens)


def _units(request: Request, n_pictures: int = 0) -> Usage | None:
    """A count of what is charged by another unit than the token; None = there is nothing to count."""
    if request.operation == "speech":
        return Usage(more={"characters": len(request.prompt)})
    if request.operation == "moderation":
        return Usage(more={"moderation": 1})  # nobody counts its tokens, and OpenAI charges nothing for them
    return Usage(more={"pictures": n_pictures}) if n_pictures else None
