"""Notes on a body while it is read: what only its own vendor understands, which others are not told."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core import Native, Parameters
from core.domain.message import Part
from core.formats import strict_json as json

_SHOWN = 1000  # characters of an unknown part that are kept for the log


class Notes:
    """Each note begins with the field that it is about, as the caller wrote it.

    only: What the caller relies on; a model of another wire refuses it.
    ignored: What others are not told, and need not be.
    """

    def __init__(self) -> None:
        self.only: list[str] = []
        self.ignored: list[str] = []

    def need(self, body: Mapping[str, Any], names: Iterable[str]) -> None:
        """Note the fields of a body that were asked for and cannot be had elsewhere."""
        self.only += [name for name in names if body.get(name)]

    def rest(self, body: Mapping[str, Any], read: Iterable[str], where: str = "") -> None:
        """Note the fields of a body that say something and are not among those that are read."""
        known = {name.partition(" ")[0] for name in self.only}
        names = [name for name, value in body.items() if name not in read and value not in (None, False, "", [], {})]
        self.ignored += [f"{where}{name}" for name in names if f"{where}{name}" not in known]

    def unknown(self, part: Any, where: str) -> str:
        """Note a part that nobody else can read; it is shown as its JSON."""
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        self.only.append(f"{where} of type {str(kind)[:60]!r}")
        return json.dumps(part, ensure_ascii=False)[:_SHOWN]

    def text(self, parts: Sequence[Part], where: str) -> str:
        """The text of parts where nobody else takes more than that."""
        texts = [part for part in parts if isinstance(part, str)]
        self.only += [f"{where}.content of more than texts"] if len(texts) < len(parts) else []
        return "".join(texts)

    def parameters(self, said: Mapping[str, tuple[str, Any]]) -> Parameters:
        """The parameters that can be, of our names with the caller's words and values; only the vendor of the wire may
        take the others."""
        found: dict[str, Any] = {}
        for name, (word, value) in said.items():
            if value is None:
                continue
            if problem := Parameters(**{name: value}).problem():
                self.only.append(f"{word}{problem.removeprefix(name)}")
            else:
                found[name] = value
        return Parameters(**found)

    def native(self, wire: Any, body: Mapping[str, Any], parameters: Parameters, **more: Any) -> Native:
        only, ignored = (tuple(dict.fromkeys(notes)) for notes in (self.only, self.ignored))
        return Native(wire=wire, body=body, parameters=parameters, only=only, ignored=ignored, **more)
