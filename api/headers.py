"""Headers of every answer for browsers: what a page may load, who may frame it, and to guess no types."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Of the API's own pages: nothing but what is in them.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)


class Headers:
    """policy: The Content-Security-Policy."""

    def __init__(self, app: ASGIApp, policy: str = POLICY) -> None:
        self._app = app
        self._always = [
            (b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin"),
            (b"x-frame-options", b"SAMEORIGIN"), (b"content-security-policy", policy.encode()),
        ]  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                more = [(name, value) for name, value in self._always if name not in there]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)
