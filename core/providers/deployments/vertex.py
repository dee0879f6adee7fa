"""Gemini on Vertex AI: other paths, and a key or a service account's token, which is fetched anew before it ends."""

import asyncio
import base64
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from core.domain.generation import Message, Model, Request
from core.domain.operation import Operation
from core.domain.vendors.deployment import Deployment
from core.errors import AimmError, AuthenticationError, InvalidRequest, register_secret
from core.formats import strict_json as json
from core.providers.base import KeyCheck
from core.providers.gemini.provider import GeminiProvider, GeminiWire, default_model
from core.providers.http.addressing import Addressing
from core.providers.http.client import HttpVendor
from core.providers.http.network import Network
from core.providers.key_check import judged

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LIFE_S = 3600
EARLY_S = 300.0  # before its end, in which a token is replaced while it still holds
TOKEN_TIMEOUT_S = 10.0


class VertexProvider(GeminiProvider):
    """A project's Gemini at one location, or by an API key without either."""

    operations: frozenset[Operation] = frozenset({"chat"})

    def __init__(self, told: Deployment, secret: str, network: Network, label: str) -> None:
        super().__init__("", told.url, network)
        account = account_of(secret)
        headers = {} if account else {"x-goog-api-key": secret}
        self._token = ServiceAccountToken(account, network) if account else None
        sign = self._token.headers if self._token is not None else None
        self._label = label
        self._models = tuple(told.models)
        self.reach(Addressing(names=told.models, sign=sign), _VertexWire(label, told.url, headers, network))

    async def models(self) -> list[Model]:
        """Those of the price catalogue: Vertex lists no project's own."""
        return self.fallback()

    async def check(self) -> KeyCheck:
        """Try key and address: let one model count tokens, which costs nothing."""
        name = self._models[0] if self._models else default_model([model.name for model in self.fallback()])
        try:
            await self.count_tokens(Request(model=name, messages=(Message("user", "Hi"),)))
        except AimmError as error:
            return judged(self._label, error, name)
        return KeyCheck("works", f"{self._label} works: {name} counted tokens.")

    async def close(self) -> None:
        await super().close()
        if self._token is not None:
            await self._token.close()


class _VertexWire(GeminiWire):
    """Gemini's paths as Vertex has them."""

    def located(self, path: str) -> str:
        return super().located(path).removeprefix("/v1beta")


class ServiceAccountToken:
    """The token of a service account: fetched when it is first needed, and again shortly before it ends."""

    def __init__(self, account: Mapping[str, str], network: Network) -> None:
        self._account = account
        parts = urlsplit(account["token_uri"])
        self._path = parts.path or "/"
        form = {"content-type": "application/x-www-form-urlencoded"}
        self._http = HttpVendor("Google's token service", f"{parts.scheme}://{parts.netloc}", form, network)
        self._token, self._renew_at, self._ends_at = "", 0.0, 0.0
        self._lock = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        """Raises: AimmError: There is no token."""
        if time.monotonic() >= self._renew_at:
            async with self._lock:
                if time.monotonic() >= self._renew_at:
                    await self._renew()
        return {"authorization": f"Bearer {self._token}"}

    async def close(self) -> None:
        await self._http.close()

    async def _renew(self) -> None:
        try:
            found = await self._http.whole("POST", self._path, await asyncio.to_thread(self._grant), TOKEN_TIMEOUT_S)
            token, life_s = str(found["access_token"]), float(found.get("expires_in") or LIFE_S)
        except AimmError as error:
            if time.monotonic() < self._ends_at:
                self._renew_at = time.monotonic() + 10  # the old one holds meanwhile
                return
            if error.upstream is not None and 400 <= error.upstream.status < 500:
                refused = AuthenticationError(f"Google gives this service account no token: {error.message}")
                refused.upstream = error.upstream
                raise refused from None
            raise
        except (KeyError, TypeError, ValueError):
            raise AuthenticationError("Google's token service answered without a token.") from None
        register_secret(token)
        now = time.monotonic()
        self._token, self._ends_at = token, now + life_s
        self._renew_at = now + max(1.0, life_s - min(EARLY_S, life_s / 2))

    def _grant(self) -> bytes:
        """A request for a token, signed with the account's key (RFC 7523)."""
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding, rsa

        now, account = int(time.time()), self._account
        claims = {"iss": account["client_email"], "scope": SCOPE, "aud": account["token_uri"]}
        head = {"alg": "RS256", "typ": "JWT", "kid": account.get("private_key_id", "")}
        text = b".".join(map(_base64, (head, {**claims, "iat": now, "exp": now + LIFE_S})))
        key = serialization.load_pem_private_key(account["private_key"].encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 - looked at when it was set
        signed = text + b"." + _encoded(key.sign(text, padding.PKCS1v15(), hashes.SHA256()))
        grant = quote("urn:ietf:params:oauth:grant-type:jwt-bearer", safe="")
        return b"grant_type=" + grant.encode() + b"&assertion=" + signed


def account_of(secret: str) -> dict[str, str]:
    """A service account's key as Google writes it; empty = the secret is an API key.

    Raises:
        InvalidRequest: It is neither.
    """
    if not secret.lstrip().startswith("{"):
        return {}
    try:
        found = json.loads(secret)
        account = {str(name): str(value) for name, value in found.items()}
        _check_key(account["private_key"])
        if not {"client_email", "token_uri"} <= account.keys():
            raise KeyError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidRequest(
            "The JSON is no service account's key: it must hold client_email, private_key (RSA) and token_uri."
        ) from None
    register_secret(account["private_key"])
    return account


def _check_key(text: str) -> None:
    """Raises: ValueError, TypeError: It is no RSA key in PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    if not isinstance(serialization.load_pem_private_key(text.encode(), None), rsa.RSAPrivateKey):
        raise TypeError


def _base64(value: Any) -> bytes:
    return _encoded(json.encoded(value))


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
