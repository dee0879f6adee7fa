"""From what a call has brought to its record: status, usage, price, texts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core.calls.accounting import Account, estimated_usage, settle, settle_cached
from core.calls.admitting import PriceKeeper
from core.calls.call import Call
from core.calls.progress import Progress, may_be_billed, status_of
from core.config import LogContent
from core.domain.generation import Generation, Status, Usage
from core.domain.price import Price
from core.errors import AimmError
from core.formats.text import storable
from core.storage.calls.generations import CONTRADICTORY, ESTIMATED

_KEEPS = ("none", "metadata", "full")
_MEDIA = ("output_image_tokens", "output_video_tokens")
_NOT_KEPT = "The answer has pictures, video or sound: callers of the vendor's own wire get them, nobody else does."


class Recorder:
    def __init__(self, prices: PriceKeeper, log_content: LogContent) -> None:
        self._prices = prices
        self._log_content = log_content

    def kept(self, call: Call) -> LogContent:
        """What may be kept of a call's texts: the least of what the server, its key and its caller allow."""
        key = call.origin.key
        said: list[Any] = [self._log_content]
        if key is not None and key.log_content is not None:
            said.append(key.log_content)
        if call.origin.is_private:
            said.append("metadata")
        least: LogContent = min(said, key=_KEEPS.index)
        return least

    def told(self, call: Call, error: AimmError) -> str:
        """What may be written down of an error: a vendor's own words may quote the prompt."""
        upstream = error.upstream
        if upstream is None or self.kept(call) == "full":
            return error.message
        return f"{upstream.status} {upstream.code or upstream.type}".strip()

    def generation(self, call: Call, progress: Progress, error: AimmError | None) -> Generation:
        """The record of a call. Sets call.error, where it failed."""
        status, error = status_of(call, progress, error)
        call.error = error if status in ("error", "blocked") else None
        call.cause = error
        model = progress.model.name if progress.model else call.request.model
        provider = progress.provider.name if progress.provider else "unknown"
        price = progress.price = self._price(provider, model, progress)
        usages, is_estimated = _counted(call, progress, status, error)
        if progress.is_hit:
            account = settle_cached(sum(usages, Usage()), price)
        else:
            account = settle(usages, price, is_estimated=is_estimated)
        progress.notes += _remarks(progress, account, usages, is_estimated=is_estimated, is_error=status == "error")
        view, origin, request = call.view(), call.origin, call.request
        return Generation(
            id=call.id,
            created_at=progress.created_at,
            request_model=model,
            response_model=storable(progress.response_model) if progress.response_model else None,
            provider=provider,
            source=origin.source,
            operation=request.operation,
            ref_id=origin.ref_id,
            ref_part=origin.ref_part,
            ref_name=origin.ref_name,
            user_id=origin.user_id,
            key_id=origin.key_id,
            tags=origin.tags,
            note=storable(" ".join(progress.notes)),
            status=status,
            error_class=error.code if error else "",
            error_message=storable(self.told(call, error)) if error else "",
            finish_reason="error" if status == "error" else progress.finish_reason,
            usage=account.usage,
            cost_usd=account.cost_usd,
            cost_status=account.cost_status,
            price_id=account.price_id,
            saved_usd=account.saved_usd,
            service_tier=progress.service_tier,
            usages=tuple(usages) if len(usages) > 1 else (),
            receipts=account.receipts,
            latency_s=view.elapsed_s,
            ttft_s=view.ttft_s,
            n_attempts=progress.n_attempts,
            text=view.text,
            thinking=view.thinking,
            messages=request.messages,
            system=request.system,
            parameters=request.parameters,
            tools=request.tools,
            tool_calls=call.tool_calls,
        )

    def fallen_back_from(self, call: Call, progress: Progress, error: AimmError, call_id: str, to: str) -> Generation:
        """The record of a model that failed before another one answered. It is no call of an experiment: that one counts once."""
        whole = self.generation(call, progress, error)
        call.error = None
        note = f"{whole.note} Fell back to {to}; the answer is {call.id}.".strip()
        return replace(whole, id=call_id, ref_id=None, ref_part=None, note=note)

    def _price(self, provider: str, model: str, progress: Progress) -> Price | None:
        """The price of the model asked for; `-latest` names are pointers, and the answer says where to."""
        at, tier = progress.created_at, progress.service_tier
        asked = self._prices.price(provider, model, at, tier)
        if not model.endswith("-latest") or not progress.response_model:
            return asked
        found = self._prices.price(provider, progress.response_model, at, tier)
        # The catalogue may not know yet what a pointer stands for now.
        return asked if found is None and asked is not None and asked.source != "catalogue" else found


def _counted(call: Call, progress: Progress, status: Status, error: AimmError | None) -> tuple[list[Usage], bool]:
    """(the usage of each attempt, whether any of it is an estimate)."""
    usages, is_estimated = list(progress.usages), False
    if progress.is_undercounted or (progress.finish_reason is None and usages and status != "blocked"):
        is_estimated = True  # the counts so far, a lower bound
    if not usages and may_be_billed(call, progress, status, error):
        usages, is_estimated = [estimated_usage(call.request, call.written, call.thinking)], True
    if progress.lost:
        usages, is_estimated = [*progress.lost, *usages], True
    return usages, is_estimated


def _remarks(
    progress: Progress, account: Account, usages: Sequence[Usage], *, is_estimated: bool, is_error: bool
) -> list[str]:
    """What is to be said of a call's cost, answer and attempts."""
    found = []
    if account.is_contradictory:
        found.append(CONTRADICTORY)
    if account.unknown_for:
        found.append(f"The cost was not known: {account.unknown_for}.")
    if is_estimated and account.cost_usd is None:
        found.append(ESTIMATED)
    if any(usage.output_audio_tokens or any(usage.more.get(name) for name in _MEDIA) for usage in usages):
        found.append(_NOT_KEPT)
    if len(progress.causes) > 1 or (progress.causes and not is_error):
        found.append(f"Failed attempts: {', '.join(progress.causes)}.")
    return found
