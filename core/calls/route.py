"""The route of a call: what a request is sent as, what is sent beside it, and the interface of who decides that."""

from dataclasses import dataclass, replace
from typing import Protocol

from core.calls.call import Origin
from core.domain.experiment import Assignment
from core.domain.generation import Request
from core.formats.text import MAX_TAGS

# Who an experiment assigns to a variant: a user, a session, a request. An assignment that was made before is kept.
Unit = str | Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A request as it is sent.

    assignment: The variant that an experiment chose; None = none did.
    shadows: (position, request) of what is asked beside it and never returned.
    """

    request: Request
    origin: Origin
    assignment: Assignment | None = None
    shadows: tuple[tuple[int, Request], ...] = ()

    def shadow_origin(self, position: int, call_id: str) -> Origin:
        """The origin of a shadow's call, by which it is found beside what was served."""
        part = f"shadow:{position}:{call_id}"
        tags = tuple(dict.fromkeys((*self.origin.tags[: MAX_TAGS - 1], "shadow")))
        return replace(self.origin, ref_part=part, tags=tags, fallbacks=(), cache_s=0)


class Router(Protocol):
    """The part of a feature that decides who answers: aliases, experiments, rollouts."""

    def is_quick(self, request: Request) -> bool:
        """Tell whether `route` can answer at once, without the database."""
        ...

    def at_target(self, request: Request) -> Request:
        """The request as the target of its alias is sent it, for what is no call and assigns nobody."""
        ...

    def route(self, request: Request, origin: Origin, unit: Unit, force: str | int | None) -> Route:
        """The route of a request. force: A variant for trying it out; it is served and not counted.

        Raises:
            AimmError: The name asked for stands for nothing, or nothing that takes this request.
        """
        ...
