"""The check of a budget against the models, aliases and keys that there are."""

from collections.abc import Callable, Iterable

from core.background import BackgroundLoop
from core.budgets.scopes import Names, checked_scope
from core.costs.service import PriceService
from core.domain.budget import Budget
from core.domain.people.person import Person
from core.keys.service import KeyService
from core.providers.registry import Registry
from core.storage.calls.rollups import RollupStore
from core.storage.experiments.aliases import AliasStore
from core.vendors import VENDORS


def budget_check(  # noqa: PLR0913 - what a scope may name
    registry: Registry,
    loop: BackgroundLoop,
    prices: PriceService,
    rollups: RollupStore,
    aliases: AliasStore,
    keys: KeyService,
    people: Callable[[], Iterable[Person]],
) -> Callable[[Budget], Budget]:
    """A function that gives a budget as it is kept.

    It raises InvalidRequest where the scope fits no call, and AimmError where nobody answers for the model that a
    budget downgrades to. That is a model, not an alias: it must not move.
    """

    def resolve(name: str) -> object:
        return loop.run(registry.resolve(name))

    def models() -> set[tuple[str, str]]:
        priced = {(vendor, name) for vendor in prices.providers for name in prices.book.models(vendor)}
        listed = {(model.provider, model.name) for model in loop.run(registry.models())}
        return priced | listed | rollups.models()

    def check(budget: Budget) -> Budget:
        if budget.downgrade_to:
            resolve(budget.downgrade_to)
        names = Names(
            providers=tuple(dict.fromkeys((*VENDORS, *registry.names))),
            deployments=registry.deployments.apart,
            models=models,
            resolve=resolve,
            takes_any=lambda: registry.takes_any,
            aliases=lambda: {alias.name: alias.target.model for alias in aliases.all()},
            key_id=lambda name: keys.named(name).id,
            teams=lambda: {team for team in (*(k.team for k in keys.all()), *(p.team for p in people())) if team},
        )
        return checked_scope(budget, names)

    return check
