"""The permission to ask models: of the actor's role, and of the key of a call."""

from collections.abc import Callable
from dataclasses import replace

from core import acting
from core.calls.origin import Origin
from core.domain.people.actor import Actor
from core.keys.rules import check_model


class Permission:
    """Decides who may ask, and whose team pays.

    on_refused: Is told the actor, the action and the subject of what a role does not cover.
    """

    def __init__(self, on_refused: Callable[[Actor, str, str], None]) -> None:
        self._on_refused = on_refused

    def check(self, origin: Origin, *models: str) -> None:
        """Refuse models, aliases and experiments that the key of a caller may not ask, and whoever may ask none.

        Raises:
            Forbidden
        """
        actor = acting.current()
        if not actor.may("editor"):
            self._on_refused(actor, "model asked", models[0] if models else "")
            raise acting.refusal(actor, "editor", "ask models")
        if not origin.is_permitted:
            for model in models:
                check_model(origin.key, model)


def charged(origin: Origin) -> Origin:
    """The origin with the team that pays: of its key, or of the person who asks on a page."""
    team = "" if origin.team or origin.key is not None else acting.current().team
    return replace(origin, team=team) if team else origin
