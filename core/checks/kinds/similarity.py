"""Checks of likeness to a reference: levenshtein, bleu, gleu, rouge-n, similar. Pure."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

from core.checks import javascript as js
from core.checks.model import CheckError, Given, Outcome, graded, shown, yes_no

_TINY = 2.0**-52
Words = Sequence[str]


def levenshtein(given: Given) -> Outcome:
    """At most `threshold` (5) changes of a character turn the answer into the value."""
    distance = Levenshtein.distance(js.units(given.text), js.units(_text(given)))
    threshold = given.threshold(5)
    return yes_no(distance <= threshold, f"the distance is {distance}, the threshold {threshold:g}")


def bleu(given: Given) -> Outcome:
    """BLEU-4 of words in lower case; orders that the answer has no words for are left out, none found counts 1e-7.

    Source: Papineni, Roukos, Ward, Zhu (2002), ACL 40, 311-318.
    """
    references = [js.words(each.lower()) for each in _texts(given)]
    return graded(_bleu(given.text, references), given.threshold(0.5), "BLEU")


def _bleu(text: str, references: list[list[str]]) -> float:
    if not js.trim(text):
        return 0.0
    words = js.words(text.lower())
    closest = min((abs(len(each) - len(words)), len(each)) for each in references)[1]
    logs = []
    for n in range(1, min(4, len(words)) + 1):
        own, total = _grams(words, n), len(words) - n + 1
        best = max(sum((own & _grams(each, n)).values()) for each in references)
        logs.append(math.log(best / total if best else 1e-7))
    penalty = 1.0 if len(words) > closest else math.exp(1 - closest / len(words))
    return penalty * math.exp(math.fsum(logs) / len(logs))


def gleu(given: Given) -> Outcome:
    """The smaller of precision and recall of all 1- to 4-grams, full stops at the ends of words left out.

    Source: Wu et al. (2016), arXiv:1609.08144.
    """
    words, references = _gleu_words(given.text), [_gleu_words(each) for each in _texts(given)]
    return graded(max(_gleu(words, each) for each in references) if words else 0.0, given.threshold(0.5), "GLEU")


def _gleu_words(text: str) -> list[str]:
    words = [word.rstrip(".") for word in js.words(text.lower())]
    return words if any(words) else []


def _gleu(words: Words, reference: Words) -> float:
    if words == reference:
        return 1.0
    own, other = (sum((_grams(each, n) for n in range(1, 5)), Counter[str]()) for each in (words, reference))
    shared = (own & other).total()
    return min(shared / own.total(), shared / other.total()) if other else 0.0


def _grams(words: Words, n: int) -> Counter[str]:
    return Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))


def rouge_n(given: Given) -> Outcome:
    """F1 of the words shared with the value, in lower case, each counted as often as both have it.

    Source: Lin (2004), ROUGE, ACL workshop Text Summarization Branches Out.
    """
    own, other = (Counter(treebank_words(each.lower())) for each in (given.text, _text(given)))
    shared = (own & other).total()
    score = 2 * shared / (own.total() + other.total()) if shared else 0.0
    return graded(score, given.threshold(0.75), "ROUGE-1")


_STEPS = [
    (re.compile(r"\.{3}"), " ... "),
    (re.compile(r"[:,](?!\d)"), r" \g<0> "),
    (re.compile(r"[;@#$%&]"), r" \g<0> "),
    (re.compile(r"([^.])(?<!\b[A-Za-z]\.[A-Za-z])(\.)([\])}>'\s]*)\Z"), r"\1 \2\3 "),
    (re.compile(r"[?!]"), r" \g<0> "),
    (re.compile(r"[\][(){}<>]"), r" \g<0> "),
    (re.compile(r"--"), " -- "),
]
_ENDINGS = [
    (re.compile(r"([^'])' "), r"\1 ' "),
    (re.compile(r"'([sSmMdD]) "), r" '\1 "),
    (re.compile(r"('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) "), r" \1 "),
    (re.compile(r"(?i)(?<!\w)(can)(not)(?!\w)|(?<!\w)(d)('ye)(?!\w)|(?<!\w)(gim)(me)(?!\w)"), None),
    (re.compile(r"(?i)(?<!\w)(gon)(na)(?!\w)|(?<!\w)(got)(ta)(?!\w)|(?<!\w)(lem)(me)(?!\w)"), None),
    (re.compile(r"(?i)(?<!\w)(more)('n)(?!\w)|(?<!\w)(wan)(na)(?= )|(?<!\w)('t)(is|was)(?!\w)"), None),
]


def treebank_words(text: str) -> list[str]:
    """Words as the Penn Treebank splits them: punctuation and the endings of contractions apart."""
    text = js.trim(re.sub(f"[{js.WHITESPACE}\u0085]+", " ", text)).strip("\u0085")
    if not text:
        return []
    text = re.sub(r"``|''|\"", _quote, text)
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    text = f" {text} "
    for pattern, ending in _ENDINGS:
        text = pattern.sub(ending or _split_in_two, text)
    return text.split()


def _quote(match: re.Match[str]) -> str:
    before = match.string[match.start() - 1 : match.start()]
    return " `` " if match[0] == "``" or (match[0] == '"' and (not before or before in " ([{<")) else " '' "


def _split_in_two(match: re.Match[str]) -> str:
    return f" {' '.join(part for part in match.groups() if part)} "


def similar(given: Given) -> Outcome:
    """Cosine of the answer's and the value's embeddings; of several values one is enough.

    `similar:dot` and `similar:euclidean` compare the same vectors otherwise.
    """
    texts = _texts(given)
    embed = given.facts.embed
    if embed is None:
        raise CheckError(f"{given.kind} needs a model for embeddings; none is given")
    own, *others = [list(map(float, vector)) for vector in embed([given.text, *texts])]
    threshold = given.threshold(0.75)
    outcomes = [_closeness(given, own, other, threshold) for other in others]
    # One that is close is enough, also under `not-`.
    return next((each for each in outcomes if each.passed), max(outcomes, key=lambda each: each.score))


def _closeness(given: Given, own: list[float], other: list[float], threshold: float) -> Outcome:
    if len(own) != len(other) or not own:
        raise CheckError(f"{given.kind}: the vectors have {len(own)} and {len(other)} numbers")
    dot = math.fsum(a * b for a, b in zip(own, other, strict=True))
    if given.kind == "similar:euclidean":
        distance = math.dist(own, other)
        is_close = distance < threshold - _TINY if given.is_inverse else distance <= threshold + _TINY
        reason = f"the distance is {distance:.4f}, the threshold {threshold:g}"
        return Outcome(is_close, 1 / (1 + distance), reason)
    size = math.hypot(*own) * math.hypot(*other)
    score = dot if given.kind == "similar:dot" else dot / size if size else math.nan
    if math.isnan(score):
        raise CheckError(f"{given.kind}: a vector is all zeros")
    is_close = score > threshold + _TINY if given.is_inverse else score >= threshold - _TINY
    return Outcome(is_close, score, f"the similarity is {score:.4f}, the threshold {threshold:g}")


def _text(given: Given) -> str:
    if not isinstance(given.value, str):
        raise CheckError(f"{given.kind} needs a text, has {shown(given.value)}")
    return given.value


def _texts(given: Given) -> list[str]:
    value = [given.value] if isinstance(given.value, str) else given.value
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise CheckError(f"{given.kind} needs a text or a list of texts, has {shown(given.value)}")
    return value
