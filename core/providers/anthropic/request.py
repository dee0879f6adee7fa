"""Requests of Anthropic's messages API."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.domain.generation import Native, Parameters, Request
from core.domain.message import Media, Message, Part, Thought, ToolCall, ToolResult, from_foreign, letters_only
from core.errors import InvalidRequest
from core.providers.anthropic import schemas
from core.providers.base import as_input, by_turns, choice_of, in_words, joined, pictures_moved
from core.providers.families import SHIPPED, Family
from core.providers.schemas import is_object, of_object

LEAST_THINKING = 1024  # the API takes no less
MOST_MARKS = 4  # for the cache
_SAMPLING = ("temperature", "top_p", "top_k")
LONGEST = 4096  # the API wants a length; where the caller names none
_READ = frozenset("image/png image/jpeg image/gif image/webp application/pdf".split())
_KINDS = {"image/jpg": "image/jpeg", "application/json": "text/json"}
# Our parameters by the words that a body has for them.
_WORDS = {
    "max_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p", "top_k": "top_k",
    "stop": "stop_sequences",
    "thinking_budget": "thinking", "json_schema": "output_config.format", "thinking_level": "output_config.effort",
    "service_tier": "service_tier",
}  # fmt: skip


def to_body(request: Request, family: Family | None = None) -> dict[str, Any]:
    """The body of a message. family: The model's, where it is not the shipped one."""
    family = family or SHIPPED.of("anthropic", request.model)
    request = _put(request, family)
    body: dict[str, Any] = {
        "model": request.model,
        "messages": _turns(request, family),
        "stream": True if request.is_streamed else None,
        "system": _system(request),
    }
    if request.tools:
        body["tools"] = [
            {"name": t.name, "description": t.description, "input_schema": of_object(t.parameters)}
            | ({"strict": True} if t.is_strict else {})
            | _mark(t.cache)
            for t in request.tools
        ]
        body["tool_choice"] = _tool_choice(request, family)
    body |= _parameters(request, family)
    return {name: value for name, value in body.items() if value is not None}


def _mark(cache: str) -> dict[str, Any]:
    """The mark of a block up to whose end Anthropic keeps what it has read."""
    return {"cache_control": {"type": "ephemeral", **({"ttl": "1h"} if cache == "1h" else {})}} if cache else {}


def _system(request: Request) -> Any:
    if not (request.system or "").strip():
        return None
    marked = [{"type": "text", "text": request.system, **_mark(request.system_cache)}]
    return marked if request.system_cache else request.system


def _fewer_marks(request: Request) -> Request:
    """The request with as many marks as the API takes: those of tools and system prompt, and of the last turns."""
    n_left = MOST_MARKS - bool(request.system_cache)
    tools = [replace(tool, cache="") for tool in request.tools]
    if found := [tool.cache for tool in request.tools if tool.cache]:
        tools[-1], n_left = replace(tools[-1], cache=found[-1]), n_left - 1
    turns = list(request.messages)
    for at in [at for at, turn in enumerate(turns) if turn.cache][:-n_left]:
        turns[at] = replace(turns[at], cache="")
    return replace(request, tools=tuple(tools), messages=tuple(turns))


def _put(request: Request, family: Family) -> Request:
    """The request in turns as Claude takes them, with the shape of the answer in words where there is no other way."""
    request = _fewer_marks(replace(request, messages=by_turns(pictures_moved(joined(request.messages)))))
    schema = request.parameters.json_schema
    if schema is None:
        return in_words(request) if request.parameters.json_object else request
    has_words = family.schema == "words" or schemas.has_map(schema) or not is_object(schema)
    return in_words(request) if has_words else request


def unsaid(request: Request, family: Family) -> list[str]:
    """The parameters that the body leaves out, because they do not go together."""
    p, body = request.parameters, _parameters(_put(request, family), family)
    is_asked = p.thinking_budget not in (None, 0) or p.thinking_level not in (None, "none")
    names = [name for name in _SAMPLING if getattr(p, name) is not None and name not in body]
    return names + (["thinking"] if is_asked and "thinking" not in body else [])


