"""The actor of what is being done: of a request, a page's run, a command, or the background.

It goes along with the work by a context variable, so that no function between a door and the writer has to hand it on.
"""

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from core.domain.people.actor import SYSTEM, Actor, Role
from core.errors import Forbidden

_actor: ContextVar[Actor | None] = ContextVar("aimm_actor", default=None)
_look_up: list[Callable[[], Actor]] = []


def current() -> Actor:
    """The actor here and now; a program that says nothing is its operating system's user."""
    found = _actor.get()
    if found is not None:
        return found
    return _look_up[0]() if _look_up else _program()


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def look_up_with(find: Callable[[], Actor]) -> None:
    """Let a server say who acts where no context does: a page's callbacks run in threads that Streamlit makes."""
    _look_up[:] = [find]


def as_system(job: Callable[[], object]) -> Callable[[], object]:
    """The job as nobody's."""

    def run() -> object:
        with acting_as(SYSTEM):
            return job()

    return run


def user_of_system() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user often has no name
        return "unknown"


@cache
def _program() -> Actor:
    return Actor(name=f"python:{user_of_system()}", door="python")


def require(role: Role, deed: str) -> None:
    """Refuse an actor who may not do this. deed: Such as `ask models`.

    Raises:
        Forbidden
    """
    actor = current()
    if not actor.may(role):
        raise refusal(actor, role, deed)


def refusal(actor: Actor, role: Role, deed: str) -> Forbidden:
    return Forbidden(
        f"{actor.name} is {_AN[actor.role]} and may not {deed}; that needs the role {role}.", hint="Ask an admin."
    )


_AN = {"viewer": "a viewer", "editor": "an editor", "admin": "an admin"}
