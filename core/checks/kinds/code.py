"""Checks that are Python code of the test's author, run only where it is allowed: it has all rights of the process."""

from collections.abc import Mapping
from typing import Any

from core.checks.model import CheckError, Given, Outcome, shown


def python(given: Given) -> Outcome:
    """An expression, or the lines of a function that returns: true or false, a score, or {pass, score, reason}.

    It sees `output` and `context`, which has `vars` and `prompt`. A score passes from the threshold on, else above 0.
    """
    if not given.facts.allow_python:
        raise CheckError("python: code is run only where it is allowed (--allow-python)")
    if callable(given.value):  # a program's own function
        return _finding(given.value(given.text, dict(given.variables)), given)
    if not isinstance(given.value, str) or not given.value.strip():
        raise CheckError("python needs an expression, or the lines of a function")
    lines = given.value.split("\n")
    body = "\n".join(f"    {line}" for line in lines) if len(lines) > 1 else f"    return {given.value.strip()}"
    names: dict[str, Any] = {}
    exec(f"import json\ndef main(output, context):\n{body}\n", names)  # noqa: S102 - asked for
    said = names["main"](given.output, {"vars": dict(given.variables), "prompt": given.facts.prompt})
    return _finding(said, given)


def _finding(result: Any, given: Given) -> Outcome:
    threshold = given.check.get("threshold")
    if isinstance(result, bool):
        return Outcome(result, float(result), f"the code returned {result}")
    if isinstance(result, int | float):
        passed = result > 0 if threshold is None else result >= threshold
        return Outcome(passed != given.is_inverse, float(result), f"the code returned {result:g}", is_kept=True)
    if isinstance(result, Mapping):
        said, score = result.get("pass"), result.get("score")
        is_known = said is not None or score is not None
        if is_known and all(each is None or isinstance(each, bool | int | float) for each in (said, score)):
            worth = float(said or 0) if score is None else float(score)
            passed = (worth > 0 if said is None else bool(said)) and (threshold is None or worth >= threshold)
            return Outcome(passed != given.is_inverse, worth, str(result.get("reason", "")), is_kept=True)
    raise CheckError(f"the code returned {shown(result)}: not true or false, a number, or {{pass, score, reason}}")
