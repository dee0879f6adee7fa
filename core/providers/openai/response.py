"""Answers on the OpenAI wire."""

from collections.abc import Sequence
from typing import Any

from core.domain.generation import Chunk, FinishReason, Quota, Request, ToolDelta, Usage
from core.providers.base import UNUSUAL, Several, tier_of, whole
from core.providers.http.events import Event
from core.providers.openai.usage import to_usage
from core.providers.schemas import Unwrapper, to_unwrap
from core.providers.tool_calls import CallReader

# OpenAI's own words, and those of other servers and of vendors behind them.
_WORDS_OF_END: dict[FinishReason, str] = {
    "stop": "stop eos eos_token end_turn stop_sequence complete",
    "length": "length max_tokens max_length model_length max_output_tokens model_context_window_exceeded",
    "content_filter": "content_filter safety sensitive refusal recitation blocklist prohibited_content spii",
    "tool_calls": "tool_calls function_call tool_use",
    "error": "error abort aborted cancelled timeout load network_error insufficient_system_resource"
    " malformed_function_call unexpected_tool_call malformed_response",
}
_FINISH: dict[str, FinishReason] = {word: end for end, words in _WORDS_OF_END.items() for word in words.split()}


def merged(events: Sequence[Event], keeps_raw: bool, is_counted: bool) -> tuple[list[dict[str, Any]], bytes | None]:
    """(values, bytes) of all that came together. The count that only we asked for is not passed on."""
    values = [event.value for event in events if event.value is not None]
    if not keeps_raw:
        return values, None
    shown = [e.raw for e in events if not e.is_done and (is_counted or e.value is None or e.value.get("choices"))]
    return values, shown[0] if len(shown) == 1 else b"".join(shown)


class Choices(Several):
    """Reads the answers to one request."""

    def __init__(self, request: Request) -> None:
        body = request.native.body if request.native is not None else {}
        n, best_of = (whole(body.get(name)) or 1 for name in ("n", "best_of"))
        super().__init__(request.n_answers * n // max(n, best_of))  # of the best of many, only some come back
        self._schema = to_unwrap(request, request.native_for("openai"))
        self._readers: dict[int, tuple[CallReader, Unwrapper]] = {}

    def read(
        self, values: Sequence[dict[str, Any]], raw: bytes | None, quota: Quota | None, *, is_whole: bool = False
    ) -> list[Chunk]:
        """See `together`. is_whole: There is no more to come."""
        self._is_whole = is_whole
        if self.n == 1:
            return [self._read(0, values, raw, quota)]
        said: dict[int, list[dict[str, Any]]] = {0: []}
        for value in values:
            for choice in value.get("choices") or ():
                alone = {**value, "choices": [{**choice, "index": 0}]}
                said.setdefault(whole(choice.get("index")) or 0, []).append(alone)
            if not value.get("choices"):
                said[0].append(value)
        return self.together({at: self._read(at, mine, None, quota) for at, mine in said.items()}, raw)

    def _read(self, at: int, values: Sequence[dict[str, Any]], raw: bytes | None, quota: Quota | None) -> Chunk:
        if at not in self._readers:
            self._readers[at] = CallReader(), Unwrapper(self._schema)
        calls, unwrapper = self._readers[at]
        chunk = to_chunk(values, raw, quota, calls)
        chunk.text = unwrapper.read(chunk.text, is_last=self._is_whole or chunk.finish_reason is not None)
        return chunk


def to_chunk(values: Sequence[dict[str, Any]], raw: bytes | None, quota: Quota | None, calls: CallReader) -> Chunk:
    """One chunk of several events; the last word on usage, finish and model counts."""
    texts, thoughts = [], []
    tools: list[ToolDelta] = []
    usage: Usage | None = None
    finish: FinishReason | None = None
    model = tier = reason = None
    for value in values:
        model = value.get("model") or model
        tier = tier_of(value.get("service_tier")) or tier
        choices = value.get("choices")
        if (counted := _counted(value, choices)) is not None:
            usage = to_usage(counted) or usage
        if not choices or not isinstance(choices[0], dict):
            continue
        choice = choices[0]
        if choice.get("index"):  # the first of several answers is the one that is recorded
            continue
        delta = choice.get("delta") or choice.get("message") or {}
        content = delta.get("content") if delta else choice.get("text")  # of a completion of a text
        if isinstance(content, list):
            thoughts.append(_joined(content, "thinking"))
            content = _joined(content, "text")
        texts.append(content if content and isinstance(content, str) else to_text(delta.get("refusal")))
        if "reasoning_content" in delta or "reasoning" in delta:
            thoughts.append(to_text(delta.get("reasoning_content")) or to_text(delta.get("reasoning")))
        if called := delta.get("tool_calls"):
            tools += calls.read(called, is_whole=not choice.get("delta"))
        tools += calls.read_legacy(delta.get("function_call"))
        if said := choice.get("finish_reason"):  # some servers send an empty one until they end
            finish, reason = _ended(str(said))
            tools += calls.end(is_cut=finish == "length")
    return Chunk(
        raw=raw,
        quota=quota,
        text=texts[0] if len(texts) == 1 else "".join(texts),
        thinking=thoughts[0] if len(thoughts) == 1 else "".join(thoughts),
        tools=tuple(tools),
        usage=usage,
        finish_reason=finish,
        reason=reason,
        response_model=to_text(model) or None,
        service_tier=tier,
    )


def _ended(said: str) -> tuple[FinishReason, str | None]:
    """(finish reason, the server's own word if it is unusual); Google's is `function_call_filter: MALFORMED_…`."""
    finish = _FINISH.get(said.rpartition(":")[2].strip().lower().replace("-", "_"), "other")
    return finish, said[:300] if finish in UNUSUAL else None


def _counted(value: dict[str, Any], choices: Any) -> Any:
    """The usage of an event; in streams Groq has it in `x_groq`, Moonshot beside the last chunk."""
    if (usage := value.get("usage")) is not None:
        return usage
    groq = value.get("x_groq")
    if isinstance(groq, dict):
        return groq.get("usage")
    return choices[0].get("usage") if choices and isinstance(choices[0], dict) else None


def _joined(parts: list[Any], kind: str) -> str:
    """The text of parts of a kind. Mistral's thinking models answer in parts, and think in parts of parts."""
    said = [part.get(kind) for part in parts if isinstance(part, dict)]
    return "".join(_joined(each, "text") if isinstance(each, list) else to_text(each) for each in said)


def to_text(value: Any) -> str:
    return value if isinstance(value, str) else ""
