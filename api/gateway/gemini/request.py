"""Requests of ours, read from Gemini's JSON.

A body that goes to Gemini goes as it came, so nothing is refused here because it is new or odd. What other vendors
cannot be told is noted.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from api.gateway.gemini.schema_words import to_json_schema
from api.gateway.notes import Notes
from core import InvalidRequest, Media, Message, Parameters, Request, Tool, ToolCall, ToolResult
from core.domain.generation import MOST_ANSWERS, SERVICE_TIERS
from core.domain.message import Part, paired, to_arguments
from core.formats.names import PROMPT
from core.formats.text import as_list

_ALPHABET = str.maketrans("-_", "+/")
_CHOICES = {"AUTO": "auto", "VALIDATED": "auto", "NONE": "none", "ANY": "required"}
_READ = frozenset(
    "model contents system_instruction tools tool_config generation_config service_tier".split()
)  # in the spelling of `_snake`
_NEEDED = ("cached_content",)
_CONFIGURED = frozenset(
    "temperature top_p top_k max_output_tokens seed stop_sequences frequency_penalty presence_penalty thinking_config"
    " response_mime_type response_schema response_json_schema _response_json_schema candidate_count"
    " response_modalities".split()
)
_MEANT = ("response_logprobs", "speech_config", "image_config")  # of a configuration: an answer without it is none


def content(model: str, body: dict[str, Any], *, is_streamed: bool) -> Request:
    """Raises: InvalidRequest."""
    return _Reader(body).request(model, is_streamed=is_streamed)


def embeddings(model: str, body: dict[str, Any]) -> Request:
    """Of embedContent, or of batchEmbedContents, whose body holds `requests`. Raises: InvalidRequest."""
    return _Reader(body).embeddings(model)


def _said(body: Mapping[str, Any], name: str) -> Any:
    """A field in either of its spellings: maxOutputTokens or max_output_tokens."""
    value = body.get(name)
    return body.get(_snake(name)) if value is None else value


@cache
def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", name)


def _spelt(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields in one spelling."""
    return {_snake(str(name)): value for name, value in body.items()}


