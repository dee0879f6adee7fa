"""Tokens that no vendor has counted: our own estimate of them, and the most that there can be. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from core.domain.generation import Model, Request, Usage
from core.domain.message import Media, Tool
from core.domain.operation import HEARING, MAKING_PICTURES, WRITING
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
SHORT_ANSWER = 4096  # of a model that is given a length of thought and none of the answer
# OpenAI counts 4,160 for a square megapixel of its high quality; what it calls better may be several times that.
TOKENS_PER_MEGAPIXEL = 4 * 4160
PIXELS = 1536 * 1024  # of a picture whose size the vendor chooses
MOST_FRAMES = 16  # of a picture that moves
TOKENS_PER_CHARACTER_SPOKEN = 6  # at the slowest speed there is
BYTES_PER_SECOND_OF_SOUND = 512  # and mostly many more


def estimated_usage(request: Request, text: str, thinking: str = "") -> Usage:
    """Our own count for a call whose vendor sent none."""
    thought = _tokens(thinking)
    # Nobody here can count what was seen, heard or drawn: the cost stays unknown.
    uncounted: dict[str, int] = (
        {} if request.operation in (*WRITING, "embeddings", "moderation") else {request.operation: 1}
    )
    return Usage(
        more=uncounted,
        input_tokens=max(1, -(-(request.n_bytes + sum(map(_tool_bytes, request.tools))) // BYTES_PER_TOKEN)),
        output_tokens=(_tokens(text) + thought) * request.n_answers if request.operation in WRITING else 0,
        thinking_tokens=thought,
    )


def counted_tokens(usages: Iterable[Usage], *, is_asked: bool) -> int | None:
    """Input and output of all attempts; None = a vendor was asked and counted none."""
    known = [usage.input_tokens + usage.output_tokens for usage in usages]
    return sum(known) if known or not is_asked else None


def likely_tokens(request: Request) -> int:
    """The tokens of a call before it is made: a quarter of its bytes, and the longest answer that it asks for."""
    return estimated_usage(request, "").input_tokens + (request.parameters.max_tokens or 0) * request.n_answers


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
    is_kept = is_kept or (request.native is not None and request.native.is_unread)
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
    if request.operation not in WRITING:
        return _longest_of_media(request)
    longest = request.parameters.max_tokens
    if longest is None:  # some vendors count thoughts on top of the answer
        thought = (request.parameters.thinking_budget or 0) + SHORT_ANSWER
        longest = max(model.max_output_tokens or LONGEST_ANSWER, thought)
    return longest


def _longest_of_media(request: Request) -> int:
    """Tokens of pictures, sound, and what is heard in sound; of vectors and judgements there are none."""
    if request.operation in MAKING_PICTURES:
        return _picture_tokens(request.native.body if request.native is not None else {})
    if request.operation == "speech":
        return TOKENS_PER_CHARACTER_SPOKEN * len(request.prompt) + SHORT_ANSWER
    heard = sum(medium.n_bytes for medium in request.messages[-1].media) // BYTES_PER_MEDIA_TOKEN["audio"]
    return max(SHORT_ANSWER, min(LONGEST_ANSWER, heard)) if request.operation in HEARING else 0


def _picture_tokens(body: Mapping[str, Any]) -> int:
    width, cross, height = str(body.get("size")).partition("x")
    is_said = bool(cross) and all(side.isdecimal() and len(side) < 6 for side in (width, height))
    frames = MOST_FRAMES if body.get("output_format") == "gif" else 1
    return max(SHORT_ANSWER, frames * TOKENS_PER_MEGAPIXEL * (int(width) * int(height) if is_said else PIXELS) >> 20)


def longest_units(request: Request) -> dict[str, int]:
    """The most that there can be of what is charged by another unit than the token."""
    if request.operation in MAKING_PICTURES:
        return {"pictures": request.n_answers}
    if request.operation == "speech":
        return {"characters": len(request.prompt)}
    if request.operation in HEARING:
        heard = sum(medium.n_bytes for medium in request.messages[-1].media)
        return {"sound_ms": 1000 * heard // BYTES_PER_SECOND_OF_SOUND}
    return {}
