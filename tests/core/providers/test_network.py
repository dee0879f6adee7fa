"""The way to vendors: never to a metadata address, and through a proxy only where a setting says so."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

import pytest

from core.config import Settings
from core.errors import AimmError, InvalidRequest, ProviderUnavailable, redact
from core.providers.gemini.provider import GeminiProvider
from core.providers.http.network import Network, refuses
from core.providers.http.session import Session

METADATA = "169.254.169.254"


async def failure(url: str, network: Network) -> AimmError:
    client = Session("The vendor", url, {}, network)
    try:
        await client.request("POST", "/", b"{}")
    except AimmError as error:
        return error
    finally:
        await client.close()
    raise AssertionError("it was asked")


def resolving(monkeypatch: pytest.MonkeyPatch, **names: str) -> None:
    """Lets names resolve to addresses, as a vendor's own name server could."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *more: Any, **named: Any) -> Any:
        return real(names.get(str(host).partition(".")[0], host), *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "url",
    [f"http://{METADATA}", f"https://{METADATA}/v1", f"http://[::ffff:{METADATA}]:8000", "http://harmless.example"],
)
def test_a_metadata_address_is_never_asked_and_not_tried_again(url: str, monkeypatch: pytest.MonkeyPatch):
    resolving(monkeypatch, harmless=METADATA)
    for network in (Network(), Network(proxies={"all": f"http://{METADATA}:3128"})):
        error = asyncio.run(failure(url, network))

        assert isinstance(error, ProviderUnavailable) and not error.is_retryable
        assert "link-local or metadata address" in error.message


@pytest.mark.parametrize(
    ("url", "says"),
    [("http://127.0.0.1:9", "errno 111"), ("http://", "address is none"), ("http://2130706433:9", "address is none"),
     ("http://nowhere.invalid", "cannot be reached")],
)  # fmt: skip
def test_why_a_vendor_cannot_be_reached_is_said(url: str, says: str):
    error = asyncio.run(failure(url, Network()))

    assert isinstance(error, ProviderUnavailable)
    assert says in error.message.lower()


