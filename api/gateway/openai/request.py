"""Requests of ours, read from OpenAI's JSON.

A body that goes to a server of this wire goes as it came, so nothing is refused here because it is new or odd. What
other vendors cannot be told is noted.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from api.gateway.names import model_of
from api.gateway.notes import Notes
from api.gateway.options import is_of_prompt
from api.gateway.parts import medium, tool_of
from core import InvalidRequest, Media, Message, Native, Parameters, Request, Tool, ToolCall, ToolResult
from core.domain.generation import MOST_ANSWERS, SERVICE_TIERS
from core.domain.message import Part, paired, to_arguments
from core.formats.text import as_list

_TIERS = {"default": "standard", "flex": "flex", "priority": "priority", "batch": "batch", "fast": "fast"}
_THOUGHTS = ("thinking", "redacted_thinking", "reasoning")
# Of ours, not of the vendor's: taken out before a body is passed on.
OURS = ("fallbacks",)
_READ = frozenset(
    "model messages stream stream_options user safety_identifier fallbacks models tools tool_choice functions"
    " function_call parallel_tool_calls response_format temperature top_p max_tokens max_completion_tokens seed stop"
    " frequency_penalty presence_penalty n modalities top_k reasoning_effort thinking_budget thinking reasoning"
    " service_tier".split()
)
_NEEDED = ("logprobs", "logit_bias", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "grammar")
_READ_IN_A_TURN = frozenset("cache_control role content tool_calls tool_call_id name function_call refusal".split())
_MEDIA = {"image_url": "image/jpeg", "video_url": "video/mp4", "audio_url": "audio/mpeg"}
_OFFERS = ("search", "code_interpreter", "url_context", "fetch")  # tools without which an answer is an answer


def chat(body: dict[str, Any]) -> Request:
    """Raises: InvalidRequest."""
    return _Reader(body).chat()


def embeddings(body: dict[str, Any]) -> Request:
    """Raises: InvalidRequest."""
    return _Reader(body).embeddings()


def completion(body: dict[str, Any]) -> Request:
    """A completion of texts, which may be lists of tokens. Raises: InvalidRequest."""
    return _Reader(body).completion()


def n_answers(body: Mapping[str, Any], *names: str) -> int:
    """The number of answers that a body asks for; what is no number is for its vendor to judge."""
    given = [int(n) if isinstance(n, str) and n.isdecimal() and len(n) < 4 else n for n in map(body.get, names)]
    return max((n for n in given if type(n) is int and 1 <= n <= MOST_ANSWERS), default=1)


def user(body: Mapping[str, Any]) -> str:
    """The one who asks. Raises: InvalidRequest."""
    found = body.get("user") or body.get("safety_identifier") or ""
    if not isinstance(found, str) or len(found) > 500:
        raise InvalidRequest("user must be a text of at most 500 characters.", param="user")
    return found


def fallbacks(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The models to ask where the first one fails. Raises: InvalidRequest."""
    return tuple(_names(body, "fallbacks"))


def _names(body: Mapping[str, Any], name: str) -> list[str]:
    value = list(as_list(body.get(name)))
    if not all(isinstance(each, str) for each in value):
        raise InvalidRequest(f"{name} must be a list of texts.", param=name)
    return value


