"""What was asked, in words that no wire owns, and what the fake vendor answers to it.

The answer quotes what arrived (system prompt, turns, limits, tools, results), so that equal answers prove equal asks.
"""

import json
from dataclasses import dataclass, field
from typing import Any

CITIES = ("Paris", "Rome")
GREETING = "Grüße aus Zürich: naïve café, 日本語, 👩‍🚀🌍."


@dataclass
class Ask:
    """results: (name of the tool, its arguments, what came back) of the calls after the user's last words."""

    model: str
    system: str = ""
    turns: list[tuple[str, str]] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    results: list[tuple[str, Any, Any]] = field(default_factory=list)
    schema: dict[str, Any] | None = None
    limits: tuple[Any, Any, Any] = (None, None, None)

    @property
    def last(self) -> str:
        return next((text for role, text in reversed(self.turns) if role == "user"), "").lower()


@dataclass
class Answer:
    """failure: not_found, overloaded, too_long, or empty."""

    text: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    failure: str = ""


def answer(ask: Ask) -> Answer:
    if "no-such-model" in ask.model:
        return Answer(failure="not_found")
    if "overloaded" in ask.last:
        return Answer(failure="overloaded")
    if "toolong" in ask.last:
        return Answer(failure="too_long")
    if ask.results:
        quoted = "; ".join(f"{name}({_line(given)}) says {_line(value)}" for name, given, value in ask.results)
        return Answer(f"I asked: {quoted}. I had: {'; '.join(ask.tools)}.")
    if "weather" in ask.last and ask.tools:
        return Answer(calls=[("get_weather", {"city": city}) for city in CITIES if city.lower() in ask.last])
    if "json" in ask.last and ask.schema:
        return Answer(json.dumps(_example(ask.schema), ensure_ascii=False))
    if "conversation" in ask.last:
        turns = "; ".join(f"{role}: {text}" for role, text in ask.turns)
        temperature, longest, stop = ask.limits
        limits = f"temperature {temperature}, {longest} tokens, stop at {stop or []}"
        return Answer(f"{GREETING} I read: {ask.system} | {turns} | {limits}")
    return Answer("Hello there.")


def signature(name: str, description: Any, parameters: Any) -> str:
    """A tool in one line: Gemini writes its types in capitals, and a parameter's order means nothing."""
    parameters = parameters or {}
    given = parameters.get("properties") or {}
    required = parameters.get("required") or []
    typed = [
        f"{key}{'' if key in required else '?'}: {str(value.get('type')).lower()} ({value.get('description')})"
        for key, value in sorted(given.items())
    ]
    return f"{name}({', '.join(typed)}) {description}"


def plain_result(value: Any) -> Any:
    """What a tool gave: some wires take text only, others objects only, which wrap a text as {"result": text}."""
    if isinstance(value, dict) and len(value) == 1 and set(value) <= {"result", "output", "content"}:
        return plain_result(next(iter(value.values())))
    if isinstance(value, list) and all(isinstance(part, dict) and "text" in part for part in value):
        return plain_result("".join(part["text"] for part in value))
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def text_of(content: Any) -> str:
    """The text of a message whose content is a text or a list of parts."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _example(schema: dict[str, Any], name: str = "it") -> Any:
    kind = str(schema.get("type")).lower()
    if kind == "object":
        return {key: _example(value, key) for key, value in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [_example(schema.get("items") or {}, name)]
    return {"integer": 41, "number": 1.5, "boolean": True}.get(kind, f"Zoë’s {name} ✓")
