"""The filter of the log: which calls are meant, the same for pages, the API, the command line and exports."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple, get_args

from core.clock import from_iso
from core.domain.generation import Generation, Source, Status
from core.domain.metrics import FAILED, Counted
from core.errors import InvalidRequest
from core.formats.text import storable

Opinion = Literal["up", "down", "any", "none"]
MAX_TEXT = 1000
CHOICES: dict[str, tuple[str, ...]] = {
    "status": (FAILED, *get_args(Status)),
    "source": get_args(Source),
    "feedback": get_args(Opinion),
    "calls": ("real", "simulated"),
}
_AGO = re.compile(r"(\d{1,5})([mhdw])")
_UNIT = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
# The names in addresses and on the command line that differ from those of the fields.
_RENAMED = {"from": "since", "to": "until", "min_cost": "min_cost_usd", "max_cost": "max_cost_usd"}
_RENAMED |= {"key_id": "key", "min_latency": "min_latency_s", "max_latency": "max_latency_s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Calls that have all that is given; None = any.

    since, until: Of [since, until).
    status: One of the record, or `failed`: all but ok and stopped.
    error: The class of the error, such as rate_limited.
    key: Its id or its name.
    prompt: A version (support@7), or all of a name.
    min_cost_usd … max_latency_s: Both ends are included; a call of unknown cost has none.
    feedback: Opinions of the answer: a thumb up, a thumb down, any opinion, or none.
    text: In prompts and answers, letter case aside, from the beginning of a word on.
    """

    since: datetime | None = None
    until: datetime | None = None
    model: str | None = None
    vendor: str | None = None
    deployment: str | None = None
    status: str | None = None
    error: str | None = None
    source: str | None = None
    key: str | None = None
    user: str | None = None
    tag: str | None = None
    session: str | None = None
    workflow: str | None = None
    experiment: str | None = None
    prompt: str | None = None
    min_cost_usd: Decimal | None = None
    max_cost_usd: Decimal | None = None
    min_latency_s: float | None = None
    max_latency_s: float | None = None
    feedback: str | None = None
    calls: str | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        """Raises: InvalidRequest: A value can be found nowhere."""
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise _refused(name, value, f"one of {', '.join(allowed)}")
        for name in ("cost_usd", "latency_s"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low is not None and high is not None and low > high:
                raise _refused(f"min_{_shown(name)}", low, f"at most max_{_shown(name)} == {high}")
        if self.since is not None and self.until is not None and self.since >= self.until:
            told = f"The range ends ({self.until.isoformat()}) before it begins ({self.since.isoformat()})."
            raise InvalidRequest(told, param="from")
        if self.text is not None and len(self.text) > MAX_TEXT:
            raise InvalidRequest(
                f"text has {len(self.text):,} characters, at most {MAX_TEXT:,} are taken", param="text"
            )

    @property
    def given(self) -> dict[str, Any]:
        """The fields that limit anything, by name."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not None}

    @property
    def digest(self) -> str:
        """A name of what is filtered, by which the cursor of another filter is told."""
        return hashlib.sha256(repr(sorted(self.given.items())).encode("utf-8", "replace")).hexdigest()[:12]

    def without(self, *names: str) -> "LogFilter":
        return replace(self, **dict.fromkeys(names))


class LogPage(NamedTuple):
    """A page of the log, the newest call first.

    following: What the next page is asked with; None = there is none.
    total: All that the filter finds; None = not asked for, or more than is counted of a search: see note.
    note: A remark on what was not looked through or counted.
    since: How far back the total was counted; None = all of it.
    """

    calls: tuple[Generation, ...]
    following: str | None
    total: Counted | None
    note: str = ""
    since: datetime | None = None


# The filters by the names that addresses, the command line and exports have for them, and what each takes.
DESCRIBED = {
    "from": "From this moment on: ISO 8601, without a zone it is UTC, or 30m, 24h, 7d, 4w ago.",
    "to": "Before this moment.",
    "model": "The model, as it was asked for.",
    "vendor": "Such as openai.",
    "deployment": "One that was set up, such as azure-eu.",
    "status": ", ".join(CHOICES["status"]) + "; failed: all but ok and stopped.",
    "error": "The class of the error, such as rate_limited.",
    "source": ", ".join(CHOICES["source"]),
    "key_id": "A key's id, or its name.",
    "user": "",
    "tag": "",
    "session": "",
    "workflow": "The name of the workflow it was a step of.",
    "experiment": "The name of the experiment it belongs to.",
    "prompt": "A version such as support@7, or all of a name.",
    "min_cost": "US dollars, at least; calls of unknown cost are left out.",
    "max_cost": "US dollars, at most.",
    "min_latency": "Seconds, at least.",
    "max_latency": "Seconds, at most.",
    "feedback": "up, down: a thumb; any, none: whether there is an opinion of the answer.",
    "calls": "real, simulated",
    "text": "In prompts and answers, letter case aside, from the beginning of a word on.",
}
NAMES = tuple(DESCRIBED)


def from_texts(given: Mapping[str, str], now: datetime) -> LogFilter:
    """The filter that texts by name say; an empty one says nothing.

    Raises:
        InvalidRequest: A name is not known, or a value is none.
    """
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name not in DESCRIBED and name != "key":  # which an address cannot say: that is a key to ask with
            raise InvalidRequest(f"There is no filter {name[:60]!r}; there are {', '.join(NAMES)}.", param=name[:60])
        if text == "":
            continue
        field = _RENAMED.get(name, name)
        if field in ("since", "until"):
            values[field] = moment_of(name, text, now)
        elif field.endswith("_usd"):
            values[field] = _amount(name, text)
        elif field.endswith("_s"):
            values[field] = float(_amount(name, text))
        else:
            values[field] = storable(text)
    return LogFilter(**values)


def moment_of(name: str, text: str, now: datetime) -> datetime:
    """A moment in ISO 8601, of UTC where it names no zone, or how long ago it was: 30m, 24h, 7d, 4w."""
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNIT[ago[2]]: int(ago[1])})
    try:
        return from_iso(text.replace(" ", "+") if "T" in text else text)  # a + in an address arrives as a space
    except (ValueError, OverflowError):
        raise _refused(name, text, "ISO 8601 such as 2026-01-31T00:00:00Z, or 30m, 24h, 7d or 4w ago") from None


def _amount(name: str, text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("nan")
    if not (found.is_finite() and 0 <= found <= 1_000_000_000):
        unit = "seconds" if name.endswith("latency") else "US dollars"
        raise _refused(name, text, f"a number of {unit}, 0 or more, such as 0.25")
    return found


def _refused(name: str, value: Any, accepted: str) -> InvalidRequest:
    return InvalidRequest(f"{name} == {str(value)[:60]!r}, must be {accepted}", param=name)


def _shown(name: str) -> str:
    return name.removesuffix("_usd").removesuffix("_s")
