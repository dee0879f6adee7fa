"""The layouts of records, and rows of them: a record becomes a row, and a row gives its record back. Pure.

A kind of record is known by its first one: a row of a table, a plain object, a chat, a line of a batch of OpenAI's or
Gemini's, a test of promptfoo's, or a row as it is written here.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from core.datasets.cells import check_known, check_of, with_config
from core.domain.evaluation.dataset import DatasetRow
from core.errors import InvalidRequest
from core.formats import strict_json as json
from core.prompts.rendering import messages_of

Kind = Literal["table", "objects", "chat", "openai", "gemini", "tests", "own"]
ROLES = ("variable", "expected", "tags", "description", "threshold", "metadata")
EXPECTED = ("expected", "ideal", "expected_output")
_DEFAULTS = dict.fromkeys(EXPECTED, "expected") | {"tags": "tags"}
_MAGIC = re.compile(
    r"__(expected\d*|metric|threshold|description|prefix|suffix|providerOutput|messages|checks)|__metadata:.+"
    r"|__config:__expected\d*:threshold"
)
_OWN = frozenset(DatasetRow().__slots__) - {"id", "source"}
_OF_TEST = {"vars", "assert", "threshold", "description", "metadata", "expected", "tags"}


class BadRecord(ValueError):
    """A record that is no row; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The form of a file's records.

    columns: Those of a table, or the keys of the first object, in their order.
    roles: What a column is, where it is no variable.
    header: The names as a table writes them, where they are not `columns`.
    """

    kind: Kind
    format: str = "jsonl"
    columns: tuple[str, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    separator: str = ","
    header: tuple[str, ...] = ()

    def role(self, column: str) -> str:
        return self.roles.get(column, "variable")

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Layout":
        lists = {name: tuple(told[name]) for name in ("columns", "header") if name in told}
        return cls(**{**told, **lists})


def kind_of(record: Mapping[str, Any]) -> Kind:
    """The kind of an object."""
    if isinstance(record.get("body", record.get("params")), Mapping) and "custom_id" in record:
        return "openai"
    request = record.get("request")
    if (isinstance(request, Mapping) and "contents" in request) or _are_turns(record.get("contents"), "parts"):
        return "gemini"
    if (
        record.keys() <= _OWN
        and isinstance(record.get("variables", {}), Mapping)
        and {"variables", "checks"} & {*record}
    ):
        return "own"
    if isinstance(record.get("messages"), list) or _turns_of(record):
        return "chat"
    return "tests" if isinstance(record.get("vars"), Mapping | str) or "assert" in record else "objects"


def _are_turns(value: Any, key: str) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) and key in each for each in value)


def _turns_of(record: Mapping[str, Any]) -> str:
    """The name under which a record has turns, where it is not `messages`: OpenAI's evals, ShareGPT's; empty = none."""
    names = {"input": "role", "conversations": "from"}
    return next((name for name, key in names.items() if _are_turns(record.get(name), key)), "")


def fits(layout: Layout, record: Mapping[str, Any]) -> bool:
    """False where a record is plainly of another kind than those of its file; the reader says what else is missing."""
    kind = kind_of(record)
    return kind == layout.kind or layout.kind in ("own", "tests") or (kind == "objects" != layout.kind)


def roles_of(columns: Sequence[str], mapping: Mapping[str, str] | None) -> dict[str, str]:
    """The roles that are not `variable`. mapping: What the caller says of columns.

    Raises:
        InvalidRequest: It names a column that is not there, or a role that does not exist.
    """
    for column, role in (mapping or {}).items():
        if column not in columns:
            close = difflib.get_close_matches(column, columns, n=1) or list(columns)[:10]
            raise InvalidRequest(f"There is no column {column[:60]!r}; there is {', '.join(close)}.")
        if role not in ROLES:
            raise InvalidRequest(
                f"The role of {column[:60]!r} == {str(role)[:40]!r}, must be one of {', '.join(ROLES)}"
            )
    usual = {name: _DEFAULTS[name.lower()] for name in columns if name.lower() in _DEFAULTS}
    magic = {name: "test" for name in columns if _MAGIC.fullmatch(name)}
    return {name: role for name, role in {**usual, **magic, **(mapping or {})}.items() if role != "variable"}


# From records to rows


def row_of(layout: Layout, record: Mapping[str, Any]) -> DatasetRow:
    """The row of a record, with what it takes to give the record back. Raises: BadRecord"""
    try:
        row = _READERS[layout.kind](layout, record)
        messages_of(row.messages)
        for check in row.checks:
            check_known(check)
    except InvalidRequest as error:
        raise BadRecord(error.message) from None
    given = record_of(layout, row)
    if given == record:
        return row
    if layout.kind == "table":
        record = {name: cell for name, cell in record.items() if given.get(name) != cell}
    return replace(row, source=json.encoded(dict(record)).decode())


def _fields(layout: Layout, record: Mapping[str, Any]) -> DatasetRow:
    """A row of a table or a plain object: each column by its role."""
    found: dict[str, Any] = {"variables": {}, "metadata": {}, "checks": []}
    test: dict[str, Any] = {}
    for column, value in record.items():
        role = layout.role(column)
        if role == "variable":
            found["variables"][column] = value
        elif role == "test":
            test[column] = value
        elif role == "metadata":
            found["metadata"][column] = value
        elif role == "tags":
            found["tags"] = _tags(value)
        elif role == "threshold":
            found["threshold"] = _share(column, value)
        elif value not in (None, ""):
            if role in found:
                raise BadRecord(
                    f"{column[:60]!r} and another column both say what is {role}: map one of them otherwise"
                )
            found[role] = value if role == "expected" else str(value)
    _read_test(found, test)
    return _own(layout, found)


def _read_test(found: dict[str, Any], test: Mapping[str, Any]) -> None:
    """The columns that say how to grade, as promptfoo names them."""
    checks = {name: check_of(as_cell(value)) for name, value in test.items() if _is_check(name, value)}
    for name, value in test.items():
        if value in (None, ""):
            continue
        if name.startswith("__config:"):
            checks = with_config(checks, name, _number(name, value))
        elif name.startswith("__metadata:"):
            key = name.removeprefix("__metadata:")
            found["metadata"][key.removesuffix("[]")] = list(_tags(value)) if key.endswith("[]") else value
        elif name == "__threshold":
            found["threshold"] = _share(name, value)
        elif name == "__description":
            found["description"] = str(value)
        elif name in ("__prefix", "__suffix", "__providerOutput"):
            found["metadata"][name] = value
        elif name in ("__messages", "__checks"):
            found[name[2:]] = [*found.get(name[2:], ()), *_json(name, value)]
    metric = {"metric": test["__metric"]} if test.get("__metric") else {}
    found["checks"] += [check | metric for check in checks.values()]


def _is_check(name: str, value: Any) -> bool:
    return name.startswith("__expected") and bool(as_cell(value).strip())


def _json(name: str, value: Any) -> list[Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, list):
        raise BadRecord(f"{name} holds no JSON list")
    return found


def _tags(value: Any) -> tuple[str, ...]:
    words = re.split("[,;]", value) if isinstance(value, str) else value
    if words is None:
        return ()
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise BadRecord(f"tags == {str(value)[:60]!r}, must be a list of words or words with commas between them")
    return tuple(dict.fromkeys(tag for word in words if (tag := word.strip())))


def _number(name: str, value: Any) -> float | None:
    if value in (None, ""):
        return None
    try:
        found = float(str(value).strip())
    except ValueError:
        found = float("nan")
    if isinstance(value, bool) or not abs(found) < float("inf"):
        raise BadRecord(f"{name} == {str(value)[:40]!r}, must be a number")
    return found


def _share(name: str, value: Any) -> float | None:
    """The least score of a row that passes."""
    found = _number(name, value)
    if found is not None and not 0 <= found <= 1:
        raise BadRecord(f"{name} == {found:g}, must be 0 to 1, as a row's score is")
    return found


def _chat(layout: Layout, record: Mapping[str, Any]) -> DatasetRow:
    at = "messages" if "messages" in record else _turns_of(record)
    if not isinstance(messages := record.get(at), list) or not messages:
        raise BadRecord("`messages` must be a list of turns")
    row = _fields(layout, {name: value for name, value in record.items() if name != at})
    if at == "conversations":
        roles = {"human": "user", "gpt": "assistant"}
        messages = [{"role": roles.get(turn["from"], turn["from"]), "content": turn.get("value")} for turn in messages]
    return _of_turns(messages, row)


def _of_turns(messages: Sequence[Any], row: DatasetRow) -> DatasetRow:
    """A row of turns; an answer at their end is what is hoped for, where nothing else is."""
    if not all(isinstance(turn, Mapping) for turn in messages):
        raise BadRecord("a turn must be an object with `role` and `content`")
    expected = row.expected
    if expected is None and messages[-1].get("role") == "assistant" and len(messages) > 1:
        if (expected := messages[-1].get("content")) is None:
            raise BadRecord("the answer at the end has no text")
        messages = messages[:-1]
    return replace(row, messages=tuple(messages), expected=expected)


def _openai(layout: Layout, record: Mapping[str, Any]) -> DatasetRow:
    body = record.get("body", record.get("params"))
    if not isinstance(body, Mapping) or not isinstance(record.get("custom_id"), str):
        raise BadRecord("a line of a batch has `custom_id` and an object `body`")
    turns = body.get("messages", body.get("input"))
    turns = [{"role": "user", "content": turns}] if isinstance(turns, str) else turns
    if not isinstance(turns, list) or not turns:
        raise BadRecord("`body` has no `messages` and no `input`")
    if system := body.get("instructions", body.get("system")):
        turns = [{"role": "system", "content": system}, *turns]
    return _of_batch(turns, record, "custom_id")


def _gemini(layout: Layout, record: Mapping[str, Any]) -> DatasetRow:
    request = record.get("request", record)
    if not isinstance(request, Mapping) or not isinstance(request.get("contents"), list) or not request["contents"]:
        raise BadRecord("a line of a batch has `key` and an object `request` with `contents`")
    system = request.get("systemInstruction", request.get("system_instruction"))
    turns = [_content(system, "system")] if isinstance(system, Mapping) else []
    for content in request["contents"]:
        if not isinstance(content, Mapping):
            raise BadRecord("`contents` must be a list of objects")
        turns.append(_content(content, "assistant" if content.get("role") == "model" else "user"))
    return _of_batch(turns, record, "key")


def _content(content: Mapping[str, Any], role: str) -> dict[str, Any]:
    parts = content.get("parts")
    parts = [parts] if isinstance(parts, Mapping) else parts
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else [None]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise BadRecord("a part of `contents` is no text; only texts are read")
    return {"role": role, "content": "".join(map(str, texts))}


def _of_batch(turns: Sequence[Any], record: Mapping[str, Any], key: str) -> DatasetRow:
    expected = next((record[name] for name in EXPECTED if name in record), None)
    return _of_turns(turns, DatasetRow(expected=expected, metadata={key: record[key]} if key in record else {}))


def _test(layout: Layout, record: Mapping[str, Any]) -> DatasetRow:
    if unknown := [name for name in record if name not in _OF_TEST]:
        raise BadRecord(f"{', '.join(map(repr, unknown[:5]))} of a test is not supported here")
    variables, checks = record.get("vars", {}), record.get("assert") or []
    if not isinstance(variables, Mapping):
        raise BadRecord("`vars` must be an object; files of variables are not read")
    if "assert" in variables:
        raise BadRecord("`assert` stands under `vars`, where it checks nothing: it belongs beside it")
    for name, value in variables.items():
        if isinstance(value, str) and value.startswith("file://"):
            raise BadRecord(f"the variable {name!r} is a file, which is not read: write its text")
        if isinstance(value, list) and value and isinstance(value[0], str):
            raise BadRecord(f"the variable {name!r} is a list, which stands for several tests: write them one by one")
    if not isinstance(checks, list) or not all(isinstance(each, Mapping) and "type" in each for each in checks):
        raise BadRecord("`assert` must be a list of objects with a `type`")
    same = {name: record[name] for name in ("description", "metadata", "expected") if name in record}
    number, tags = _share("threshold", record.get("threshold")), _tags(record.get("tags"))
    return _own(layout, {"variables": variables, "checks": checks, "threshold": number, "tags": tags, **same})


def _own(_: Layout, record: Mapping[str, Any]) -> DatasetRow:
    if unknown := [name for name in record if name not in _OWN]:
        raise BadRecord(f"{', '.join(map(repr, unknown[:5]))} is no part of a row")
    for name, kind in _KINDS.items():
        if not isinstance(record.get(name, kind()), (kind, tuple) if kind is list else kind):
            raise BadRecord(f"`{name}` must be {_IN_WORDS[kind]}")
    if not all(isinstance(each, Mapping) for name in ("messages", "checks") for each in record.get(name, ())):
        raise BadRecord("`messages` and `checks` are lists of objects")
    found = {**record, "threshold": _share("threshold", record.get("threshold"))}
    return DatasetRow.of({**found, "tags": _tags(list(record.get("tags", ())))})


_KINDS: dict[str, type[Any]] = {
    "variables": dict, "metadata": dict, "messages": list, "checks": list, "tags": list, "description": str,
}  # fmt: skip
_IN_WORDS: dict[type[Any], str] = {dict: "an object", list: "a list", str: "a text"}
_READERS: dict[str, Callable[[Layout, Mapping[str, Any]], DatasetRow]] = {
    "table": _fields, "objects": _fields, "chat": _chat, "openai": _openai, "gemini": _gemini, "tests": _test,
    "own": _own,
}  # fmt: skip

# From rows to records


def record_of(layout: Layout, row: DatasetRow) -> dict[str, Any]:
    """The record of a row, from its source where its content does not say it."""
    source = json.loads(row.source) if row.source else {}
    if source and layout.kind != "table":
        return dict(source)
    if layout.kind == "table":
        return {column: source.get(column, _cell(layout, row, column)) for column in layout.columns}
    if layout.kind == "own":
        return {"variables": {}, **row.as_dict()}  # by which it is known for one
    if layout.kind == "tests":
        own = row.as_dict()
        return {{"variables": "vars", "checks": "assert"}.get(name, name): value for name, value in own.items()}
    found = {**row.variables, **row.metadata}
    found |= {"messages": list(row.messages)} if row.messages else {}
    found |= {} if row.expected is None else {_named(layout, "expected"): row.expected}
    return found | ({_named(layout, "tags"): list(row.tags)} if row.tags else {})


def _named(layout: Layout, role: str) -> str:
    return next((column for column, each in layout.roles.items() if each == role), role)


def _cell(layout: Layout, row: DatasetRow, column: str) -> str:
    role = layout.role(column)
    if role in ("variable", "metadata"):
        value = (row.variables if role == "variable" else row.metadata).get(column, "")
    elif role == "tags":
        value = ", ".join(row.tags)
    elif role == "test":
        value = _test_cell(row, column)
    else:
        value = getattr(row, role)
    return as_cell(value)


def _test_cell(row: DatasetRow, column: str) -> Any:
    if column in ("__messages", "__checks"):
        return list(getattr(row, column[2:])) or ""
    if column.startswith("__metadata:"):
        value = row.metadata.get(column.removeprefix("__metadata:").removesuffix("[]"), "")
        return ", ".join(value) if isinstance(value, list) else value
    named = {"__threshold": row.threshold, "__description": row.description}
    return named.get(column, row.metadata.get(column, ""))


def as_cell(value: Any) -> str:
    """A value as a cell: texts as they are, nothing as nothing, all else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.encoded(value).decode()


def gives_back(layout: Layout, row: DatasetRow) -> bool:
    """True where the layout has a place for all that a row says."""
    if row.source:
        return True
    try:
        return _READERS[layout.kind](layout, record_of(layout, row)).as_dict() == row.as_dict()
    except (BadRecord, InvalidRequest):
        return False
