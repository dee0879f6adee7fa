"""Each vendor's wire: its request read into an Ask, and an Answer written as its plain body or as events of a stream.

All of them count the same: 40 tokens in, 8 of these cached; 20 out, 5 of these thinking.
"""

import json
from collections.abc import Iterator
from typing import Any

from clients.asks import Answer, Ask, plain_result, signature, text_of

Body = dict[str, Any]
Event = tuple[str, Any]
GEMINI_SIGNATURE = "c2lnbmF0dXJl"


class OpenAI:
    @staticmethod
    def read(body: Body) -> Ask:
        ask = Ask(body["model"])
        calls: dict[str, tuple[str, Any]] = {}
        for message in body["messages"]:
            role, text = message["role"], text_of(message.get("content"))
            if role in ("system", "developer"):
                ask.system += text
            elif role == "tool":
                name, given = calls.get(message["tool_call_id"], ("unknown id", None))
                ask.results.append((name, given, plain_result(message["content"])))
            else:
                ask.turns += [(role, text)] if text else []
                ask.results = [] if role == "user" else ask.results
            for call in message.get("tool_calls") or ():
                calls[call["id"]] = (call["function"]["name"], json.loads(call["function"]["arguments"]))
        for tool in body.get("tools") or ():
            function = tool["function"]
            ask.tools.append(signature(function["name"], function.get("description"), function.get("parameters")))
        format_of = body.get("response_format") or {}
        ask.schema = (format_of.get("json_schema") or {}).get("schema")
        stop = body.get("stop")
        longest = body.get("max_completion_tokens") or body.get("max_tokens")
        ask.limits = (body.get("temperature"), longest, [stop] if isinstance(stop, str) else stop)
        return ask

    @staticmethod
    def plain(ask: Ask, answer: Answer) -> Body:
        message: Body = {"role": "assistant", "content": answer.text or None, "refusal": None}
        if answer.calls:
            message["tool_calls"] = [_openai_call(at, *call) for at, call in enumerate(answer.calls)]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _openai_finish(answer)}
        head = _openai_head(ask, "chat.completion")
        return {**head, "choices": [choice], "usage": _openai_usage(), "service_tier": "default"}

    @staticmethod
    def events(ask: Ask, answer: Answer, body: Body) -> Iterator[Event]:
        """Usage comes only when asked for, in a chunk of its own; the others then say null."""
        counts = bool((body.get("stream_options") or {}).get("include_usage"))
        head = _openai_head(ask, "chat.completion.chunk") | ({"usage": None} if counts else {})

        def chunk(delta: Body, finish: str | None = None) -> Event:
            return "", {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

        yield chunk({"role": "assistant", "content": "" if answer.text else None, "refusal": None})
        for piece in _pieces(answer.text):
            yield chunk({"content": piece})
        for at, (name, given) in enumerate(answer.calls):
            call = _openai_call(at, name, given)
            yield chunk({"tool_calls": [{"index": at, **call, "function": {"name": name, "arguments": ""}}]})
            for piece in _pieces(call["function"]["arguments"]):
                yield chunk({"tool_calls": [{"index": at, "function": {"arguments": piece}}]})
        yield chunk({}, _openai_finish(answer))
        if counts:
            yield "", {**head, "choices": [], "usage": _openai_usage()}
        yield "", "[DONE]"


class Anthropic:
    @staticmethod
    def read(body: Body) -> Ask:
        ask = Ask(body["model"], system=text_of(body.get("system")))
        calls: dict[str, tuple[str, Any]] = {}
        for message in body["messages"]:
            content = message["content"]
            parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
            text = text_of([part for part in parts if part["type"] == "text"])
            if text:
                ask.turns.append((message["role"], text))
                ask.results = [] if message["role"] == "user" else ask.results
            calls |= {part["id"]: (part["name"], part["input"]) for part in parts if part["type"] == "tool_use"}
            for part in parts:
                if part["type"] == "tool_result":
                    name, given = calls.get(part["tool_use_id"], ("unknown id", None))
                    ask.results.append((name, given, plain_result(part.get("content"))))
        for tool in body.get("tools") or ():
            ask.tools.append(signature(tool["name"], tool.get("description"), tool.get("input_schema")))
        format_of = (body.get("output_config") or {}).get("format") or {}
        ask.schema = format_of.get("schema")
        ask.limits = (body.get("temperature"), body.get("max_tokens"), body.get("stop_sequences"))
        return ask

    @staticmethod
    def plain(ask: Ask, answer: Answer) -> Body:
        content = [{"type": "text", "text": answer.text}] if answer.text else []
        content += [_anthropic_call(at, *call) for at, call in enumerate(answer.calls)]
        usage = _anthropic_input() | _anthropic_output()
        return _anthropic_head(ask) | {"content": content, "usage": usage, "stop_reason": _anthropic_finish(answer)}

    @staticmethod
    def events(ask: Ask, answer: Answer, _body: Body) -> Iterator[Event]:
        def event(kind: str, **more: Any) -> Event:
            return kind, {"type": kind, **more}

        def block(at: int, start: Body, deltas: list[Body]) -> Iterator[Event]:
            yield event("content_block_start", index=at, content_block=start)
            for delta in deltas:
                yield event("content_block_delta", index=at, delta=delta)
            yield event("content_block_stop", index=at)

        usage = _anthropic_input() | {"output_tokens": 1}
        yield event("message_start", message=_anthropic_head(ask) | {"content": [], "usage": usage})
        yield event("ping")
        if answer.text:
            deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(answer.text)]
            yield from block(0, {"type": "text", "text": ""}, deltas)
        for at, (name, given) in enumerate(answer.calls):
            pieces = ["", *_pieces(json.dumps(given))]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            yield from block(at, _anthropic_call(at, name, {}), deltas)
        end = {"stop_reason": _anthropic_finish(answer), "stop_sequence": None}
        yield event("message_delta", delta=end, usage=_anthropic_output())
        yield event("message_stop")


