"""Google's token service: gives a token for a grant that is signed with the account's key."""

import base64
import json
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class FakeTokens:
    def __init__(self, token: str, life_s: int = 3600) -> None:
        self.token, self.life_s = token, life_s
        self.claims: list[dict[str, Any]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                head, claims, signature = form["assertion"][0].split(".")
                _key().public_key().verify(
                    _decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
                )
                fake.claims.append(json.loads(_decoded(claims)))
                raw = json.dumps(
                    {"access_token": fake.token, "expires_in": fake.life_s, "token_type": "Bearer"}
                ).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/token"

    @property
    def account(self) -> str:
        """A service account's key as Google writes it."""
        pem = _key().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return json.dumps(
            {"type": "service_account", "client_email": "bot@project.iam.gserviceaccount.com", "token_uri": self.url}
            | {"private_key": pem.decode(), "private_key_id": "1"},
            indent=2,
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
