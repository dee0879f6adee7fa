"""The request that a version of a prompt makes with the values of its variables. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.domain.evaluation.prompt import PromptContent, PromptVersion
from core.domain.generation import Message, Parameters, Request
from core.errors import InvalidRequest
from core.prompts.template import render, variables


def variables_of(content: PromptContent) -> tuple[str, ...]:
    """The names of all its variables, each once, in their order. Raises: TemplateError"""
    return tuple(dict.fromkeys(name for message in content.messages for name in variables(message.text)))


def request_of(
    version: PromptVersion,
    values: Mapping[str, Any],
    *,
    model: str = "",
    parameters: Parameters | None = None,
    messages: Sequence[Message] = (),
) -> Request:
    """A version with its variables' values.

    model: Empty = the version's own.
    parameters: They come before the version's own.
    messages: The caller's own turns, which come after those of the prompt.

    Raises:
        TemplateError: A variable has no value. InvalidRequest: no turn to answer, or no model.
    """
    content = version.content
    system, turns = rendered(content, values)
    turns += messages
    if not turns:
        raise InvalidRequest(f"{version.ref} has no turn to answer, only a system prompt: send messages with it.")
    if not (model or content.model):
        raise InvalidRequest(f"{version.ref} names no model: say which.")
    return Request(
        model=model or content.model,
        messages=tuple(turns),
        system=system,
        parameters=(parameters or Parameters()).over(content.parameters),
        tools=content.tools,
    )


def put_before(version: PromptVersion, request: Request, values: Mapping[str, Any], *, model: str = "") -> Request:
    """A caller's request with a version's turns before its own, which may be blank.

    Parameters and tools of the request come before those of the version. It is written anew for its vendor.

    Raises:
        TemplateError: A variable has no value. InvalidRequest: the request says what cannot be said beside a prompt.
    """
    if request.operation != "chat":
        raise InvalidRequest(
            f"{version.ref} is a prompt for chat; this asks for {request.operation.replace('_', ' ')}."
        )
    native = request.native
    if native is not None and native.only:
        raise InvalidRequest(f"{', '.join(native.only)} cannot be said beside a prompt by its name.")
    own = [message for message in request.messages if not message.is_blank]
    made = request_of(version, values, model=model, parameters=request.parameters, messages=own)
    if native is not None:
        ignored = tuple(name for name in native.ignored if name not in _READ_HERE)
        native = replace(native, wire="prompt", body={}, system=None, ignored=ignored, whole=None)
    return replace(
        request,
        model=made.model,
        messages=made.messages,
        system="\n\n".join(filter(None, (made.system, request.system))) or None,
        parameters=made.parameters,
        tools=request.tools or made.tools,
        native=native,
    )


_READ_HERE = ("metadata", "labels", "prompt")  # where callers say variables


def rendered(content: PromptContent, values: Mapping[str, Any]) -> tuple[str | None, list[Message]]:
    """Its system turns in one, None = it has none, and the other turns. Raises: TemplateError"""
    texts = [(message.role, render(message.text, values)) for message in content.messages]
    system = "\n\n".join(text for role, text in texts if role == "system")
    turns = [Message("model" if role == "assistant" else "user", text) for role, text in texts if role != "system"]
    return system or None, turns


def messages_of(turns: Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Turns as OpenAI writes them, such as a dataset's row holds; of their parts only texts are taken.

    Raises:
        InvalidRequest: A turn has no text, or a role that is not known.
    """
    return tuple(_message(place, turn) for place, turn in enumerate(turns, 1))


def _message(place: int, turn: Mapping[str, Any]) -> Message:
    role, content = turn.get("role"), turn.get("content")
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        known = [text for text in texts if isinstance(text, str)]
        content = "\n\n".join(known) if len(known) == len(texts) else None
    if not isinstance(content, str):
        raise InvalidRequest(f"message {place} has no text as its content")
    if role in ("system", "developer"):
        return Message("user", content, is_system=True)
    if role not in ("user", "assistant"):
        raise InvalidRequest(f"message {place}: role == {str(role)[:40]!r}, must be system, user or assistant")
    return Message("model" if role == "assistant" else "user", content)
