"""A test looked at before it is run: what is wrong in it, by path. Pure."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from core.checks import regular, templates
from core.checks.grading import JUDGED_KINDS, KINDS, OWN_KINDS, UNSUPPORTED, filled, grade, why_not
from core.checks.model import CheckError, Reply, shown

_KEYS = frozenset("type value threshold weight metric scores provider rubricPrompt config assert".split())
_UP_TO_ONE = {"similar", "similar:cosine", "rouge-n", "bleu", "gleu", "assert-set"}  # kinds with scores of 0 to 1
_LIKE = [kind for kind in KINDS if kind.startswith("similar")]
_PROBES = ("{}", "x")  # answers that a check of JSON, and any other, looks at its value for


def validate(
    test: Mapping[str, Any],
    columns: Collection[str] | None = None,
    *,
    allow_python: bool = False,
    has_judge: bool = True,
    has_embeddings: bool = True,
) -> list[str]:
    """The problems of a test, each with its path; empty = none.

    columns: The variables that its rows have. None = not known, so that none is missing.
    allow_python, has_judge, has_embeddings: What the place where it is to be graded gives.
    """
    refused = {} if allow_python else {"python": "code is run only where it is allowed (--allow-python)"}
    refused |= {} if has_judge else dict.fromkeys(JUDGED_KINDS, "it needs a model as judge, and none is asked here")
    refused |= {} if has_embeddings else dict.fromkeys(_LIKE, "it needs a model for vectors, and none is named here")
    problems = list(_of_checks(test.get("assert"), "assert", columns, refused, in_set=False))
    return problems + list(_of_number(test, "threshold", ""))


def _of_checks(
    checks: Any, path: str, columns: Collection[str] | None, refused: Mapping[str, str], *, in_set: bool
) -> Iterator[str]:
    if checks is not None and not isinstance(checks, list | tuple):
        yield f"{path}: a list of checks, not {shown(checks, 60)}"
        return
    for index, check in enumerate(checks or ()):
        at = f"{path}[{index}]"
        if not isinstance(check, Mapping):
            yield f"{at}: a check is an object with a type, not {shown(check, 60)}"
        elif check.get("type") == "assert-set" and not in_set:
            if not check.get("assert"):
                yield f"{at}.assert: a set without checks would always pass"
            yield from _of_checks(check.get("assert"), f"{at}.assert", columns, refused, in_set=True)
            yield from _of_numbers(check, at)
        else:
            yield from _of_check(check, at, columns, refused)


def _of_check(
    check: Mapping[str, Any], at: str, columns: Collection[str] | None, refused: Mapping[str, str]
) -> Iterator[str]:
    kind = str(check.get("type") or "").removeprefix("not-")
    if why := _wrong_kind(kind, refused):
        yield f"{at}.type: {why}"
        return
    for key in check:
        if key not in _KEYS and (close := difflib.get_close_matches(str(key), _KEYS, n=1, cutoff=0.75)):
            yield f"{at}.{key}: there is no {key!r}; did you mean {close[0]}?"
    yield from _of_numbers(check, at)
    is_filled = False
    for key, text in _texts(check, kind):
        try:
            names = templates.names_in(text)
        except CheckError as error:
            yield f"{at}.{key}: {error}"
            return
        is_filled |= bool(names) and key == "value"
        if missing := sorted(names - set(columns)) if columns is not None else []:
            yield f"{at}.{key}: no column is named {', '.join(missing)}; there are {', '.join(sorted(columns or ()))}"
    if not is_filled and (why := _wrong_value(check, kind)):
        yield f"{at}.value: {why}"


def _wrong_kind(kind: str, refused: Mapping[str, str]) -> str:
    if kind in refused:
        return f"{kind}: {refused[kind]}"
    if kind in KINDS:
        return ""
    if kind in UNSUPPORTED or kind == "assert-set":
        return why_not(kind)
    close = difflib.get_close_matches(kind.lower().replace("_", "-"), [*KINDS, "assert-set"], n=1)
    return f"there is no check of type {kind!r}" + (f"; did you mean {close[0]}?" if close else "")


def _texts(check: Mapping[str, Any], kind: str) -> Iterator[tuple[str, str]]:
    """Each template of a check, with the key that holds it."""
    if isinstance(check.get("metric"), str):
        yield "metric", check["metric"]
    left = [check.get("value")]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield "value", value
        elif isinstance(value, list) and (value is check.get("value") or kind in OWN_KINDS):
            left += value
        elif isinstance(value, Mapping) and kind in OWN_KINDS - {"json-schema"}:
            left += value.values()


def _wrong_value(check: Mapping[str, Any], kind: str) -> str:
    """The problem that the check itself finds with its value, whatever the answer."""
    if kind == "python":
        return ""
    if kind == "regex" and isinstance(check.get("value"), str):
        try:
            regular.compiled(filled(check["value"], {}, is_deep=False))
        except regular.PatternTooSlow as error:
            return str(error)
        except (regular.PatternError, CheckError) as error:
            return f"no regular expression of JavaScript: {error}"
    reply = (
        "Y" if kind == "model-graded-closedqa" else "A" if kind in JUDGED_KINDS - {"llm-rubric"} else Reply(True, 1, "")
    )
    for probe in _PROBES:
        found = grade(
            {"assert": [{**check, "metric": "", "weight": 1}]}, probe, latency_ms=0, cost_usd=0, finish_reason="stop",
            embed=lambda texts: [[1.0]] * len(texts), judge=lambda _: reply,
        )  # fmt: skip
        if found.is_error:
            return found.components[0].reason
    return ""


def _of_numbers(check: Mapping[str, Any], at: str) -> Iterator[str]:
    kind = str(check.get("type")).removeprefix("not-")
    yield from _of_number(check, "threshold", f"{at}.", most=1 if kind in _UP_TO_ONE else None)
    yield from _of_number(check, "weight", f"{at}.", least=0)


def _of_number(
    told: Mapping[str, Any], key: str, prefix: str, *, least: float | None = None, most: float | None = None
) -> Iterator[str]:
    value = told.get(key)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        yield f"{prefix}{key}: a number, not {shown(value, 60)}"
    elif least is not None and value < least:
        yield f"{prefix}{key}: at least {least:g}, not {value:g}"
    elif most is not None and value > most:
        yield f"{prefix}{key}: at most {most:g}, not {value:g}: no score is higher"
