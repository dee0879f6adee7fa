"""Families of models: what they take, where their vendor's list does not say so. The rows are data: families.yaml."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from core.domain.generation import THINKING_LEVELS, Model, Parameters
from core.errors import InvalidRequest
from core.formats import yaml_text

_SWITCH = {"true": True, "false": False}
_SWITCHES = ("forces_tools", "one_call", "blank_stops", "prefill", "strict")
_ABOUT = ("vendor", "models", "as_of", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One row of the file; its head says what the fields mean."""

    accepts: frozenset[str] = frozenset()
    thinking: str = "none"
    levels: tuple[str, ...] = ()
    thoughts: tuple[int, int] = (0, 10_000_000)
    forces_tools: bool = True
    one_call: bool = True
    n_stops: int = 16
    blank_stops: bool = True
    prefill: bool = True
    strict: bool = True
    schema: str = ""
    wires: tuple[str, ...] = ()

    def model(self, name: str, vendor: str, **more: Any) -> Model:
        shared = ("accepts", "levels", "thoughts", "one_call", "n_stops", "blank_stops", "strict", "wires")
        return Model(name=name, provider=vendor, label=name, **{n: getattr(self, n) for n in shared}, **more)


class Families:
    """The rows as shipped, and before them those of a file of one's own. Raises: InvalidRequest: It has a fault."""

    def __init__(self, own: Path | None = None, *, is_optional: bool = True) -> None:
        self._own = _read(own) if own is not None and (own.exists() or not is_optional) else []
        self.of = lru_cache(1024)(self._of)

    def _of(self, vendor: str, model: str) -> Family:
        """The family of a model; of a vendor without rows, that of any other server."""
        known = vendor if any(row["vendor"] == vendor for row in _shipped()) else "other"
        shipped = next(r for r in _shipped() if r["vendor"] == known and r["models"].match(model))
        own = next((r for r in self._own if r["vendor"] == vendor and r["models"].match(model)), {})
        return Family(**{name: value for name, value in {**shipped, **own}.items() if name not in _ABOUT})


_READERS: dict[str, Callable[[Any], Any]] = {
    "accepts": lambda given: frozenset(_words(given, Parameters.__slots__)),
    "levels": lambda given: tuple(_words(given, THINKING_LEVELS)),
    "thoughts": lambda given: (int(given[0]), int(given[1])),
    "models": lambda given: re.compile(str(given)),
    "wires": lambda given: tuple(str(given).split()),
    "n_stops": int,
    **{name: lambda given: _SWITCH[given.lower()] for name in _SWITCHES},
    **dict.fromkeys(("vendor", "as_of", "source", "thinking", "schema"), str),
}


def _words(given: Any, known: Iterable[str]) -> list[str]:
    words = str(given).split()
    if unknown := set(words) - set(known):
        raise ValueError(f"there is no {', '.join(sorted(unknown))}")
    return words


@cache
def _shipped() -> list[dict[str, Any]]:
    return _read(Path(__file__).parent / "families.yaml")


def _read(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    try:
        for given in yaml_text.read(path.read_bytes()) or ():
            row = {str(name): _READERS[name](value) for name, value in given.items()}
            _ = row["vendor"], row["models"]
            rows.append(row)
    except (OSError, LookupError, TypeError, ValueError, AttributeError, re.error, InvalidRequest) as error:
        raise InvalidRequest(f"The families of {path}, row {len(rows) + 1}, cannot be read: {error}") from None
    return rows


SHIPPED = Families()
