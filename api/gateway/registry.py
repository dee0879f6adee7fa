"""The wires that the gateway speaks. Another one is a folder beside these and an entry here."""

from collections.abc import Iterable

from api.gateway.anthropic.routes import WIRE as ANTHROPIC
from api.gateway.clients import Client
from api.gateway.gemini.routes import WIRE as GEMINI
from api.gateway.openai.routes import WIRE as OPENAI
from api.gateway.responses.routes import WIRE as RESPONSES
from api.gateway.wire import Wire

# The first that owns an address answers it.
WIRES: tuple[Wire, ...] = (ANTHROPIC, RESPONSES, OPENAI, GEMINI)


def wire_of(path: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> Wire | None:
    """The wire of a request; None = its address is none of the gateway's."""
    return next((wire for wire in WIRES if wire.owns(path, headers)), None)


def clients() -> dict[str, tuple[Client, Wire]]:
    """The programs that can ask here, by name, each with its wire."""
    return {client.name: (client, wire) for wire in WIRES for client in wire.clients}
