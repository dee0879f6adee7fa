"""Names of models: the one that a body asks for, and those that a caller may ask."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from core import InvalidRequest, Key, Model, ModelManager, NotFound
from core.formats.names import PROMPT, ref_in


class Named(NamedTuple):
    """A name that can be asked. owner: The vendor, `alias`, `experiment` or `prompt`; model: None of these three."""

    name: str
    owner: str
    model: Model | None = None


def model_of(body: Mapping[str, Any]) -> str:
    """The model that a body names. Raises: InvalidRequest."""
    model = body.get("model")
    if not isinstance(model, str) or not 1 <= len(model) <= 200:
        raise InvalidRequest("model must be the name of a model, of 1 to 200 characters.", param="model")
    return model


def names_for(mm: ModelManager, key: Key | None) -> list[Named]:
    """All that a key may ask: models, aliases, running experiments and prompts."""
    found = [Named(model.name, model.provider, model) for model in mm.models()]
    found += [Named(alias.name, "alias") for alias in mm.aliases.all()]
    found += [Named(f"exp:{experiment.name}", "experiment") for experiment in mm.traffic.running()]
    found += [Named(f"{PROMPT}{prompt.name}", "prompt") for prompt in mm.prompts.all()]
    first: dict[str, Named] = {}
    for each in found:
        first.setdefault(each.name, each)  # of vendors with a model of one name the first is asked
    return [each for each in first.values() if key is None or key.may_ask(each.name)]


def named(mm: ModelManager, key: Key | None, wanted: str) -> Named:
    """The one of a name, which may be vendor/model or vendor:model as well. Raises: NotFound."""
    for each in names_for(mm, key):
        if each.name == wanted:
            return each
    if ref_in(wanted) and mm.prompts.get(ref_in(wanted)) and (key is None or key.may_ask(wanted)):
        return Named(wanted, "prompt")
    for model in mm.models():
        is_it = wanted in (f"{model.provider}/{model.name}", f"{model.provider}:{model.name}")
        if is_it and (key is None or key.may_ask(wanted)):
            return Named(wanted, model.provider, model)
    raise NotFound(f"There is no model {wanted[:80]!r}.")
