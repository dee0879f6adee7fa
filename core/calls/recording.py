"""The record of a call: from what was asked, what came of it and a price to a generation. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.calls.accounting import Account, estimated_usage, settle, settle_cached
from core.calls.answer import ModelAnswer
from core.calls.call import Call, Origin
from core.config import LogContent
from core.domain.generation import CONTRADICTORY, ESTIMATED, Generation, Usage
from core.domain.price import Price
from core.errors import AimmError
from core.formats.text import storable

_CONTENT: tuple[LogContent, ...] = ("none", "metadata", "full")
_MEDIA = ("output_image_tokens", "output_video_tokens")
_NOT_KEPT = "The answer has pictures, video or sound: callers of the vendor's own wire get them, nobody else does."


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """The facts of a call beside its record, for those who count calls or trace them.

    overhead_s: Our own share of the latency.
    n_retries: Attempts after the first.
    fallback_from: The model that should have answered; empty = it did.
    fallback_reason: The class of its error.
    is_hit: The answer is a cached response.
    is_streamed: It was asked for chunk by chunk.
    traceparent: The caller's trace, as W3C writes it; empty = none.
    """

    overhead_s: float
    n_retries: int = 0
    fallback_from: str = ""
    fallback_reason: str = ""
    is_hit: bool = False
    is_streamed: bool = True
    traceparent: str = ""


Observer = Callable[[Generation, CallFacts], None]


def facts_of(call: Call, answer: ModelAnswer) -> CallFacts:
    model, _, reason = call.answerer.fallback_from.partition(" ")
    return CallFacts(
        overhead_s=answer.overhead_s,
        n_retries=max(0, answer.n_attempts - 1),
        fallback_from=model,
        fallback_reason=reason,
        is_hit=answer.is_hit,
        is_streamed=call.request.is_streamed,
        traceparent=call.origin.traceparent,
    )


def content_kept(log_content: LogContent, origin: Origin) -> LogContent:
    """The texts of a call that may be kept: as few as the server, its key and its caller each allow."""
    said: list[Any] = [log_content]
    if origin.key is not None and origin.key.log_content is not None:
        said.append(origin.key.log_content)
    if origin.is_private:
        said.append("metadata")
    least: LogContent = min(said, key=_CONTENT.index)
    return least


def error_text(error: AimmError, kept: LogContent) -> str:
    """The text that may be written down of an error: a vendor's own words may quote the prompt."""
    upstream = error.upstream
    if upstream is None or kept == "full":
        return error.message
    return f"{upstream.status} {upstream.code or upstream.type}".strip()


# Fields of a generation, by whom they are taken from as they are.
_OF_ANSWER = "created_at provider service_tier latency_s ttft_s n_attempts text thinking tool_calls".split()
_OF_ORIGIN = "source ref_id ref_part ref_name user_id key_id tags".split()
_OF_REQUEST = "operation messages system parameters tools".split()
_OF_ACCOUNT = "usage cost_usd cost_status price_id saved_usd receipts".split()


def generation_of(call: Call, answer: ModelAnswer, price: Price | None, kept: LogContent) -> Generation:
    """The record of a call."""
    status, error = answer.outcome
    usages, is_estimated = _counted(call, answer)
    if answer.is_hit:
        account = settle_cached(sum(usages, Usage()), price)
    else:
        account = settle(usages, price, is_estimated=is_estimated)
    notes = [*answer.notes, *_remarks(answer, account, usages, is_estimated=is_estimated)]
    same: dict[str, Any] = {
        name: getattr(given, name)
        for given, names in (
            (answer, _OF_ANSWER),
            (call.origin, _OF_ORIGIN),
            (call.request, _OF_REQUEST),
            (account, _OF_ACCOUNT),
        )
        for name in names
    }
    return Generation(
        **same,
        id=call.id,
        request_model=answer.model.name if answer.model else call.request.model,
        response_model=storable(answer.response_model) if answer.response_model else None,
        note=storable(" ".join(notes)),
        status=status,
        error_class=error.code if error else "",
        error_message=storable(error_text(error, kept)) if error else "",
        finish_reason="error" if status == "error" else answer.finish_reason,
        usages=tuple(usages) if len(usages) > 1 else (),
    )


def _counted(call: Call, answer: ModelAnswer) -> tuple[list[Usage], bool]:
    """(the usage of each attempt, whether any of it is an estimate)."""
    usages, status = list(answer.usages), answer.outcome[0]
    # The counts so far are a lower bound where the answer went on after them.
    is_estimated = answer.is_undercounted or bool(answer.finish_reason is None and usages and status != "blocked")
    if not usages and answer.may_be_billed:
        usages, is_estimated = [estimated_usage(call.request, answer.written, answer.thinking)], True
    if answer.lost:
        usages, is_estimated = [*answer.lost, *usages], True
    return usages, is_estimated


def _remarks(answer: ModelAnswer, account: Account, usages: Sequence[Usage], *, is_estimated: bool) -> list[str]:
    """Remarks on a call's cost, answer and attempts."""
    found = []
    if account.is_contradictory:
        found.append(CONTRADICTORY)
    if account.unknown_for:
        found.append(f"The cost was not known: {account.unknown_for}.")
    if is_estimated and account.cost_usd is None:
        found.append(ESTIMATED)
    if any(usage.output_audio_tokens or any(usage.more.get(name) for name in _MEDIA) for usage in usages):
        found.append(_NOT_KEPT)
    if len(answer.causes) > 1 or (answer.causes and answer.outcome[0] != "error"):
        found.append(f"Failed attempts: {', '.join(answer.causes)}.")
    return found
