"""The section of experiments: begun once, and never changed while they run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

from core.configuration.document import Entry, check_fields
from core.configuration.kinds import check_kinds
from core.configuration.section import Coming, Plain, Section, listed, plain
from core.domain.experiment import Design, Experiment, Guardrail, Variant
from core.domain.generation import named_parameters
from core.errors import InvalidRequest, NotFound
from core.experiments.checks import MAX_NAME, checked_design, checked_unit, checked_variants
from core.formats.text import as_list

_DESIGN = tuple(each.name for each in fields(Design))
_VARIANT = tuple(each.name for each in fields(Variant) if each.name != "position")


class Designs(Protocol):
    """The part of the service of experiments that is used here."""

    def all(self, *, demo: bool = True) -> list[Experiment]: ...

    def create(
        self, name: str, variants: Sequence[str | Variant], *, hypothesis: str = "", unit: str = "user", **design: Any
    ) -> Experiment: ...

    def stop(self, experiment_id: str, why: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class Planned:
    """An experiment as a file describes it. id: Empty = it has not begun."""

    variants: tuple[Variant, ...]
    design: Design
    unit: str
    hypothesis: str = ""
    id: str = ""
    is_running: bool = True


class Experiments(Section[Planned]):
    name = "experiments"

    def __init__(self, designs: Designs, resolve: Callable[[Variant], Variant]) -> None:
        """resolve: A variant with a model that can be asked."""
        self._designs = designs
        self._resolve = resolve

    def current(self) -> dict[str, Planned]:
        """The newest of each name."""
        found: dict[str, Planned] = {}
        for each in sorted(self._designs.all(demo=False), key=lambda each: each.created_at):
            if not each.is_rollout:
                running = each.status == "running"
                found[each.name] = Planned(each.variants, each.design, each.unit, each.hypothesis, each.id, running)
        return found

    def wanted(self, entry: Entry) -> Planned:
        check_fields(entry, ("variants", "unit", "hypothesis", *_DESIGN))
        if len(entry.name) > MAX_NAME:
            raise InvalidRequest(f"a name has at most {MAX_NAME} characters")
        given = listed(entry.fields, ("secondary", "internal_units"))
        check_kinds(given, Design)
        variants = [_variant(each) for each in as_list(given.pop("variants", ()))]
        unit, hypothesis = checked_unit(str(given.pop("unit", "user"))), str(given.pop("hypothesis", ""))
        if guardrails := given.get("guardrails"):
            given["guardrails"] = tuple(Guardrail(**each) for each in guardrails)
        return Planned(checked_variants(variants, self._if_there), checked_design(given), unit, hypothesis)

    def _if_there(self, variant: Variant) -> Variant:
        """As it was written where its model or workflow is not there: the same file may bring it; see `check`."""
        try:
            return self._resolve(variant)
        except NotFound:
            return variant

    def check(self, name: str, old: Planned | None, thing: Planned, coming: Coming) -> None:
        for variant in thing.variants:
            if variant.model not in coming["aliases"] and not coming["vendors"]:
                self._resolve(variant)

    def shown(self, thing: Planned) -> Plain:
        design = {name: _plain(getattr(thing.design, name)) for name in _DESIGN}
        return {"variants": [_shown(each) for each in thing.variants], "unit": thing.unit, **design}

    def usual(self) -> Plain:
        return {"unit": "user", **{name: _plain(getattr(Design(), name)) for name in _DESIGN}}

    def is_managed(self, thing: Planned) -> bool:
        return thing.is_running

    def refusal(self, old: Planned, thing: Planned) -> str:
        return "what an experiment compares is fixed when it begins; a new one needs another name"

    def add(self, name: str, thing: Planned) -> str:
        design = {field: getattr(thing.design, field) for field in _DESIGN}
        self._designs.create(name, thing.variants, hypothesis=thing.hypothesis, unit=thing.unit, **design)
        return ""

    def change(self, name: str, old: Planned, thing: Planned) -> None:
        raise AssertionError("refused before")

    def remove(self, name: str, old: Planned) -> None:
        if old.is_running:
            self._designs.stop(old.id, "The file that managed it holds it no more.")


def _variant(told: Any) -> str | Variant:
    if not isinstance(told, Mapping):
        return str(told)
    check_fields(Entry("variant", told), _VARIANT)
    check_kinds(told, Variant)
    given = dict(told)
    if given.get("parameters") is not None:
        given["parameters"] = named_parameters(given["parameters"])
    if not given.get("model") and not given.get("workflow"):
        raise InvalidRequest("a variant needs a model or a workflow")
    return Variant(**{"position": 0, "name": "", "model": "", **given})


def _shown(variant: Variant) -> Plain:
    found = {name: plain(getattr(variant, name)) for name in _VARIANT if name != "parameters"}
    found |= {"parameters": plain(variant.parameters.as_dict())}
    usual: Plain = {
        "system": None,
        "weight": 1,
        "prompt_version": "",
        "workflow": "",
        "is_shadow": False,
        "parameters": {},
    }
    return {name: value for name, value in found.items() if name not in usual or usual[name] != value}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Guardrail):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    return plain(value)