class _Reader:
    """Reads one body."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body
        self._notes = Notes()
        self._n = 1

    def request(self, model: str, *, is_streamed: bool) -> Request:
        body, notes = self._body, self._notes
        notes.need(_spelt(body), _NEEDED)
        messages = self._turns(body.get("contents") or ("" if model.startswith(PROMPT) else None))
        system = self._system(_said(body, "systemInstruction"))
        parameters = self._parameters()
        tools = self._tools(body.get("tools"))
        choice, allowed = _tool_choice(_said(body, "toolConfig"))
        notes.rest(_spelt(body), _READ)
        return Request(
            model=model,
            messages=messages,
            system=system,
            parameters=parameters,
            tools=tuple(tool for tool in tools if not allowed or tool.name in allowed),
            tool_choice=choice if tools else "",
            is_streamed=is_streamed,
            n_answers=self._n,
            native=notes.native("gemini", body, parameters, system=system),
        )

    def embeddings(self, model: str) -> Request:
        asked = self._body.get("requests", [self._body])
        if not isinstance(asked, list) or not asked or not all(isinstance(each, dict) for each in asked):
            raise InvalidRequest("requests must be a list of at least one object.", param="requests")
        messages: list[Message] = []
        sizes: list[Any] = []
        for at, each in enumerate(asked):
            config = _said(each, "embedContentConfig")
            said = {**_spelt(each), **(_spelt(config) if isinstance(config, dict) else {})}
            sizes.append(said.get("output_dimensionality"))
            [turn, *_] = self._turns(each.get("content"))
            if turn.parts:  # pictures and sound
                self._notes.only.append(f"requests[{at}].content of more than texts")
            messages.append(turn)
            self._notes.rest(said, ("model", "content", "output_dimensionality", "embed_content_config"))
        if any(size != sizes[0] for size in sizes):
            self._notes.only.append("outputDimensionality of several sizes")
        parameters = self._notes.parameters({"dimensions": ("outputDimensionality", sizes[0])})
        native = self._notes.native("gemini", self._body, parameters)
        return Request(
            model=model, messages=tuple(messages), operation="embeddings", parameters=parameters, is_streamed=False,
            native=native,
        )  # fmt: skip

    def _turns(self, given: Any) -> tuple[Message, ...]:
        contents = [given] if isinstance(given, dict | str) else given
        if not isinstance(contents, list) or not contents:
            raise InvalidRequest("contents must be a list of turns.", param="contents")
        turns = []
        for at, turn in enumerate(contents):
            parts = turn.get("parts") if isinstance(turn, dict) else turn
            role: Literal["user", "model"] = (
                "model" if isinstance(turn, dict) and turn.get("role") == "model" else "user"
            )
            listed = parts if isinstance(parts, list) else [] if parts is None else [parts]
            where = f"contents[{at}].parts"
            found = tuple(p for i, each in enumerate(listed) for p in self._parts(each, f"{where}[{i}]"))
            if found or not listed:  # nothing but thoughts is no turn to others
                turns.append(Message.of(role, found))
        if not turns:
            raise InvalidRequest("contents must hold more than thoughts.", param="contents")
        return paired(turns)

    def _parts(self, given: Any, where: str) -> tuple[Part, ...]:
        """The content of a part; nothing where only Gemini reads it, such as its own thoughts."""
        if isinstance(given, str):
            return (given,)
        if not isinstance(given, dict):
            return (self._notes.unknown(given, where),)
        if given.get("thought"):
            self._notes.ignored.append("contents.parts.thought")
            return ()
        if isinstance(given.get("text"), str):
            return (str(given["text"]),)
        if medium := self._medium(given, where):
            return (medium,)
        called, result = _said(given, "functionCall"), _said(given, "functionResponse")
        if isinstance(called, dict):
            name, arguments = str(called.get("name") or ""), to_arguments(called.get("args")) or "{}"
            signature = str(_said(given, "thoughtSignature") or "")
            return (ToolCall(str(called.get("id") or ""), name, arguments, signature),)
        if isinstance(result, dict):
            return (self._result(result, where),)
        if _spelt(given).keys() <= {"thought_signature"}:
            return ()
        return (self._notes.unknown({"type": next(iter(given)), **given}, where),)

    def _medium(self, given: Mapping[str, Any], where: str) -> Media | None:
        data, file = _said(given, "inlineData"), _said(given, "fileData")
        if isinstance(data, dict):
            return Media(str(_said(data, "mimeType") or ""), data=_standard(str(data.get("data") or "")))
        if not isinstance(file, dict):
            return None
        url = str(_said(file, "fileUri"))
        if "generativelanguage.googleapis.com" in url or not url.startswith(("https://", "http://")):
            self._notes.only.append(f"{where}.fileData, a file that only Gemini holds")
        return Media(str(_said(file, "mimeType") or "image/jpeg"), url=url)

    def _result(self, given: Mapping[str, Any], where: str) -> ToolResult:
        """A result, with the media in it.

        Gemini reads `output` (and SDKs write `result`) as the result of a tool, `error` as its failure.
        """
        inner, only = given.get("response"), ""
        if isinstance(inner, dict) and len(inner) == 1 and inner.keys() & {"result", "output", "error"}:
            [(only, inner)] = inner.items()
        parts = [part for each in as_list(given.get("parts")) for part in self._parts(each, f"{where}.parts")]
        return ToolResult(
            str(given.get("id") or ""), str(given.get("name") or ""), to_arguments(inner), is_error=only == "error",
            media=tuple(part for part in parts if isinstance(part, Media)),
        )  # fmt: skip

    def _system(self, given: Any) -> str | None:
        parts = given.get("parts") if isinstance(given, dict) else given
        texts = []
        for part in as_list(parts):
            text = part.get("text") if isinstance(part, dict) else part
            if isinstance(text, str):
                texts.append(text)
            else:
                self._notes.unknown(part, "systemInstruction")
        return "\n\n".join(text for text in texts if text) or None

    def _tools(self, given: Any) -> tuple[Tool, ...]:
        """The functions; search and code are Gemini's own, and an answer without them is one."""
        found, others = [], []
        for at, each in enumerate(as_list(given)):
            spelt = _spelt(each) if isinstance(each, dict) else {str(each): True}
            others += [f"tools[{at}].{name}" for name in spelt if name != "function_declarations"]
            for number, function in enumerate(as_list(spelt.get("function_declarations"))):
                if not isinstance(function, dict) or not isinstance(function.get("name"), str):
                    self._notes.unknown(function, f"tools[{at}].functionDeclarations[{number}]")
                    continue
                schema = _said(function, "parametersJsonSchema") or to_json_schema(function.get("parameters")) or {}
                description = str(function.get("description") or "")
                found.append(Tool(name=function["name"], description=description, parameters=schema))
        (self._notes.ignored if found else self._notes.only).extend(others)
        return tuple(found)

    def _parameters(self) -> Parameters:
        config = _said(self._body, "generationConfig")
        config = _spelt(config) if isinstance(config, dict) else {}
        thinking = found if isinstance(found := config.get("thinking_config"), dict) else {}
        if (n := config.get("candidate_count")) not in (None, 1):
            self._n = n if type(n) is int and 1 < n <= MOST_ANSWERS else 1
            self._notes.only += [f"candidateCount == {str(n)[:40]}"] if self._n == 1 else []
        kinds = [str(each) for each in as_list(config.get("response_modalities")) if str(each).upper() != "TEXT"]
        if kinds:
            self._notes.only.append(f"responseModalities {', '.join(kinds)[:80]}")
        self._notes.need(config, _MEANT)
        self._notes.rest(config, _CONFIGURED, "generationConfig.")
        named = ("response_json_schema", "_response_json_schema")
        schema = next((config[name] for name in named if config.get(name) is not None), None)
        schema = to_json_schema(config.get("response_schema")) if schema is None else schema
        is_json = schema is None and config.get("response_mime_type") == "application/json"
        level, tier = str(_said(thinking, "thinkingLevel") or "").lower(), str(_said(self._body, "serviceTier") or "")
        return self._notes.parameters({
            **{name: (word, config.get(_snake(word))) for name, word in _WORDS.items()},
            "thinking_budget": ("thinkingBudget", _said(thinking, "thinkingBudget")),
            "thinking_level": ("thinkingLevel", level if level not in ("", "thinking_level_unspecified") else None),
            "service_tier": ("serviceTier", tier if tier in SERVICE_TIERS else None),
            "json_schema": ("responseSchema", schema),
            "json_object": ("responseMimeType", is_json or None),
        })  # fmt: skip


_WORDS = {
    "temperature": "temperature", "top_p": "topP", "top_k": "topK", "max_tokens": "maxOutputTokens", "seed": "seed",
    "stop": "stopSequences", "frequency_penalty": "frequencyPenalty", "presence_penalty": "presencePenalty",
}  # fmt: skip


def _standard(text: str) -> str:
    """Base64 as all others write it: google-genai sends the alphabet of addresses."""
    text = text.translate(_ALPHABET).rstrip("=")
    return text + "=" * (-len(text) % 4)


def _tool_choice(given: Any) -> tuple[str, tuple[Any, ...]]:
    """(the choice, the names of the tools that alone may be called; empty = all)."""
    config = _said(given, "functionCallingConfig") if isinstance(given, dict) else None
    if not isinstance(config, dict):
        return "", ()
    allowed = as_list(_said(config, "allowedFunctionNames"))
    mode = str(config.get("mode") or "").upper()
    if mode == "ANY" and len(allowed) == 1:
        return f"tool:{allowed[0]}", ()
    return _CHOICES.get(mode, ""), allowed
