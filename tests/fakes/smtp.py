"""A small mail server: takes logins and messages and keeps them; on demand behind TLS with a certificate nobody vouches for."""

import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

GREETINGS = {"EHLO": "250-fake\r\n250 AUTH PLAIN", "MAIL": "250 ok", "RCPT": "250 ok", "RSET": "250 ok"}


class FakeSmtp:
    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.logins: list[str] = []
        self.messages: list[str] = []
        fake = self

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                self._say("220 fake")
                while line := self.rfile.readline().decode():
                    verb = line[:4].upper()
                    if verb == "AUTH":
                        fake.logins.append(line.strip())
                        self._say("235 ok")
                    elif verb == "DATA":
                        self._say("354 go on")
                        lines = iter(lambda: self.rfile.readline().decode(), ".\r\n")
                        fake.messages.append("".join(lines))
                        self._say("250 ok")
                    elif verb == "QUIT":
                        return self._say("221 bye")
                    else:
                        self._say(GREETINGS.get(verb, "502 what?"))
                return None

            def _say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        class Server(ThreadingTCPServer):
            daemon_threads = True

            def get_request(self) -> Any:
                connection, address = super().get_request()
                return (tls.wrap_socket(connection, server_side=True) if tls else connection), address

            def handle_error(self, *_: object) -> None:
                """A client that hangs up is expected."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's context with a fresh certificate for localhost that no authority has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    certificate = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False).sign(
        key, hashes.SHA256()
    )
    pem = folder / "self-signed.pem"
    no_password = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
