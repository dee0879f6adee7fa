"""The names that a caller may ask."""

from core import Key, ModelManager


def names_for(mm: ModelManager, key: Key | None) -> list[tuple[str, str]]:
    """(name, who owns it) of all that a key may ask: models, aliases and running experiments."""
    found = [(model.name, model.provider) for model in mm.models()]
    found += [(alias.name, "alias") for alias in mm.aliases.all()]
    found += [(f"exp:{experiment.name}", "experiment") for experiment in mm.traffic.running()]
    owners: dict[str, str] = {}
    for name, owner in found:
        owners.setdefault(name, owner)  # of vendors with a model of one name the first is asked
    return [(name, owner) for name, owner in owners.items() if key is None or key.may_ask(name)]
