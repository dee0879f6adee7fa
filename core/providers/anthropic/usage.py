"""Anthropic's counts of tokens, and the tier that they were served at."""

from typing import Any

from core.domain.generation import Usage
from core.providers.base import Counts, is_credible, tier_of

_ROUNDS = ("message", "compaction")
_COUNTED = (  # in the order in which they are summed
    "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
    "cache_creation.ephemeral_5m_input_tokens", "cache_creation.ephemeral_1h_input_tokens",
    "output_tokens", "output_tokens_details.thinking_tokens",
)  # fmt: skip


def to_usage(given: dict[str, Any]) -> Usage | None:
    """Anthropic counts the cached, the written and the plain input apart; ours is the whole with its parts.

    Where an answer took several rounds, all of them are billed, and its own counts leave out those that shortened the
    conversation. Rounds of another kind, such as advice of another model at its own price, are not known.
    """
    listed = given.get("iterations")
    rounds = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    more = {f"iterations.{str(each.get('type'))[:40]}": 1 for each in rounds if each.get("type") not in _ROUNDS}
    counts = Counts({name: value for name, value in given.items() if name != "iterations"})
    billed = [Counts(each) for each in rounds if each.get("type") in _ROUNDS]
    sums = [[each.take(name) for name in _COUNTED] for each in (counts, *billed)]
    plain, read, written, short, hour, output, thinking = map(sum, zip(*(sums[1:] or sums), strict=True))
    searches = counts.take("server_tool_use.web_search_requests")
    counts.take("server_tool_use.web_fetch_requests")  # a fetch costs its tokens alone
    written = max(written, hour + short)  # where a gateway leaves the whole out, or says 0
    if unsaid := written - hour - short if hour + short else 0:
        more["cache_creation"] = unsaid
    for each in billed:
        more |= {f"iterations.{name}": count for name, count in each.unknown.items()}
    usage = Usage(
        input_tokens=plain + read + written,
        cached_tokens=read,
        cache_write_tokens=written - hour,
        cache_write_1h_tokens=hour,
        output_tokens=output,
        thinking_tokens=min(thinking, output),
        n_searches=searches,
        more=more | counts.unknown,
    )
    return usage if is_credible(usage) else None


def served_tier(counts: dict[str, Any]) -> str | None:
    """The tier of a request and its place: `fast`, `standard+us`."""
    served, speed, place = (tier_of(counts.get(name)) for name in ("service_tier", "speed", "inference_geo"))
    tier = speed if speed == "fast" and served in (None, "standard") else served
    if place in (None, "global", "not_available"):
        return tier
    return f"{tier or 'standard'}+{place}"
