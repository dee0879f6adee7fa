"""The OpenAI wire on /v1: chat completions, plain and streamed, and models. Change `base_url`, and nothing else.

Text only so far: tools and images are refused with a clear error.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from api.errors import status_of
from core import AimmError, InvalidRequest, ModelManager, NotFound
from core.calls.call import Call, Origin
from core.domain.generation import Generation, Message, Parameters
from core.domain.generation import Request as Ask
from core.domain.text import is_storable
from core.experiments.service import Served

_ROLES: dict[str, Literal["user", "model"]] = {"user": "user", "assistant": "model"}
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_TIERS = {"default": "standard", "auto": None}


class ChatMessage(BaseModel):
    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[dict[str, Any]] | None = None


class Chat(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    model: Annotated[str, Field(min_length=1, max_length=200)]
    messages: list[ChatMessage] = Field(min_length=1, max_length=2000)
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    seed: int | None = None
    n: int | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    service_tier: str | None = None
    user: str | None = Field(default=None, max_length=500)
    tools: list[Any] | None = None


def make_openai_app(get_manager: Callable[[], ModelManager]) -> FastAPI:
    """The application; `get_manager` gives the process's one ModelManager."""
    app = FastAPI(title="AI Model Manager: the OpenAI wire", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(AimmError, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _nothing_here)
    Manager = Annotated[ModelManager, Depends(lambda: get_manager())]

    async def completions(body: Chat, mm: Manager) -> Response:
        call, served = await asyncio.to_thread(_start, mm, body)
        if body.stream:
            pieces = _pieces(call, body)
            return StreamingResponse(pieces, media_type="text/event-stream", headers=_known(call, served))
        g = call.answered(await asyncio.wrap_future(call.done))
        headers = {**_known(call, served), **_headers(g)}
        return JSONResponse(_completion(g, body.model), headers=headers)

    async def models(mm: Manager) -> dict[str, Any]:
        found = await asyncio.to_thread(mm.models)
        aliases = await asyncio.to_thread(mm.aliases.all)
        running = [e.name for e in await asyncio.to_thread(mm.experiments.all) if e.status == "running"]
        names = [(model.name, model.provider) for model in found] + [(alias.name, "alias") for alias in aliases]
        names += [(f"exp:{name}", "experiment") for name in running]
        data = [{"id": name, "object": "model", "created": 0, "owned_by": owner} for name, owner in names]
        return {"object": "list", "data": data}

    app.add_api_route("/chat/completions", completions, methods=["POST"], response_model=None)
    app.add_api_route("/models", models, methods=["GET"])
    return app


def _start(mm: ModelManager, body: Chat) -> tuple[Call, Served | None]:
    """Start the call of a request; `exp:NAME` lets the experiment choose who answers its user."""
    messages, system = _turns(body)
    parameters = _parameters(body)
    origin = Origin(source="api", user_id=body.user or "")
    if not body.model.startswith("exp:"):
        return mm.submit(Ask(model=body.model, messages=messages, system=system, parameters=parameters), origin), None
    name = body.model.removeprefix("exp:")
    experiment = next((e for e in mm.experiments.all() if e.status == "running" and name in (e.name, e.id)), None)
    if experiment is None:
        raise NotFound(f"There is no running experiment {name[:60]!r}.")
    if not (body.user or "").strip():
        raise InvalidRequest("An experiment needs `user`: who is assigned to a variant.")
    served = mm.experiments.assign(experiment.id, body.user or "")
    variant = served.variant
    if variant.workflow:
        raise InvalidRequest("This experiment has a workflow as a variant; ask it by /api/experiment.")
    whole = Parameters(**(parameters.as_dict() | variant.parameters.as_dict()))
    ask = Ask(model=variant.model, messages=messages, system=variant.system or system, parameters=whole)
    return mm.submit(ask, mm.experiments.origin(experiment, served, body.user or "")), served


def _turns(body: Chat) -> tuple[tuple[Message, ...], str | None]:
    if body.tools:
        raise InvalidRequest("Tools are not passed through yet.")
    if body.n not in (None, 1):
        raise InvalidRequest(f"n == {body.n}, must be 1.")
    system = "\n\n".join(_text(m) for m in body.messages if m.role in ("system", "developer"))
    turns = tuple(Message(_ROLES[m.role], _text(m)) for m in body.messages if m.role in _ROLES)
    if not turns or turns[-1].role != "user":
        raise InvalidRequest("The last message must be the user's.")
    if not all(is_storable(text) for text in (system, body.user or "", *(turn.text for turn in turns))):
        raise InvalidRequest("A text holds a NUL or half of a surrogate pair.")
    return turns, system or None


def _text(message: ChatMessage) -> str:
    if isinstance(message.content, list):
        if any(part.get("type") != "text" or not isinstance(part.get("text"), str) for part in message.content):
            raise InvalidRequest("Only parts of type text are taken yet.")
        return "".join(part["text"] for part in message.content)
    return message.content or ""


def _parameters(body: Chat) -> Parameters:
    schema = None
    if body.response_format and body.response_format.get("type") == "json_schema":
        inner = body.response_format.get("json_schema")
        schema = inner.get("schema") if isinstance(inner, dict) else None
        if not isinstance(schema, dict):
            raise InvalidRequest("response_format.json_schema.schema must be an object.")
    tier = _TIERS.get(body.service_tier or "auto", body.service_tier)
    parameters = Parameters(
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        seed=body.seed,
        thinking_level=body.reasoning_effort,
        service_tier=tier,
        json_schema=schema,
    )
    if problem := parameters.problem():
        raise InvalidRequest(problem)
    return parameters


async def _pieces(call: Call, body: Chat) -> AsyncIterator[str]:
    """Server-sent events; a client that leaves stops the call. What is known only at the end is in a comment."""
    head = {"id": call.id, "object": "chat.completion.chunk", "created": int(time.time()), "model": body.model}
    try:
        yield _event(head | {"choices": [_choice({"role": "assistant", "content": ""})]})
        async for piece in call.pieces():
            yield _event(head | {"choices": [_choice({"content": piece})]})
        try:
            g = call.answered(await asyncio.wrap_future(call.done))
        except AimmError as error:
            yield _event(_error(error, status_of(error)))
            return
        yield _event(head | {"model": g.model, "choices": [_choice({}, _finish(g))]})
        if (body.stream_options or {}).get("include_usage"):
            yield _event(head | {"model": g.model, "choices": [], "usage": _usage(g)})
        yield ": " + " ".join(f"{name}={value}" for name, value in _headers(g).items()) + "\n\n"
        yield "data: [DONE]\n\n"
    finally:
        call.cancel()


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _finish(g: Generation) -> str:
    known = ("stop", "length", "content_filter", "tool_calls")
    return g.finish_reason if g.finish_reason in known else "stop" if g.status == "ok" else "length"


def _completion(g: Generation, asked: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": g.text, "refusal": None}
    return {
        "id": g.id,
        "object": "chat.completion",
        "created": int(g.created_at.timestamp()),
        "model": g.model or asked,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(g)}],
        "usage": _usage(g),
    }