def as_came(request: Request, native: Native, family: Family | None = None) -> dict[str, Any]:
    """The body as it came, with the model that really answers and what was decided otherwise since."""
    body = {**native.body, "model": request.model}
    if request.parameters != native.parameters:
        before, now = native.parameters.as_dict(), request.parameters.as_dict()
        changed = {name: value for name, value in now.items() if before.get(name) != value}
        for name in (before.keys() - now.keys()) | changed.keys():
            _drop(body, _WORDS.get(name, ""))
        _merge(body, _said(Parameters(**changed), family or SHIPPED.of("anthropic", request.model)))
        _shorten_thinking(body)
    if request.system != native.system:
        body |= {"system": request.system} if request.system else {}
        if not request.system:
            body.pop("system", None)
    if isinstance(body.get("messages"), list):
        _drop_foreign(body)
    return body


def _drop(body: dict[str, Any], word: str) -> None:
    holder, _, inner = word.partition(".")
    if inner and isinstance(body.get(holder), dict):
        body[holder] = {name: value for name, value in body[holder].items() if name != inner}
    else:
        body.pop(word, None)


def _merge(body: dict[str, Any], said: Mapping[str, Any]) -> None:
    for name, value in said.items():
        old = body.get(name)
        body[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value


def _shorten_thinking(body: dict[str, Any]) -> None:
    """Keep what may be thought below the length, as the API wants it."""
    thinking, longest = body.get("thinking"), body.get("max_tokens")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if isinstance(budget, int) and isinstance(longest, int) and budget >= longest:
        if shorter := _below(budget, longest):
            body["thinking"] = {**body["thinking"], "budget_tokens": shorter}
        else:
            del body["thinking"]


def _below(budget: int, longest: int | None) -> int:
    """The tokens to think, fewer than the answer's length; 0 = the API would take so few for none."""
    fewer = budget if longest is None else min(budget, longest - 1)
    return fewer if fewer >= LEAST_THINKING else 0


def _drop_foreign(body: dict[str, Any]) -> None:
    """Take out thoughts that other vendors signed, for which the API refuses a conversation; and do without thinking
    where the last call of a tool has lost its thoughts by that."""
    turns, has_lost = [], False
    for turn in body["messages"]:
        blocks = turn.get("content") if isinstance(turn, dict) else None
        if isinstance(blocks, list) and any(_is_foreign(block) for block in blocks):
            own = [block for block in blocks if not _is_foreign(block)]
            has_lost = any(isinstance(block, dict) and block.get("type") == "tool_use" for block in own)
            turns += [{**turn, "content": own}] if own else []
        else:
            has_lost = has_lost and not (isinstance(turn, dict) and turn.get("role") == "assistant")
            turns.append(turn)
    body["messages"] = turns
    if has_lost:
        body.pop("thinking", None)


def _is_foreign(block: Any) -> bool:
    if not isinstance(block, dict) or block.get("type") not in ("thinking", "redacted_thinking"):
        return False
    return from_foreign(block.get("signature") or block.get("data")) is not None


def _parameters(request: Request, family: Family) -> dict[str, Any]:
    """Parameters by Anthropic's names, as this model takes them together; only what is set."""
    p = request.parameters
    body = {"max_tokens": p.max_tokens or LONGEST, **_said(p, family)}
    thinking = body.pop("thinking", None)
    if thinking == {"type": "disabled"}:
        return body | {"thinking": thinking}
    # With thinking on, a turn that called tools must give its thoughts back, which not all wires carry; and no call of
    # a tool can be asked for.
    if thinking is None or _lacks_thoughts(request.messages) or choice_of(request)[0] in ("required", "tool"):
        return body
    if "budget_tokens" in thinking:
        body["max_tokens"] = p.max_tokens or LONGEST + thinking["budget_tokens"]
    # the API takes only their default then
    return {name: value for name, value in body.items() if name not in _SAMPLING} | {"thinking": thinking}


def _lacks_thoughts(turns: Sequence[Message]) -> bool:
    """True where the results of tools are given to a turn that begins without its thoughts."""
    if not any(isinstance(part, ToolResult) for part in turns[-1].parts):
        return False
    asked = turns[-2].content if len(turns) > 1 else ()
    return not (asked and isinstance(asked[0], Thought))


def _said(p: Parameters, family: Family) -> dict[str, Any]:
    """Parameters that are set, by Anthropic's names."""
    config: dict[str, Any] = {}
    if p.json_schema is not None and not schemas.has_map(p.json_schema):
        config["format"] = {"type": "json_schema", "schema": schemas.closed(p.json_schema)}
    is_off = p.thinking_level == "none"
    if p.thinking_level is not None and not is_off:
        config["effort"] = "low" if p.thinking_level == "minimal" else p.thinking_level
    budget = _thinking_budget(p)
    adapts = family.thinking == "adaptive" and not is_off and (p.thinking_budget or p.thinking_level)
    found: dict[str, Any] = {
        "max_tokens": p.max_tokens,
        "temperature": None if p.temperature is None else min(1.0, p.temperature),
        "top_p": p.top_p,
        "top_k": p.top_k,
        "stop_sequences": [text for text in p.stop or () if text.strip()] or None,
        "output_config": config or None,
        "thinking": {"type": "adaptive", "display": "summarized"} if adapts else None,
    }
    if is_off and family.thinking == "adaptive":
        found["thinking"] = {"type": "disabled"}
    elif budget and not adapts:
        found["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return {name: value for name, value in found.items() if value is not None}


def _thinking_budget(p: Parameters) -> int:
    """The tokens that may be thought; 0 = none. Thinking counts into the length, which the API wants to be larger, and
    which must not grow above what the caller allows."""
    return _below(max(LEAST_THINKING, p.thinking_budget), p.max_tokens) if p.thinking_budget else 0


def _tool_choice(request: Request, family: Family) -> dict[str, Any] | None:
    kind, name = choice_of(request)
    if kind in ("required", "tool") and not family.forces_tools:
        text = f"{request.model} cannot be made to call a tool."
        raise InvalidRequest(text, hint="Take tool_choice auto.", param="tool_choice")
    if kind == "none" or not (kind or request.is_one_call):
        return {"type": kind} if kind else None
    choice = {"type": "any" if kind == "required" else kind or "auto", **({"name": name} if name else {})}
    return choice | ({"disable_parallel_tool_use": True} if request.is_one_call else {})


def _turns(request: Request, family: Family) -> list[dict[str, Any]]:
    found = [_to_message(message) for message in request.messages]
    if found[-1]["role"] == "assistant":
        if not family.prefill:
            raise InvalidRequest(f"{request.model} takes no last turn of the model's own.", param="messages")
        last = found[-1]["content"]  # the API takes no blanks at its end
        found[-1]["content"] = last.rstrip() if isinstance(last, str) else _stripped(last)
    return found


def _stripped(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    *others, last = blocks
    return [*others, {**last, "text": last["text"].rstrip()} if last["type"] == "text" else last]


def _to_message(message: Message) -> dict[str, Any]:
    role = {"user": "user", "model": "assistant"}[message.role]
    # The API takes no blank texts, and wants results of tools first, right after their call.
    said = [part for part in message.content if not isinstance(part, str) or part.strip()]
    parts = sorted(said, key=lambda part: not isinstance(part, ToolResult))
    if not message.parts and not message.cache:
        return {"role": role, "content": "".join(map(str, said))}
    blocks = [_to_block(part) for part in parts]
    return {"role": role, "content": [*blocks[:-1], blocks[-1] | _mark(message.cache)]}


def _to_block(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": letters_only(part.id), "name": part.name, "input": as_input(part.arguments)}
    if isinstance(part, Thought):
        if not part.text:
            return {"type": "redacted_thinking", "data": part.signature}
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    if isinstance(part, ToolResult):
        said: Any = part.text
        if part.media:
            said = [*([_to_block(part.text)] if part.text.strip() else ()), *map(_media, part.media)]
        result = {"type": "tool_result", "tool_use_id": letters_only(part.call_id), "content": said}
        return result | ({"is_error": True} if part.is_error else {})
    return _media(part)


def _media(media: Media) -> dict[str, Any]:
    kind = _KINDS.get(media.media_type, media.media_type)
    if kind.startswith("text/") and not media.url:
        try:
            text = base64.b64decode(media.data).decode("utf-8", "replace")
        except ValueError:
            raise InvalidRequest("A file's data is not base64.", param="messages") from None
        return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}
    if kind not in _READ or media.url.startswith("http://"):
        what = "nothing by http, but by https" if media.url.startswith("http://") else f"no {kind}"
        raise InvalidRequest(f"Claude reads texts, PNG, JPEG, GIF, WebP and PDF, and {what}.", param="messages")
    block = "image" if kind.startswith("image/") else "document"
    source = {"type": "base64", "media_type": kind, "data": media.data}
    return {"type": block, "source": {"type": "url", "url": media.url} if media.url else source}
