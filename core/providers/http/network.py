"""The way to a vendor: none to addresses that no vendor has, and through a proxy only where a setting says so.

An address is checked where the connection is made, so that neither odd spellings nor a name that resolves otherwise the
second time lead to a cloud's metadata service. Behind a proxy it is the proxy that resolves names and answers for them.
"""

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

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
    for network, n_bits in (
        ("::ffff:0:0/96", 0),
        ("::ffff:0:0:0/96", 0),
        ("64:ff9b::/96", 0),
        ("64:ff9b:1::/48", 0),
        ("2002::/16", 80),
        ("::/96", 0),
    )
)


class Refused(OSError):
    """The address is one that no vendor has, or the proxy lets nobody through to it; asking again does not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The way to vendors.

    allows_link_local: For those whose vendor really is at a link-local address.
    allows_private: For addresses of this machine and of private networks, as the environment may name them.
    proxies: Scheme or `all` -> the proxy; `no` -> the hosts that are asked directly, as NO_PROXY lists them.
    """

    allows_link_local: bool = False
    allows_private: bool = True
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)

    def proxy_for(self, base_url: str) -> str | None:
        """The proxy for an address; None = it is asked directly, as this machine's own addresses always are."""
        parts = urlsplit(base_url)
        host = (parts.hostname or "").rstrip(".")
        places = (host, parts.netloc.rpartition("@")[2].lower())
        names = (name.strip().lower() for name in self.proxies.get("no", "").split(","))
        if _is_loopback(host) or any(_means(name, places) for name in names if name):
            return None
        return self.proxies.get(parts.scheme) or self.proxies.get("all")

    def check(self, host: str) -> None:
        """Refuse an address that no vendor has; a name passes.

        Raises:
            Refused
        """
        address = _address(host)
        if address and not self.allows_link_local and refuses(address):
            raise Refused(f"{host} is a link-local or metadata address, which no vendor has")
        if address and not self.allows_private and not is_public(address):
            raise Refused(f"{host} is an address of a private network, which this deployment is not allowed")

    def socket(self, address: tuple[Any, ...]) -> socket.socket:
        """A socket for one of the addresses of a host, whether named by a resolver or written out.

        Raises:
            Refused
        """
        family, kind, protocol, _, where = address
        self.check(where[0])
        return socket.socket(family, kind, protocol)


def unreachable(label: str, why: object) -> ProviderUnavailable:
    """The error for a vendor that cannot be connected."""
    said = str(why) or type(why).__name__
    found = ProviderUnavailable(f"{label} cannot be reached ({said}).", hint="Check the network and the address.")
    found.is_retryable = not isinstance(why, Refused)
    return found


def refuses(address: str) -> bool:
    """True for an IP address that is link-local or a cloud's metadata service, in whatever form it is written."""
    ip = _held(address)
    return ip.is_link_local or ip in _METADATA


def is_public(address: str) -> bool:
    """True for an IP address of the open internet, in whatever form it is written."""
    ip = _held(address)
    return ip.is_global and not ip.is_multicast


def _held(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address, or the one of IPv4 that it holds."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        for network, n_bits in _HOLDERS:
            if ip in network and int(ip) > 1:  # ::1 is this machine
                return ipaddress.IPv4Address((int(ip) >> n_bits) & 0xFFFFFFFF)
    return ip


def _means(name: str, places: Iterable[str]) -> bool:
    """True where an entry of NO_PROXY, a domain, an address, a network or `*`, stands for one of these."""
    with suppress(ValueError):
        network = ipaddress.ip_network(name, strict=False)
        return any(ipaddress.ip_address(address) in network for address in map(_address, places) if address)
    domain = name.removeprefix("*").strip(".")
    return name == "*" or any(f".{place}".endswith(f".{domain}") for place in places if domain)


def _address(host: str) -> str | None:
    """The IP address that a host is, also in the spellings of C libraries, such as 0x7f.1; None = it is a name."""
    with suppress(ValueError):
        return str(ipaddress.ip_address(host.partition("%")[0]))
    with suppress(OSError):
        return socket.inet_ntoa(socket.inet_aton(host))
    return None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and ipaddress.ip_address(address).is_loopback)
