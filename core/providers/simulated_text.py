"""The answers of the simulated models: plausible text for the built-in workflows and for free prompts."""

import random
import re
from collections.abc import Mapping
from typing import Any

from core.domain.generation import Request
from core.formats import strict_json as json
from core.providers.simulated_tickets import sorted_by

_STOP = frozenset(
    "about above after again all also and any are because been before being below both but can could does down each"
    " few for from further have having here how into its just more most must not now only other our out over own same"
    " should some such text than that the their them then there these they this those through too under until very"
    " was were what when where which while who why will with would write you your please following answer given input"
    " return give make".split()
)
_FRENCH = (
    "le la un une de et à pour avec dans sur est sont plus bien très équipe résultat travail temps valeur choix".split()
)
_SPANISH = (
    "el la un una de y para con en sobre es son más bien muy equipo resultado trabajo tiempo valor elección".split()
)
_GERMAN = "der die das ein eine und für mit in auf ist sind mehr gut sehr Gruppe Ergebnis Arbeit Zeit Wert Wahl".split()
_LANGUAGES = {"french": _FRENCH, "spanish": _SPANISH, "german": _GERMAN}


def answer(request: Request, *, depth: int, rng: random.Random) -> str:
    """An answer to the last turn; `depth` 1 to 3 = how much is said."""
    if request.parameters.json_schema is not None:
        return json.dumps(_from_schema(request.parameters.json_schema, rng), ensure_ascii=False)
    if (team := sorted_by(request)) is not None:
        return team
    prompt = request.prompt
    lower = f"{request.system or ''}\n{prompt}".lower()[:4000]
    topic = _topic(prompt, rng)
    if re.search(r"\bclassif|one word|which category|label\b", lower):
        return _classify(lower)
    if "json" in lower:
        return json.dumps(_facts(topic, rng), indent=2, ensure_ascii=False)
    if "translat" in lower or any(language in lower for language in _LANGUAGES):
        return _translate(lower, depth, rng)
    if re.search(r"\bsummar|\breport\b|key (facts|points)|extract", lower):
        return _bullets(topic, depth, rng)
    if re.search(r"\breview|critique|improve|polish|rewrite", lower):
        return _revision(topic, depth, rng)
    return _essay(topic, depth, rng)


def _topic(prompt: str, rng: random.Random) -> list[str]:
    """Four words of the prompt's end, where the material usually stands."""
    words = [
        word for word in re.findall(r"[^\W\d_]{4,}", prompt[-2000:].lower()) if word not in _STOP and "fail" not in word
    ]
    unique = list(dict.fromkeys(words)) or ["the question", "the answer", "the reader", "the detail"]
    rng.shuffle(unique)
    return (unique * 4)[:4]


def _classify(lower: str) -> str:
    options = re.search(r"(?:one of|categories|labels?|as)\s*:?\s*([\w, ]+?\bor\b \w+|\w+(?:, \w+)+)", lower)
    if options:
        words: list[str] = [word for word in re.findall(r"\w+", options[1]) if word not in ("or", "and", "either")]
        material = lower.rsplit("\n", 1)[-1]
        long = len(material) > 160 or bool(re.search(r"\bwhy|explain|prove|design|compare|analy", material))
        return words[-1] if long else words[0]
    return "neutral"


def _facts(topic: list[str], rng: random.Random) -> dict[str, Any]:
    return {
        "title": f"Notes on {topic[0]}",
        "topics": topic[:3],
        "sentiment": rng.choice(["positive", "neutral", "mixed"]),
        "n_items": rng.randint(2, 9),
    }


def _from_schema(schema: Mapping[str, Any], rng: random.Random) -> Any:
    if "enum" in schema:
        return rng.choice(list(schema["enum"]))
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: _from_schema(part, rng) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [_from_schema(schema.get("items", {"type": "string"}), rng) for _ in range(2)]
    simple = {"integer": rng.randint(1, 99), "number": round(rng.uniform(0, 10), 2), "boolean": rng.random() < 0.5}
    return simple.get(str(kind), rng.choice(["alpha", "beta", "gamma"]))


def _translate(lower: str, depth: int, rng: random.Random) -> str:
    words = next((words for language, words in _LANGUAGES.items() if language in lower), _FRENCH)
    sentences = []
    for _ in range(depth + 1):
        chosen = [rng.choice(words) for _ in range(rng.randint(7, 12))]
        sentences.append(" ".join(chosen).capitalize() + ".")
    return " ".join(sentences)


def _bullets(topic: list[str], depth: int, rng: random.Random) -> str:
    a, b, c, d = topic
    lines = [
        f"- **{a.capitalize()}** carries most of the weight; {b} follows from it.",
        f"- The link between {b} and {c} is stated, not shown.",
        f"- {d.capitalize()} rose by {rng.randint(4, 38)} % over the period.",
        f"- Open question: what happens to {a} once {c} changes?",
        f"- Next step: measure {d} on one small case first.",
        f"- Risk: {b} depends on a single source.",
    ]
    return "Key points:\n" + "\n".join(lines[: depth * 2])


def _revision(topic: list[str], depth: int, rng: random.Random) -> str:
    a, b, c, d = topic
    parts = [
        f"Start with what the reader gains: {a} becomes simpler once {b} is settled first.",
        f"The middle part repeats {c}; one example with a number ({rng.randint(3, 40)} of 50 cases) says more.",
        f"End on a clear next step: decide on {d}, and write down what would change the decision.",
    ]
    return "\n\n".join(parts[:depth])


def _essay(topic: list[str], depth: int, rng: random.Random) -> str:
    a, b, c, d = topic
    parts = [
        f"In short: {a} matters here because it decides how {b} turns out. "
        f"A good first step is to look at {c} on a small scale and to write down what is seen.",
        f"Seen from the other side, {d} sets the limit. In {rng.randint(55, 95)} of 100 cases the cheaper way is "
        f"enough, and the rest can be told apart early by asking what {b} would look like if it failed.",
        f"What to keep in mind:\n\n1. Name the goal of {a} in one sentence.\n2. Change {c} or {d}, never both at "
        f"once.\n3. Stop when the answer no longer changes what you would do.",
    ]
    return "\n\n".join(parts[:depth])
