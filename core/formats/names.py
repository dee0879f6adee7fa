"""Names as people write them: of models, one rule for prices, budgets and keys' patterns, and of what a team names."""

import difflib
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache

from core.errors import InvalidRequest, NotFound
from core.vendors import VENDORS

_WORDS = "|".join(word for spec in VENDORS.values() if spec.catalogue for word in (spec.name, *spec.aliases))
_VENDOR_PREFIX = re.compile(rf"^((models|{_WORDS})/|({_WORDS}):)+")
PATTERN_SIGNS = "*?["
PROMPT = "prompt:"  # before a reference, where a model or what a version of a prompt is called stands
_OWN = re.compile(r"[^\W_][\w.-]{0,79}")


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


def as_own(text: str) -> str:
    """A name for a dataset that is made of another, such as a file's: what it allows of that."""
    kept = "".join(each if each.isalnum() or each in "._-" else "-" for each in text).strip("-._")
    return kept[:80] or "cases"


def check_own(kind: str, name: str) -> str:
    """A name that a team gives to a prompt, a label, a dataset.

    Raises:
        InvalidRequest: It would not stand in an address or behind an @.
    """
    if not isinstance(name, str) or not _OWN.fullmatch(name):
        raise InvalidRequest(
            f"{str(name)[:60]!r} is no name for a {kind}: at most 80 letters, digits, . _ -, not first a sign."
        )
    return name


def instead_of(name: str, known: Iterable[str]) -> str:
    """The end of a sentence on a name that is not there: the one that is meant, or all that there are."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}."


def missing(kind: str, name: str, known: Iterable[str]) -> NotFound:
    """The error for a name that is not there, with those that are close to it."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3) or (known if len(known) <= 5 else [])
    hint = f"Did you mean {' or '.join(close)}?" if close else ""
    return NotFound(f"There is no {kind} {name[:60]!r}.", hint=hint)


def split_ref(ref: str) -> tuple[str, str]:
    """The name before an @, and the version or label after it; empty = none is named."""
    name, _, which = ref.strip().partition("@")
    return name, which


def ref_in(text: str) -> str:
    """The reference to a prompt that a text is; empty = it is none."""
    return text.removeprefix(PROMPT).strip() if text.startswith(PROMPT) else ""
