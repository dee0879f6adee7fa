"""Checks of the call beside its text: latency, cost, the finish reason, tools called with arguments. Pure."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from core.checks import javascript as js
from core.checks.kinds.loose_json import objects
from core.checks.model import CheckError, Given, Outcome, shown, yes_no


def latency(given: Given) -> Outcome:
    limit = _limit(given, "milliseconds")
    found = given.facts.latency_ms
    if found is None:
        raise CheckError("latency: the answer was taken over from an earlier run, or its time is not known")
    return yes_no(found <= limit, f"{found:g} ms, the limit is {limit:g} ms")


def cost(given: Given) -> Outcome:
    limit = _limit(given, "US dollars")
    found = given.facts.cost_usd
    if found is None:
        raise CheckError("cost: the price of the answer is not known")
    return yes_no(float(found) <= limit, f"{float(found):g} USD, the limit is {limit:g} USD")


def _limit(given: Given, unit: str) -> float:
    limit = given.check.get("threshold")
    if not isinstance(limit, int | float) or isinstance(limit, bool):
        raise CheckError(f"{given.kind} needs a threshold in {unit}")
    return float(limit)


def finish_reason(given: Given) -> Outcome:
    """The reason that the model stopped for, in any case: stop, length, content_filter, tool_calls."""
    if not isinstance(given.value, str):
        raise CheckError(f"finish-reason needs a text, has {shown(given.value)}")
    found = given.facts.finish_reason
    if not found:
        return yes_no(False, "the answer has no finish reason")
    told = f"the finish reason is {found}"
    return yes_no(given.value.lower() == found.lower(), f"{told}, not {given.value}", told)


def tool_called(given: Given) -> Outcome:
    """A tool was called: its name, or {name, arguments, mode}. Unless mode is exact, other arguments do not matter."""
    value = {"name": given.value} if isinstance(given.value, str) else given.value
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str) or not value["name"]:
        raise CheckError("tool-called needs a tool's name, or {name, arguments}")
    if unknown := set(value) - {"name", "arguments", "mode"}:
        raise CheckError(f"tool-called has name, arguments and mode, not {', '.join(sorted(map(str, unknown)))}")
    if value.get("mode", "partial") not in ("partial", "exact"):
        raise CheckError(f"tool-called: mode is partial or exact, not {shown(value['mode'])}")
    calls = tool_calls(given)
    named = [arguments for name, arguments in calls if name == value["name"]]
    if not named:
        return yes_no(
            False, f"{value['name']} was not called; called: {', '.join(name for name, _ in calls) or 'none'}"
        )
    if "arguments" not in value:
        return yes_no(True, f"{value['name']} was called")
    is_exact, expected = value.get("mode") == "exact", value["arguments"]
    found = any(js.is_same(each, expected) if is_exact else _holds(each, expected) for each in named)
    told = f"{value['name']} was called with {shown('; '.join(map(js.json_text, named)))}"
    return yes_no(found, f"{told}, not with {shown(js.json_text(expected))}", told)


def _holds(found: Any, expected: Any) -> bool:
    """All that is expected is there; objects may hold more. A text from a cell equals the number it names."""
    if isinstance(expected, Mapping):
        return isinstance(found, Mapping) and all(
            key in found and _holds(found[key], expected[key]) for key in expected
        )
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(_holds, found, expected))
    is_number = isinstance(found, int | float)
    return js.is_same(found, expected) or (isinstance(expected, str) and is_number and js.text_of(found) == expected)


def tool_call_f1(given: Given) -> Outcome:
    """F1 of the names of the tools called and expected, each once; the score is not turned round by `not-`."""
    value = given.value.split(",") if isinstance(given.value, str) else given.value
    if not isinstance(value, list):
        raise CheckError("tool-call-f1 needs a list of tools' names, or a text with commas")
    expected = {name for each in value if (name := js.trim(js.text_of(each)))}
    if not expected:
        raise CheckError("tool-call-f1 needs at least one tool's name")
    called = {name for name, _ in tool_calls(given)}
    score = 2 * len(expected & called) / (len(expected) + len(called))
    threshold = given.threshold(1)
    reason = f"F1 is {score:.3f}, the threshold {threshold:g}; called: {', '.join(sorted(called)) or 'none'}"
    return Outcome((score >= threshold) != given.is_inverse, score, reason, is_kept=True)


def tool_calls(given: Given) -> list[tuple[str, Any]]:
    """Name and arguments of each call, as the call's record has them; else as the answer's JSON holds them."""
    if given.facts.tool_calls is not None:
        return [call for each in given.facts.tool_calls for call in _calls_in(each)]
    try:
        found = [js.parse_json(given.output) if isinstance(given.output, str) else given.output]
    except ValueError:
        found = objects(given.output)
    return [call for each in found if not _is_plain(each) for call in _calls_in(each)]


def _is_plain(value: Any) -> bool:
    """An object that only has a name is no call, unless it stands in a list of calls or says that it is one."""
    is_named = isinstance(value, Mapping) and isinstance(value.get("name"), str)
    return is_named and value.get("type") not in ("tool_use", "function_call")


def _calls_in(value: Any) -> list[tuple[str, Any]]:
    """The calls in any vendor's shape: OpenAI's, Anthropic's, Gemini's, or plain {name, arguments}."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [call for each in value for call in _calls_in(each)]
    if not isinstance(value, Mapping):
        return []
    for inner in ("tool_calls", "toolCall", "functionCalls", "functionCall", "function"):
        if isinstance(value.get(inner), Mapping | list):
            return _calls_in(value[inner])
    name = value.get("name")
    if not isinstance(name, str):
        return []
    arguments: Any = next((value[key] for key in ("arguments", "input", "args") if key in value), {})
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError):  # a broken text stays one, and equals no object
            arguments = js.parse_json(arguments)
    return [(name, arguments)]
