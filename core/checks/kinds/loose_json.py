"""JSON objects in a text, read as generously as YAML allows: unquoted keys, comments, missing closing braces. Pure."""

import re
from typing import Any

import yaml

from core.checks import javascript as js
from core.checks.model import CheckError
from core.errors import InvalidRequest
from core.formats import yaml_text

MAX_REGION = 100_000  # characters of one {…}
MAX_READ, MAX_DEPTH = 500_000, 100  # characters looked at in one text; braces in braces
_BRACE = re.compile("[{}]")
MAX_PARTS = 100_000  # values in one document, aliases written out
_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*(?:"|$)|(?<![a-zA-Z])\'(?:[^\'\\]|\\.|\'(?=[a-zA-Z]))*(?:\'|$)|/{2,}')


def objects(text: str) -> list[Any]:
    """Each {…} that is an object, outermost ones only; a region runs to its brace, or to the end of the text.

    Raises:
        CheckError: There are too many braces to look through.
    """
    closing, found, read, at = _closing(text), [], 0, 0
    while 0 <= (at := text.find("{", at)) < len(text) - 1:
        limit = min(len(text), at + MAX_REGION)
        end = min(closing.get(at, limit), limit)
        read += end - at
        if read > MAX_READ:
            raise CheckError("the answer holds too many braces to look through for JSON")
        region = text[at:end]
        value = _object(region + "}" * (region.count("{") - region.count("}"))) if _is_shallow(region) else None
        if value is not None:
            found.append(value)
        at = at + 1 if value is None else end
    return found


def _closing(text: str) -> dict[int, int]:
    """The end of the region of each opening brace that has one."""
    open_at: list[int] = []
    found: dict[int, int] = {}
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            open_at.append(match.start())
        elif open_at:
            found[open_at.pop()] = match.end()
    return found


def _is_shallow(region: str) -> bool:
    """False for a region that no reader goes down into; the regions inside it are looked at."""
    depth = 0
    for match in _BRACE.finditer(region):
        depth += 1 if match[0] == "{" else -1
        if depth > MAX_DEPTH:
            return False
    return True


def _object(region: str) -> Any:
    """The value of a region, None where it is none."""
    try:
        return js.parse_json(region)
    except ValueError:
        pass
    try:
        return read_yaml("\n".join(map(_without_comment, region.split("\n"))))
    except CheckError:
        return None


def _without_comment(line: str) -> str:
    for match in _COMMENT.finditer(line):
        if match[0].startswith("/"):
            token = re.split(r"\s", line[: match.start()])[-1] + "//"
            if "://" not in token:
                return line[: match.start()] + "#" * (len(match[0]) // 2) + line[match.end() :]
    return line


def read_yaml(text: str) -> Any:
    """The value of a YAML document; the last of equal keys counts, keys are texts as in JavaScript.

    Raises:
        CheckError: It is no YAML.
    """
    try:
        node = yaml_text.nodes(text)
        left = [MAX_PARTS]
        return None if node is None else _value(node, left)
    except (yaml.YAMLError, InvalidRequest, RecursionError, ValueError) as error:
        raise CheckError(f"this is no YAML: {str(error)[:200]}") from None


def _value(node: Any, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise ValueError("it has too many parts")
    if isinstance(node, yaml.MappingNode):
        if any(isinstance(key, yaml.MappingNode) for key, _ in node.value):
            raise ValueError("a key is an object")
        return {js.text_of(_value(key, left)): _value(value, left) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, left) for each in node.value]
    scalar = yaml_text.Scalar(node.value)
    scalar.is_plain, scalar.line = not node.style, node.start_mark.line + 1
    return yaml_text.typed(scalar)