def test_a_server_without_tls_is_told_in_words():
    async def main() -> AimmError:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            return await failure(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", Network())
        finally:
            server.close()

    error = asyncio.run(main())
    assert isinstance(error, ProviderUnavailable)
    assert "SSL" in error.message


class Proxy:
    """Answers for every host as a vendor would; a tunnel it refuses."""

    def __init__(self) -> None:
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                self.heads.append(head)
                length = int(head.lower().partition("content-length: ")[2].split("\r\n")[0] or 0)
                await reader.readexactly(length)
                is_refused = head.startswith("CONNECT") or "locked.invalid" in head
                status = "407 Proxy Authentication Required" if is_refused else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def through(environ: Mapping[str, str], ask: Any) -> tuple[Any, list[str]]:
    """What a question gives with these settings, PROXY being the proxy's address, and what the proxy was asked."""

    async def main() -> Any:
        proxy = Proxy()
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = Settings.from_environ({name: text.replace("PROXY", address) for name, text in environ.items()})
        try:
            return await ask(Network(proxies=settings.proxies)), proxy.heads
        finally:
            server.close()

    found: tuple[Any, list[str]] = asyncio.run(main())
    return found


async def status_of(network: Network, url: str = "http://vendor.invalid/v1") -> Any:
    client = Session("The vendor", url, {"authorization": "Bearer sk-key-of-the-vendor"}, network)
    try:
        incoming = await client.request("POST", "/chat", b"{}")
        incoming.release()
        return incoming.status
    except AimmError as error:
        return error.message
    finally:
        await client.close()


@pytest.mark.parametrize(
    "environ",
    [{"AIMM_PROXY": "http://PROXY"}, {"AIMM_PROXY": "PROXY"}, {"AIMM_PROXY": "environment", "HTTP_PROXY": "http://PROXY"},
     {"AIMM_PROXY": "environment", "http_proxy": "PROXY", "HTTP_PROXY": "http://127.0.0.1:9"},
     {"AIMM_PROXY": "environment", "ALL_PROXY": "PROXY", "NO_PROXY": "other.invalid, endor.invalid"}],
)  # fmt: skip
def test_a_proxy_that_a_setting_names_is_asked_and_resolves_the_vendors_name(environ: dict[str, str]):
    status, heads = through(environ, status_of)

    assert status == 200
    assert heads[0].startswith("POST http://vendor.invalid/v1/chat HTTP/1.1")


@pytest.mark.parametrize(
    "environ",
    [{"HTTP_PROXY": "http://PROXY", "ALL_PROXY": "http://PROXY"}, {"AIMM_PROXY": "environment", "HTTPS_PROXY": "PROXY"},
     {"AIMM_PROXY": "PROXY", "NO_PROXY": "other.example, .invalid"}, {"AIMM_PROXY": "environment", "ALL_PROXY": "PROXY", "NO_PROXY": "*"}],
)  # fmt: skip
def test_without_the_setting_or_where_it_says_no_the_vendor_is_asked_directly(environ: dict[str, str]):
    said, heads = through(environ, status_of)

    assert "cannot be reached" in said
    assert heads == []


def test_this_machine_is_never_asked_through_a_proxy():
    network = Network(proxies={"all": "http://proxy.example:3128"})

    assert [network.proxy_for(f"http://{host}:11434/v1") for host in ("localhost", "127.0.0.1", "[::1]")] == [None] * 3
    assert network.proxy_for("https://vendor.example") == "http://proxy.example:3128"


def test_a_tunnel_shows_the_proxy_no_key_and_its_refusal_is_told():
    environ = {"AIMM_PROXY": "http://ada:s3cret-of-ada@PROXY"}

    said, heads = through(environ, lambda network: status_of(network, "https://vendor.invalid/v1"))

    assert "the proxy refused: 407" in said
    assert heads[0].startswith("CONNECT vendor.invalid:443 HTTP/1.1")
    assert "Proxy-Authorization: Basic" in heads[0] and "sk-key" not in heads[0]
    assert "s3cret" not in said + redact("http://ada:s3cret-of-ada@proxy")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_a_proxy_lets_nobody_through_to_is_not_asked_for_again(scheme: str):
    async def ask(network: Network) -> AimmError:
        return await failure(f"{scheme}://locked.invalid", network)

    error, heads = through({"AIMM_PROXY": "PROXY"}, ask)

    assert isinstance(error, ProviderUnavailable) and not error.is_retryable
    assert "the proxy refused: 407 Proxy Authentication Required" in error.message
    assert len(heads) == 1


def test_a_tunnel_that_ends_without_a_word_is_told_as_what_it_is():
    async def main() -> AimmError:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            return await failure("https://vendor.invalid", Network(proxies={"all": proxy}))

    assert "()" not in asyncio.run(main()).message


@pytest.mark.parametrize(
    ("host", "no", "is_direct"),
    [("10.1.2.3", "10.0.0.0/8", True), ("11.1.2.3", "10.0.0.0/8", False), ("192.168.1.5", "192.168.1.9/24", True),
     ("[2001:db8::1]", "2001:db8::/32", True), ("[2001:db8::1]", "2001:DB8:0::1", True), ("10.example", "10.0.0.0/8", False),
     ("api.example.com", "*.example.com", True), ("api.example.com.", "example.com", True),
     ("notexample.com", "*.example.com", False), ("h.example:8081", "h.example:8080", False)],
)  # fmt: skip
def test_no_proxy_is_read_in_the_forms_that_other_tools_read(host: str, no: str, is_direct: bool):
    network = Network(proxies={"all": "http://proxy.example:3128", "no": no})

    assert (network.proxy_for(f"http://{host}/v1") is None) == is_direct


def test_google_genai_goes_the_same_way():
    async def models(network: Network) -> Any:
        provider = GeminiProvider("k", "http://vendor.invalid/under", network)
        try:
            return await provider.models()
        finally:
            await provider.close()

    found, heads = through({"AIMM_PROXY": "PROXY"}, models)

    assert found == []
    assert heads[0].startswith("GET http://vendor.invalid/under/v1beta/models?")
    assert "x-goog-api-key: k" in heads[0]


@pytest.mark.parametrize("address", ["socks5://h:1080", "environ ment", "http://"])
def test_what_is_no_proxy_is_refused(address: str):
    with pytest.raises(InvalidRequest, match="AIMM_PROXY must be"):
        Settings.from_environ({"AIMM_PROXY": address})


def test_the_guard_knows_an_address_with_a_zone():
    assert refuses("fe80::1%eth0")
