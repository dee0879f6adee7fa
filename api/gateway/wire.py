"""A wire: one vendor's way to ask and to be answered, spoken by the gateway at addresses of its own."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api.gateway.clients import Client
from core import AimmError, ModelManager

if TYPE_CHECKING:
    from api.gateway.exchange import Exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One entry of `api.gateway.registry.WIRES`; server, access, errors, the OpenAPI document and the pages go by it.

    prefix: The beginning of its addresses, such as /v1.
    name: Its name in the core. Errors of a vendor that speaks the same wire are quoted word for word.
    handle: Answers a request; raises AimmError, or CallerLeft.
    error: The status and the body of an error. is_quoted: whether its vendor speaks this wire.
    paths: Its addresses, as the OpenAPI document describes them.
    clients: Programs that speak it, as the pages show them.
    key_headers: Headers in which its clients send a key, besides Authorization and x-api-key.
    shared: An address that is this wire's too, and a header that all its clients send there.
    id_header: The header in which its clients look for the id of an answer.
    """

    prefix: str
    name: str
    handle: "Callable[[Exchange, ModelManager], Awaitable[None]]"
    error: "Callable[[AimmError, bool], tuple[int, bytes]]"
    paths: Callable[[], dict[str, Any]]
    clients: tuple[Client, ...] = ()
    key_headers: tuple[bytes, ...] = ()
    shared: tuple[str, bytes] | None = None
    id_header: bytes = b""

    def owns(self, path: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> bool:
        if _is_below(path, self.prefix):
            return True
        if self.shared is None or not _is_below(path, self.shared[0]):
            return False
        return any(name == self.shared[1] for name, _ in headers)


def _is_below(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and path[len(prefix) :][:1] in ("", "/")
