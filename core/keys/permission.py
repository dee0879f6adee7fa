"""The permission to ask models: of the actor's role, and of the key of a call."""

from collections.abc import Callable, Sequence

from core import acting
from core.domain.key import Key
from core.domain.people.actor import Actor
from core.keys.rules import check_model


class Permission:
    """Decides who may ask which models.

    on_refused: Is told the actor, the action and the subject of what a role does not cover.
    """

    def __init__(self, on_refused: Callable[[Actor, str, str], None]) -> None:
        self._on_refused = on_refused

    def check(self, key: Key | None, models: Sequence[str]) -> None:
        """Refuse models, aliases and experiments that a key may not ask, and whoever may ask none.

        Raises:
            Forbidden
        """
        actor = acting.current()
        if not actor.may("editor"):
            self._on_refused(actor, "model asked", models[0] if models else "")
            raise acting.refusal(actor, "editor", "ask models")
        for model in models:
            check_model(key, model)
