"""JavaScript's regular expressions, without flags, and never for longer than a quarter of a second. Pure."""

import re
from functools import lru_cache
from typing import NoReturn

import regex

from core.checks import javascript as js

TIME_LIMIT_S = 0.25  # of the processor
MAX_CHARACTERS, MAX_SIZE = 20_000, 1_000_000  # of a pattern; of its parts once least repetitions are written out
_LINE_ENDS = "\\n\\r\\u2028\\u2029"
_CLASSES = {
    "d": "0-9",
    "w": "A-Za-z0-9_",
    "s": "".join(f"\\u{ord(c):04x}" if c != "-" else "-" for c in js.WHITESPACE),
}
_CONTROLS = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r"}
_QUANTIFIER = re.compile(r"[*+?]|\{(\d+)(?:(,)(\d*))?\}")
_NAME = re.compile(r"<([A-Za-z_$][\w$]*)>", re.ASCII)


class PatternError(ValueError):
    """A pattern that JavaScript refuses."""


class PatternTooSlow(ValueError):
    """A pattern that tries too many ways on this text, or that is too large to be made."""


def search(pattern: str, text: str, *, is_unicode: bool = False) -> bool:
    """True if the pattern matches anywhere. is_unicode: With the flag u, as JSON schemas have it.

    Raises:
        PatternError: It is no pattern.
        PatternTooSlow: It took longer than the time limit.
    """
    try:
        searched = text if is_unicode else js.units(text)
        found = compiled(pattern, is_unicode=is_unicode).search(searched, timeout=TIME_LIMIT_S, concurrent=True)
    except TimeoutError:
        raise PatternTooSlow(
            f"the pattern {pattern[:80]!r} takes longer than {TIME_LIMIT_S} s on this text; it tries too many ways"
        ) from None
    return found is not None


@lru_cache(maxsize=500)
def compiled(pattern: str, *, is_unicode: bool = False) -> "regex.Pattern[str]":
    """Raises: PatternError, PatternTooSlow"""
    if len(pattern) > MAX_CHARACTERS:
        raise PatternTooSlow(f"the pattern has more than {MAX_CHARACTERS:,} characters")
    translated = _Translation(pattern if is_unicode else js.units(pattern), is_unicode=is_unicode).result()
    try:
        return regex.compile(translated, regex.V1 | regex.ASCII)
    except (regex.error, OverflowError, RecursionError) as error:
        raise PatternError(str(error)) from None


