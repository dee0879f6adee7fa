"""Results observed with promptfoo: the same checks on the same answers give the same pass, score and parts here."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from core.checks import grade

OBSERVED: dict[str, list[dict[str, Any]]] = defaultdict(list)
for _line in (Path(__file__).parent / "observed.jsonl").read_text("utf-8").rstrip("\n").split("\n"):
    OBSERVED[(_vector := json.loads(_line))["group"]].append(_vector)


def found_of(vector: dict[str, Any]) -> dict[str, Any]:
    judge = (lambda prompt: vector["reply"]) if "reply" in vector else None
    facts = {name: vector[name] for name in ("latency_ms", "cost_usd", "finish_reason") if name in vector}
    if vector["group"] == "latency":
        facts.setdefault("latency_ms", 5)
    found = grade(vector["test"], vector["output"], vector.get("vars"), judge=judge, **facts)
    told: dict[str, Any] = {"pass": found.passed, "score": found.score, "error": found.is_error}
    if "components" in vector["expected"]:
        told["components"] = [[each.type, each.passed, each.score] for each in found.components]
    if "named" in vector["expected"]:
        told["named"] = dict(found.named_scores)
    return told


def is_close(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(is_close(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(is_close, found, expected))
    return found == expected or (isinstance(expected, float) and found == pytest.approx(expected, abs=1e-9))


@pytest.mark.parametrize("group", OBSERVED)
def test_a_check_gives_what_was_observed(group: str):
    pairs = [(vector, found_of(vector)) for vector in OBSERVED[group]]

    differing = [(vector, found) for vector, found in pairs if not is_close(found, vector["expected"])]

    assert differing == []
