"""Which texts can be kept."""

import re

_UNFIT = re.compile(r"[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether every database and every answer can hold a text: it has no NUL and no half of a surrogate pair."""
    return _UNFIT.search(text) is None


def storable(text: str) -> str:
    """The text with a question mark for each character that cannot be kept."""
    return _UNFIT.sub("?", text)
