"""Good requests with one bad value each: what schemathesis does not think of, such as NaN, half characters and numbers beyond 64 bits."""

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

DEEP = "[" * 900 + "]" * 900
HUGE = str(10**400)
# As they stand in JSON.
VALUES = (
    "null", "true", "0", "-1", "1e400", "-1e400", "NaN", "Infinity", "1e-320", "2147483648", "9223372036854775808", "-9223372036854775809",
    HUGE, '""', '" "', '"x"', r'"\u0000"', r'"\ud800"', r'"\udfff\ud800"', '"\u202e\u0000"', '"' + "é" * 5000 + '"', '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-14:00"', '"10000-01-01"', '"../../etc/passwd"', '"%2F%00"', "\"'; DROP TABLE keys; --\"", '"sim-fast"', "[]", "{}", "[null]",
    '[""]', r'["\ud800"]', '{"a": {"b": [NaN]}}', r'{"\ud800": 1}', DEEP, "[" * 200_000, "5", "0.5", '"\r\nx: y"',
)  # fmt: skip
PATHS = (
    "x",
    "%00",
    "%2F",
    "..%2F..",
    "%ff%fe",
    "%ED%A0%80",
    "a" * 8000,
    "%0d%0aX: y",
    "é",
    "%25",
    "'",
    "0",
    "-1",
    "nul%00l",
)
HEADERS = ("\udcff", "é", "x" * 8000, "1e999", "NaN", "-1", "9" * 400, ",,,,", "a," * 200, "\x7f", "0", "no", "00-" + "0" * 32 + "-x-01")  # fmt: skip
ALLOWED = frozenset({200, 201, 400, 401, 403, 404, 409, 413, 422, 429, 502, 504})
Told = Callable[[str], None]


