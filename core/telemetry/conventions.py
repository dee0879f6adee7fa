"""Names that OpenTelemetry's GenAI conventions give the facts of a call: one table, because their names still move.

Each name stands as it is deployed today and, where it differs, as the newest draft has it (`latest`); which one is sent
says OTEL_SEMCONV_STABILITY_OPT_IN. There is no standard name for money, hence `aimm.cost.*`. Prompts, answers, error
messages and users have no row here, so they cannot be sent. Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from core.domain.generation import Generation
from core.domain.metrics import CallFacts
from core.vendors import VENDORS

Value = str | bool | int | float | Sequence[str]

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = tuple(4**power for power in range(14))


class Attribute(NamedTuple):
    """of: its value for a call; None = the call has none."""

    name: str
    of: Callable[[Generation, CallFacts], Value | None]
    latest: str = ""


def _parameter(name: str) -> Callable[[Generation, CallFacts], Value | None]:
    return lambda g, facts: getattr(g.parameters, name)


def _tokens(name: str) -> Callable[[Generation, CallFacts], int | None]:
    return lambda g, facts: getattr(g.usage, name) or None


def _written(g: Generation, facts: CallFacts) -> int | None:
    return (g.usage.cache_write_tokens + g.usage.cache_write_1h_tokens) or None


def _ref(kind: str) -> Callable[[Generation, CallFacts], Value | None]:
    return lambda g, facts: g.ref_name.partition(":")[2] if g.ref_name.startswith(f"{kind}:") else None


def _of_experiment(name: str) -> Callable[[Generation, CallFacts], Value | None]:
    return lambda g, facts: getattr(g, name) if g.ref_name.startswith("experiment:") else None


def _output_type(g: Generation, facts: CallFacts) -> str | None:
    if g.operation != "chat":
        return None
    return "json" if g.parameters.json_schema is not None or g.parameters.json_object else "text"


def _first_chunk(g: Generation, facts: CallFacts) -> float | None:
    return g.ttft_s if facts.is_streamed else None


def provider_name(g: Generation) -> str:
    spec = VENDORS.get(g.provider)
    return (spec.telemetry if spec else "") or g.provider


def error_type(g: Generation) -> str | None:
    """The class of what went wrong; None for what was answered or stopped."""
    return None if g.status in ("ok", "stopped") else g.error_class or g.status


ATTRIBUTES = (
    Attribute("gen_ai.operation.name", lambda g, facts: g.operation),
    Attribute("gen_ai.provider.name", lambda g, facts: provider_name(g)),
    Attribute("gen_ai.request.model", lambda g, facts: g.request_model),
    Attribute("gen_ai.response.model", lambda g, facts: g.response_model),
    Attribute("error.type", lambda g, facts: error_type(g)),
    Attribute("gen_ai.output.type", _output_type),
    Attribute("gen_ai.request.temperature", _parameter("temperature")),
    Attribute("gen_ai.request.top_p", _parameter("top_p")),
    Attribute("gen_ai.request.max_tokens", _parameter("max_tokens")),
    Attribute("gen_ai.request.seed", _parameter("seed")),
    Attribute("gen_ai.request.frequency_penalty", _parameter("frequency_penalty")),
    Attribute("gen_ai.request.presence_penalty", _parameter("presence_penalty")),
    Attribute("gen_ai.request.reasoning.level", _parameter("thinking_level")),
    Attribute("gen_ai.request.stream", lambda g, facts: facts.is_streamed or None),
    Attribute("gen_ai.response.finish_reasons", lambda g, facts: (g.finish_reason,) if g.finish_reason else None),
    Attribute("gen_ai.response.time_to_first_chunk", _first_chunk),
    Attribute("gen_ai.usage.input_tokens", _tokens("input_tokens")),
    Attribute("gen_ai.usage.output_tokens", _tokens("output_tokens")),
    Attribute("gen_ai.usage.cache_read.input_tokens", _tokens("cached_tokens")),
    Attribute("gen_ai.usage.cache_creation.input_tokens", _written, "gen_ai.usage.cache_write.input_tokens"),
    Attribute("gen_ai.usage.reasoning.output_tokens", _tokens("thinking_tokens")),
    Attribute("gen_ai.workflow.name", _ref("workflow")),
    Attribute("feature_flag.key", _ref("experiment")),
    Attribute("feature_flag.set.id", _of_experiment("ref_id")),
    Attribute("feature_flag.context.id", _of_experiment("ref_part")),  # the assignment: it does not tell who
    Attribute("feature_flag.provider.name", lambda g, facts: "aimm" if g.ref_name.startswith("experiment:") else None),
    Attribute("aimm.generation.id", lambda g, facts: g.id),
    Attribute("aimm.source", lambda g, facts: g.source),
    Attribute("aimm.status", lambda g, facts: g.status),
    Attribute("aimm.cost.usd", lambda g, facts: None if g.cost_usd is None else float(g.cost_usd)),
    Attribute("aimm.cost.status", lambda g, facts: g.cost_status),
    Attribute("aimm.price.id", lambda g, facts: g.price_id or None),
    Attribute("aimm.attempts", lambda g, facts: g.n_attempts),
    Attribute("aimm.overhead_s", lambda g, facts: facts.overhead_s),
    Attribute("aimm.cache.hit", lambda g, facts: facts.is_hit or None),
    Attribute("aimm.fallback.from", lambda g, facts: facts.fallback_from or None),
)


class Instrument(NamedTuple):
    """A metric. of: what a call adds to it; None = nothing. edges: of a histogram; empty = it is a counter.

    labels: What it carries beside the labels of every metric. operation: of which calls it is; empty = of all.
    """

    name: str
    unit: str
    text: str
    of: Callable[[Generation, CallFacts], float | None]
    edges: Sequence[float] = ()
    labels: Mapping[str, str] = {}
    operation: str = ""
    has_error: bool = False


def _duration(g: Generation, facts: CallFacts) -> float:
    return g.latency_s


_INPUT, _OUTPUT = {"gen_ai.token.type": "input"}, {"gen_ai.token.type": "output"}
_UNTOLD = {"gen_ai.token.modality": "unknown"}
_USED = "Number of input and output tokens used."
_TOOK = "GenAI operation duration."
_FIRST = "Time to receive the first chunk."
_READ, _MADE = "Input tokens of an operation.", "Output tokens of an operation."
_INFERENCE, _EMBEDDINGS = "gen_ai.client.inference", "gen_ai.client.embeddings"
_N_READ, _N_MADE = _tokens("input_tokens"), _tokens("output_tokens")

TODAY = (
    Instrument("gen_ai.client.token.usage", "{token}", _USED, _tokens("input_tokens"), TOKENS, _INPUT),
    Instrument("gen_ai.client.token.usage", "{token}", _USED, _tokens("output_tokens"), TOKENS, _OUTPUT),
    Instrument("gen_ai.client.operation.duration", "s", _TOOK, _duration, SECONDS, has_error=True),
    Instrument("gen_ai.client.operation.time_to_first_chunk", "s", _FIRST, _first_chunk, SECONDS),
)
LATEST = (
    *(
        Instrument(f"{_INFERENCE}.usage.{name}", "{token}", text, of, labels=_UNTOLD, operation="chat")
        for name, text, of in (
            ("input_tokens", "Input tokens used, cached ones included.", _tokens("input_tokens")),
            ("output_tokens", "Output tokens used, reasoning included.", _tokens("output_tokens")),
            ("cache_read.input_tokens", "Input tokens read from a cache.", _tokens("cached_tokens")),
            ("cache_write.input_tokens", "Input tokens written to a cache.", _written),
            ("reasoning.output_tokens", "Output tokens used for reasoning.", _tokens("thinking_tokens")),
        )
    ),
    Instrument(f"{_INFERENCE}.operation.input_tokens", "{token}", _READ, _N_READ, TOKENS, operation="chat"),
    Instrument(f"{_INFERENCE}.operation.output_tokens", "{token}", _MADE, _N_MADE, TOKENS, operation="chat"),
    Instrument(f"{_INFERENCE}.duration", "s", _TOOK, _duration, SECONDS, operation="chat", has_error=True),
    Instrument(f"{_INFERENCE}.time_to_first_chunk", "s", _FIRST, _first_chunk, SECONDS, operation="chat"),
    Instrument(f"{_EMBEDDINGS}.operation.input_tokens", "{token}", _READ, _N_READ, TOKENS, operation="embeddings"),
    Instrument(f"{_EMBEDDINGS}.duration", "s", _TOOK, _duration, SECONDS, operation="embeddings", has_error=True),
)


def attributes(g: Generation, facts: CallFacts, *, is_latest: bool = False) -> dict[str, Value]:
    """The attributes of a call's span."""
    found = ((row.latest if is_latest and row.latest else row.name, row.of(g, facts)) for row in ATTRIBUTES)
    return {name: value for name, value in found if value is not None}


def labels(g: Generation, instrument: Instrument) -> dict[str, str]:
    """The labels of a metric: few values, never a person."""
    found = {
        "gen_ai.operation.name": g.operation,
        "gen_ai.provider.name": provider_name(g),
        "gen_ai.request.model": g.request_model,
        "gen_ai.response.model": g.response_model,
        "error.type": error_type(g) if instrument.has_error else None,
        **instrument.labels,
    }
    return {name: value for name, value in found.items() if value is not None}
