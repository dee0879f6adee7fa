"""Tokens that no vendor has counted: our own estimate of them, and the most that there can be. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core.domain.generation import Model, Request, Usage
from core.domain.message import Media, Tool
from core.formats import strict_json as json

BYTES_PER_TOKEN = 4  # a rule of thumb, used only where the vendor sent no count; such costs are marked estimated
TOKENS_PER_MESSAGE = 32  # what vendors add around a turn, with room to spare
TOKENS_PER_IMAGE = 8_192  # no image costs more, but at the one model that makes up for its price by more tokens
TOKENS_OF_MINI = 48_169
# Sound and film are counted by the second, and hardly any have fewer bytes for a token than these; of a page of
# a document there may be only its text, compressed.
BYTES_PER_MEDIA_TOKEN = {"audio": 16, "video": 16}
LONGEST_PROMPT = 1_048_576  # for models that state no limit
LONGEST_ANSWER = 65_536  # for models that state no limit
MOST_ANSWERS = 128  # at once
SHORT_ANSWER = 4096  # of a model that is given a length of thought and none of the answer


def estimated_usage(request: Request, text: str, thinking: str = "") -> Usage:
    """Our own count for a call whose vendor sent none."""
    thought = _tokens(thinking)
    return Usage(
        input_tokens=max(1, -(-(request.n_bytes + sum(map(_tool_bytes, request.tools))) // BYTES_PER_TOKEN)),
        output_tokens=_tokens(text) + thought,
        thinking_tokens=thought,
    )


def _tool_bytes(tool: Tool) -> int:
    return len(tool.name) + len(tool.description.encode()) + len(json.dumps(tool.parameters, default=str))


def at_least(usage: Usage, text: str, thinking: str) -> Usage:
    """A count that an answer has outgrown, raised to our own of what came."""
    thought = max(usage.thinking_tokens, _tokens(thinking))
    return replace(usage, thinking_tokens=thought, output_tokens=max(usage.output_tokens, _tokens(text) + thought))


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def longest_input(request: Request, model: Model) -> int:
    """Tokens the prompt cannot exceed: no tokenizer makes more than one token of a byte."""
    schema, body = request.parameters.json_schema, request.native.body if request.native is not None else {}
    media = [medium for message in request.messages for medium in message.media]
    is_kept = body.get("cachedContent") or body.get("cached_content")
    if is_kept or any(medium.url and not medium.media_type.startswith("image/") for medium in media):
        # How long a kept prompt, a document or a film is, only the vendor knows.
        return model.context_tokens or LONGEST_PROMPT
    n = request.n_bytes + (len(json.dumps(schema, default=str)) if schema else 0) + sum(map(_tool_bytes, request.tools))
    # What came may hold more than is read here.
    n = max(n, _bytes_in(body) - sum(len(medium.data) for medium in media))
    n += TOKENS_PER_MESSAGE * (len(request.messages) + len(request.tools) + 1)
    n += sum(_most_tokens(medium, model) for medium in media)
    return n if model.context_tokens is None else min(n, model.context_tokens)


def _bytes_in(body: Mapping[str, Any]) -> int:
    """Bytes of all texts in a body."""
    n, left = 0, [dict(body)]
    while left:
        value: Any = left.pop()
        if isinstance(value, str):
            n += len(value) if value.isascii() else len(value.encode(errors="surrogatepass"))
        elif isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            left += value
    return n


def _most_tokens(medium: Media, model: Model) -> int:
    kind = medium.media_type.partition("/")[0]
    if kind == "image":
        return TOKENS_OF_MINI if "gpt-4o-mini" in model.name else TOKENS_PER_IMAGE
    return min(LONGEST_PROMPT, max(TOKENS_PER_IMAGE, medium.n_bytes // BYTES_PER_MEDIA_TOKEN.get(kind, 1)))


def media_of(request: Request) -> set[str]:
    """Kinds of tokens of the prompt besides text."""
    types = {medium.media_type.partition("/")[0] for message in request.messages for medium in message.media}
    return {{"application": "image"}.get(kind, kind) for kind in types} & {"audio", "image", "video"}


def longest_answer(request: Request, model: Model) -> int:
    if request.operation == "embeddings":
        return 0
    longest = request.parameters.max_tokens
    if longest is None:  # some vendors count thoughts on top of the answer
        thought = (request.parameters.thinking_budget or 0) + SHORT_ANSWER
        longest = max(model.max_output_tokens or LONGEST_ANSWER, thought)
    return longest * _n_answers(request)


def _n_answers(request: Request) -> int:
    """The answers that are asked for at once, which only the vendor of the caller's wire gives."""
    body = request.native.body if request.native is not None else {}
    config = body.get("generationConfig") or body.get("generation_config")
    n = config.get("candidateCount", config.get("candidate_count")) if isinstance(config, dict) else body.get("n")
    return n if isinstance(n, int) and 1 <= n <= MOST_ANSWERS else 1
