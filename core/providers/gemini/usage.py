"""Counts of tokens as Gemini writes them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core.domain.generation import Usage
from core.providers.base import Counts, is_credible, tier_of, whole


def to_usage(metadata: Mapping[str, Any] | None) -> Usage | None:
    """Gemini's counts in our words; None where the vendor sent none that can be believed.

    Gemini's prompt count includes cached but not tool-use tokens; its candidates count excludes thoughts and is
    missing when nothing was written.
    """
    if not isinstance(metadata, Mapping):
        return None
    given = {name: _by_modality(value) if name.endswith("Details") else value for name, value in metadata.items()}
    counts = Counts(given)
    prompt, used = counts.take("promptTokenCount"), counts.take("toolUsePromptTokenCount")
    thoughts, total, cached = map(counts.take, ("thoughtsTokenCount", "totalTokenCount", "cachedContentTokenCount"))
    is_counted = counts.has("candidatesTokenCount") or counts.has("responseTokenCount")
    candidates = counts.take("candidatesTokenCount", "responseTokenCount")  # Gemini's Live API has the other name
    if not is_counted:
        candidates = max(0, total - prompt - used - thoughts)
    read, of_tools = _kinds(counts, prompt, "promptTokensDetails"), _kinds(counts, used, "toolUsePromptTokensDetails")
    read = {kind: read[kind] + of_tools[kind] for kind in read}
    prompt += used
    kept = _kinds(counts, cached, "cacheTokensDetails")
    if not any(kept.values()):
        kept = _kept(prompt, cached, read)
    made = _kinds(counts, candidates, "candidatesTokensDetails", "responseTokensDetails")
    more = {f"{kind}_tokens": read[kind] for kind in ("image", "video")}
    more |= {f"cached_{kind}_tokens": kept[kind] for kind in ("image", "video")}
    more |= {f"output_{kind}_tokens": made[kind] for kind in ("image", "video")}
    more["totalTokenCount"] = max(0, total - prompt - candidates - thoughts)
    usage = Usage(
        input_tokens=prompt,
        cached_tokens=cached,
        output_tokens=candidates + thoughts,
        thinking_tokens=thoughts,
        audio_tokens=read["audio"],
        cached_audio_tokens=kept["audio"],
        output_audio_tokens=made["audio"],
        more={name: count for name, count in more.items() if count} | counts.unknown,
    )
    return usage if is_credible(usage) else None


def _by_modality(details: Any) -> Any:
    """A list of tokens by modality as an object, so that each has a name."""
    found: dict[str, Any] = {}
    for each in details if isinstance(details, list) else [details]:
        if isinstance(each, Mapping):
            word, count = str(each.get("modality") or "MODALITY_UNSPECIFIED").upper()[:40], each.get("tokenCount")
            is_sum = whole(count) is not None and whole(found.get(word, 0)) is not None
            found[word] = (whole(found.get(word, 0)) or 0) + (whole(count) or 0) if is_sum else count
    return found


def _kinds(counts: Counts, n_all: int, *names: str) -> dict[str, int]:
    """Tokens by our word for what they are; of what has none, nobody here knows the price."""
    found = {
        kind: counts.take(*(f"{name}.{kind.upper()}" for name in names)) for kind in ("text", "image", "video", "audio")
    }
    # Pages of documents are read as pictures, and charged so.
    found["image"] += counts.take(*(f"{name}.DOCUMENT" for name in names))
    counts.check_parts(names[0], sum(found.values()), n_all)
    return found


def made_of(part: Mapping[str, Any]) -> str:
    """The kind of a part of an answer: text, image, audio, video; empty = none of them."""
    data = part.get("inlineData") or part.get("fileData")
    if isinstance(data, dict):
        return str(data.get("mimeType") or "").partition("/")[0]
    return "text" if part.get("text") and not part.get("thought") else ""


def of_one_kind(usage: Usage | None, metadata: Any, made: set[str]) -> Usage | None:
    """A usage that does not say what was made: an answer of one kind is counted as it, and no guess is made of two."""
    shown = 0 if usage is None else usage.output_tokens - usage.thinking_tokens
    if usage is None or shown <= 0 or not made - {"text"} or metadata.get("candidatesTokensDetails"):
        return usage
    if made == {"audio"}:
        return replace(usage, output_audio_tokens=shown)
    name = f"output_{next(iter(made))}_tokens" if made in ({"image"}, {"video"}) else "candidatesTokenCount"
    return replace(usage, more={**usage.more, name: shown})


def _kept(prompt: int, cached: int, read: Mapping[str, int]) -> dict[str, int]:
    """Cached tokens by kind where the vendor does not say: text first, and as few of the dear kinds as can be."""
    kinds = ("image", "video", "audio")
    left = cached - max(0, prompt - sum(read[name] for name in kinds))
    found = {}
    for name in kinds:
        found[name] = max(0, min(left, read.get(name, 0)))
        left -= found[name]
    return found


def served_as(metadata: Any) -> str | None:
    """The tier that the vendor says it served, where it says one."""
    if not isinstance(metadata, Mapping):
        return None
    traffic = str(metadata.get("trafficType") or "").lower().removeprefix("traffic_type_")
    return tier_of(metadata.get("serviceTier")) or tier_of(traffic.removeprefix("on_demand_"))