class _Translation:
    """One pattern on its way to the syntax of `regex`: the grammar of ECMA-262 with its annex B."""

    def __init__(self, pattern: str, *, is_unicode: bool) -> None:
        self._is_unicode = is_unicode
        self._text, self._at, self._depth, self._size = pattern, 0, 0, 0
        bare = re.sub(r"\\[\s\S]|\[(?:\\[\s\S]|[^\]\\])*\]", "", pattern)
        self._n_groups = len(re.findall(r"\((?!\?)|\(\?<(?![=!])", bare))
        self._names: list[str] = re.findall(r"\(\?<([^=!>][^>]*)>", bare)
        if len(self._names) != len(set(self._names)):
            self._refuse("duplicate capture group name")

    def result(self) -> str:
        translated = self._alternatives()
        if self._at < len(self._text):
            self._refuse("unmatched ')'")
        return translated

    def _refuse(self, why: str) -> NoReturn:
        raise PatternError(f"{why} at {self._at}")

    def _take(self, text: str) -> bool:
        found = self._text.startswith(text, self._at)
        self._at += len(text) if found else 0
        return found

    def _alternatives(self) -> str:
        parts = []
        while self._at < len(self._text) and self._text[self._at] != ")":
            parts.append("|" if self._take("|") else self._term())
        return "".join(parts)

    def _term(self) -> str:
        if self._take("^"):
            return "\\A"
        if self._take("$"):
            return "\\Z"
        start, size = self._at, self._size
        self._size += 1
        atom, may_repeat = self._atom()
        if quantifier := _QUANTIFIER.match(self._text, self._at):
            if not may_repeat:
                self._at = start
                self._refuse("nothing to repeat")
            least, comma, most = quantifier.groups()
            if most and int(least) > int(most):
                self._refuse("numbers out of order in {} quantifier")
            self._at = quantifier.end()
            repeat = quantifier[0]
            if least is not None:  # what is more than a text can have is without an end
                least = str(min(int(least), 10**6))
                self._size = size + (self._size - size) * max(1, int(least))
                if self._size > MAX_SIZE:
                    raise PatternTooSlow(f"the pattern {self._text[:80]!r} repeats itself too often to be made")
                repeat = f"{{{least}}}" if not comma else f"{{{least},{min(int(most), 10**6) if most else ''}}}"
            return f"(?:{atom}){repeat}{'?' if self._take('?') else ''}"
        return atom

    def _atom(self) -> tuple[str, bool]:
        """The next atom, and whether it may be repeated."""
        character = self._text[self._at]
        if character == "(":
            return self._group()
        if quantifier := _QUANTIFIER.match(self._text, self._at):
            self._refuse(f"nothing to repeat: {quantifier[0]}")
        if self._is_unicode and character in "]{}":
            self._refuse(f"lone {character}")
        self._at += 1
        if character == ".":
            return f"[^{_LINE_ENDS}]", True
        if character == "[":
            return self._class(), True
        if character == "\\":
            return self._escape()
        return _member(character), True

    def _group(self) -> tuple[str, bool]:
        opening = next((each for each in ("(?:", "(?=", "(?!", "(?<=", "(?<!") if self._take(each)), "")
        if not opening and self._take("(?<"):
            self._at -= 1
            name = _NAME.match(self._text, self._at)
            if name is None:
                self._refuse("invalid capture group name")
            self._at, opening = name.end(), "("
        if not opening and self._text.startswith("(?", self._at):
            self._refuse("invalid group")
        opening = opening or (self._take("(") and "(") or ""
        self._depth += 1
        if self._depth > 200:
            self._refuse("nested too deeply")
        inner = self._alternatives()
        self._depth -= 1
        if not self._take(")"):
            self._refuse("unterminated group")
        return f"{opening}{inner})", not opening.startswith("(?<")

    def _escape(self) -> tuple[str, bool]:
        if self._at >= len(self._text):
            self._refuse("\\ at the end of the pattern")
        character = self._text[self._at]
        if character in "bB":
            self._at += 1
            return f"\\{character}", False
        found = re.compile(r"[1-9]\d*").match(self._text, self._at)
        if found and (number := int(found[0])) <= self._n_groups:
            self._at = found.end()
            return f"(?:(?({number})\\{number}|))", True
        if self._names and character == "k":
            self._at += 1
            name = _NAME.match(self._text, self._at)
            if name is None or name[1] not in self._names:
                self._refuse("invalid named reference")
            self._at = name.end()
            number = self._number_of(name[1])
            return f"(?:(?({number})\\{number}|))", True
        if (named := self._named_class()) is not None:
            return _of_unicode(named), True
        return _member(self._character()), True

    def _named_class(self) -> str | None:
        r"""The class of an escape such as \d, after its backslash."""
        character = self._text[self._at]
        if character.lower() in _CLASSES:
            self._at += 1
            return f"[{'^' if character.isupper() else ''}{_CLASSES[character.lower()]}]"
        if self._is_unicode and (found := re.compile(r"[pP]\{[\w=]+\}").match(self._text, self._at)):
            self._at = found.end()
            return f"\\{found[0]}"
        return None

    def _number_of(self, name: str) -> int:
        before = self._text[: self._text.index(f"(?<{name}>")]
        bare = re.sub(r"\\[\s\S]|\[(?:\\[\s\S]|[^\]\\])*\]", "", before)
        return len(re.findall(r"\((?!\?)|\(\?<(?![=!])", bare)) + 1

    def _character(self, *, in_class: bool = False) -> str:
        """The character of an escape, after its backslash."""
        text, at = self._text, self._at
        character = text[at]
        self._at += 1
        if character in _CONTROLS:
            return _CONTROLS[character]
        if found := re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})").match(text, at):
            self._at = found.end()
            return chr(int(found[1] or found[2], 16))
        if self._is_unicode:
            return self._unicode_character(at)
        if found := re.compile(r"c([A-Za-z])" if not in_class else r"c(\w)", re.ASCII).match(text, at):
            self._at = found.end()
            return chr(ord(found[1]) % 32)
        if character == "c":
            self._at -= 1
            return "\\"
        if found := re.compile(r"[0-3][0-7]{0,2}|[4-7][0-7]?").match(text, at):
            self._at = found.end()
            return chr(int(found[0], 8))
        return character

    def _unicode_character(self, at: int) -> str:
        """With the flag u an escape means something, or is refused."""
        if found := re.compile(r"u\{([0-9a-fA-F]{1,6})\}|c([A-Za-z])|(0)(?!\d)").match(self._text, at):
            self._at = found.end()
            return chr(int(found[1], 16) if found[1] else ord(found[2]) % 32 if found[2] else 0)
        if self._text[at] not in "^$\\.*+?()[]{}|/":
            self._refuse(f"invalid escape \\{self._text[at]}")
        return self._text[at]

    def _class(self) -> str:
        """A class, after its bracket."""
        is_negated = self._take("^")
        parts: list[str] = []
        while not self._take("]"):
            if self._at >= len(self._text):
                self._refuse("unterminated character class")
            first = self._member()
            if self._text[self._at : self._at + 1] == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                last = self._member()
                if len(first) > 1 or len(last) > 1:  # a class such as \d is no end of a range
                    parts += [_member(first), "\\-", _member(last)]
                elif first > last:
                    self._refuse("range out of order in character class")
                else:
                    parts.append(f"{_member(first)}-{_member(last)}")
            else:
                parts.append(_member(first))
        if not parts:
            return "[\\s\\S]" if is_negated else "(?!)"
        return _of_unicode(f"[{'^' if is_negated else ''}{''.join(parts)}]")

    def _member(self) -> str:
        """A character of a class, or the text of a class in it."""
        character = self._text[self._at]
        self._at += 1
        if character != "\\":
            return character
        if self._at >= len(self._text):
            self._refuse("\\ at the end of the pattern")
        character = self._text[self._at]
        if character == "b":
            self._at += 1
            return "\b"
        if character == "-":
            self._at += 1
            return "-"
        named = self._named_class()
        return self._character(in_class=True) if named is None else named


def _of_unicode(part: str) -> str:
    """A class in which letters of all scripts are letters, where it names a property of characters."""
    return f"(?u:{part})" if "\\p{" in part or "\\P{" in part else part


def _member(part: str) -> str:
    return part if len(part) > 1 else f"\\u{ord(part):04x}"
