"""What vendors refuse, in their own words, as far as their documents and public bug reports tell."""

import json
import re
from collections.abc import Iterator
from typing import Any

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_KEYS = frozenset(
    "model max_tokens messages system temperature top_p top_k stop_sequences stream metadata tools tool_choice thinking"
    " output_config service_tier container cache_control inference_geo speed diagnostics".split()
)
_BETA = {"context_management": "context-management-", "mcp_servers": "mcp-client-"}
_NEW = re.compile(r"claude-(opus-4-[7-9]|(opus|sonnet|haiku|fable)-5)")
_NO_PREFILL = re.compile(r"claude-((opus|sonnet)-4-[6-9]|(opus|sonnet|haiku|fable)-5)")
_UNIONS = ("anyOf", "oneOf", "allOf")


def by_anthropic(body: dict[str, Any], headers: dict[str, str]) -> str:
    """The reason why Anthropic refuses a body of /v1/messages; empty = it does not."""
    betas = headers.get("anthropic-beta") or ""
    for name in body.keys() - _KEYS:
        if name not in _BETA or _BETA[name] not in betas:
            return f"{name}: Extra inputs are not permitted"
    if "anthropic-version" not in headers:
        return "anthropic-version: header is required"
    if not isinstance(body.get("max_tokens"), int):
        return "max_tokens: Field required"
    if str(body.get("system", "x")).strip() == "":
        return "system: text content blocks must contain non-whitespace text"
    if json.dumps(body).count('"cache_control"') > 4:
        return "A maximum of 4 blocks with cache_control may be provided."
    return _of_sampling(body) or _of_tools(body) or _of_schema(body) or _of_turns(body["messages"], body["model"])


def _of_sampling(body: dict[str, Any]) -> str:
    new, thinking = _NEW.match(body["model"]), body.get("thinking") or {}
    if "temperature" in body and "top_p" in body:
        return "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    for name in ("temperature", "top_p", "top_k"):
        if new and name in body:
            return f"`{name}` is deprecated for this model."
    if body.get("temperature", 0) > 1:
        return "temperature: range: 0..1"
    if new and thinking.get("type") == "enabled":
        return '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive".'
    if thinking.get("type") in ("enabled", "adaptive"):
        if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
            return "Thinking may not be enabled when tool_choice forces tool use."
        if body.get("temperature", 1) != 1 or "top_k" in body:
            return "`temperature` may only be set to 1 when thinking is enabled."
    if thinking.get("type") == "enabled" and not 1024 <= thinking["budget_tokens"] < body["max_tokens"]:
        return "`max_tokens` must be greater than `thinking.budget_tokens`"
    if any(not text.strip() for text in body.get("stop_sequences") or ()):
        return "stop_sequences: each stop sequence must contain non-whitespace"
    return ""


def _of_tools(body: dict[str, Any]) -> str:
    tools = body.get("tools") or ()
    if body.get("tool_choice") and not tools:
        return "tool_choice may only be specified while providing tools"
    names = [tool["name"] for tool in tools]
    if len(set(names)) < len(names):
        return "tools: Tool names must be unique."
    for at, tool in enumerate(tools):
        schema = tool.get("input_schema")
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", tool["name"]):
            return f"tools.{at}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
        if schema is not None and schema.get("type") != "object":
            return "tools.0.custom.input_schema.type: Field required"
        if schema is not None and any(word in schema for word in _UNIONS):
            return (
                f"tools.{at}.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"
            )
    return ""


def _of_schema(body: dict[str, Any]) -> str:
    shape = (body.get("output_config") or {}).get("format") or {}
    return _of_words(shape.get("schema"))


def _of_words(schema: Any) -> str:
    if isinstance(schema, list):
        return next((found for each in schema if (found := _of_words(each))), "")
    if not isinstance(schema, dict):
        return ""
    for word in ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "multipleOf", "pattern"):
        if (
            word in schema
            and not isinstance(schema[word], dict)
            and not (word == "minItems" and schema[word] in (0, 1))
        ):
            return f"output_config.format.schema: For '{schema.get('type')}' type, property '{word}' is not supported"
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"
    return next((found for each in schema.values() if (found := _of_words(each))), "")


