"""Finds the model that a line of a bill speaks of, however the vendor words it. Pure."""

import re
from collections.abc import Sequence
from functools import lru_cache

_VERSION = r"(?:[ _@-](?:preview|exp|latest|stable|ga|v\d(?::\d)?|\d{2,8})(?![a-z0-9.]))*+"
_VARIANT = (
    r"lite|mini|nano|pro|flash|ultra|turbo|live|tts|native|codex|realtime|transcribe|embedding|computer|instruct"
    r"|image(?! input)|\d+b"
)
_SLUG = re.compile(
    r"\b((?:ft:)?(?:gemini|gpt|claude|o\d))[ -][\w.: -]*?"
    r"(?=,| (?:input|output|text|audio (?:in|out)put|image input|video|batch|cach|short|long|thinking|token|usage)|$)"
)
_VENDOR = re.compile(
    r"^(?:.*/)?(?:(?:us|eu|apac|global)\.)?(?:(?:anthropic|amazon|meta|mistral|cohere|deepseek|openai)\.)?"
)
_DATED = re.compile(r"[-@](?:preview(?:-\d\d-\d{2,4})?|\d{8}|\d{4}-\d{2}-\d{2}|\d{4}|00\d|latest)(?:-v\d+)?(?::\d+)?$")


class Names:
    """The names in our own ledger. groups: Names that share one on the bill, such as an alias and its version."""

    def __init__(self, models: Sequence[str]) -> None:
        self._models = {name: _canonical(name) for name in models}
        self.groups: dict[str, str] = {}
        self._known: dict[str, str | None] = {}

    def find(self, text: str) -> str | None:
        """Our name of what a text speaks of: the longest that it speaks of; else the name that it gives."""
        if text not in self._known:
            self._known[text] = self._find(_canonical(text))
        return self._known[text]

    def _find(self, text: str) -> str | None:
        exact = [name for name, said in self._models.items() if _spoken(said).search(text)]
        loose = [name for name, said in self._models.items() if _spoken(_base(said)).search(text)]
        if not loose and not exact:
            slug = _SLUG.search(text)
            return re.sub(r"\s+", "-", slug[0].strip()) if slug else None
        chosen = max(exact or loose, key=lambda name: len(self._models[name] if exact else _base(self._models[name])))
        base = _base(self._models[chosen])
        same = [name for name, said in self._models.items() if _base(said) == base]
        if len(same) > 1 and (not exact or any(self._models[name] == base for name in same)):
            chosen = min(same, key=lambda name: (len(name), name))
            self.groups |= dict.fromkeys(same, chosen)
        return chosen


def _canonical(text: str) -> str:
    """In small letters; Claude's names in the order and with the points of today: claude-haiku-4.5."""
    text = re.sub(
        r"[-_](?=(?:inp|input|outp|outpt|output|cache|cached|cchd|tokens?|glbl|regnl|dzone)\b)", " ", text.lower()
    )
    text = re.sub(r"\bgpt(?=\d)", "gpt-", text)
    if "claude" not in text:
        return text
    text = re.sub(r"(?<![\d.])(\d{1,2})[-_ ](\d)(?![\d.a-z])", r"\1.\2", text)
    text = re.sub(r"claude(\d)", r"claude-\1", text)
    return re.sub(r"claude[-_ ](\d+(?:\.\d+)?)[-_ ]?(opus|sonnet|haiku|instant)", r"claude-\2-\1", text)


def _base(name: str) -> str:
    """A canonical name without its vendor and its version."""
    return _DATED.sub("", _VENDOR.sub("", name))


@lru_cache(maxsize=4096)
def _spoken(name: str) -> re.Pattern[str]:
    """Finds a model's name, in whatever way its words are joined, where it is not the beginning of another model's."""
    variants = _VARIANT.replace(r"|image(?! input)", "") if name.endswith("image") else _VARIANT
    words = r"[^a-z0-9.]+".join(re.escape(word) for word in re.split(r"[^a-z0-9.]+", name))
    return re.compile(
        rf"(?<![a-z0-9.])(?<!ft:){words}(?![a-z0-9.]){_VERSION}(?![a-z0-9.]|-[a-z0-9]|[^a-z0-9]*(?:{variants})\b)"
    )
