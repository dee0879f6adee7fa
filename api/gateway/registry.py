"""The wires that the gateway speaks. Another one is a folder beside these and an entry here."""

from api.gateway.clients import Client
from api.gateway.gemini.routes import WIRE as GEMINI
from api.gateway.openai.routes import WIRE as OPENAI
from api.gateway.wire import Wire

# The first that owns an address answers it.
WIRES: tuple[Wire, ...] = (OPENAI, GEMINI)


def wire_of(path: str) -> Wire | None:
    """The wire of an address; None = it is no address of the gateway."""
    return next((wire for wire in WIRES if wire.owns(path)), None)


def clients() -> dict[str, tuple[Client, Wire]]:
    """The programs that can ask here, by name, each with its wire."""
    return {client.name: (client, wire) for wire in WIRES for client in wire.clients}
