"""A tap between a program and the gateway: hands bytes on both ways, and keeps them for whoever looks for a fault."""

import asyncio
import threading
from pathlib import Path


class Tap:
    """Listens on a port of its own; the bytes of connection N go to N.asked and N.answered in `folder`."""

    def __init__(self, port: int) -> None:
        self.folder: Path | None = None
        self._port = port
        self._n = 0
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._pass_on, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._n += 1
        behind, to_gateway = await asyncio.open_connection("127.0.0.1", self._port)
        name = f"{self._n:04d}"
        await asyncio.gather(
            self._copy(reader, to_gateway, f"{name}.asked"), self._copy(behind, writer, f"{name}.answered")
        )

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        try:
            while data := await reader.read(65536):
                if self.folder is not None:
                    with (self.folder / name).open("ab") as file:
                        file.write(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
