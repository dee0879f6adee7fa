"""A request as a model of another wire takes it: parameters in its units and within its bounds, tools by names that it
takes. Pure."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core.domain.generation import THINKING_LEVELS, Chunk, Model, Parameters, Request
from core.domain.message import Message, Part, Tool, ToolCall, ToolResult
from core.errors import InvalidRequest
from core.providers.schemas import is_closed

# Without these an answer is not the one that was asked for.
_RELIED_ON = ("stop", "json_schema", "json_object", "dimensions")
# A level of thinking by the tokens that it may take at most; more is the highest.
_TOKENS = {"none": 0, "minimal": 1024, "low": 4096, "medium": 16_384, "high": 24_576, "xhigh": 32_768, "max": 65_536}


def fitted(request: Request, model: Model) -> tuple[Request, list[str]]:
    """(the request, what the model is not told). Raises: InvalidRequest: What it cannot be told is relied on."""
    left: list[str] = []
    p = _thinking(model, request.parameters, left)
    p = _within(model, p, left)
    asked = p.as_dict()
    refused = asked.keys() - model.accepts
    for name in _RELIED_ON:
        if name in refused and not model.is_simulated:
            raise InvalidRequest(f"{model.name} does not take {name}.", hint="Leave it out.", param=name)
    refused |= {*[name for name in model.exclusive if name in asked][1:]}
    left += sorted(name for name in refused if not (name.endswith("_penalty") and asked[name] == 0))
    p = replace(p, **dict.fromkeys(refused))
    if request.is_one_call and request.tools and not model.one_call:
        left.append("parallel_tool_calls: false")
    return replace(request, model=model.name, parameters=p, tools=_tools(request, model, left)), left


def _tools(request: Request, model: Model, left: list[str]) -> tuple[Tool, ...]:
    """Each tool once, and strict only where the model can be: every object closed, every property required."""
    found: dict[str, Tool] = {}
    for tool in request.tools:
        if tool.is_strict and not (model.strict and is_closed(tool.parameters)):
            left.append(f"strict of the tool {tool.name}")
            tool = replace(tool, is_strict=False)
        if found.setdefault(tool.name, tool) != tool:
            left.append(f"a second tool {tool.name}")
    return tuple(found.values())


def _within(model: Model, p: Parameters, left: list[str]) -> Parameters:
    """The parameters within what the model takes of them."""
    changed: dict[str, Any] = {}
    if p.temperature is not None and "temperature" in model.accepts and p.temperature > model.max_temperature:
        left.append(f"temperature above {model.max_temperature:g}")
        changed["temperature"] = model.max_temperature
    longest = model.max_output_tokens
    if p.max_tokens is not None and longest is not None and p.max_tokens > longest:
        left.append(f"max_tokens above {longest}")
        changed["max_tokens"] = longest
    if p.stop is not None and "stop" in model.accepts:
        stops = p.stop if model.blank_stops else tuple(text for text in p.stop if text.strip())
        if len(stops) > model.n_stops:
            raise InvalidRequest(f"{model.name} takes {model.n_stops} texts to stop at, not more.", param="stop")
        if stops != p.stop:
            left.append("stop at blanks")
            changed["stop"] = stops or None
    return replace(p, **changed) if changed else p


def _thinking(model: Model, p: Parameters, left: list[str]) -> Parameters:
    """The parameters with thinking as the model takes it: by level or in tokens, and only as much as it can."""
    level, budget = p.thinking_level, p.thinking_budget
    if level is None and budget is None:
        return p
    if "thinking_level" in model.accepts:
        if level is None and budget == -1:  # as it likes, which is what it does
            return p if "thinking_budget" in model.accepts else replace(p, thinking_budget=None)
        wanted = level or next((name for name, most in _TOKENS.items() if (budget or 0) <= most), "max")
        nearest = _nearest(wanted, model.levels)
        if nearest != wanted:
            left.append(f"thinking_level {wanted}, but {nearest}")
        return replace(p, thinking_level=nearest, thinking_budget=None)
    if "thinking_budget" not in model.accepts:
        return p
    tokens = _TOKENS[level] if level is not None else budget or 0
    if tokens == 0 and model.levels and "none" not in model.levels:
        left.append("thinking switched off")
        return replace(p, thinking_level=None, thinking_budget=model.thoughts[0])
    within = min(max(tokens, model.thoughts[0]), model.thoughts[1]) if tokens > 0 else tokens
    if within != tokens and level is None:
        left.append(f"thinking_budget {tokens}, but {within}")
    return replace(p, thinking_level=None, thinking_budget=within)


def _nearest(wanted: str, levels: tuple[str, ...]) -> str:
    """The level itself, else the next lower one, else the lowest; thinking is never switched off by that."""
    if not levels or wanted in levels:
        return wanted
    at = THINKING_LEVELS.index(wanted)
    lower = [each for each in levels if each != "none" and THINKING_LEVELS.index(each) < at]
    return lower[-1] if lower else next(each for each in levels if each != "none")


# Names of tools: by wire the letters that they may have, and how many
_NAMES = {
    "openai": re.compile(r"[a-zA-Z0-9_-]{1,64}"),
    "anthropic": re.compile(r"[a-zA-Z0-9_-]{1,128}"),
    "gemini": re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}"),
}


def renamed(request: Request, wire: str) -> tuple[Request, Mapping[str, str]]:
    """(the request with names of tools that a wire takes, the caller's names by these)."""
    pattern = _NAMES.get(wire)
    parts = [part for message in request.messages for part in message.parts]
    names = {each.name for each in (*request.tools, *(p for p in parts if isinstance(p, ToolCall | ToolResult)))}
    odd = {name: _in_letters(name) for name in names if pattern is not None and name and not pattern.fullmatch(name)}
    if not odd:
        return request, {}

    def named(part: Part) -> Part:
        is_odd = isinstance(part, ToolCall | ToolResult) and part.name in odd
        return replace(part, name=odd[part.name]) if is_odd else part  # type: ignore[union-attr, type-var]

    kind, _, name = request.tool_choice.partition(":")
    messages: list[Message] = [replace(m, parts=tuple(named(part) for part in m.parts)) for m in request.messages]
    return replace(
        request,
        messages=tuple(messages),
        tools=tuple(replace(tool, name=odd.get(tool.name, tool.name)) for tool in request.tools),
        tool_choice=f"{kind}:{odd[name]}" if name in odd else request.tool_choice,
    ), {new: old for old, new in odd.items()}


def _in_letters(name: str) -> str:
    """A name in the letters that all wires take, and still one of its own."""
    mark = f"{zlib.crc32(name.encode('utf-8', 'replace')):08x}"
    return f"{re.sub(r'[^a-zA-Z0-9_-]', '_', name)[:54].lstrip('-0123456789') or 'tool'}_{mark}"


def named_back(chunk: Chunk, names: Mapping[str, str]) -> Chunk:
    """The chunk with the caller's names of tools."""
    if not names or not chunk.tools:
        return chunk
    return replace(chunk, tools=tuple(replace(tool, name=names.get(tool.name, tool.name)) for tool in chunk.tools))