class Asker:
    """One kept connection, and how often it was used."""

    def __init__(self, port: int, told: Told) -> None:
        self._port, self._told = port, told
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.n = 0

    def ask(self, method: str, path: str, raw: bytes | None, headers: dict[str, str], what: str) -> None:
        self.n += 1
        try:
            lines = {"content-type": "application/json", **headers} if raw is not None else headers
            encoded = {name: value.encode("utf-8", "surrogateescape") for name, value in lines.items()}
            self._connection.request(method, path, raw, encoded)  # type: ignore[arg-type]
            answer = self._connection.getresponse()
            status, body, kind = answer.status, answer.read(), answer.headers.get_content_type()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            return self._told(f"{method} {path[:100]} {what}: no answer, {type(error).__name__}: {error}")
        if status not in ALLOWED:
            return self._told(f"{method} {path[:100]} {what}: {status} {body[:300]!r}")
        if kind == "application/json":
            try:
                found = json.loads(body, parse_constant=_no_constant)
                body.decode()
            except ValueError as error:
                return self._told(
                    f"{method} {path[:100]} {what}: {status}, its body is not JSON: {error}; {body[:200]!r}"
                )
            if status >= 400 and "error" not in found:
                return self._told(f"{method} {path[:100]} {what}: {status} without an error: {body[:200]!r}")
        return None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def requests(known: dict[str, list[str]]) -> list[tuple[str, str, Any]]:
    """Every address that takes a body, with a good one."""
    experiment = known["experiment_id"][0]
    said = {
        "model": "sim-fast", "max_tokens": 5, "temperature": 0.5, "top_p": None, "seed": 1, "stop": ["x"], "stream": False, "n": 1,
        "user": "u", "frequency_penalty": None, "reasoning_effort": None, "service_tier": None, "fallbacks": ["sim-fast"], "tool_choice": "auto",
        "stream_options": {"include_usage": True}, "response_format": {"type": "text", "json_schema": {"schema": {"type": "object"}}},
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"google": {"thought_signature": "x"}}}]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
    }  # fmt: skip
    config = {
        "temperature": 0.5, "topP": 0.5, "maxOutputTokens": 5, "seed": 1, "stopSequences": ["x"], "responseMimeType": "text/plain",
        "responseSchema": {"type": "OBJECT"}, "thinkingConfig": {"thinkingBudget": 0, "thinkingLevel": "low"}, "frequencyPenalty": 0.0,
    }  # fmt: skip
    content = {
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}, "id": "c"}, "thoughtSignature": "x"}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "id": "c", "response": {"result": "r"}}}]},
        ],
        "systemInstruction": {"parts": [{"text": "s"}]}, "generationConfig": config, "serviceTier": "standard",
        "tools": [{"functionDeclarations": [{"name": "f", "description": "d", "parameters": {"type": "OBJECT"}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    }  # fmt: skip
    plain = {
        "contents": [{"parts": [{"text": "Hi"}]}],
        "generationConfig": {"maxOutputTokens": 5},
        "systemInstruction": "s",
    }
    arm = {
        "model": "sim-fast",
        "name": "n",
        "system": "s",
        "weight": 1,
        "parameters": {"temperature": 0.5, "seed": 1},
        "prompt_version": "1",
    }
    outcome = {"variant": "variant_a", "success": True, "rating": 3, "number": 1.5, "text": "t", "user_id": "u"}
    design = {
        "name": "n", "hypothesis": "h", "unit": "user", "primary": "success", "secondary": ["rating"], "guardrails": [{"metric": "cost", "margin": 1}],
        "margin": 0.0, "smallest_effect": 0.1, "audience": 0.5, "internal_units": ["u"], "confidence_level": 0.9, "tuned_for": 1000, "window_days": 1,
        "max_days": 10, "variants": ["sim-fast", arm],
    }  # fmt: skip
    generate = {
        "prompt": "Hi", "model": "sim-fast", "system": "s", "temperature": 0.5, "max_tokens": 5, "seed": 1, "json_schema": {"type": "object"},
        "user": "u", "tags": ["t"], "max_cost_usd": 1,
    }  # fmt: skip
    price = {
        "provider": "openai", "model": "m", "input": 1, "output": 2, "note": "n", "effective_from": "2026-01-01", "above": {"1000": {"input": 2}},
        "tiers": {"batch": 0.5}, "cached_input": 0.1,
    }  # fmt: skip
    budget = {
        "name": "n",
        "limit_usd": 5,
        "period": "rolling",
        "rolling_hours": 3,
        "timezone": "UTC",
        "scope": "user:u",
        "thresholds": [0.5],
        "forecast_thresholds": [1.0],
    }
    key = {
        "name": "n",
        "scopes": ["call"],
        "models": ["m*"],
        "tags": ["t"],
        "rpm": 5,
        "user_rpm": 5,
        "expires_at": "2030-01-01",
        "budget": {"limit_usd": 5, "period": "day"},
    }
    e = f"/api/experiment/{experiment}"
    return [
        ("POST", "/v1/chat/completions", {**said, "stream": True}),
        ("POST", "/v1/chat/completions", said),
        ("POST", "/v1/chat/completions", {"model": "sim-fast", "messages": [{"role": "user", "content": "Hi"}], "tools": None}),
        ("POST", "/v1/chat/completions", {"model": "exp:fuzz", "user": "u", "messages": [{"role": "user", "content": "Hi"}]}),
        ("POST", "/v1/embeddings", {"model": "sim-fast", "input": ["a", [1, 2]], "dimensions": 4, "encoding_format": "base64", "user": "u"}),
        ("POST", "/v1/feedback", {**{n: v for n, v in outcome.items() if n not in ("variant", "user_id")}, "generation_id": known["generation_id"][0]}),
        ("POST", "/v1/feedback", {"assignment_id": known["assignment_id"][0], "success": True, "number": 1}),
        ("POST", "/gemini/v1beta/models/sim-fast:generateContent", content),
        ("POST", "/gemini/v1beta/models/sim-fast:generateContent", plain),
        ("POST", "/gemini/v1beta/models/sim-fast:streamGenerateContent?alt=sse", plain),
        ("POST", "/gemini/v1beta/models/sim-fast:countTokens", {"generateContentRequest": content}),
        ("POST", "/api/generate", generate),
        ("POST", "/api/cost/estimate", generate),
        ("POST", "/api/workflow", {"template": "translation", "input": "Hi", "model": "sim-fast", "inputs": {"target_language": "German"}, "max_cost_usd": 1}),
        ("POST", "/api/compare", {"models": ["sim-fast", "sim-fast"], "prompt": "Hi", "system": "s"}),
        ("POST", "/api/experiment", design),
        ("POST", "/api/experiment", {"name": "n", "variant_a": "sim-fast", "variant_b": arm}),
        ("PATCH", e, {"weights": [1, 1]}),
        ("PATCH", e, {"variants": ["sim-fast", arm]}),
        ("POST", f"{e}/assign", {"user_id": "u", "variant": "variant_a"}),
        ("POST", f"{e}/test", {"user_id": "u", "prompt": "Hi", "variant": None}),
        ("POST", f"{e}/record", outcome),
        ("POST", f"{e}/record", {"results": [outcome, outcome]}),
        ("POST", f"{e}/promote", {"alias": "fuzz", "variant": "variant_a"}),
        ("POST", f"/api/experiment/{known['experiment_id'][-1]}/decide", {"variant": "variant_a", "why": "w"}),
        ("PUT", "/api/aliases/fuzz", {"model": "sim-fast", "system": "s", "parameters": {"seed": 1}, "prompt_version": "1", "note": "n"}),
        ("POST", "/api/prices", price),
        ("POST", "/api/prices", {"provider": "openai", "model": "m", "discount_percent": 5}),
        ("POST", "/api/prices/reprice", {"provider": "openai", "model": "m", "since": "2026-01-01", "until": "2026-02-01", "only_unpriced": True, "apply": False}),
        ("POST", "/api/budgets", budget),
        ("PATCH", f"/api/budgets/{known['budget_id'][0]}", budget),
        ("POST", f"/api/budgets/{known['budget_id'][0]}/raise", {"extra_usd": 1, "reason": "r", "expires_at": "2030-01-01"}),
        ("POST", "/api/keys", key),
        ("PATCH", f"/api/keys/{known['key_id'][0]}", {n: v for n, v in key.items() if n != "budget"}),
    ]  # fmt: skip


Made = Callable[[Any], Any]


def places(part: Any, path: str = "") -> Iterator[tuple[str, Made]]:
    """Each place in a value, with the function that puts something else there."""
    keys: list[Any] = list(part) if isinstance(part, dict) else list(range(len(part))) if isinstance(part, list) else []
    for key in keys:
        yield f"{path}.{key}", lambda value, key=key: with_value(part, key, value)
        for where, made in places(part[key], f"{path}.{key}"):
            yield where, lambda value, key=key, made=made: with_value(part, key, made(value))


def with_value(part: Any, key: Any, value: Any) -> Any:
    return {**part, key: value} if isinstance(part, dict) else [*part[:key], value, *part[key + 1 :]]


def spoilt(body: Any) -> Iterator[tuple[str, str]]:
    """(which place holds what, the body as JSON): each place of the body with each bad value, and one field too many."""
    marker = "\x01here\x01"
    targets: list[tuple[str, Made]] = [*places(body), ("all", lambda value: value)]
    targets.append(("more", lambda value: with_value(body, "more", value)))
    for where, made in targets:
        text = json.dumps(made(marker))
        for value in VALUES:
            yield f"{where} = {value[:40]}", text.replace(json.dumps(marker), value)


def fuzz(port: int, known: dict[str, list[str]], told: Told, most: int) -> int:
    """How many requests were sent; `told` hears of each that got no proper answer. most: of each address and body."""
    asker = Asker(port, told)
    for method, path, body in requests(known):
        found = list(spoilt(body))
        step = max(1, -(-len(found) // most))
        for what, text in found[::step]:
            asker.ask(method, path, text.encode("utf-8", "surrogatepass"), {}, what)
        asker.ask(method, path, b'{"a": "\xff"}', {}, "bytes that are no UTF-8")
        asker.ask(method, path, b"", {}, "no body")
        asker.ask(method, path, b"x" * (8 * 1024 * 1024 + 1), {}, "too large")
    _addresses(asker, known)
    _headers(asker)
    return asker.n


def _addresses(asker: Asker, known: dict[str, list[str]]) -> None:
    reads = ("/v1/models/{}", "/gemini/v1beta/models/{}", "/api/experiment/{}", "/api/experiment/{}/stats", "/api/experiment/{}/decision", "/{}", "/v1/{}", "/gemini/{}", "/api/{}")  # fmt: skip
    for value in PATHS:
        safe = quote(value, safe="%/'")
        for form in reads:
            asker.ask("GET", form.format(safe), None, {}, "address")
        for form in ("/api/aliases/{}", "/api/budgets/{}", "/api/keys/{}", "/api/prices/{}"):
            asker.ask("DELETE", form.format(safe), None, {}, "address")
        for action in ("generateContent", "streamGenerateContent", "countTokens"):
            body = json.dumps({"contents": [{"parts": [{"text": "Hi"}]}]}).encode()
            asker.ask("POST", f"/gemini/v1beta/models/{safe}:{action}?alt=sse", body, {}, "address")
        asker.ask("PUT", f"/api/aliases/{safe}", b'{"model": "sim-fast"}', {}, "address")
        asker.ask("POST", f"/api/experiment/{safe}/stop", b"", {}, "address")
    dates = (
        "0001-01-01T00:00:00%2B14:00",
        "9999-12-31T23:59:59-14:00",
        "x",
        "%00",
        "%ff",
        "",
        "2026-11-31",
        "1e9",
        "-1",
        "2026-01-01T00:00:00%2B99:00",
    )
    for date in dates:
        for name in ("from", "to", "bucket", "model", "simulated"):
            for address in ("/api/metrics", "/api/costs"):
                asker.ask("GET", f"{address}?{name}={date}", None, {}, "query")


def _headers(asker: Asker) -> None:
    body = json.dumps({"model": "sim-fast", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}).encode()
    names = ("x-aimm-user", "x-aimm-tags", "x-aimm-fallbacks", "x-aimm-cap-usd", "x-aimm-cache", "x-aimm-no-store", "traceparent", "Idempotency-Key", "authorization", "content-type", "origin", "content-encoding")  # fmt: skip
    for name in names:
        for value in HEADERS:
            asker.ask("POST", "/v1/chat/completions", body, {name: value}, f"{name}: {value[:20]!r}")
            asker.ask(
                "POST",
                "/api/generate",
                b'{"model": "sim-fast", "prompt": "Hi"}',
                {name: value},
                f"{name}: {value[:20]!r}",
            )
