"""Code by which a program asks this server, for each client of each wire that the gateway speaks."""

from typing import Any

from api.gateway.clients import KINDS, NO_KEY, Asking, post
from api.gateway.registry import clients
from core import Request
from dashboard.process import manager

__all__ = ["BY_KIND", "KNOWN", "NO_KEY", "code", "post"]

KNOWN = {name: client for name, (client, _) in clients().items()}
BY_KIND = {kind: [name for name, client in KNOWN.items() if client.kind == kind] for kind in KINDS}


def code(client: str, request: Request, server: str, key: str = NO_KEY, **more: Any) -> str:
    """more: `user` and `headers`, as Asking has them."""
    _, wire = clients()[client]
    body = manager().models.body_for(wire.name, request)
    return KNOWN[client].code(Asking(server=server, key=key, request=request, body=body, **more))
