"""Counts of tokens, and charges, as servers of the OpenAI wire write them."""

import re
from decimal import Decimal
from typing import Any

from core.domain.generation import Usage
from core.formats.money import from_nano, to_nano
from core.providers.base import Counts, is_credible

MOST_USD = 1_000_000  # that a request can be believed to have cost


def to_usage(usage: Any) -> Usage | None:
    """OpenAI's counts in our words: its prompt includes cached, its completion includes reasoning tokens.

    Responses, pictures and embeddings name the same counts `input_tokens` and `output_tokens`.
    """
    if not isinstance(usage, dict):
        return None
    counts = Counts(usage)
    prompt, output = counts.take("prompt_tokens", "input_tokens"), counts.take("completion_tokens", "output_tokens")
    citations = counts.take("citation_tokens")
    output, thinking, missing = _output(counts, output, counts.take("total_tokens") - prompt - output, citations)
    cached = counts.take(*_paths(_READ, "cached_tokens"), *_CACHED)
    short, hour = (
        counts.take(*_paths(_READ, *(f"{word}.ephemeral_{ttl}_input_tokens" for word in _CREATION)))
        for ttl in ("5m", "1h")
    )
    written = counts.take(*_paths(_READ, "cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens"))
    written = max(written, short + hour)
    read, made = _kinds(counts, prompt, *_READ), _kinds(counts, output, *_MADE)
    kept = _kinds(counts, cached, *(f"{name}.cached_tokens_details" for name in _READ))
    counts.same("cache_read_input_tokens", cached)
    counts.same("cache_creation_input_tokens", written)
    searches = counts.take("num_search_queries") + counts.take("server_tool_use.web_search_requests")
    more = {
        "image_tokens": read["image"],
        "cached_image_tokens": kept["image"],
        "output_image_tokens": made["image"],
        "video_tokens": read["video"],
        "cached_video_tokens": kept["video"],
        "output_video_tokens": made["video"],
        "citation_tokens": citations,
        "total_tokens": missing,
    }
    found = Usage(
        input_tokens=prompt,
        cached_tokens=cached,
        cache_write_tokens=written - hour,
        cache_write_1h_tokens=hour,
        audio_tokens=read["audio"],
        cached_audio_tokens=kept["audio"],
        output_tokens=output,
        thinking_tokens=thinking,
        output_audio_tokens=made["audio"],
        n_searches=searches,
        more={name: count for name, count in more.items() if count} | counts.unknown,
        charged_usd=_charged(usage),
    )
    return found if is_credible(found) else None


def _kinds(counts: Counts, n_all: int, *side: str) -> dict[str, int]:
    found = {kind: counts.take(*_paths(side, f"{kind}_tokens")) for kind in ("text", "audio", "image", "video")}
    counts.check_parts(side[0], sum(found.values()), n_all)
    return found


def _output(counts: Counts, output: int, missing: int, citations: int) -> tuple[int, int, int]:
    """The whole output, its thinking, and what the vendor's total has beyond input and output (`missing`)."""
    thinking, apart = counts.take(*_paths(_MADE, "reasoning_tokens")), counts.take("reasoning_tokens")
    if apart and not thinking:  # as Perplexity counts it: beside the completion
        return output + apart, apart, max(0, missing - apart - citations)
    if missing > 0 and missing == thinking:  # as xAI does: in the total, and not in the completion
        return output + thinking, thinking, 0
    return output, thinking, max(0, missing - citations)


# Where details of the input and the output stand, and under which names what a cache gave and took.
_READ = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_MADE = ("completion_tokens_details", "output_tokens_details", "output_token_details")
_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
_CREATION = ("cache_creation", "cache_creation_token_details")


def _paths(side: tuple[str, ...], *names: str) -> list[str]:
    return [f"{details}.{name}" for details in side for name in names]


def _charged(usage: dict[str, Any]) -> Decimal | None:
    """The charge that a server names: OpenRouter, Perplexity and DeepInfra in dollars, xAI in ticks of 10^-10 dollars.

    With a key of one's own at OpenRouter its charge is only its fee, and that of the vendor behind it comes on top.
    Before it said so by `is_byok`, that could be told from a charge lower than the vendor's.
    """
    cost, details, ticks = usage.get("cost"), usage.get("cost_details"), _amount(usage.get("cost_in_usd_ticks"))
    usd = _amount(cost.get("total_cost") if isinstance(cost, dict) else cost)
    if usd is None:
        usd = _amount(usage.get("estimated_cost")) if ticks is None else ticks / 10**10
    upstream = _amount(details.get("upstream_inference_cost") if isinstance(details, dict) else None)
    is_byok = usage.get("is_byok")
    if is_byok is True or (is_byok is None and usd is not None and upstream is not None and upstream > usd):
        usd = None if upstream is None else (usd or Decimal(0)) + upstream
    return None if usd is None or usd > MOST_USD else from_nano(to_nano(usd))


def _amount(value: Any) -> Decimal | None:
    """Dollars, also as text; None = they are none."""
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,20}(\.\d+)?([eE][-+]?\d{1,3})?", str(value)):
        return None
    return Decimal(str(value))