class Gemini:
    @staticmethod
    def read(body: Body) -> Ask:
        ask = Ask(body["model"], system=text_of((body.get("systemInstruction") or {}).get("parts")))
        calls: list[Body] = []
        for content in body["contents"]:
            parts = content["parts"]
            text = text_of([part for part in parts if not part.get("thought")])
            if text:
                ask.turns.append(("assistant" if content.get("role") == "model" else "user", text))
            if text and content.get("role") != "model":
                ask.results = []
            calls += [part["functionCall"] for part in parts if "functionCall" in part]
            for result in [part["functionResponse"] for part in parts if "functionResponse" in part]:
                at = next((at for at, call in enumerate(calls) if call["name"] == result["name"]), None)
                given = None if at is None else calls.pop(at).get("args")
                ask.results.append((result["name"], given, plain_result(result["response"])))
        for tool in body.get("tools") or ():
            for each in tool.get("functionDeclarations") or ():
                parameters = (
                    each.get("parametersJsonSchema") or each.get("parameters_json_schema") or each.get("parameters")
                )
                ask.tools.append(signature(each["name"], each.get("description"), parameters))
        config = body.get("generationConfig") or {}
        ask.schema = config.get("responseJsonSchema") or config.get("responseSchema")
        ask.limits = (config.get("temperature"), config.get("maxOutputTokens"), config.get("stopSequences"))
        return ask

    @staticmethod
    def plain(ask: Ask, answer: Answer) -> Body:
        parts = [{"text": answer.text}] if answer.text else []
        return _gemini_chunk(ask, parts + _gemini_calls(answer), "STOP")

    @staticmethod
    def events(ask: Ask, answer: Answer, _body: Body) -> Iterator[Event]:
        groups = [[{"text": piece}] for piece in _pieces(answer.text)]
        groups += [[part] for part in _gemini_calls(answer)]
        for number, parts in enumerate(groups, start=1):
            yield "", _gemini_chunk(ask, parts, "STOP" if number == len(groups) else None)


def _pieces(text: str, size: int = 5) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _openai_head(ask: Ask, kind: str) -> Body:
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": 1_790_000_000,
        "model": ask.model,
        "system_fingerprint": "fp",
    }


def _openai_call(at: int, name: str, given: Body) -> Body:
    return {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}


def _openai_finish(answer: Answer) -> str:
    return "tool_calls" if answer.calls else "stop"


def _openai_usage() -> Body:
    return {
        "prompt_tokens": 40,
        "completion_tokens": 20,
        "total_tokens": 60,
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0},
    }


def _anthropic_head(ask: Ask) -> Body:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": ask.model}
    return head | {"stop_reason": None, "stop_sequence": None}


def _anthropic_call(at: int, name: str, given: Body) -> Body:
    return {"type": "tool_use", "id": f"toolu_{at}", "name": name, "input": given}


def _anthropic_finish(answer: Answer) -> str:
    return "tool_use" if answer.calls else "end_turn"


def _anthropic_input() -> Body:
    """The cached tokens are not among the input's."""
    return {"input_tokens": 32, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 0}


def _anthropic_output() -> Body:
    return {"output_tokens": 20, "output_tokens_details": {"thinking_tokens": 5}}


def _gemini_calls(answer: Answer) -> list[Body]:
    """Only the first of several calls carries the signature of the thought before them."""
    parts: list[Body] = [{"functionCall": {"name": name, "args": given}} for name, given in answer.calls]
    if parts:
        parts[0]["thoughtSignature"] = GEMINI_SIGNATURE
    return parts


def _gemini_chunk(ask: Ask, parts: list[Body], finish: str | None) -> Body:
    """The thoughts are not among the candidates' tokens."""
    usage = {"promptTokenCount": 40, "cachedContentTokenCount": 8, "candidatesTokenCount": 15, "thoughtsTokenCount": 5}
    candidate = {
        "index": 0,
        "content": {"role": "model", "parts": parts},
        **({"finishReason": finish} if finish else {}),
    }
    counted = usage | {"totalTokenCount": 60}
    return {"candidates": [candidate], "usageMetadata": counted, "modelVersion": ask.model, "responseId": "r1"}
