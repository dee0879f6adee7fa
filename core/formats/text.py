"""Rules for texts: those that can be kept, and those that can be tags."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

MAX_TAGS = 10
MAX_SESSION = 200  # characters of the id of a session
MAX_WORD = 100  # characters; a longer run of letters, such as bytes as text, is several words
_TAG = re.compile(r"[\w.:/@+-]{1,64}")

_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")  # spreadsheets take leading spaces off
_HALF = re.compile(r"[\ud800-\udfff]")
_UNFIT = re.compile(r"[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """True if every database and every answer can hold a text: it has no NUL and no half of a surrogate pair."""
    return _UNFIT.search(text) is None


def storable(text: str) -> str:
    """The text with a question mark for each character that cannot be kept."""
    return _UNFIT.sub("?", text)


def folded(text: str) -> str:
    """The text for comparing without letter case, in any script; composed and decomposed characters are equal.

    The dot that İ leaves when it becomes small, and the dotless ı, count as i, so that both are found by typing i.
    """
    if text.isascii():
        return text.lower()
    small = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", small.replace("i\u0307", "i").replace("ı", "i"))


def mended(text: str) -> str:
    """The text with the halves of split characters joined again; a half that stays alone becomes U+FFFD."""
    if text.isascii() or _HALF.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_list(value: Any) -> tuple[Any, ...]:
    """A value where a list is meant: one that is none, such as a text, is a list of one."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple, set, frozenset)) else (value,)


def make_lists(record: Any, *names: str) -> None:
    """Give a frozen record tuples in these fields, whatever stood there."""
    for name in names:
        object.__setattr__(record, name, as_list(getattr(record, name)))


def tags_problem(tags: Sequence[str]) -> str:
    """The fault in the tags of a call or a key, in words; empty = there is none."""
    if len(tags) > MAX_TAGS or any(_TAG.fullmatch(tag) is None for tag in tags):
        return f"tags must be at most {MAX_TAGS} words of letters, digits and . _ - / : @ +, 64 characters each"
    return ""


# What a search looks for: words of letters and digits as SQLite's `ascii` tokenizer takes them; all else ends one.
_WORD_CHARACTER = r"0-9a-z\x80-\U0010ffff"
_WORD = re.compile(f"[{_WORD_CHARACTER}]+")
_LONG_WORD = re.compile(f"([{_WORD_CHARACTER}]{{{MAX_WORD}}})(?=[{_WORD_CHARACTER}])")
# Characters that are words by themselves: signs beyond ASCII, and scripts that are written without spaces.
_ALONE = re.compile(r"[^\x00-\x7f\w]|[\u2e80-\U0010ffff]")


def searchable(text: str) -> str:
    """The text as a search compares it: `folded`, with spaces around characters that are words by themselves."""
    small = folded(text)
    if not small.isascii():
        small = _ALONE.sub(r" \g<0> ", small)
    return _LONG_WORD.sub(r"\1 ", small)


def search_words(searched: str) -> list[str]:
    """The different words of a `searchable` text."""
    return list(dict.fromkeys(_WORD.findall(searched)))


def is_whole_word(word: str) -> bool:
    """True for a word that cannot be the beginning of a longer one: a character that is a word by itself."""
    return len(word) == 1 and _ALONE.match(word) is not None


def finds(searched: str) -> re.Pattern[str]:
    """The places where a `searchable` text stands in another, from the beginning of a word on."""
    begins = f"(?<![{_WORD_CHARACTER}])" if _WORD.match(searched) else ""
    return re.compile(begins + re.escape(searched))


def safe_cell(text: str) -> str:
    """The text for a table that a spreadsheet opens, which would compute what begins like a formula."""
    return f"'{text}" if _FORMULA.match(text) else text
