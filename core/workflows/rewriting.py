"""A change of a workflow written into its YAML: what was not changed stays as its author wrote it, to the byte."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from core.domain.workflow import Workflow
from core.errors import InvalidRequest
from core.formats import strict_json as json
from core.formats.yaml_text import dump, nodes
from core.workflows import spec


def rewritten(text: str, changed: Workflow) -> str:
    """The YAML of `changed`: the text, written anew only where it means something else.

    Where that cannot be told apart, as in a step that stands behind an alias, the whole is written anew.
    """
    edit = _Edit(text)
    try:
        edit.mapping(nodes(text), spec.to_dict(spec.from_yaml(text)), spec.to_dict(changed))
        if spec.from_yaml(edit.result()) == changed:
            return edit.result()
    except (InvalidRequest, LookupError, ValueError):  # places that do not fit together
        pass
    return spec.to_yaml(changed)


class _Edit:
    def __init__(self, text: str) -> None:
        self._text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._splices: list[tuple[int, int, str]] = []

    def result(self) -> str:
        text = self._text
        for start, end, new in sorted(self._splices, reverse=True):
            text = text[:start] + new.replace("\n", self._newline) + text[end:]
        return text

    def mapping(self, node: yaml.MappingNode, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        found = {key.value: (key, value) for key, value in node.value}
        if node.flow_style and (set(old) ^ set(new)):
            self._put(node.start_mark.index, node.end_mark.index, _flow(new))
            return
        gone = [found[key] for key in old if key not in new]
        added = {key: value for key, value in new.items() if key not in found}
        if gone and added:  # takes the place of what goes, and its comment
            key, value = gone.pop(0)
            self._put(key.start_mark.index, self._end(value), _block(added, key.start_mark.column))
        elif added:
            self._put_line(node, _block(added, node.start_mark.column), node.start_mark.column)
        for _, value in gone:
            self._remove_entry(node, value)
        for key in (key for key in new if key in found and new[key] != old.get(key)):
            self._value(*found[key], (old.get(key), new[key]), is_flow=bool(node.flow_style))

    def _value(self, key: yaml.Node, node: yaml.Node, change: tuple[Any, Any], *, is_flow: bool) -> None:
        old, new = change
        if isinstance(node, yaml.MappingNode) and isinstance(old, Mapping) and isinstance(new, Mapping):
            self.mapping(node, old, new)
        elif key.value == "steps" and isinstance(node, yaml.SequenceNode):
            self._steps(node, old, new)
        elif is_flow or (key.start_mark.line == node.end_mark.line and _inline(node, new)):
            before = "" if self._text[node.start_mark.index - 1].isspace() else " "
            written = _flow(new) if is_flow else _inline(node, new)
            self._put(node.start_mark.index, node.end_mark.index, f"{before}{written}")
        else:
            written, end = _block({key.value: new}, key.start_mark.column), self._line_end(self._end(node))
            if written.endswith("\n"):  # its empty lines are letters of it: those that follow would be too
                rest = self._text[end:]
                end += max(0, rest[: len(rest) - len(rest.lstrip())].rfind(self._newline))
            self._put(key.start_mark.index, end, written)

    def _steps(self, node: yaml.SequenceNode, old: Sequence[Any], new: Sequence[Any]) -> None:
        is_moved = any(was != now and (now in old or was in new) for was, now in zip(old, new, strict=False))
        if is_moved and not node.flow_style:
            self._rearrange(node, old, new)
            return
        for item, before, after in zip(node.value, old, new, strict=False):
            if before != after:
                self.mapping(item, before, after)
        kept, last = node.value[min(len(old), len(new)) - 1], node.value[-1]
        if node.flow_style:
            added = "".join(f", {_flow(step)}" for step in new[len(old) :])
            self._put(kept.end_mark.index, last.end_mark.index, added)
        elif len(new) > len(old):
            column = self._text[: last.start_mark.index].rindex("-") - self._line_start(last.start_mark.index)
            self._put_line(last, _block(list(new[len(old) :]), column), column)
        else:
            self._put(self._line_end(self._end(kept)), self._line_end(self._end(last)), "")

    def _rearrange(self, node: yaml.SequenceNode, old: Sequence[Any], new: Sequence[Any]) -> None:
        """Write steps in another order, each with the comments above it; those that are new, anew."""
        dashes = [self._text[: item.start_mark.index].rindex("-") for item in node.value]
        ends = [self._line_end(self._end(item)) for item in node.value]
        first = self._line_start(dashes[0])
        starts = [first, *(end + len(self._newline) for end in ends[:-1])]
        written, left = [], list(range(len(old)))
        for step in new:
            at = next((at for at in left if old[at] == step), None)
            if at is None:
                written.append(" " * (dashes[0] - first) + _block([step], dashes[0] - first))
            else:
                left.remove(at)
                written.append(self._text[starts[at] : ends[at]].replace(self._newline, "\n"))
        self._put(first, ends[-1], "\n".join(written))

    def _remove_entry(self, node: yaml.MappingNode, value: yaml.Node) -> None:
        at = next(at for at, (_, each) in enumerate(node.value) if each is value)
        start = node.value[at][0].start_mark.index
        if self._text[self._line_start(start) : start].strip():  # the first of a step, after its dash
            self._put(start, node.value[at + 1][0].start_mark.index, "")
        else:
            self._put(self._line_start(start), self._line_end(self._end(value)) + len(self._newline), "")

    def _put_line(self, after: yaml.Node, block: str, column: int) -> None:
        at = self._line_end(self._end(after))
        self._put(at, at, "\n" + " " * column + block)

    def _put(self, start: int, end: int, new: str) -> None:
        self._splices.append((start, end, new))

    def _end(self, node: yaml.Node) -> int:
        """Find where the last letter of a node stands; a block's own mark is where the next one begins."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style:
            last = node.value[-1]
            return self._end(last[1] if isinstance(last, tuple) else last)
        return len(self._text[: node.end_mark.index].rstrip()) if node.value else node.end_mark.index

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _line_end(self, at: int) -> int:
        end = self._text.find(self._newline, at)
        return len(self._text) if end < 0 else end


def _inline(node: yaml.Node, new: Any) -> str:
    """A value that fits where another stood in its line, in quotes of the same kind; empty = it needs its own lines."""
    if not isinstance(node, yaml.ScalarNode) or (isinstance(new, str) and "\n" in new):
        return ""
    if isinstance(new, str) and new.isprintable() and node.style in ("'", '"'):
        return _flow(new) if node.style == '"' else "'" + new.replace("'", "''") + "'"
    written = _block([new], 0).removeprefix("- ")
    return "" if "\n" in written else written


def _flow(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _block(value: Any, column: int) -> str:
    """As a block: its first line without an indentation, and no line end after the last but those of a text."""
    written = dump(value).removesuffix("...\n").removesuffix("\n")  # "..." ends a document, not a value
    return re.sub(r"\n(?=[^\n])", "\n" + " " * column, written)
