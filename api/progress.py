"""Work that goes on after its request was answered (`Prefer: respond-async`), and its progress as events."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import Header
from fastapi.responses import JSONResponse, StreamingResponse

from core import Key
from core.formats.strict_json import encoded

POLL_S = 0.1
PING_S = 15.0

Prefer = Annotated[str, Header(description="respond-async: 202 at once, with the address of the status as Location.")]
LastEvent = Annotated[str, Header(alias="Last-Event-ID", max_length=1000, description="Go on after it.")]


class Progress(NamedTuple):
    """Work as it stands. ended: The parts that have ended, by place. whole: All of it."""

    ended: Mapping[int, dict[str, Any]]
    is_over: bool
    whole: dict[str, Any]


def wants_async(prefer: str) -> bool:
    return any(part.strip().partition(";")[0].lower() == "respond-async" for part in prefer.split(","))


def accepted(address: str, **whole: Any) -> JSONResponse:
    """The answer to a request whose work goes on. address: Of its status."""
    headers = {"Location": address, "Preference-Applied": "respond-async"}
    return JSONResponse({"status": "accepted", **whole}, 202, headers)


def may_see(key: Key | None, key_id: str) -> bool:
    """Tell whether a key may see work: all with `read`, else what it has begun itself."""
    return key is None or key.may("read") or key.id == key_id


def events(look: Callable[[], Progress], last: str) -> StreamingResponse:
    """`progress` for each part that ends, then `end`. last: The id of the last event that was received.

    An id names the parts that were told by then, so whoever comes again, to whichever process, hears of the others.
    """
    told = {int(place) for place in re.findall(r"\d{1,6}", last)}
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(_events(look, told), media_type="text/event-stream", headers=headers)


async def _events(look: Callable[[], Progress], told: set[int]) -> AsyncIterator[bytes]:
    pinged_at = time.monotonic()
    while True:
        now = await asyncio.to_thread(look)
        for place in sorted(now.ended.keys() - told):
            told.add(place)
            yield _event("progress", told, {"place": place, **now.ended[place]})
        if now.is_over:
            yield _event("end", told, now.whole)
            return
        if time.monotonic() - pinged_at > PING_S:
            pinged_at = time.monotonic()
            yield b": still at it\n\n"
        await asyncio.sleep(POLL_S)


def _event(kind: str, told: set[int], data: dict[str, Any]) -> bytes:
    name = ".".join(map(str, sorted(told)))
    return f"event: {kind}\nid: {name}\ndata: ".encode() + encoded(data) + b"\n\n"
