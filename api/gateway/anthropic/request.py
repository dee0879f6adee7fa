"""Requests of ours, read from Anthropic's JSON.

A body that goes to Anthropic goes as it came, so nothing is refused here because it is new. What other vendors cannot
be told is noted: it is refused when one of them is to answer, if the caller relies on it, or else named as left out.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from api.gateway.names import model_of
from api.gateway.notes import Notes
from api.gateway.options import is_of_prompt
from core import InvalidRequest, Media, Message, Parameters, Request, Tool, ToolCall, ToolResult
from core.domain.message import Part, from_foreign, paired
from core.formats import strict_json as json

_READ = frozenset(
    "model max_tokens messages system temperature top_p top_k stop_sequences stream metadata tools tool_choice thinking"
    " output_config output_format".split()
)
_NEEDED = ("mcp_servers", "container")  # what was asked for cannot be had without
_FORWARDED = (b"anthropic-version", b"anthropic-beta")


def message(body: dict[str, Any], headers: Mapping[bytes, bytes]) -> Request:
    """Raises: InvalidRequest."""
    return _Reader(body, headers).request()


def user(body: Mapping[str, Any]) -> str:
    """The one who asks. Claude Code sends several ids of a session as JSON; the account's, else the device's counts."""
    metadata = body.get("metadata")
    found = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(found, str):
        return ""
    try:
        ids = json.loads(found)
    except ValueError:
        ids = None
    if isinstance(ids, dict):
        named = (ids.get(name) for name in ("account_uuid", "device_id", "session_id"))
        found = next((each for each in named if isinstance(each, str) and each), found)
    return found[:500]


class _Reader:
    """Reads one body, and collects what other vendors cannot be told."""

    def __init__(self, body: dict[str, Any], headers: Mapping[bytes, bytes]) -> None:
        self._body = body
        self._headers = {
            name.decode(): value.decode("latin-1") for name in _FORWARDED if (value := headers.get(name)) is not None
        }
        self._notes = Notes()
        self._only, self._ignored = self._notes.only, self._notes.ignored
        self._is_bound = False

    def request(self) -> Request:
        body = self._body
        model = model_of(body)
        self._notes.need(body, _NEEDED)
        self._notes.rest(body, _READ)
        system = self._system(body.get("system"))
        messages = self._turns()
        parameters = self._parameters()
        tools, choice, is_one_call = self._tools()
        return Request(
            model=model,
            messages=messages,
            system=system,
            parameters=parameters,
            tools=tools,
            tool_choice=choice,
            is_one_call=is_one_call,
            is_streamed=body.get("stream") is True,
            native=self._notes.native(
                "anthropic", body, parameters, system=system, headers=self._headers, is_bound=self._is_bound
            ),
        )

    def _system(self, given: Any) -> str | None:
        if isinstance(given, list):
            blocks = [block for block in given if isinstance(block, dict)]
            if any(block.get("cache_control") for block in blocks):
                self._ignored.append("cache_control")
            given = "\n\n".join(text for block in blocks if isinstance(text := block.get("text"), str) and text)
        return given if isinstance(given, str) and given else None

    def _turns(self) -> tuple[Message, ...]:
        given = self._body.get("messages")
        if not given and is_of_prompt(self._body):
            return (Message("user", ""),)
        if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
            raise InvalidRequest("messages must be a list of at least one object.", param="messages")
        turns = []
        for at, turn in enumerate(given):
            role = turn.get("role")
            side: Literal["user", "model"] = "model" if role == "assistant" else "user"
            if role not in ("user", "assistant", "system"):
                self._only.append(f"messages[{at}].role {str(role)[:40]!r}")
            parts = self._parts(turn.get("content"), f"messages[{at}].content")
            if parts or not turn.get("content"):  # nothing but thoughts is no turn to others
                turns.append(replace(Message.of(side, tuple(parts)), is_system=role == "system"))
        if not turns:
            raise InvalidRequest("messages must hold more than thoughts.")
        if turns[-1].role == "model":
            self._only.append(f"messages[{len(given) - 1}], an answer that was begun")
        return paired(turns)

    def _parts(self, content: Any, where: str) -> list[Part]:
        if content is None or isinstance(content, str):
            return [content or ""]
        if not isinstance(content, list):
            raise InvalidRequest(f"{where} must be a text or a list of blocks.")
        found: list[Part] = []
        signature = ""  # of the call that follows
        for at, block in enumerate(content):
            if not isinstance(block, dict):
                raise InvalidRequest(f"{where}[{at}] must be an object.")
            kind = block.get("type")
            if kind in ("thinking", "redacted_thinking"):
                ours = from_foreign(block.get("signature") or block.get("data"))
                if ours is None:
                    self._is_bound = True
                    self._ignored.append("messages.content of thoughts")
                signature = ours or signature
            elif kind == "tool_use":
                arguments = block.get("input")
                written = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
                name = str(block.get("name") or "")
                found.append(ToolCall(str(block.get("id") or ""), name, written, signature))
                signature = ""
            else:
                found += self._block(block, f"{where}[{at}]")
        return found

    def _block(self, block: dict[str, Any], where: str) -> list[Part]:
        """The content of a block that is no thought and no call."""
        kind, source = block.get("type"), block.get("source")
        if block.get("cache_control"):
            self._ignored.append("cache_control")
        if kind == "text" and isinstance(block.get("text"), str):
            return [str(block["text"])]
        if kind == "tool_result":
            return self._result(block, where)
        if kind in ("image", "document") and isinstance(source, dict) and (read := self._source(block, source, where)):
            return read
        if kind == "search_result":
            said = [block.get("title"), block.get("source"), *_texts(block.get("content"))]
            return ["\n".join(str(each) for each in said if each)]
        return [self._notes.unknown(block, where)]

    def _source(self, block: dict[str, Any], source: dict[str, Any], where: str) -> list[Part]:
        """The content of an image or a document; nothing where only Anthropic can read it."""
        media_type, kind = str(source.get("media_type") or ""), source.get("type")
        if kind == "base64" and isinstance(source.get("data"), str):
            return [Media("image/jpeg" if media_type == "image/jpg" else media_type, data=source["data"])]
        if kind == "url" and isinstance(source.get("url"), str):
            return [Media("image/jpeg" if block["type"] == "image" else "application/pdf", url=source["url"])]
        title = [str(block[name]) for name in ("title", "context") if block.get(name)]
        if kind == "text" and isinstance(source.get("data"), str):
            return ["\n".join([*title, source["data"]])]
        if kind == "content":
            return [*title, *self._parts(source.get("content"), f"{where}.source.content")]
        return []

    def _result(self, block: dict[str, Any], where: str) -> list[Part]:
        """A result, and the media in it: only some vendors take them within."""
        parts = self._parts(block.get("content"), f"{where}.content")
        text = "".join(part for part in parts if isinstance(part, str))
        media = tuple(part for part in parts if isinstance(part, Media))
        return [ToolResult(str(block.get("tool_use_id") or ""), "", text, block.get("is_error") is True, media)]

    def _tools(self) -> tuple[tuple[Tool, ...], str, bool]:
        """(tools, the choice of them, whether several at once are not wanted)."""
        given, choice = self._body.get("tools"), self._body.get("tool_choice")
        choice = choice if isinstance(choice, dict) else {}
        kind = {"any": "required", "tool": f"tool:{choice.get('name')}"}.get(str(choice.get("type")))
        tools, theirs = [], []
        for at, each in enumerate(given if isinstance(given, list) else ()):
            if isinstance(each, dict) and each.get("type") in (None, "custom") and isinstance(each.get("name"), str):
                schema = each.get("input_schema")
                described = str(each.get("description") or "")
                parameters = schema if isinstance(schema, dict) else {}
                is_strict = each.get("strict") is True
                tools.append(Tool(name=each["name"], description=described, parameters=parameters, is_strict=is_strict))
                if each.get("cache_control"):
                    self._ignored.append("cache_control")
            else:
                theirs.append((at, each if isinstance(each, dict) else {}))
        for at, tool in theirs:
            name = str(tool.get("type"))[:60]
            is_relied_on = not tools or kind == f"tool:{tool.get('name')}" or not _runs_there(name)
            (self._only if is_relied_on else self._ignored).append(f"tools[{at}] of type {name!r}")
        return tuple(tools), kind or str(choice.get("type") or ""), choice.get("disable_parallel_tool_use") is True

    def _parameters(self) -> Parameters:
        body = self._body
        config, thinking = (found if isinstance(found := body.get(name), dict) else {} for name in _OBJECTS)
        shape = config.get("format") or body.get("output_format")
        schema = shape.get("schema") if isinstance(shape, dict) and shape.get("type") == "json_schema" else None
        effort, kind = str(config.get("effort") or ""), str(thinking.get("type"))
        budget = {"enabled": thinking.get("budget_tokens"), "adaptive": None if effort else -1, "disabled": 0}.get(kind)
        level = effort if effort and kind != "disabled" else None
        return self._notes.parameters({
            **{name: (word, body.get(word)) for name, word in _WORDS.items()},
            "thinking_budget": ("thinking", budget if level is None else None),
            "thinking_level": ("output_config.effort", level),
            "json_schema": ("output_config.format", schema if isinstance(schema, dict) else None),
        })  # fmt: skip


_WORDS = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_tokens": "max_tokens",
    "stop": "stop_sequences",
}  # fmt: skip
_OBJECTS = ("output_config", "thinking")
_AT_ANTHROPIC = ("web_search_", "web_fetch_", "code_execution_", "tool_search_", "mcp_toolset")


def _runs_there(kind: str) -> bool:
    """True of a tool that Anthropic runs itself, so that an answer without it is an answer."""
    return kind.startswith(_AT_ANTHROPIC)


def _texts(content: Any) -> list[str]:
    blocks = content if isinstance(content, list) else ()
    return [str(block["text"]) for block in blocks if isinstance(block, dict) and isinstance(block.get("text"), str)]
