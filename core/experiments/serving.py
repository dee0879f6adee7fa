"""Experiments behind a model name: `exp:NAME` in place of a model lets the experiment choose who answers."""

import secrets
import time
from dataclasses import dataclass, replace

from core.calls.call import Origin
from core.domain.experiment import Experiment, Variant
from core.domain.generation import Parameters, Request
from core.errors import InvalidRequest, NotFound
from core.experiments.service import ExperimentService, Served
from core.formats.text import MAX_TAGS

PREFIX = "exp:"
TTL_S = 1.0


@dataclass(frozen=True, slots=True)
class Routed:
    """What is asked on behalf of a unit. shadows: (position, request) of what is asked beside it and never returned."""

    served: Served
    request: Request
    origin: Origin
    shadows: tuple[tuple[int, Request], ...] = ()

    def shadow_origin(self, position: int, call_id: str) -> Origin:
        """How a shadow's call is logged, so that it is found beside what was served."""
        part = f"shadow:{position}:{call_id}"
        tags = tuple(dict.fromkeys((*self.origin.tags[: MAX_TAGS - 1], "shadow")))
        return replace(self.origin, ref_part=part, tags=tags, fallbacks=(), cache_s=0)


class ExperimentRouter:
    def __init__(self, experiments: ExperimentService) -> None:
        self._experiments = experiments
        self._cached: tuple[list[Experiment], float] = [], 0.0

    def running(self) -> list[Experiment]:
        """Those that answer programs, so none of the demo; at most a second old."""
        found, until = self._cached
        if time.monotonic() >= until:
            found = [e for e in self._experiments.all(demo=False) if e.status == "running"]
            self._cached = found, time.monotonic() + TTL_S
        return found

    def route(self, request: Request, origin: Origin, unit: str) -> Routed:
        """Assign a unit and put its variant in the place of the request's model.

        Raises:
            NotFound: No such experiment runs. InvalidRequest: nobody to assign, or a workflow is a variant. Conflict.
        """
        name = request.model.removeprefix(PREFIX)
        experiment = self._named(name)
        if experiment is None:
            self._cached = [], 0.0  # it may be younger than a second
            experiment = self._named(name)
        if experiment is None:
            raise NotFound(f"There is no running experiment {name[:60]!r}.")
        if any(variant.workflow for variant in experiment.variants):
            raise InvalidRequest("This experiment has a workflow as a variant; ask it by /api/experiment.")
        if not unit.strip():
            if experiment.unit != "request":
                raise InvalidRequest(f"This experiment needs `user`: which {experiment.unit} is assigned to a variant.")
            unit = f"request-{secrets.token_hex(8)}"
        served = self._experiments.assign(experiment.id, unit)
        counted = replace(
            origin,
            source="experiment",
            ref_id=experiment.id,
            ref_part=served.assignment_id,
            ref_name=f"experiment:{experiment.name}",
            cache_s=experiment.design.cache_s if origin.cache_s is None else origin.cache_s,
        )
        shadows = [v for v in experiment.variants if v.is_shadow and served.is_counted]
        beside = tuple((shadow.position, as_variant(request, shadow)) for shadow in shadows)
        return Routed(served, as_variant(request, served.variant), counted, beside)

    def of_answer(self, *, generation_id: str | None = None, assignment_id: str | None = None) -> str:
        """The experiment that an answer or an assignment belongs to. Raises: NotFound."""
        found = self._experiments.owner(generation_id, assignment_id)
        if found is None:
            raise NotFound(f"No experiment knows {(generation_id or assignment_id or '')[:60]!r}.")
        return found

    def _named(self, name: str) -> Experiment | None:
        return next((e for e in self.running() if name in (e.name, e.id)), None)


def as_variant(request: Request, variant: Variant) -> Request:
    """The request as a variant asks it; what the variant sets comes before what the request says."""
    parameters = Parameters(**(request.parameters.as_dict() | variant.parameters.as_dict()))
    system = variant.system if variant.system is not None else request.system
    return replace(request, model=variant.model, system=system, parameters=parameters)
