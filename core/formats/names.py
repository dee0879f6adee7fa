"""Names of models as people write them and as calls record them: one rule for prices, budgets and keys' patterns."""

import re
from fnmatch import fnmatchcase
from functools import lru_cache

from core.vendors import VENDORS

_WORDS = "|".join(word for spec in VENDORS.values() if spec.catalogue for word in (spec.name, *spec.aliases))
_VENDOR_PREFIX = re.compile(rf"^((models|{_WORDS})/|({_WORDS}):)+")
PATTERN_SIGNS = "*?["


def normalise(model: str) -> str:
    """The bare lower-case model name: without `models/` and vendor prefixes.

    A pattern for all of a vendor (`openai/*`) keeps it: without it, it would mean everybody's.
    """
    name = model.strip().lower()
    bare = _VENDOR_PREFIX.sub("", name)
    if bare == name or not bare.startswith(tuple(PATTERN_SIGNS)):
        return bare
    vendor = re.split("[/:]", name.removesuffix(bare))[-2]
    return f"{'gemini' if vendor == 'models' else vendor}/{bare}"


def is_pattern(name: str) -> bool:
    return any(sign in name for sign in PATTERN_SIGNS)


@lru_cache(maxsize=4096)
def names_of(provider: str, model: str) -> frozenset[str]:
    """Every normalised way to write a provider's model: `vllm/Llama-3` is asked for, and `Llama-3` recorded."""
    ways = {model.lower(), normalise(model)}
    vendors = (provider, *(VENDORS[provider].aliases if provider in VENDORS else ()))
    return frozenset(ways | {f"{vendor}{mark}{way}" for vendor in vendors for mark in "/:" for way in ways})


def is_meant(wanted: str, provider: str, model: str) -> bool:
    """True if a normalised name, or a pattern such as `gpt-4o*`, stands for the model of a provider."""
    names = names_of(provider, model)
    return wanted in names or (is_pattern(wanted) and any(fnmatchcase(name, wanted) for name in names))