class _Reader:
    """Reads one body."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body
        self._notes = Notes()
        self._system_cache = ""

    def chat(self) -> Request:
        body, notes = self._body, self._notes
        model = model_of(body)
        notes.need(body, _NEEDED)
        messages, system = self._turns()
        if not messages:  # nothing but instructions: other wires want a turn of the user
            messages, system = (Message("user", system or ""),), None
        parameters = self._parameters()
        tools = self._tools()
        choice, allowed = self._tool_choice()
        n = n_answers(body, "n")
        if body.get("n") not in (None, n):
            notes.only.append(f"n == {str(body['n'])[:40]}")
        if others := [str(each) for each in as_list(body.get("modalities")) if each != "text"]:
            notes.only.append(f"modalities {', '.join(others)[:80]}")
        notes.rest(body, _READ)
        return Request(
            model=model,
            messages=messages,
            system=system,
            parameters=parameters,
            tools=tuple(tool for tool in tools if not allowed or tool.name in allowed),
            tool_choice=choice,
            is_one_call=body.get("parallel_tool_calls") is False,
            system_cache=self._system_cache,
            is_streamed=body.get("stream") is True,
            n_answers=n,
            native=self._native(parameters, system),
        )

    def completion(self) -> Request:
        body, prompt = self._body, self._body.get("prompt", "")
        is_several = isinstance(prompt, list) and any(isinstance(each, str | list) for each in prompt)
        prompts = prompt if is_several else [prompt]
        parameters = self._parameters()
        return Request(
            model=model_of(body),
            messages=tuple(Message("user", each if isinstance(each, str) else str(each)) for each in prompts),
            parameters=parameters,
            operation="text_completion",
            is_streamed=body.get("stream") is True,
            n_answers=n_answers(body, "n", "best_of") * len(prompts),
            native=self._native(parameters, None),
        )

    def embeddings(self) -> Request:
        given = self._body.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts:
            raise InvalidRequest("input must be a text or a list of texts.", param="input")
        if all(isinstance(each, int) for each in texts):
            texts = [texts]
        messages = []
        for at, each in enumerate(texts):
            if isinstance(each, str) and each:
                messages.append(Message("user", each))
            elif isinstance(each, list) and each and all(isinstance(token, int) for token in each):
                self._notes.only.append(f"input[{at}] of tokens")
                messages.append(Message("user", " ".join(map(str, each))))
            else:
                messages.append(Message("user", self._notes.unknown(each, f"input[{at}]")))
        parameters = self._notes.parameters({"dimensions": ("dimensions", self._body.get("dimensions"))})
        self._notes.rest(self._body, ("model", "input", "dimensions", "encoding_format", "user", *OURS))
        return Request(
            model=model_of(self._body),
            messages=tuple(messages),
            operation="embeddings",
            parameters=parameters,
            is_streamed=False,
            native=self._native(parameters, None),
        )

    def _native(self, parameters: Parameters, system: str | None) -> Native:
        """The part of a body that is passed on, with the models that it names: OpenRouter's own fallbacks."""
        theirs = {name: value for name, value in self._body.items() if name not in OURS}
        models = tuple(_names(self._body, "models"))
        return self._notes.native("openai", theirs, parameters, system=system, models=models)

    def _turns(self) -> tuple[tuple[Message, ...], str | None]:
        given = self._body.get("messages")
        if not given and is_of_prompt(self._body):
            return (), None
        if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
            raise InvalidRequest("messages must be a list of at least one object.", param="messages")
        systems: list[str] = []
        turns: list[Message] = []
        for at, message in enumerate(given):
            role, where = message.get("role"), f"messages[{at}]"
            self._notes.rest(message, _READ_IN_A_TURN, "messages.")
            cache = _cache(message, *as_list(message.get("content")))
            if role in ("system", "developer"):
                text = self._notes.text(self._parts(message.get("content"), where), where)
                if turns:
                    turns.append(Message("user", text, is_system=True, cache=cache))
                else:
                    self._system_cache = cache or self._system_cache
                    systems.append(text)
            elif role in ("tool", "function"):
                result = self._result(message, where)
                if turns and turns[-1].role == "user" and any(isinstance(p, ToolResult) for p in turns[-1].parts):
                    cache = cache or turns[-1].cache
                    turns[-1] = replace(Message.of("user", (*turns[-1].parts, result)), cache=cache)
                else:
                    turns.append(replace(Message.of("user", (result,)), cache=cache))
            else:
                if role not in ("user", "assistant"):
                    self._notes.only.append(f"{where}.role {str(role)[:40]!r}")
                side: Literal["user", "model"] = "model" if role == "assistant" else "user"
                turn = Message.of(side, (*self._said(message, where), *self._calls(message, where)))
                turns.append(replace(turn, cache=cache))
        if not systems and not any(turn.role == "user" for turn in turns):
            self._notes.only.append("messages without one of the user")
        return paired(turns), "\n\n".join(systems) or None

    def _said(self, message: Mapping[str, Any], where: str) -> list[Part]:
        if message.get("name"):
            self._notes.ignored.append("messages.name")
        content, refusal = message.get("content"), message.get("refusal")
        return [refusal] if content is None and isinstance(refusal, str) else self._parts(content, where)

    def _parts(self, content: Any, where: str) -> list[Part]:
        if content is None:
            return []
        if isinstance(content, str):
            return [content]
        if not isinstance(content, list):
            return [self._notes.unknown(content, f"{where}.content")]
        found: list[Part] = []
        for at, part in enumerate(content):
            if isinstance(part, dict) and part.get("type") in _THOUGHTS:
                # A model's own thoughts, which some servers give and take back as parts, are for its own wire.
                self._notes.ignored.append("messages.content of thoughts")
            else:
                found.append(self._part(part, f"{where}.content[{at}]"))
        return found

    def _part(self, part: Any, where: str) -> Part:
        if isinstance(part, str):
            return part
        kind = part.get("type") if isinstance(part, dict) else None
        inner = part.get(kind) if isinstance(kind, str) else None
        if kind in ("text", "refusal") and isinstance(inner, str):
            self._notes.rest(part, ("type", kind, "cache_control"), "messages.content.")
            return inner
        if kind in _MEDIA:
            url = inner.get("url") if isinstance(inner, dict) else inner
            detail = str(inner.get("detail") or "") if isinstance(inner, dict) else ""
            if read := medium(url, _MEDIA[kind], detail):
                if detail not in ("", "auto"):
                    self._notes.ignored.append("image_url.detail")
                return read
        if kind == "input_audio" and isinstance(inner, dict) and isinstance(inner.get("data"), str):
            return Media(f"audio/{inner.get('format') or 'wav'}", data=inner["data"])
        data = inner.get("file_data") if kind == "file" and isinstance(inner, dict) else None
        if read := medium(data, "application/pdf"):
            return read
        return self._notes.unknown(part, where)

    def _calls(self, message: Mapping[str, Any], where: str) -> list[ToolCall]:
        called = message.get("function_call")
        found = []
        for at, call in enumerate(
            (*as_list(message.get("tool_calls")), *([{"function": called}] if isinstance(called, dict) else ()))
        ):
            function, is_custom = _function(call)
            if function is None:
                self._notes.unknown(call, f"{where}.tool_calls[{at}]")
                continue
            extra = call.get("extra_content")
            google = extra.get("google") if isinstance(extra, dict) else None
            signed = google.get("thought_signature") if isinstance(google, dict) else None
            arguments = {"input": function.get("input")} if is_custom else function.get("arguments")
            call_id, written = str(call.get("id") or ""), to_arguments(arguments) or "{}"
            found.append(ToolCall(call_id, function["name"], written, signature=str(signed or "")))
        return found

    def _result(self, message: Mapping[str, Any], where: str) -> ToolResult:
        """A result, with the media in it: only some vendors take them within."""
        call_id, name = (str(message.get(word) or "") for word in ("tool_call_id", "name"))
        parts = self._parts(message.get("content"), where)
        text = "".join(part for part in parts if isinstance(part, str))
        return ToolResult(call_id, name, text, media=tuple(part for part in parts if isinstance(part, Media)))

    def _tools(self) -> tuple[Tool, ...]:
        """The tools, or what were once called functions."""
        given, functions = as_list(self._body.get("tools")), self._body.get("functions")
        if not given and isinstance(functions, list):
            given = tuple({"function": each} for each in functions)
        found, others = [], []
        for at, each in enumerate(given):
            function, is_custom = _function(each)
            if function is None:
                kind = str(each.get("type") or next(iter(each), "")) if isinstance(each, dict) else str(each)
                others.append((f"tools[{at}] of type {kind[:60]!r}", any(word in kind.lower() for word in _OFFERS)))
                continue
            found.append(tool_of(function, function["name"], is_custom=is_custom, cache=_cache(each, function)))
        for note, is_offer in others:
            (self._notes.ignored if is_offer and found else self._notes.only).append(note)
        return tuple(found)

    def _tool_choice(self) -> tuple[str, list[Any]]:
        """(the choice, the names of the tools that alone may be called; empty = all).

        Some clients write `any`, or `{"type": "auto"}`.
        """
        given = self._body.get("tool_choice") or self._body.get("function_call") or ""
        inner = given
        if isinstance(given, dict):
            inner = next((given[kind] for kind in ("function", "custom", "allowed_tools") if given.get(kind)), given)
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            return f"tool:{inner['name']}", []
        if isinstance(inner, dict) and isinstance(inner.get("tools"), list):
            named = [(_function(each)[0] or each).get("name") for each in inner["tools"] if isinstance(each, dict)]
            return str(inner.get("mode") or "auto"), named
        word = inner.get("type") if isinstance(inner, dict) else inner
        word = "required" if word == "any" else word
        if word not in ("", "auto", "none", "required"):
            self._notes.only.append(f"tool_choice == {str(given)[:80]}")
            word = ""
        return word, []

    def _parameters(self) -> Parameters:
        body = self._body
        schema, is_json = self._shape()
        said_tier = body.get("service_tier")
        tier = _TIERS.get(str(said_tier))
        if said_tier not in (None, "auto") and tier is None:
            self._notes.ignored.append("service_tier")
        longest = "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"
        said = {name: (name, body.get(name)) for name in _SAMPLING}
        level, budget = self._thinking()
        return self._notes.parameters({
            **said,
            # None, to several servers of this wire
            "max_tokens": (longest, None if body.get(longest) == -1 else body.get(longest)),
            "thinking_budget": budget,
            "thinking_level": level,
            "service_tier": ("service_tier", tier if tier in SERVICE_TIERS else None),
            "json_schema": ("response_format", schema),
            "json_object": ("response_format", is_json),
        })  # fmt: skip

    def _thinking(self) -> tuple[tuple[str, Any], tuple[str, Any]]:
        """(level, budget), each with its field: in OpenAI's word, or as OpenRouter and LiteLLM let callers say it."""
        body = self._body
        thinking, reasoning = (found if isinstance(found := body.get(name), dict) else {} for name in _OF_OTHERS)
        effort, budget = body.get("reasoning_effort") or reasoning.get("effort"), body.get("thinking_budget")
        if budget is None:
            budget = reasoning.get("max_tokens") or thinking.get("budget_tokens")
        if effort is None and budget is None:
            kind = thinking.get("type") or {True: "enabled", False: "disabled"}.get(
                reasoning.get("enabled") is not False
            )
            budget = {"enabled": -1, "adaptive": -1, "disabled": 0}.get(str(kind)) if thinking or reasoning else None
        return ("reasoning_effort", effort), ("thinking_budget", budget if effort is None else None)

    def _shape(self) -> tuple[Any, bool | None]:
        """(the schema of the answer, whether it is to be JSON of any kind)."""
        shape = self._body.get("response_format")
        kind = shape.get("type") if isinstance(shape, dict) else None
        if not isinstance(shape, dict) or kind == "text":
            return None, None
        inner = shape.get("json_schema")
        # Some servers take the schema beside the type.
        schema = next(
            (each["schema"] for each in (inner, shape) if isinstance(each, dict) and each.get("schema")), None
        )
        if schema is None and kind == "json_object":
            return None, True
        if not isinstance(schema, dict) or kind not in ("json_schema", "json_object"):
            self._notes.only.append(f"response_format of type {str(kind)[:60]!r} without a schema that is known")
            return None, None
        return schema, None


_OF_OTHERS = ("thinking", "reasoning")
_SAMPLING = ("temperature", "top_p", "top_k", "seed", "stop", "frequency_penalty", "presence_penalty")


def _cache(*given: Any) -> str:
    """The mark for Anthropic's cache in any of these, which clients of OpenRouter and LiteLLM set here too."""
    marks = [each["cache_control"] for each in given if isinstance(each, dict) and each.get("cache_control")]
    return (
        "" if not marks else "1h" if any(isinstance(each, dict) and each.get("ttl") == "1h" for each in marks) else "5m"
    )


def _function(given: Any) -> tuple[dict[str, Any] | None, bool]:
    """(a function or a free-form tool, whether it is the latter); None = it is neither."""
    for kind in ("function", "custom"):
        inner = given.get(kind) if isinstance(given, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            return inner, kind == "custom"
    return None, False