def _of_turns(turns: list[dict[str, Any]], model: str) -> str:
    used: set[str] = set()
    waiting: set[str] = set()
    if turns[0]["role"] == "assistant":
        return 'messages: first message must use the "user" role'
    for at, turn in enumerate(turns):
        content = turn["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not blocks or (isinstance(content, str) and not content):
            return f"messages.{at}: all messages must have non-empty content"
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if waiting - set(results):
            return f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after"
        if set(results) - waiting or len(set(results)) < len(results):
            return f"messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks"
        waiting = set()
        for number, block in enumerate(blocks):
            if why := _of_block(block, f"messages.{at}.content.{number}", turn["role"]):
                return why
            if block["type"] == "tool_use":
                if block["id"] in used:
                    return f"messages.{at}.content.{number}: `tool_use` ids must be unique"
                used.add(block["id"])
                waiting.add(block["id"])
        first = [b["type"] == "tool_result" for b in blocks]
        if first != sorted(first, reverse=True):
            return f"messages.{at}: tool_result blocks must come first"
    if waiting:
        return "messages: `tool_use` ids were found without `tool_result` blocks immediately after"
    return _of_prefill(turns[-1], model)


def _of_prefill(last: dict[str, Any], model: str) -> str:
    if last["role"] != "assistant":
        return ""
    if _NO_PREFILL.match(model):
        return "This model does not support assistant message prefill. The conversation must end with a user message."
    text = last["content"] if isinstance(last["content"], str) else last["content"][-1].get("text", "")
    return "messages: final assistant content cannot end with trailing whitespace" if text != text.rstrip() else ""


def _of_block(block: dict[str, Any], where: str, role: str) -> str:
    kind = block["type"]
    if kind == "text" and not block["text"].strip():
        return f"{where}: text content blocks must contain non-whitespace text"
    if kind == "thinking" and not block.get("signature", "").startswith("Er"):
        return f"{where}: Invalid `signature` in `thinking` block"
    if kind == "redacted_thinking" and not block.get("data", "").startswith("Em"):
        return f"{where}: Invalid `data` in `redacted_thinking` block"
    if kind in ("image", "document") and role == "assistant":
        return f"{where}: {kind} blocks are not permitted in assistant messages"
    if kind == "tool_use":
        if not _ID.fullmatch(block["id"]):
            return f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
        if not isinstance(block["input"], dict):
            return f"{where}.tool_use.input: Input should be a valid dictionary"
    if kind == "tool_result" and isinstance(block["content"], list):
        return next((why for each in block["content"] if (why := _of_block(each, where, role))), "")
    source = block.get("source") or {}
    if source.get("url", "https://").startswith("http://"):
        return f"{where}.source.url: Only HTTPS URLs are supported."
    if kind == "image" and source.get("media_type", "image/png") not in (
        "image/jpeg", "image/png", "image/gif", "image/webp",
    ):  # fmt: skip
        return f"{where}.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', …"
    return ""


# OpenAI

_CHAT = frozenset(
    "model messages stream stream_options temperature top_p max_tokens max_completion_tokens seed stop tools tool_choice"
    " frequency_penalty presence_penalty parallel_tool_calls response_format reasoning_effort service_tier".split()
)
_REASONS = re.compile(r"gpt-5(?!.*chat)|o\d")
_SAMPLED = ("temperature", "top_p", "stop", "frequency_penalty", "presence_penalty", "max_tokens")


def by_openai(body: dict[str, Any]) -> str:
    """The reason why OpenAI refuses a body of /v1/chat/completions."""
    for name in body.keys() - _CHAT:
        return f"Unrecognized request argument supplied: {name}"
    reasons = _REASONS.match(body["model"])
    for name in _SAMPLED if reasons else ():
        if name in body:
            return f"Unsupported parameter: '{name}' is not supported with this model."
    if "reasoning_effort" in body and body["reasoning_effort"] not in _efforts(body["model"]):
        return f"Unsupported value: '{body['reasoning_effort']}' is not supported with the '{body['model']}' model."
    if len(body.get("stop") or ()) > 4:
        return "Invalid 'stop': array too long. Expected an array with maximum length 4."
    for name in ("tool_choice", "parallel_tool_calls"):
        if name in body and not body.get("tools"):
            return f"'{name}' is only allowed when 'tools' are specified."
    return _of_functions(body) or _of_format(body) or _of_messages(body["messages"])


def _efforts(model: str) -> str:
    if re.match(r"gpt-5(-|$)", model):
        return "minimal low medium high"
    return "none low medium high xhigh" if model.startswith("gpt-5.") else "low medium high" if model[0] == "o" else ""


def _of_functions(body: dict[str, Any]) -> str:
    for at, tool in enumerate(body.get("tools") or ()):
        function, schema = tool["function"], tool["function"].get("parameters")
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", function["name"]):
            return f"Invalid 'tools[{at}].function.name': string does not match pattern."
        where = f"Invalid schema for function '{function['name']}'"
        if schema is not None and (schema.get("type") != "object" or any(word in schema for word in _UNIONS)):
            return f"{where}: schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf' at the top level."
        if schema is not None and "properties" not in schema:
            return f"{where}: In context=(), object schema missing properties."
        if function.get("strict") and (why := _of_strict(schema)):
            return f"{where}: {why}"
    return ""


def _of_strict(schema: Any) -> str:
    for each in _objects(schema):
        if each.get("additionalProperties") is not False:
            return "'additionalProperties' is required to be supplied and to be false."
        if set(each.get("required") or ()) != set(each.get("properties") or ()):
            return "'required' is required to be supplied and to be an array including every key in properties."
    return ""


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, list):
        for each in schema:
            yield from _objects(each)
    elif isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for name, each in schema.items():
            if name not in ("enum", "const", "default"):
                yield from _objects(list(each.values()) if name == "properties" and isinstance(each, dict) else each)


