"""Kinds of files that a model reads beside text, as its vendor documents them. Pure."""

import re

from core.domain.generation import Model

# Of a vendor's models, by the first pattern that fits.
_READS: dict[str, tuple[tuple[str, str], ...]] = {
    "gemini": ((r"embedding|-tts|imagen|veo|gemma-3-1b", ""), (r"gemma", "image"), (r"", "image pdf audio")),
    "openai": (
        (r"embedding|-tts|whisper|dall-e|gpt-3\.5|gpt-4(-\d+)?$|-search|(o1|o3)-mini", ""),
        (r"audio|realtime", "audio"), (r"gpt-4-turbo", "image"), (r"", "image pdf"),
    ),
    "anthropic": ((r"", "image pdf"),),
    "simulated": ((r"", ""),),
}  # fmt: skip


def read_by(model: Model) -> frozenset[str]:
    """image, pdf, audio. A model of another vendor is taken to read pictures: it says itself where it does not."""
    rules = _READS.get(model.provider, (("", "image"),))
    return frozenset(next(kinds for pattern, kinds in rules if re.search(pattern, model.name)).split())
