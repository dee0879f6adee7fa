"""The check that a budget's scope fits some call: one that fits none would be a limit that holds nothing."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from core.domain.budget import Budget
from core.errors import AimmError, InvalidRequest, ModelNotFound
from core.formats.names import PATTERN_SIGNS, is_meant, is_pattern, normalise


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names that there are.

    models: (provider, model) of those that are listed, priced or on record.
    resolve: Raises AimmError for a name that nobody answers.
    takes_any: Whether a server that is set up answers names that are in no list.
    aliases: Name -> model that it stands for now.
    key_id: The id of a key by its id or name; raises AimmError.
    teams: Those that a key or a person belongs to.
    """

    providers: Collection[str]
    deployments: Callable[[], Collection[str]]
    models: Callable[[], Collection[tuple[str, str]]]
    resolve: Callable[[str], object]
    takes_any: Callable[[], bool]
    aliases: Callable[[], dict[str, str]]
    key_id: Callable[[str], str]
    teams: Callable[[], Collection[str]]


def checked_scope(budget: Budget, names: Names) -> Budget:
    """The budget, with a key by its id. Raises: InvalidRequest: Its scope fits no call."""
    kind, value = budget.scope_kind, budget.scope_value
    if kind == "provider" and value not in names.providers:
        raise InvalidRequest(f"scope == {budget.scope!r}: the providers are {', '.join(names.providers)}.")
    if kind == "deployment" and value not in names.deployments():
        known = ", ".join(names.deployments()) or "none is set up; the environment's keys are providers"
        raise InvalidRequest(f"scope == {budget.scope!r} fits no call: the deployments are {known}.")
    if kind == "key":
        try:
            return replace(budget, scope=f"key:{names.key_id(value)}")
        except AimmError as error:
            raise InvalidRequest(f"scope == {budget.scope!r} fits no call: {error.message}") from None
    if kind == "team" and value not in (teams := sorted(names.teams())):
        known = f"the teams are {', '.join(teams)}" if teams else "no key and no person belongs to a team"
        raise InvalidRequest(f"scope == {budget.scope!r} fits no call: {known}.")
    if kind == "model" and (why := _unfit(value, names)):
        raise InvalidRequest(f"scope == {budget.scope!r} fits no call: {why}")
    return budget


def _unfit(value: str, names: Names) -> str:
    """The reason why no call can be booked under a model's name or pattern; empty = one can."""
    if value.startswith("exp:"):
        return "calls of an experiment are booked under the models of its variants. Name those."
    stands_for = {normalise(name): model for name, model in names.aliases().items()}
    if value in stands_for:
        return f"it is an alias, and calls are booked under the model that answers, now {stands_for[value]}. Name that."
    met = {provider for provider, model in names.models() if is_meant(value, provider, model)}
    if met - {"simulated"}:
        return ""
    if met:
        return "simulated models cost nothing, and no budget counts them."
    if is_pattern(value):
        return "" if names.takes_any() or _may_begin(value, names) else "no known model has such a name."
    try:
        names.resolve(value)
    except ModelNotFound as error:
        return (
            ""
            if names.takes_any() and not error.message.endswith("no model's name.")
            else f"{error.message} {error.hint}".strip()
        )
    except AimmError:
        return ""  # its vendor is known, and has no key yet
    return ""


def _may_begin(pattern: str, names: Names) -> bool:
    """True where a name of some vendor begins as the pattern does."""
    start = pattern[: min(at for mark in PATTERN_SIGNS if (at := pattern.find(mark)) >= 0)]
    try:
        names.resolve(f"{start}x")
    except ModelNotFound:
        return False
    except AimmError:
        return True
    return True
