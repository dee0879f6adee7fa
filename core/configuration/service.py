"""A file of configuration held against what there is: the differences, bringing them about, and writing the file."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from core.configuration.document import Document, Entry, read
from core.configuration.section import Section
from core.errors import AimmError, Conflict, InvalidRequest
from core.formats import yaml_text
from core.storage.configuration import ManagedStore
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer


class Difference(NamedTuple):
    """A thing that a file wants otherwise than it is.

    kind: add; change; remove = the file held it when it was applied before; keep = it is as wanted, and is managed now.
    fields: Of a change, each with what it is and what it shall be; of an addition, what it shall be.
    """

    section: str
    name: str
    kind: Literal["add", "change", "remove", "keep"]
    fields: dict[str, tuple[Any, Any]]

    @property
    def text(self) -> str:
        sign = {"add": "+", "change": "~", "remove": "-", "keep": "="}[self.kind]
        told = ", ".join(
            f"{field}: {_shown(after)}" if self.kind == "add" else f"{field}: {_shown(before)} → {_shown(after)}"
            for field, (before, after) in self.fields.items()
        )
        if self.kind == "keep":
            told = "is as the file says; the file manages it from now on"
        return f"{sign} {self.section} {_on_a_line(self.name)}{f'  {told}' if told else ''}"


class Applied(NamedTuple):
    """A difference that was brought about. told: To be shown once and never again, such as a new key's secret."""

    difference: Difference
    told: str


class ConfigurationService:
    def __init__(self, database: Database, writer: Writer, sections: Sequence[Section[Any]]) -> None:
        """sections: In the order in which they need each other."""
        self._store = ManagedStore(database)
        self._writer = writer
        self._sections = {section.name: section for section in sections}

    def managed(self, section: str) -> dict[str, str]:
        """The file that manages each thing of a section, by the thing's name."""
        return {name: source for (kind, name), source in self._store.all().items() if kind == section}

    def read(self, text: str | bytes) -> Document:
        """A file's sections. Raises: InvalidRequest: It names the line."""
        unnamed = [section.name for section in self._sections.values() if not section.has_names]
        return read(text, self._sections, unnamed)

    def differences(self, document: Document, source: str) -> list[Difference]:
        """All that applying a file would do, in its order; additions and changes first, then what the file lost.

        source: The file's name; things that another file manages are not touched.

        Raises:
            InvalidRequest: A thing is described wrongly; the message names its line. Conflict: Another file manages it.
        """
        return [difference for difference, _ in self._planned(document, source)]

    def apply(self, document: Document, source: str) -> Iterator[Applied]:
        """Bring the differences about, one after the other, and give each as it is done.

        Raises:
            As `differences`, before anything is done; AimmError: One cannot be brought about; those before it are.
        """
        for difference, (section, old, thing) in self._planned(document, source):
            name, told = difference.name, ""
            try:
                if difference.kind == "add":
                    told = section.add(name, thing)
                elif difference.kind == "change":
                    section.change(name, old, thing)
                elif difference.kind == "remove":
                    section.remove(name, old)
            except AimmError as error:
                raise type(error)(f"{difference.section} {name}: {error.message}") from error
            if difference.kind == "remove":
                self._writer.run(partial(self._store.drop, kind=section.name, name=name))
            else:
                self._writer.run(partial(self._store.put, kind=section.name, name=name, source=source))
            yield Applied(difference, told)

    def export(self) -> str:
        """All that a file can hold, as such a file. Secrets are not in it: nobody knows them."""
        document: dict[str, Any] = {}
        for section in self._sections.values():
            usual, things = section.usual(), section.current()
            entries = []
            for name, thing in things.items():
                if section.is_managed(thing):
                    given = {
                        k: value for k, value in section.shown(thing).items() if k not in usual or usual[k] != value
                    }
                    entries.append({"name": name, **given} if section.has_names else given)
            if entries:
                document[section.name] = entries
        return yaml_text.dump(document) if document else "{}\n"

    def _planned(self, document: Document, source: str) -> list[tuple[Difference, tuple[Section[Any], Any, Any]]]:
        managed = self._store.all()
        current = {name: section.current() for name, section in self._sections.items()}
        wanted = {name: self._named(section, document.get(name, ())) for name, section in self._sections.items()}
        coming = {
            kind: {name: thing for name, (_, thing) in things.items() if name not in current[kind]}
            for kind, things in wanted.items()
        }
        found, lost = [], []
        for kind, section in self._sections.items():
            for name, (entry, thing) in sorted(wanted[kind].items(), key=lambda item: section.rank(item[1][1])):
                owner = managed.get((kind, name))
                if owner not in (None, source):
                    raise Conflict(f"line {entry.line}: {kind} {name} is managed by {owner}.")
                old = current[kind].get(name)
                difference = _difference(section, name, old, thing, is_known=owner == source)
                if difference is None:
                    continue
                if difference.kind == "change" and (why := section.refusal(old, thing)):
                    raise Conflict(f"line {entry.line}: {kind} {name} cannot be changed: {why}.")
                if difference.kind != "keep":
                    _asked(section, entry, partial(section.check, name, old, thing, coming))
                found.append((difference, (section, old, thing)))
            for (of, name), owner in managed.items():
                if of == kind and owner == source and name not in wanted[kind] and name in current[kind]:
                    lost.append((Difference(kind, name, "remove", {}), (section, current[kind][name], None)))
        return [*found, *reversed(lost)]

    @staticmethod
    def _named(section: Section[Any], entries: Sequence[Entry]) -> dict[str, tuple[Entry, Any]]:
        found: dict[str, tuple[Entry, Any]] = {}
        for entry in entries:
            thing = _asked(section, entry, partial(section.wanted, entry))
            if (name := section.called(entry.name, thing)) in found:
                raise InvalidRequest(f"line {entry.line}: {section.name} {name} is there twice.")
            found[name] = entry, thing
        return found


def _asked(section: Section[Any], entry: Entry, work: Callable[[], Any]) -> Any:
    """The answer of a section about an entry. Raises: InvalidRequest: It refuses it; the message names the line."""
    place = (
        f"line {entry.line}: {section.name} {_on_a_line(entry.name)}"
        if section.has_names
        else f"{entry.name}: {section.name}"
    )
    try:
        return work()
    except AimmError as error:
        raise InvalidRequest(f"{place}: {error.message}", hint=error.hint) from None
    except (TypeError, ValueError, AttributeError) as error:  # a value of another kind than its field takes
        raise InvalidRequest(f"{place}: {str(error)[:200]}") from None


def _difference(section: Section[Any], name: str, old: Any, thing: Any, *, is_known: bool) -> Difference | None:
    after = section.shown(thing)
    if old is None:
        usual = section.usual()
        said = {k: (None, value) for k, value in after.items() if k not in usual or usual[k] != value}
        return Difference(section.name, name, "add", said)
    before = section.shown(old)
    changed = {
        field: (before.get(field), after.get(field))
        for field in dict.fromkeys([*before, *after])
        if before.get(field) != after.get(field)
    }
    if changed:
        return Difference(section.name, name, "change", changed)
    return None if is_known else Difference(section.name, name, "keep", {})


def _shown(value: Any) -> str:
    if value in (None, "", [], {}):
        return "none"
    return _on_a_line(", ".join(map(str, value)) if isinstance(value, list) else str(value)[:200])


def _on_a_line(text: str) -> str:
    """A text for a terminal, which obeys none of its characters."""
    return text if text.isprintable() else repr(text)
