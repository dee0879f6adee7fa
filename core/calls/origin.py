"""The caller of a model and what it asks: Origin, and the Route that a Router makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Protocol

from core import acting
from core.domain.experiment import Assignment
from core.domain.generation import MAX_CACHE_S, MAX_FALLBACKS, Request, Source
from core.domain.key import Key
from core.formats.text import MAX_SESSION, MAX_TAGS, is_storable, make_lists, tags_problem

# Who an experiment assigns to a variant: a user, a session, a request. An assignment that was made before is kept.
Unit = str | Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The caller of a model and what it is for. ref_id, ref_part, user_id, key_id, tags: see Generation.

    ref_name: `workflow:` or `experiment:` with its name.
    cap_usd: What this call may cost at most.
    key: With which key it was asked for.
    fallbacks: Models that answer, in this order, where the one asked for fails.
    cache_s: For how long its response may be cached; 0 = not at all, None = not said.
    is_private: Keep no text of it.
    is_permitted: The key's rules need no second look: they were applied to the alias, experiment or comparison that
        this call is made for.
    traceparent: The caller's trace, as W3C writes it.
    hold_id: See Quote.
    variables: Those of the prompt that stands in the place of the model, or that an alias stands for.
    prompt_model: The model that answers where a prompt stands in the place of one; empty = the prompt's own.
    prompt_version: The prompt that the request was made of.
    session_id: See Generation.
    is_batched: Its vendor answers it in a batch, at the price of those.
    """

    source: Source = "python"
    ref_id: str | None = None
    ref_part: str | None = None
    ref_name: str = ""
    user_id: str = ""
    key_id: str = ""
    tags: tuple[str, ...] = ()
    cap_usd: Decimal | None = None
    key: Key | None = None
    fallbacks: tuple[str, ...] = ()
    cache_s: int | None = None
    is_private: bool = False
    is_permitted: bool = False
    traceparent: str = ""
    hold_id: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    prompt_model: str = ""
    prompt_version: str = ""
    session_id: str = ""
    team: str = ""
    is_batched: bool = False

    def __post_init__(self) -> None:
        make_lists(self, "tags", "fallbacks")
        if self.key is not None and not self.key_id:
            object.__setattr__(self, "key_id", self.key.id)
            object.__setattr__(self, "team", self.key.team)
            object.__setattr__(self, "tags", tuple(dict.fromkeys((*self.key.tags, *self.tags))))

    def unit_of(self, request: Request) -> str:
        """The conversation of a request, as far as that can be told: one deployment has cached what was before."""
        native = request.native
        said = self.session_id or (native.body.get("prompt_cache_key") if native is not None else "")
        if isinstance(said, str) and said:
            return said
        # What Responses give back encrypted can be read where it was made alone, so that the first turn counts too.
        is_begun = len(request.messages) > 1 or (native is not None and native.wire == "responses")
        return request.messages[0].text if is_begun and request.messages else ""

    def problem(self) -> str:
        """The first thing that is wrong with it, in words; empty = nothing."""
        if len(self.user_id) > 500 or not is_storable(self.user_id):
            return "user must have at most 500 characters, and no NUL or half of a surrogate pair"
        if len(self.session_id) > MAX_SESSION or not is_storable(self.session_id):
            return f"session must have at most {MAX_SESSION} characters, and no NUL or half of a surrogate pair"
        if len(self.fallbacks) > MAX_FALLBACKS:
            return f"{len(self.fallbacks)} fallbacks given, at most {MAX_FALLBACKS} are taken"
        if self.cache_s is not None and not 0 <= self.cache_s <= MAX_CACHE_S:
            return f"cache_s == {self.cache_s}, must be 0 to {MAX_CACHE_S:,} seconds"
        return tags_problem(self.tags)


def charged(origin: Origin) -> Origin:
    """The origin with the team that pays: of its key, or of the person who asks on a page."""
    team = "" if origin.team or origin.key is not None else acting.current().team
    return replace(origin, team=team) if team else origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A request as it is sent.

    assignment: The variant that an experiment chose; None = none did.
    shadows: (position, request, the prompt it is made of) of what is asked beside it and never returned.
    """

    request: Request
    origin: Origin
    assignment: Assignment | None = None
    shadows: tuple[tuple[int, Request, str], ...] = ()

    def shadow_origin(self, position: int, call_id: str, prompt_version: str) -> Origin:
        """The origin of a shadow's call, by which it is found beside what was served."""
        part = f"shadow:{position}:{call_id}"
        tags = tuple(dict.fromkeys((*self.origin.tags[: MAX_TAGS - 1], "shadow")))
        return replace(self.origin, ref_part=part, tags=tags, fallbacks=(), cache_s=0, prompt_version=prompt_version)


class Router(Protocol):
    """The part of a feature that decides who answers: aliases, experiments, rollouts."""

    def is_quick(self, request: Request) -> bool:
        """Tell whether `route` can answer at once, without the database."""
        ...

    def at_target(self, request: Request, origin: Origin) -> Request:
        """The request as the target of its alias is sent it, for what is no call and assigns nobody."""
        ...

    def route(self, request: Request, origin: Origin, unit: Unit, force: str | int | None) -> Route:
        """The route of a request. force: A variant for trying it out; it is served and not counted.

        Raises:
            AimmError: The name asked for stands for nothing, or nothing that takes this request.
        """
        ...
