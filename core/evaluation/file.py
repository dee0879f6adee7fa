"""An evaluation as a file: `support.eval.yaml`, from which CI runs it, or the same keys in a request.

Paths are relative to the file; a request has none, as no file of the server is read for it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from core.domain.evaluation.prompt import PromptContent, PromptMessage, PromptVersion
from core.domain.evaluation.run import DEFAULT_WIDTH, OVERALL, Contestant, Gate, Nightly, Plan, Requirement, placed
from core.domain.generation import Parameters, named_parameters
from core.errors import AimmError, InvalidRequest
from core.formats import strict_json as json
from core.formats import yaml_text

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".yaml", ".yml")
_KEYS = (
    "name", "description", "dataset", "prompts", "models", "workflows", "contestants", "parameters", "repeat", "checks",
    "threshold", "embedding_model", "give_up_minutes", "spending_limit_usd", "concurrency", "reuse_days", "gate",
)  # fmt: skip
_GATE = ("against", "require", "significance", "exact", "nightly")
_REQUIREMENT = ("metric", "not_worse_than_points", "not_below", "not_above", "strict")
_CONTESTANT = ("name", "prompt", "model", "parameters", "workflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationFile:
    """A file as it was read. dataset: A reference; else `data`, the file that holds the rows.

    contestants: With the contents of their prompts.
    """

    name: str
    dataset: str = ""
    data: Path | None = None
    contestants: tuple[Contestant, ...] = ()
    checks: tuple[Mapping[str, Any], ...] = ()
    threshold: float | None = None
    repetitions: int = 1
    limit_usd: Decimal | None = None
    width: int = DEFAULT_WIDTH
    max_age_s: int = 0
    gate: Gate | None = None
    embedding_model: str = ""
    give_up_s: float = 600.0


def read_file(
    path: Path, find_prompt: Callable[[str], PromptVersion], default_model: Callable[[], str]
) -> EvaluationFile:
    """The evaluation that a file describes.

    find_prompt: A version by its reference. default_model: Where neither the file nor the prompt names one.

    Raises:
        InvalidRequest: The file cannot be read, or something in it is wrong; the message names key and line.
        NotFound: A prompt.
    """
    document = yaml_text.read(_bytes(path))
    if not isinstance(document, Mapping):
        raise InvalidRequest(f"{path.name} holds no keys; it begins with `name:`.")
    return read(document, find_prompt, default_model, folder=path.parent, name=path.name.partition(".")[0])


def read(
    document: Mapping[str, Any],
    find_prompt: Callable[[str], PromptVersion],
    default_model: Callable[[], str],
    *,
    folder: Path | None = None,
    name: str = "evaluation",
) -> EvaluationFile:
    """The same of keys that were read. folder: Where paths begin; None = there are none.

    Raises:
        InvalidRequest, NotFound
    """
    _known(document, _KEYS, "an evaluation")
    told = {str(key): yaml_text.typed(value) for key, value in document.items()}
    shared = _parameters(told.get("parameters"), "parameters")
    prompts: list[tuple[str, PromptContent | None]]
    prompts = [_prompt(each, folder, find_prompt) for each in _list(told.get("prompts"))]
    models = [str(each) for each in _list(told.get("models"))]
    named = [_contestant(each, folder, find_prompt) for each in _list(told.get("contestants"))]
    named += [Contestant(position=0, workflow=str(each)) for each in _list(told.get("workflows"))]
    crossed = [
        Contestant(position=0, prompt=ref, content=content, model=model, parameters=shared)
        for ref, content in (prompts or [("", None)])
        for model in models or ([content.model] if content is not None and content.model else [default_model()])
    ]
    contestants = [*(crossed if prompts or models or not named else []), *named]
    dataset, data = _dataset(told.get("dataset"), folder)
    reuse_days = told.get("reuse_days")
    return EvaluationFile(
        name=str(told.get("name") or name)[:200],
        dataset=dataset,
        data=data,
        contestants=placed(contestants),
        checks=tuple(_checks(told.get("checks"), folder)),
        threshold=_number(told.get("threshold"), "threshold"),
        repetitions=_whole(told.get("repeat", 1), "repeat"),
        limit_usd=_money(told.get("spending_limit_usd")),
        width=_whole(told.get("concurrency", DEFAULT_WIDTH), "concurrency"),
        max_age_s=0 if reuse_days is None else round((_number(reuse_days, "reuse_days") or 0) * 86_400),
        gate=_gate(document.get("gate")),
        embedding_model=str(told.get("embedding_model") or ""),
        give_up_s=60.0 * (_number(told.get("give_up_minutes", 10), "give_up_minutes") or 0.0),
    )


def read_prompt(path: Path) -> PromptContent:
    """A prompt in a file: a text, or as .json or .yaml `{messages: [{role, text or content}], model, parameters}`.

    Raises:
        InvalidRequest
    """
    raw = _bytes(path)
    if path.suffix not in (".json", ".yaml", ".yml"):
        return PromptContent(messages=(PromptMessage("user", _decoded(raw, path).strip()),))
    told = json.loads(raw) if path.suffix == ".json" else yaml_text.typed(yaml_text.read(raw))
    if isinstance(told, list):
        told = {"messages": told}
    try:
        turns = [{"role": each["role"], "text": each.get("text", each.get("content"))} for each in told["messages"]]
        return PromptContent.of({**told, "messages": turns})
    except AimmError:
        raise
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise InvalidRequest(f"{path.name} is no prompt: {type(error).__name__} {error}.") from None


def _contestant(told: Any, folder: Path | None, find_prompt: Callable[[str], PromptVersion]) -> Contestant:
    if not isinstance(told, Mapping):
        raise InvalidRequest("contestants: each has keys, such as prompt and model.")
    _known(told, _CONTESTANT, "contestants")
    ref, content = _prompt(told["prompt"], folder, find_prompt) if told.get("prompt") else ("", None)
    return Contestant(
        position=0,
        name=str(told.get("name") or ""),
        prompt=ref,
        content=content,
        model=str(told.get("model") or (content.model if content else "")),
        parameters=_parameters(told.get("parameters"), "contestants.parameters"),
        workflow=str(told.get("workflow") or ""),
    )


def _prompt(told: Any, folder: Path | None, find_prompt: Callable[[str], PromptVersion]) -> tuple[str, PromptContent]:
    """(what it is called, its content): a reference, or a path."""
    text = str(told).removeprefix("file://")
    if folder is not None and (folder / text).is_file():
        return Path(text).name, read_prompt(folder / text)
    if "/" in text or Path(text).suffix in (".txt", ".md", *SUFFIXES):
        raise InvalidRequest(f"prompts: there is no file {text[:200]!r}.")
    version = find_prompt(text)
    return version.ref, version.content


def _dataset(told: Any, folder: Path | None) -> tuple[str, Path | None]:
    if not isinstance(told, str) or not told:
        raise InvalidRequest("dataset: say which, by its name (`faq@3`) or by a file (`cases.csv`).")
    text = told.removeprefix("file://")
    if folder is not None and (folder / text).is_file():
        return "", folder / text
    if "/" in text or Path(text).suffix in SUFFIXES:
        why = "" if folder else ", as a request reads none: import it first"
        raise InvalidRequest(f"dataset: there is no file {told[:200]!r}{why}.")
    return told, None


def _checks(told: Any, folder: Path | None) -> Iterable[Mapping[str, Any]]:
    """The checks; a value that names a file of a schema is that file's content."""
    for each in _list(told):
        if not isinstance(each, Mapping):
            raise InvalidRequest(
                f"checks: {str(each)[:60]!r} is no check; it looks like {{type: contains, value: yes}}."
            )
        value = each.get("value")
        is_schema = str(each.get("type", "")).removeprefix("not-") in ("json-schema", "is-json", "contains-json")
        is_file = isinstance(value, str) and (value.startswith("file://") or (is_schema and value.endswith(".json")))
        if is_file and isinstance(value, str):
            if folder is None:
                raise InvalidRequest("checks: a request names no files; put the schema itself in its place.")
            raw = _bytes(folder / value.removeprefix("file://"))
            yield {
                **each,
                "value": json.loads(raw) if value.endswith(".json") else _decoded(raw, folder / value).strip(),
            }
        else:
            yield each


