"""What vendors refuse, in their own words, as far as their documents and public bug reports tell."""

import re
from typing import Any

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_KEYS = frozenset(
    "model max_tokens messages system temperature top_p top_k stop_sequences stream metadata tools tool_choice thinking"
    " output_config service_tier container cache_control inference_geo speed diagnostics".split()
)
_BETA = {"context_management": "context-management-", "mcp_servers": "mcp-client-"}
_NEW = re.compile(r"claude-(opus-4-[7-9]|(opus|sonnet|haiku|fable)-5)")


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
    return _of_sampling(body) or _of_schema(body) or _of_turns(body["messages"])


def _of_sampling(body: dict[str, Any]) -> str:
    new, thinking = _NEW.match(body["model"]), body.get("thinking") or {}
    if "temperature" in body and "top_p" in body:
        return "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    for name in ("temperature", "top_p", "top_k"):
        if new and name in body:
            return f"`{name}` is deprecated for this model."
    if new and thinking.get("type") == "enabled":
        return '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive".'
    if thinking.get("type") in ("enabled", "adaptive"):
        if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
            return "Thinking may not be enabled when tool_choice forces tool use."
        if body.get("temperature", 1) != 1:
            return "`temperature` may only be set to 1 when thinking is enabled."
    if any(not text.strip() for text in body.get("stop_sequences") or ()):
        return "stop_sequences: each stop sequence must contain non-whitespace"
    for tool in body.get("tools") or ():
        if "input_schema" in tool and tool["input_schema"].get("type") != "object":
            return "tools.0.custom.input_schema.type: Field required"
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


def _of_turns(turns: list[dict[str, Any]]) -> str:
    used: set[str] = set()
    waiting: set[str] = set()
    for at, turn in enumerate(turns):
        content = turn["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not blocks or (isinstance(content, str) and not content):
            return f"messages.{at}: all messages must have non-empty content"
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if waiting - results:
            return f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after"
        waiting = set()
        for number, block in enumerate(blocks):
            where = f"messages.{at}.content.{number}"
            if block["type"] == "text" and not block["text"].strip():
                return f"{where}: text content blocks must contain non-whitespace text"
            if block["type"] == "thinking" and not block.get("signature", "").startswith("Er"):
                return f"{where}: Invalid `signature` in `thinking` block"
            if block["type"] == "redacted_thinking" and not block.get("data", "").startswith("Em"):
                return f"{where}: Invalid `data` in `redacted_thinking` block"
            if block["type"] == "tool_use":
                if not _ID.fullmatch(block["id"]):
                    return f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
                if block["id"] in used:
                    return f"{where}: `tool_use` ids must be unique"
                if not isinstance(block["input"], dict):
                    return f"{where}.tool_use.input: Input should be a valid dictionary"
                used.add(block["id"])
                waiting.add(block["id"])
            source = block.get("source") or {}
            if block["type"] == "image" and source.get("media_type", "image/png") not in (
                "image/jpeg", "image/png", "image/gif", "image/webp",
            ):  # fmt: skip
                return f"{where}.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', …"
        if blocks and any(b["type"] == "tool_result" for b in blocks):
            first = [b["type"] == "tool_result" for b in blocks]
            if first != sorted(first, reverse=True):
                return f"messages.{at}: tool_result blocks must come first"
    return ""
