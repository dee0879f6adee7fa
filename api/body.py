"""The body of a request, read within the limits of its size and of its time."""

import asyncio
from contextlib import suppress

from starlette.types import Receive

from api.errors import CallerLeft, Unserved
from core import TooLarge

MAX_BODY_BYTES = 8 * 1024 * 1024
BODY_TIMEOUT_S = 60.0  # for a whole body
DRAIN_BYTES, DRAIN_S = 256 * 1024 * 1024, 20.0


async def read_body(receive: Receive, length: bytes) -> bytes:
    """The body, whole. length: As its header says. Raises: TooLarge, Unserved: it takes too long; CallerLeft."""
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        await _refuse(receive)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _read(receive)
    except TimeoutError:
        raise Unserved(f"The body did not come within {BODY_TIMEOUT_S:g} s.", 408) from None


async def _read(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            await _refuse(receive)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _refuse(receive: Receive) -> None:
    """Read the rest and drop it: a client that is still sending would see a reset connection, not the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            left, more = DRAIN_BYTES, True
            while more and left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                more = message.get("more_body", False)
    raise TooLarge(f"The body is larger than {MAX_BODY_BYTES:,} bytes.")