def _gate(told: Any) -> Gate | None:
    if told is None or yaml_text.is_null(told):
        return None
    if not isinstance(told, Mapping):
        raise InvalidRequest("gate: it has keys, such as `require`.")
    _known(told, _GATE, "gate")
    requirements = told.get("require") or []
    for each in requirements:
        if not isinstance(each, Mapping):
            raise InvalidRequest("gate.require: each has keys, such as metric and not_worse_than_points.")
        _known(each, _REQUIREMENT, "gate.require")
    gate = yaml_text.typed(told)
    found = Gate(
        against=str(gate.get("against") or ""),
        require=tuple(requirement(each) for each in gate.get("require") or []),
        significance=_number(gate.get("significance", 0.05), "gate.significance") or 0.05,
        is_exact=_flag(gate.get("exact", False), "gate.exact"),
        nightly=_nightly(gate.get("nightly", False)),
    )
    if not 0 < found.significance < 0.5:
        raise InvalidRequest(f"gate.significance == {found.significance}, must be above 0 and below 0.5")
    return found


def _nightly(told: Any) -> Nightly:
    if told in ("confirm", "looks"):
        return told  # type: ignore[no-any-return]  # one of them
    if told not in (True, False):
        raise InvalidRequest(f"gate.nightly == {str(told)[:40]!r}, must be true, confirm or looks")
    return "confirm" if told else ""


