"""A file of configuration as it was read: sections, and in each its things by their names. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import InvalidRequest
from core.formats import yaml_text
from core.formats.names import instead_of


@dataclass(frozen=True, slots=True)
class Entry:
    """A thing of a section. fields: Without its name, as plain values. line: Where it begins; 0 = not known."""

    name: str
    fields: Mapping[str, Any]
    line: int = 0


Document = Mapping[str, tuple[Entry, ...]]


def read(text: str | bytes, sections: Iterable[str], unnamed: Iterable[str] = ()) -> Document:
    """The sections of a file; a section is a list of things with a `name`, or has them by their names.

    unnamed: Sections whose things have no names, and are told by what they hold.

    Raises:
        InvalidRequest: It is no YAML, or something is misspelt or there twice; the message names the line.
    """
    found = yaml_text.read(text)
    if found is None:
        raise InvalidRequest("The file is empty.", hint="One that shall take away all that it held says {}.")
    known, unnamed = tuple(sections), set(unnamed)
    if not isinstance(found, Mapping):
        raise InvalidRequest(f"The file holds no sections; there are {', '.join(known)}.")
    document: dict[str, tuple[Entry, ...]] = {}
    for section, things in found.items():
        if section not in known:
            raise InvalidRequest(
                f"line {section.line}: there is no section {section[:60]!r}{instead_of(section, known)}"
            )
        document[str(section)] = tuple(_entries(section, things, has_names=section not in unnamed))
    return document


def _entries(section: Any, things: Any, *, has_names: bool) -> list[Entry]:
    if yaml_text.is_null(things):
        return []
    if isinstance(things, Mapping) and has_names:
        pairs = [(_name(section, name, name.line), fields, name.line) for name, fields in things.items()]
    elif isinstance(things, list):
        pairs = [_listed(section, thing, has_names=has_names) for thing in things]
    else:
        raise InvalidRequest(f"line {section.line}: {section} holds a list of things, or things by their names.")
    seen: dict[str, int] = {}
    entries = []
    for name, fields, line in pairs:
        if not isinstance(fields, Mapping) and not yaml_text.is_null(fields):
            raise InvalidRequest(f"line {line}: {section} {name[:60]!r} must have fields, such as `field: value`.")
        if has_names and name in seen:
            raise InvalidRequest(f"line {line}: {section} {name[:60]!r} is there twice, first in line {seen[name]}.")
        seen[name] = line
        entries.append(Entry(name, yaml_text.typed(fields) if isinstance(fields, Mapping) else {}, line))
    return entries


def _listed(section: Any, thing: Any, *, has_names: bool) -> tuple[str, Any, int]:
    line = next(iter(thing)).line if isinstance(thing, Mapping) and thing else section.line
    if not isinstance(thing, Mapping):
        raise InvalidRequest(
            f"line {getattr(thing, 'line', line)}: {section} holds things with fields, not {str(thing)[:60]!r}."
        )
    if not has_names:
        return f"line {line}", thing, line
    name = _name(section, thing.get("name"), line)
    return name, {key: value for key, value in thing.items() if key != "name"}, line


def _name(section: Any, name: Any, line: int) -> str:
    if yaml_text.is_null(name) or (isinstance(name, str) and not name.strip()):
        raise InvalidRequest(f"line {line}: one of {section} has no name.")
    if not isinstance(name, str):
        raise InvalidRequest(f"line {line}: {section}: {str(name)[:60]!r} is no name.")
    return name.strip()


def check_fields(entry: Entry, known: Iterable[str]) -> None:
    """Raises: InvalidRequest: A field is misspelt."""
    names = tuple(known)
    for name in entry.fields:
        if name not in names:
            raise InvalidRequest(f"there is no field {name[:60]!r}{instead_of(name, names)}")
