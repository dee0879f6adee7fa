"""Code by which a program asks this server, for each client of each wire that the gateway speaks."""

from typing import Any

from api.gateway.clients import NO_KEY, Asking, post
from api.gateway.registry import clients
from core import Request
from dashboard.process import manager

__all__ = ["KNOWN", "NO_KEY", "code", "post"]

KNOWN = {name: client for name, (client, _) in clients().items()}


def code(client: str, request: Request, server: str, key: str = NO_KEY, **more: Any) -> str:
    """more: `user` and `headers`, as Asking has them."""
    _, wire = clients()[client]
    body = manager().models.body_for(wire.name, request)
    return KNOWN[client].code(Asking(server=server, key=key, request=request, body=body, **more))
