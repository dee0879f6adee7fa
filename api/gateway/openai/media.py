"""The rest of OpenAI's wire beside chat and embeddings, read as far as keys, budgets and the log need it."""

from collections.abc import Mapping
from typing import Any

from api.gateway.exchange import Exchange
from api.gateway.names import model_of
from api.gateway.openai import request as read
from api.gateway.openai.form import Form
from api.gateway.openai.response import CompletionAnswer, OpenAIAnswer
from api.gateway.options import origin_of
from api.gateway.parts import medium
from api.gateway.respond import respond
from core import InvalidRequest, Media, Message, ModelManager, Native, Parameters, Request
from core.domain.message import Part
from core.domain.operation import ADDRESSES, MAKING_PICTURES, Operation
from core.formats.text import as_list

_JUDGE = "omni-moderation-latest"  # where none is named, as OpenAI has it


async def handle(exchange: Exchange, mm: ModelManager, address: str) -> None:
    """Answer a request. Raises: AimmError, CallerLeft."""
    operation = ADDRESSES[address]
    form = Form(await exchange.body(), exchange.header(b"content-type")) if exchange.is_form else None
    body: dict[str, Any] = dict(form.fields) if form is not None else await exchange.json()
    if operation == "moderation":
        body = {"model": _JUDGE, **body}
    origin = origin_of(exchange, user=read.user(body), fallbacks=() if form else read.fallbacks(body), body=body)
    if operation == "text_completion":
        options = body.get("stream_options")
        is_counted = isinstance(options, dict) and options.get("include_usage") is True
        return await respond(exchange, mm, read.completion(body), origin, CompletionAnswer(is_counted=is_counted))
    return await respond(exchange, mm, _request(operation, body, form), origin, OpenAIAnswer(is_counted=False))


def _request(operation: Operation, body: Mapping[str, Any], form: Form | None) -> Request:
    """Raises: InvalidRequest."""
    given = body.get("input" if operation in ("speech", "moderation") else "prompt", "")
    parts = tuple(part for each in as_list(given) for part in _parts(each))
    parts += tuple(form.files) if form is not None else _pictures(body)
    if operation == "speech" and not isinstance(given, str):
        raise InvalidRequest("input must be a text.")
    return Request(
        model=model_of(body),
        messages=(Message.of("user", parts or ("",)),),
        operation=operation,
        is_streamed=str(body.get("stream")).lower() == "true" or body.get("stream_format") == "sse",
        n_answers=read.n_answers(body, "n") if operation in MAKING_PICTURES else 1,
        native=Native(
            wire="openai",
            body={name: value for name, value in body.items() if name not in read.OURS},
            parameters=Parameters(),
            upload=form,
        ),
    )


def _parts(given: Any) -> tuple[Part, ...]:
    """A text, or a part of one with pictures; what is neither is for the vendor to judge."""
    if isinstance(given, str):
        return (given,)
    text = given.get("text") if isinstance(given, dict) else None
    return (text,) if isinstance(text, str) else _picture(given)


def _pictures(body: Mapping[str, Any]) -> tuple[Part, ...]:
    """The pictures of an edit that came as JSON."""
    given = (*as_list(body.get("images")), *as_list(body.get("image")), *as_list(body.get("mask")))
    return tuple(part for each in given for part in _picture(each))


def _picture(given: Any) -> tuple[Part, ...]:
    url = given.get("image_url") if isinstance(given, dict) else given
    url = url.get("url") if isinstance(url, dict) else url
    if not isinstance(url, str):
        return (Media("image/*", url=str(given.get("file_id"))),) if isinstance(given, dict) else ()
    return (medium(url, "image/*") or Media("image/*", url=url),)
