"""Checks of an answer's text: equals, contains, starts-with, regex, word-count, is-refusal. Pure."""

import math
import re
from typing import Any

from core.checks import javascript as js
from core.checks import regular
from core.checks.kinds.phrases import REFUSAL_PARTS, REFUSAL_STARTS
from core.checks.model import ABSENT, CheckError, Given, Outcome, shown, yes_no


def equals(given: Given) -> Outcome:
    """The same text; for an object, a list or null the same JSON value."""
    value = given.value
    if value is None or isinstance(value, dict | list):
        try:
            is_same = js.is_same(js.parse_json(given.text), value)
        except ValueError:
            return yes_no(False, f"the answer is no JSON: {shown(given.text)!r}")
        told = shown(js.json_text(value))
        return yes_no(is_same, f"the answer is {shown(given.text)}, not {told}", f"the answer is {told}")
    expected = "undefined" if value is ABSENT else js.text_of(value)
    told = repr(shown(expected))
    return yes_no(expected == given.text, f"the answer is {shown(given.text)!r}, not {told}", f"the answer is {told}")


def contains(given: Given) -> Outcome:
    value = given.value
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "" or value != value:
        raise CheckError(f"{given.kind} needs a text or a number, has {shown(value)}")
    text, part = (js.units(_cased(given, each)) for each in (given.text, js.text_of(value)))
    told, seen = repr(shown(js.text_of(value))), repr(shown(given.text))
    return yes_no(part in text, f"the answer does not contain {told}: {seen}", f"the answer contains {told}: {seen}")


def contains_any(given: Given) -> Outcome:
    parts = _parts(given)
    found = [part for part in parts if _cased(given, part) in _cased(given, given.text)]
    told = f"the answer contains none of {shown(', '.join(parts))}" if parts else "no text is named that would do"
    return yes_no(bool(found), told, f"the answer contains {shown(', '.join(found))}")


def contains_all(given: Given) -> Outcome:
    parts = _parts(given)
    missing = [part for part in parts if _cased(given, part) not in _cased(given, given.text)]
    told = f"the answer contains all of {shown(', '.join(parts))}" if parts else "no text is asked for"
    return yes_no(not missing, f"the answer lacks {shown(', '.join(missing))}", told)


def _cased(given: Given, text: str) -> str:
    return text.lower() if given.kind.startswith("i") else text


def _parts(given: Given) -> list[str]:
    value = given.value
    if isinstance(value, str) and value:
        return split_list(value)
    if isinstance(value, list):
        return [js.text_of(each) if each is not None else "null" for each in value]
    raise CheckError(f"{given.kind} needs a list, or a text with commas, has {shown(value)}")


def split_list(text: str) -> list[str]:
    """The parts between commas, trimmed, empty ones left out; a part with commas stands in double quotes.

    Raises:
        CheckError: A quote without its end, or with text behind it.
    """
    parts: list[str] = []
    at = 0
    blank = re.compile(f"[{js.WHITESPACE},]*")
    while (at := _end(blank, text, at)) < len(text):
        if text[at] != '"':
            end = text.find(",", at)
            parts.append(js.trim(text[at : end if end >= 0 else len(text)]))
            at = end if end >= 0 else len(text)
            continue
        quoted = re.compile(r'"((?:\\["\\]|""|[^"])*)"').match(text, at)
        if quoted is None:
            raise CheckError(f"a quote in {shown(text)} has no end")
        parts.append(re.sub(r'\\(["\\])|""', lambda found: found[1] or '"', quoted[1]))
        at = _end(re.compile(f"[{js.WHITESPACE}]*"), text, quoted.end())
        if at < len(text) and text[at] != ",":
            raise CheckError(f"a comma must follow the quoted part in {shown(text)}")
    return parts


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def starts_with(given: Given) -> Outcome:
    prefix = _text(given)
    return yes_no(
        js.units(given.text).startswith(js.units(prefix)),
        f"the answer starts with {shown(given.text, 80)!r}, not {shown(prefix)!r}",
        f"the answer starts with {shown(prefix)!r}",
    )


def matches(given: Given) -> Outcome:
    """A pattern that is none fails, also under `not-`, as where the name comes from."""
    pattern = _text(given)
    try:
        found = regular.search(pattern, given.text)
    except regular.PatternError as error:
        return Outcome(False, 0.0, f"{shown(pattern)!r} is no regular expression of JavaScript: {error}", is_kept=True)
    except regular.PatternTooSlow as error:
        raise CheckError(str(error)) from None
    told = shown(pattern)
    return yes_no(found, f"nothing in the answer matches {told}", f"the answer matches {told}")


def _text(given: Given) -> str:
    if not isinstance(given.value, str) or not given.value:
        raise CheckError(f"{given.kind} needs a text, has {shown(given.value)}")
    return given.value


def word_count(given: Given) -> Outcome:
    n = len([word for word in js.words(given.text) if word])
    value = given.value
    if isinstance(value, dict):
        least, most = (_count(value[key]) if key in value else None for key in ("min", "max"))
        if least is None and most is None:
            raise CheckError("word-count needs a number, or min, max or both")
        if least is not None and most is not None and least > most:
            raise CheckError(f"word-count: min {least:g} is above max {most:g}")
        low, high = (-math.inf if least is None else least), (math.inf if most is None else most)
        return yes_no(low <= n <= high, _words(n, _range(least, most)))
    expected = _count(value)
    return yes_no(n == expected, _words(n, f"{expected:g}"))


def _range(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return f"at most {most:g}" if least is None else f"at least {least:g}"
    return f"{least:g} to {most:g}"


def _words(n: int, wanted: str) -> str:
    return f"the answer has {n} word{'' if n == 1 else 's'}; the check names {wanted}"


def _count(value: Any) -> float:
    number = js.number_of(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    if math.isnan(number):
        raise CheckError(f"word-count needs a number, or min, max or both, has {shown(value)}")
    return number


def is_refusal(given: Given) -> Outcome:
    """Typical words of a refusal. An empty answer, and one that is no text, is taken for one, with score 0."""
    if not isinstance(given.output, str) or not js.trim(given.output):
        return Outcome(not given.is_inverse, 0.0, "an empty answer is taken for a refusal", is_kept=True)
    text = re.sub("['′’]", "'", js.trim(given.output.lower()))
    found = text.startswith(REFUSAL_STARTS) or REFUSAL_PARTS.search(text) is not None
    return yes_no(found, "the answer has no words of a refusal", "the answer has words of a refusal")
