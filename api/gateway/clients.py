"""Programs by which people ask, as code that works as it stands: the address, a key and a request put in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from core import Request
from core.formats import strict_json as json

NO_KEY = "none"
SDK, AGENT, FRAMEWORK = KINDS = ("SDKs", "Coding agents", "Frameworks")
_WIDTH = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A request of a program, and the server it goes to.

    server: The address of this server.
    body: The request as the client's wire has it.
    user: Who asks; empty = nobody in particular.
    headers: More that is said of the request.
    """

    server: str
    key: str
    request: Request
    body: Mapping[str, Any]
    user: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Client(NamedTuple):
    """A program or library that speaks a wire.

    language: That of its code.
    is_whole: Whether its code holds all of a request; else only model and prompt.
    kind: One of KINDS, under which the pages list it.
    """

    name: str
    language: str
    code: Callable[[Asking], str]
    is_whole: bool = True
    kind: str = SDK


def post(url: str, body: Mapping[str, Any], key: str, headers: Mapping[str, str] | None = None) -> str:
    """A request by curl."""
    said = {"Content-Type": "application/json", **({} if key == NO_KEY else {"Authorization": f"Bearer {key}"})}
    lines = [f"curl {url}", *(f"-H '{name}: {value}'" for name, value in {**said, **(headers or {})}.items())]
    text = json.dumps(body, ensure_ascii=False)
    text = text if len(text) <= _WIDTH else json.dumps(body, ensure_ascii=False, indent=2)
    quoted = text.replace("'", "'\\''")
    return " \\\n  ".join([*lines, f"-d '{quoted}'"])


def python_call(function: str, arguments: Mapping[str, Any]) -> str:
    """A call in Python, an argument a line."""
    lines = [f"    {name}={literal(value, 4)},\n" for name, value in arguments.items()]
    return f"{function}(\n{''.join(lines)})"


def in_shell(text: str) -> str:
    """A text as an argument of a command."""
    return literal(text).replace("$", "\\$").replace("`", "\\`")


def literal(value: object, indent: int = 0) -> str:
    """A value of JSON in Python, over several lines where it is long."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list | tuple):
        return repr(value)
    inner = indent + 4
    if isinstance(value, dict):
        parts = [f"{literal(name)}: {literal(each, inner)}" for name, each in value.items()]
    else:
        parts = [literal(each, inner) for each in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    line = ", ".join(parts)
    if len(line) + indent <= _WIDTH and "\n" not in line:
        return f"{opening}{line}{closing}"
    return "\n".join([opening, *(f"{' ' * inner}{part}," for part in parts), " " * indent + closing])
