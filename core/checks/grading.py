"""The grade of an answer: each check on its own, then all together. Pure."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.checks import javascript as js
from core.checks import templates
from core.checks.kinds import code, facts, judged, markup, similarity, structure, text
from core.checks.model import ABSENT, CheckError, Component, Embed, Facts, Given, Grade, Judge, Outcome, shown

KINDS: dict[str, Callable[[Given], Outcome]] = {
    "equals": text.equals,
    "contains": text.contains,
    "icontains": text.contains,
    "contains-any": text.contains_any,
    "icontains-any": text.contains_any,
    "contains-all": text.contains_all,
    "icontains-all": text.contains_all,
    "starts-with": text.starts_with,
    "regex": text.matches,
    "word-count": text.word_count,
    "is-refusal": text.is_refusal,
    "is-json": structure.is_json,
    "json-schema": structure.json_schema,
    "contains-json": structure.contains_json,
    "json-path": structure.json_path,
    "is-xml": markup.is_xml,
    "contains-xml": markup.contains_xml,
    "is-html": markup.is_html,
    "contains-html": markup.contains_html,
    "levenshtein": similarity.levenshtein,
    "bleu": similarity.bleu,
    "gleu": similarity.gleu,
    "rouge-n": similarity.rouge_n,
    "similar": similarity.similar,
    "similar:cosine": similarity.similar,
    "similar:dot": similarity.similar,
    "similar:euclidean": similarity.similar,
    "python": code.python,
    "latency": facts.latency,
    "cost": facts.cost,
    "finish-reason": facts.finish_reason,
    "tool-called": facts.tool_called,
    "tool-call-f1": facts.tool_call_f1,
    "llm-rubric": judged.llm_rubric,
    "model-graded-closedqa": judged.closed_question,
    "factuality": judged.factuality,
    "model-graded-factuality": judged.factuality,
}
OWN_KINDS = frozenset({"json-schema", "json-path", "tool-called"})
JUDGED_KINDS = frozenset({"llm-rubric", "model-graded-closedqa", "factuality", "model-graded-factuality"})
_OF_JUDGES = "no judge of this kind is asked; write a function that checks (`evaluate`), or a python check"
_OF_CALLS = "tool-called and tool-call-f1 look at the tools that were called, json-schema at JSON in the answer"
_OF_TRACES = "traces are not read; tool-called looks at the tools that an answer calls"
_OF_CLASSIFIERS = "no classifier is asked; write a function that checks (`evaluate`), or a python check"
UNSUPPORTED = {
    "javascript": "code in JavaScript is not run; json-path compares a field of JSON, also inside a ``` fence",
    "ruby": "code in Ruby is not run; json-path and regex cover most of it, python the rest",
    "webhook": "no address is called; write a function that checks (`evaluate`), or a python check",
    "meteor": "rouge-n, bleu, gleu and similar compare with a reference",
    "select-best": "it compares contestants, which a verdict does; a grade is of one answer",
    "max-score": "it compares contestants, which a verdict does; a grade is of one answer",
    **dict.fromkeys(("is-sql", "contains-sql"), "SQL is not parsed; regex or a python check can look at it"),
    **dict.fromkeys(("perplexity", "perplexity-score"), "probabilities of tokens are not kept; leave it out"),
    **dict.fromkeys(
        "is-valid-function-call is-valid-openai-function-call is-valid-openai-tools-call".split(), _OF_CALLS
    ),
    **dict.fromkeys("classifier guardrails moderation".split(), _OF_CLASSIFIERS),
    **dict.fromkeys(
        "agent-rubric answer-relevance context-faithfulness context-recall context-relevance conversation-relevance"
        " g-eval pi search-rubric".split(),
        _OF_JUDGES,
    ),
    **dict.fromkeys(
        "skill-used trace-error-spans trace-span-count trace-span-duration trajectory:goal-success"
        " trajectory:step-count trajectory:tool-args-match trajectory:tool-sequence trajectory:tool-used".split(),
        _OF_TRACES,
    ),
}


def grade(  # noqa: PLR0913 - a call has many facts, each named
    test: Mapping[str, Any],
    output: Any,
    variables: Mapping[str, Any] | None = None,
    *,
    latency_ms: float | None = None,
    cost_usd: float | None = None,
    finish_reason: str | None = None,
    tool_calls: Sequence[Mapping[str, Any]] | None = None,
    prompt: str = "",
    embed: Embed | None = None,
    judge: Judge | None = None,
    allow_python: bool = False,
) -> Grade:
    """Grade an answer by a test.

    Args:
        test: {"assert": [check, …], "threshold": the score that is enough}; a check is {"type", "value", "threshold",
            "weight", "metric"}, or a set {"type": "assert-set", "assert": [check, …]}.
        output: The answer as text, or as the JSON value it was parsed to. None = there is no answer: a fail.
        variables: Data for the {{variables}} of the checks; over those that the test holds as `vars`.
        latency_ms, cost_usd, finish_reason, tool_calls: Of the call; None = not known.
        prompt: The prompt asked, for a judge.
        embed: Gives a vector for each text. judge: Replies to a prompt with a text, or with a `Reply`.
        allow_python: Run `python` checks: code of the test's author, with all rights of this process.

    A check that cannot be made makes the grade an error, whatever the others say; their own results stand beside it.
    """
    if output is None:
        return Grade(passed=False, score=0.0, is_error=False, reason="there is no answer")
    known = {**(test.get("vars") or {}), **(variables or {})}
    seen = Facts(
        latency_ms=latency_ms,
        cost_usd=cost_usd,
        finish_reason=finish_reason,
        tool_calls=tool_calls,
        embed=embed,
        judge=judge,
        prompt=prompt,
        allow_python=allow_python,
    )
    components, named = _graded(test.get("assert") or (), output, known, seen)
    return _together(test.get("threshold"), components, named)


_Named = list[tuple[str, float, float]]  # metric, score, weight
_Rows = list[tuple[Component, list[Component]]]  # a check, and its members if it is a set


def _graded(
    checks: Any, output: Any, variables: Mapping[str, Any], seen: Facts, *, in_set: bool = False
) -> tuple[_Rows, _Named]:
    rows: _Rows = []
    named: _Named = []
    for check in checks:
        if isinstance(check, Mapping) and check.get("type") == "assert-set" and not in_set:
            component, members, inner = _set(check, output, variables, seen)
            named += [(name, score, component.weight) for name, score in inner.items() if name != component.metric]
        else:
            component, members = _one(check, output, variables, seen), []
        rows.append((component, members))
        if component.metric:
            named.append((component.metric, component.score, component.weight))
    return rows, named


def _together(threshold: Any, rows: _Rows, named: _Named) -> Grade:
    everything = tuple(part for component, members in rows for part in (component, *members))
    scores = _weighted(named)
    if wrong := [each for each in everything if each.is_error]:
        reason = "; ".join(f"{each.type or 'assert-set'}: {each.reason}" for each in wrong)
        return Grade(passed=False, score=0.0, is_error=True, components=everything, reason=reason, named_scores=scores)
    if not rows:
        return Grade(passed=True, score=1.0, is_error=False, reason="there are no checks")
    checks = [component for component, _ in rows]
    score, failed = _mean(checks), [each for each in checks if not each.passed]
    passed, reason = not failed, failed[-1].reason if failed else "all checks passed"
    if isinstance(threshold, int | float) and not isinstance(threshold, bool):
        passed = score >= threshold
        reason = f"the score is {score:.2f}, the threshold {threshold:g}"
    return Grade(passed=passed, score=score, is_error=False, components=everything, reason=reason, named_scores=scores)


def _mean(components: Sequence[Component]) -> float:
    weight = sum(each.weight for each in components)
    return sum(each.score * each.weight for each in components) / weight if weight > 0 else 0.0


def _weighted(named: _Named) -> dict[str, float]:
    sums: dict[str, list[float]] = {}
    for name, score, weight in named:
        total = sums.setdefault(name, [0.0, 0.0])
        total[0] += score * weight
        total[1] += weight
    return {name: total / weight if weight > 0 else 0.0 for name, (total, weight) in sums.items()}


def _set(
    check: Mapping[str, Any], output: Any, variables: Mapping[str, Any], seen: Facts
) -> tuple[Component, list[Component], Mapping[str, float]]:
    rows, named = _graded(check.get("assert") or (), output, variables, seen, in_set=True)
    inner = _together(check.get("threshold"), rows, named)
    metric, weight, is_error, reason = "", 1.0, inner.is_error, inner.reason
    try:
        metric, weight = _metric(check, variables), _weight(check)
    except CheckError as error:
        is_error, reason = True, str(error)
    component = Component(
        type=None,
        passed=inner.passed and not is_error,
        score=inner.score if rows else 0.0,
        reason=reason,
        is_error=is_error,
        metric=metric,
        weight=weight,
    )
    return component, list(inner.components), inner.named_scores


def _one(check: Any, output: Any, variables: Mapping[str, Any], seen: Facts) -> Component:
    type_ = str(check.get("type") or "") if isinstance(check, Mapping) else ""
    try:
        if not type_:
            raise CheckError(f"a check needs a type: {shown(check)}")
        metric, weight = _metric(check, variables), _weight(check)
        outcome = _outcome(type_, check, output, variables, seen)
        if not math.isfinite(outcome.score):
            raise CheckError(f"{type_}: the score {outcome.score} is no number")
    except CheckError as error:
        return Component(type=type_, passed=False, score=0.0, reason=str(error), is_error=True)
    except Exception as error:  # noqa: BLE001 - one broken check says so and leaves the others alone
        reason = f"{type(error).__name__}: {shown(str(error))}"
        return Component(type=type_, passed=False, score=0.0, reason=reason, is_error=True)
    return Component(
        type=type_,
        passed=outcome.passed or weight == 0,  # a check of no weight only informs
        score=outcome.score,
        reason=outcome.reason,
        metric=metric,
        weight=weight,
    )


def _outcome(type_: str, check: Mapping[str, Any], output: Any, variables: Mapping[str, Any], seen: Facts) -> Outcome:
    is_inverse, kind = type_.startswith("not-"), type_.removeprefix("not-")
    if kind not in KINDS:
        raise CheckError(why_not(kind))
    if "transform" in check:
        raise CheckError(f"{type_}: transform is code, which is not run")
    given = Given(
        kind=kind,
        check=check,
        value=filled(check.get("value", ABSENT), variables, is_deep=kind in OWN_KINDS and kind != "json-schema"),
        output=output,
        text=output if isinstance(output, str) else js.json_text(output),
        variables=variables,
        facts=seen,
        is_inverse=is_inverse,
    )
    outcome = KINDS[kind](given)
    if not is_inverse or outcome.is_kept:
        return outcome
    return outcome._replace(passed=not outcome.passed, score=1 - outcome.score)


def why_not(kind: str) -> str:
    """The reason that a kind cannot be checked."""
    if kind == "assert-set":
        return "a set holds no sets, and there is no not-assert-set"
    if kind in UNSUPPORTED:
        return f"{kind}: {UNSUPPORTED[kind]}"
    return f"there is no check of type {kind!r}"


def filled(value: Any, variables: Mapping[str, Any], *, is_deep: bool) -> Any:
    """A check's value with its variables. is_deep: Texts inside objects too.

    Raises:
        CheckError: A template that cannot be read, or a file that nobody read.
    """
    if isinstance(value, str):
        if value.startswith(("file://", "package:")):
            raise CheckError(f"{shown(value, 80)} was not read")
        return templates.render(value, variables)
    if isinstance(value, list) and not is_deep:
        return [filled(each, variables, is_deep=False) if isinstance(each, str) else each for each in value]
    if isinstance(value, list):
        return [filled(each, variables, is_deep=True) for each in value]
    if isinstance(value, Mapping) and is_deep:
        return {key: filled(each, variables, is_deep=True) for key, each in value.items()}
    return value


def _metric(check: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
    metric = check.get("metric")
    return templates.render(metric, variables) if isinstance(metric, str) else ""


def _weight(check: Mapping[str, Any]) -> float:
    weight = check.get("weight")
    if weight is None:
        return 1.0
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        raise CheckError(f"a weight is a number >= 0, not {shown(weight)}")
    return float(weight)
