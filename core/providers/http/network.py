"""Connections to vendors, and none to addresses that no vendor has.

An address is checked where the connection is made, so that neither odd spellings nor a name that resolves otherwise the
second time lead to a cloud's metadata service.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from core.errors import ProviderUnavailable

# Beside what is link-local: where clouds keep their metadata.
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    )
)
# Networks whose addresses hold an IPv4 address, and how many bits stand behind it.
_HOLDERS = tuple(
    (ipaddress.IPv6Network(network), n_bits)
    for network, n_bits in (("::ffff:0:0/96", 0), ("64:ff9b::/96", 0), ("2002::/16", 80), ("::/96", 0))
)


class Refused(OSError):
    """The address is one that no vendor has; asking again does not help."""


def unreachable(error: Exception) -> ProviderUnavailable:
    """What a vendor is that cannot be connected."""
    found = ProviderUnavailable(str(error), hint="Check the network and the address.")
    found.is_retryable = not isinstance(error, Refused)
    return found


def refuses(address: str) -> bool:
    """Whether an IP address is link-local or a cloud's metadata service, in whatever form it is written."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        for network, n_bits in _HOLDERS:
            if ip in network:
                return refuses(str(ipaddress.IPv4Address((int(ip) >> n_bits) & 0xFFFFFFFF)))
    return ip.is_link_local or ip in _METADATA


P = TypeVar("P", bound=asyncio.Protocol)


async def connect(
    make: Callable[[], P], host: str, port: int, tls: ssl.SSLContext | None, *, allows_link_local: bool
) -> P:
    """A connection to the first address of a host that answers.

    Raises:
        OSError: None does, or one of them is an address that no vendor has.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
    if not allows_link_local and any(refuses(address) for address in addresses):
        raise Refused(f"{host} is a link-local or metadata address, which no vendor has")
    problem: OSError | None = None
    for address in addresses:
        try:
            name = host if tls else None
            _, protocol = await loop.create_connection(make, address, port, ssl=tls, server_hostname=name)
            return protocol
        except OSError as error:
            problem = error
    raise problem or OSError(f"{host} has no address")
