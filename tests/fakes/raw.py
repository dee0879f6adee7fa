"""A vendor that sends one packet of bytes and closes: what a provider makes of answers that no library would send."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from core.domain.generation import Message, Native, Parameters, Request
from core.errors import AimmError
from core.providers.anthropic.provider import AnthropicProvider
from core.providers.gemini.provider import GeminiProvider
from core.providers.openai.provider import OpenAIProvider

Make = Callable[[str], Any]


BY_NAME: dict[str, Make] = {
    "openai": lambda url: OpenAIProvider("openai", url, "k"),
    "gemini": lambda url: GeminiProvider("k", url),
    "anthropic": lambda url: AnthropicProvider("k", url),
}


@asynccontextmanager
async def sending(packet: bytes, paths: list[str]) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        paths.append(head.split()[1].decode())
        writer.write(packet)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def ask(
    vendor: str, packet: bytes, model: str = "m", *, by_wire: bool = True, **more: Any
) -> tuple[list[Any], Any, str]:
    """(chunks, error, path) of one request."""
    native = Native(wire="anthropic", body={}, parameters=Parameters()) if by_wire else None
    chunks, paths = [], []

    async def main() -> AimmError | None:
        async with sending(packet, paths) as url:
            provider = BY_NAME[vendor](url)
            request = Request(model=model, messages=(Message("user", "Hello"),), native=native, **more)
            try:
                async for chunk in provider.stream(request, attempt=1, timeout_s=5.0):
                    chunks.append(chunk)
            except AimmError as error:
                return error
            finally:
                await provider.close()
        return None

    return chunks, asyncio.run(main()), paths[0]


def packet(body: bytes, kind: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def events(*values: Any) -> bytes:
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    return packet("".join(f"data: {text}\n\n" for text in texts).encode(), "text/event-stream")
