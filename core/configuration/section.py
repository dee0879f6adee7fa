"""A section of a configuration: how it reads what there is, what a file wants, and how it brings the two together."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

from core.configuration.document import Entry

T = TypeVar("T")
Plain = dict[str, Any]
Coming = Mapping[
    str, Mapping[str, Any]
]  # the things that a file brings and that are not there yet, by section and name


class Section(ABC, Generic[T]):
    """A kind of thing. name: As the file calls it. has_names: Whether its things are told apart by a name."""

    name: str
    has_names = True

    @abstractmethod
    def current(self) -> dict[str, T]:
        """The things that there are, by name."""

    @abstractmethod
    def wanted(self, entry: Entry) -> T:
        """The thing that an entry describes. Raises: InvalidRequest"""

    @abstractmethod
    def shown(self, thing: T) -> Plain:
        """All that a file can say of it, as plain values."""

    @abstractmethod
    def add(self, name: str, thing: T) -> str:
        """Make it; returns what is to be told once, such as a new key's secret."""

    @abstractmethod
    def change(self, name: str, old: T, thing: T) -> None: ...

    @abstractmethod
    def remove(self, name: str, old: T) -> None: ...

    def called(self, name: str, thing: T) -> str:
        """The name of a thing that an entry describes. name: As the entry says it."""
        return name

    def check(self, name: str, old: T | None, thing: T, coming: Coming) -> None:
        """Raises: AimmError: It cannot be brought about: what it names is neither there nor coming. old: None = new."""

    def rank(self, thing: T) -> int:
        """The place among the additions: the lower the earlier."""
        return 0

    def refusal(self, old: T, thing: T) -> str:
        """The reason why it cannot be changed into what is wanted; empty = it can."""
        return ""

    def usual(self) -> Plain:
        """The values that an export leaves out."""
        return {}

    def is_managed(self, thing: T) -> bool:
        """Tell whether a file may hold it."""
        return True


def plain(value: Any) -> Any:
    """A value as YAML holds it."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    return value


def listed(given: Mapping[str, Any], names: tuple[str, ...]) -> Plain:
    """The fields with lists as tuples; one value may stand for a list of one."""
    found = {name: value for name, value in given.items() if value is not None}
    for name in names:
        if name in found and not isinstance(value := found[name], Mapping):
            found[name] = tuple(value) if isinstance(value, list) else (value,)
    return found