def _usage(g: Generation) -> dict[str, Any]:
    u = g.usage
    return {
        "prompt_tokens": u.input_tokens,
        "completion_tokens": u.output_tokens,
        "total_tokens": u.total_tokens,
        "prompt_tokens_details": {"cached_tokens": u.cached_tokens, "audio_tokens": u.audio_tokens},
        "completion_tokens_details": {"reasoning_tokens": u.thinking_tokens, "audio_tokens": u.output_audio_tokens},
    }


def _known(call: Call, served: Served | None) -> dict[str, str]:
    """Headers that are known before the answer."""
    found = {"x-aimm-request-id": call.id, "x-aimm-model": call.request.model}
    if served is not None:
        found |= {"x-aimm-variant": served.variant.key, "x-aimm-assignment": served.assignment_id}
    return found


def _headers(g: Generation) -> dict[str, str]:
    found = {
        "x-aimm-request-id": g.id,
        "x-aimm-model": g.model,
        "x-aimm-provider": g.provider,
        "x-aimm-cost-status": g.cost_status,
        "x-aimm-price-id": g.price_id,
    }
    if g.cost_usd is not None:
        found["x-aimm-cost-usd"] = f"{g.cost_usd:f}"
    return {name: value for name, value in found.items() if value.isascii() and value}


def _error(error: AimmError, status: int) -> dict[str, Any]:
    text = f"{error.message} {error.hint}".strip()
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"error": {"message": text, "type": kind, "code": error.code, "param": None}}


async def _failed(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AimmError)  # noqa: S101 - what it is registered for
    status = status_of(error)
    status = 400 if status == 422 else status
    response = JSONResponse(_error(error, status), status_code=status)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return response


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"] if part != "body")
    inner = {"message": f"{place}: {problem['msg']}".strip(": "), "type": "invalid_request_error", "code": None, "param": place or None}  # fmt: skip
    return JSONResponse({"error": inner}, status_code=400)


async def _nothing_here(_request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 404
    inner = {"message": "There is nothing at this address.", "type": "invalid_request_error", "code": "not_found", "param": None}  # fmt: skip
    return JSONResponse({"error": inner}, status_code=404 if status == 405 else status)
