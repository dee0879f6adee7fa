"""The FastAPI application of /api: its routes, and the form of its failures."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from api import reference
from api.edge.addresses import methods_at, unserved
from api.errors import SPENT_BEFORE, Unexpected, plain_error, reason_headers, retry_headers, spent_before
from api.rest import calls, comparisons, experiments, keys, models, money, monitoring, workflows
from api.rest.dependencies import failure, manager
from api.rest.library import datasets, evaluations, prompts
from api.rest.log import alerts, audit, retention
from api.rest.log import pages as logs
from api.rest.vendors import routes as vendors
from core import AimmError, ModelManager

_ERROR = {"type": "object", "properties": {"error": {"type": "string"}, "code": {"type": "string"}}}
_FAILURE = {
    "description": "A failure",
    "content": {"application/json": {"schema": {**_ERROR, "required": ["error", "code"]}}},
}
_FAILURES: dict[int | str, dict[str, Any]] = dict.fromkeys(
    (400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 502, 503, 504), _FAILURE
)
_ROOMS = (
    models,
    calls,
    logs,
    audit,
    retention,
    prompts,
    datasets,
    evaluations,
    workflows,
    comparisons,
    experiments,
    monitoring,
    money,
    alerts,
    keys,
    vendors,
)
_ROUTERS = [room.router for room in _ROOMS]


def make_app(get_manager: Callable[[], ModelManager]) -> FastAPI:
    """The FastAPI application; `get_manager` gives the process's one ModelManager."""
    app = FastAPI(
        title="AI Model Manager",
        version="0.1.0",
        description="Models, workflows, comparisons, experiments, metrics, costs and budgets. Money in US dollars,"
        " times in seconds, rates in percent; null = unknown. `usage.input` includes cached, `usage.output` thinking"
        " tokens.",
        docs_url=None,  # FastAPI's loads its scripts from elsewhere
        openapi_url="/openapi.json",
        redoc_url=None,
        redirect_slashes=False,  # an address that is not there is 404
    )
    app.dependency_overrides[manager] = get_manager
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, answer)
    app.add_api_route("/health", health, responses=_FAILURES)
    for router in _ROUTERS:
        app.include_router(router, responses=_FAILURES)
    app.add_api_route("/docs", lambda: HTMLResponse(reference.page(app.openapi())), include_in_schema=False)
    return app


async def health() -> dict[str, str]:
    return {"status": "healthy"}


async def _expected(_request: Request, error: Exception) -> Response:
    assert isinstance(error, AimmError)  # noqa: S101 - what it is registered for
    status, raw = plain_error(error)
    headers = retry_headers(error)
    if error.spent_before_usd != 0:
        headers[SPENT_BEFORE] = spent_before(error.spent_before_usd)
    return Response(raw, status, headers, media_type="application/json")


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    kind = request.headers.get("content-type", "")
    if request.method == "POST" and "json" not in kind:
        return failure(400, "not_json", "Send a JSON body with the header Content-Type: application/json.")
    problems = error.errors()
    if any(problem["type"] == "json_invalid" for problem in problems):
        return failure(400, "invalid_json", "The body is not JSON.")
    texts = []
    for problem in problems[:5]:
        place = ".".join(str(part) for part in problem["loc"] if part != "body") or "body"
        texts.append(f"{place}: {problem['msg']}")
    return failure(422, "invalid_request", "; ".join(texts))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code not in (404, 405):
        return failure(400, "bad_request", str(error.detail))
    path = request.scope["path"].removeprefix("/api")
    raised = unserved(request.method, methods_at(path, request.app.openapi()["paths"]))
    status, raw = plain_error(raised)
    return Response(raw, status, reason_headers(raised), media_type="application/json")


async def _unexpected(request: Request, error: Exception) -> Response:
    return await _expected(request, Unexpected(error))


_ANSWERS = {AimmError: _expected, RequestValidationError: _invalid, HTTPException: _http, Exception: _unexpected}
