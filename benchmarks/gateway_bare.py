"""The least that a proxy in Python does, as a scale for ours: `python benchmarks/gateway_bare.py PORT VENDOR`.

Starlette, httpx2 and uvicorn with its defaults: the key is swapped, the rest passed on. No key is checked, nothing is
parsed, recorded, priced or limited.
"""

import json
import sys
from collections.abc import AsyncIterator

import httpx2
import uvicorn
from gateway_vendor import KEY, STREAMED
from gateway_wires import WIRES
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

PORT, VENDOR = int(sys.argv[1]), sys.argv[2]
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
client = httpx2.AsyncClient(limits=LIMITS, timeout=600, trust_env=False)


async def completions(request: Request) -> Response:
    body = await request.body()
    upstream = client.build_request("POST", f"{VENDOR}{request.url.path}", content=body, headers=HEADERS)
    streamed = STREAMED.search(body) is not None
    answer = await client.send(upstream, stream=streamed)
    media_type = answer.headers["content-type"]
    if not streamed:
        return Response(answer.content, answer.status_code, media_type=media_type)
    return StreamingResponse(raw(answer), answer.status_code, media_type=media_type)


async def raw(answer: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()


async def health(_request: Request) -> Response:
    return PlainTextResponse(json.dumps({"status": "healthy"}))


app = Starlette(
    routes=[*(Route(wire.path, completions, methods=["POST"]) for wire in WIRES.values()), Route("/health", health)]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", access_log=False)
