"""The addressing of a deployment: what its vendor's models are called there, at which paths, and with which headers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


def _same(path: str, _model: str) -> str:
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressing:
    """The addressing of a deployment.

    names: Model -> its name there; what is not in it has the same name.
    place: The path of a request, by its usual path and the model's name there.
    sign: The headers that change with time, such as a token; None = there are none.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    place: Callable[[str, str], str] = _same
    sign: Callable[[], Awaitable[Mapping[str, str]]] | None = None

    def named(self, model: str) -> str:
        return self.names.get(model, model)

    def sent(self, path: str, body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Path and body as they go there."""
        model = body.get("model")
        there = self.named(model) if isinstance(model, str) else ""
        return self.place(path, there), body if there in ("", model) else {**body, "model": there}


USUAL = Addressing()