def _of_format(body: dict[str, Any]) -> str:
    shape = body.get("response_format") or {}
    if shape.get("type") == "json_object" and "json" not in json.dumps(body["messages"]).lower():
        return "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
    inner = shape.get("json_schema")
    if inner is None:
        return ""
    if inner["schema"].get("type") != "object":
        return (
            f"Invalid schema for response_format '{inner['name']}': schema must be a JSON Schema of 'type: \"object\"'."
        )
    return _of_strict(inner["schema"]) if inner.get("strict") else ""


def _of_messages(messages: list[dict[str, Any]]) -> str:
    waiting: list[str] = []
    for at, message in enumerate(messages):
        role, content = message["role"], message.get("content")
        if role == "tool":
            if message["tool_call_id"] not in waiting:
                return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
            waiting.remove(message["tool_call_id"])
            if not isinstance(content, str):
                return f"Invalid 'messages[{at}].content': text only."
            continue
        if waiting:
            return "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
        if content is None and not message.get("tool_calls"):
            return f"Invalid value for 'content': expected a string, got null. messages.[{at}].content"
        for part in content if isinstance(content, list) else ():
            if part["type"] not in ("text", "image_url", "input_audio", "file"):
                return f"Invalid value: '{part['type']}'."
            if part["type"] == "input_audio" and part["input_audio"]["format"] not in ("wav", "mp3"):
                return f"Invalid value: '{part['input_audio']['format']}'. Supported values are: 'wav' and 'mp3'."
        for call in message.get("tool_calls") or ():
            if len(call["id"]) > 40:
                return f"Invalid 'messages[{at}].tool_calls[0].id': string too long. Expected a maximum length of 40."
            waiting.append(call["id"])
    return "An assistant message with 'tool_calls' must be followed by tool messages." if waiting else ""


# Gemini

_BODY = frozenset("contents systemInstruction generationConfig tools toolConfig serviceTier".split())
_CONFIG = frozenset(
    "temperature topP topK maxOutputTokens seed stopSequences frequencyPenalty presencePenalty thinkingConfig"
    " responseMimeType responseJsonSchema".split()
)


def by_gemini(body: dict[str, Any], model: str) -> str:
    """The reason why Gemini refuses a body of generateContent."""
    config = body.get("generationConfig") or {}
    for name in (body.keys() - _BODY) | (config.keys() - _CONFIG):
        return f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
    is_old = model.startswith("gemini-2")
    if (config.get("frequencyPenalty") or config.get("presencePenalty")) and not model.startswith("gemini-2.0"):
        return f"Penalty is not enabled for models/{model}"
    if len(config.get("stopSequences") or ()) > 5:
        return "The number of stop sequences must be between 0 and 5."
    if body.get("tools") and config.get("responseMimeType") == "application/json" and is_old:
        return "Function calling with a response mime type: 'application/json' is unsupported"
    thinking = config.get("thinkingConfig") or {}
    if thinking.get("thinkingLevel") and is_old:
        return "Thinking level is not supported for this model."
    if model == "gemini-2.5-pro" and thinking.get("thinkingBudget", -1) not in (-1, *range(128, 32_769)):
        return "The thinking budget is invalid. Please choose a value between 128 and 32768."
    if model == "gemini-2.5-flash" and not -1 <= thinking.get("thinkingBudget", 0) <= 24_576:
        return "The thinking budget is invalid. Please choose a value between 0 and 24576."
    names = [each["name"] for tool in body.get("tools") or () for each in tool["functionDeclarations"]]
    if len(set(names)) < len(names):
        return "Duplicate function declaration found."
    if bad := [name for name in names if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}", name)]:
        return f"Invalid function name {bad[0]}. Must start with a letter or an underscore."
    return _of_contents(body["contents"])


def _of_contents(contents: list[dict[str, Any]]) -> str:
    waiting: list[str] = []
    before = ""
    for at, content in enumerate(contents):
        if content["role"] == before:
            return "Please ensure that multiturn requests alternate between user and model."
        before = content["role"]
        results = [part["functionResponse"]["name"] for part in content["parts"] if "functionResponse" in part]
        if results != waiting:
            return "Please ensure that the number of function response parts is equal to the number of function call parts."
        waiting = [part["functionCall"]["name"] for part in content["parts"] if "functionCall" in part]
        if waiting and at == 0:
            return "Please ensure that function call turn comes immediately after a user turn."
        if not content["parts"] or any(part.get("text") == "" for part in content["parts"]):
            return "Unable to submit request because it must have a text parameter."
        for part in content["parts"]:
            if "functionResponse" in part and not isinstance(part["functionResponse"]["response"], dict):
                return "Invalid value at 'function_response.response'"
            if part.get("fileData", {}).get("fileUri", "https").startswith("http:"):
                return "Invalid or unsupported file uri"
    return "Please ensure that each function call has a response." if waiting else ""