def requirement(told: Mapping[str, Any]) -> Requirement:
    """A requirement as it is written in a file. Raises: InvalidRequest"""
    found = Requirement(
        metric=str(told.get("metric") or "pass"),
        not_worse_than_points=_number(told.get("not_worse_than_points"), "not_worse_than_points"),
        not_below=_number(told.get("not_below"), "not_below"),
        not_above=_number(told.get("not_above"), "not_above"),
        is_strict=_flag(told.get("strict", False), "strict"),
    )
    if found.not_worse_than_points is None and found.not_below is None and found.not_above is None:
        raise InvalidRequest(
            f"gate.require: {found.metric} has no bound; give not_worse_than_points, not_below or not_above."
        )
    if (found.not_worse_than_points or 0.0) < 0:
        raise InvalidRequest(f"not_worse_than_points == {found.not_worse_than_points}, must be 0 or more")
    for name, bound in (("not_below", found.not_below), ("not_above", found.not_above)):
        if found.metric == OVERALL and bound is not None and not 0 <= bound <= 1:
            raise InvalidRequest(f"{name} == {bound}, must be 0 to 1 for a pass rate: 0.9 is 90 %")
    return found


def _parameters(told: Any, place: str) -> Parameters:
    if told is None:
        return Parameters()
    if not isinstance(told, Mapping):
        raise InvalidRequest(f"{place}: they are keys, such as temperature.")
    found = named_parameters(told)
    if problem := found.problem():
        raise InvalidRequest(f"{place}: {problem}")
    return found


def plan_of(found: EvaluationFile, dataset: str, **changes: Any) -> Plan:
    """The plan of a file whose rows are in a dataset. changes: Over what the file says."""
    plan = Plan(
        name=found.name,
        dataset=dataset,
        contestants=found.contestants,
        checks=found.checks,
        threshold=found.threshold,
        repetitions=found.repetitions,
        limit_usd=found.limit_usd,
        width=found.width,
        max_age_s=found.max_age_s,
        gate=found.gate,
        embedding_model=found.embedding_model,
        give_up_s=found.give_up_s,
    )
    return replace(plan, **changes)


def _known(told: Mapping[Any, Any], names: Sequence[str], place: str) -> None:
    """Raises: InvalidRequest: a key is unknown; it is named with its line."""
    for key in told:
        if str(key) not in names:
            line = f"line {key.line}: " if isinstance(key, yaml_text.Scalar) else ""
            raise InvalidRequest(f"{line}{place} has no key {str(key)[:60]!r}; it has {', '.join(names)}.")


def _list(told: Any) -> list[Any]:
    return [] if told is None else list(told) if isinstance(told, list) else [told]


def _whole(told: Any, name: str) -> int:
    if not isinstance(told, int) or isinstance(told, bool):
        raise InvalidRequest(f"{name} == {str(told)[:40]!r}, must be a whole number")
    return told


def _number(told: Any, name: str) -> float | None:
    if told is not None and (not isinstance(told, int | float) or isinstance(told, bool)):
        raise InvalidRequest(f"{name} == {str(told)[:40]!r}, must be a number")
    return told


def _flag(told: Any, name: str) -> bool:
    if not isinstance(told, bool):
        raise InvalidRequest(f"{name} == {str(told)[:40]!r}, must be true or false")
    return told


def _money(told: Any) -> Decimal | None:
    if told is None:
        return None
    try:
        return Decimal(str(told))
    except InvalidOperation:
        raise InvalidRequest(f"spending_limit_usd == {str(told)[:40]!r}, must be an amount in dollars") from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read ({type(error).__name__}).") from None


def _decoded(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path.name} is not UTF-8.") from None
