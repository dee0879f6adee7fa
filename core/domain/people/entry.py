"""An entry of the audit: who changed what, from where, when, before and after; and how it reads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from core.domain.people.actor import Door

Outcome = Literal["done", "refused"]
LONGEST = 60
# How a deed is said of somebody; the others say it as they are named.
_DID = {"taken": "took"}
_OPPOSITE = {True: "raised", False: "lowered"}
_TRIED = {
    "created": "create", "changed": "change", "deleted": "delete", "raised": "raise", "revoked": "revoke", "set": "set",
    "removed": "remove", "taken": "take", "dropped": "drop", "repriced": "reprice", "moved": "move",
    "started": "start", "stopped": "stop", "resumed": "resume", "ended": "end", "acknowledged": "acknowledge",
    "loaded": "load", "disabled": "disable", "enabled": "enable", "graded": "grade", "used": "use",
    "asked": "ask", "cancelled": "cancel", "saved": "save",
}  # fmt: skip


AUDIT_FORMATS = {"jsonl": "application/x-ndjson", "csv": "text/csv"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The entries that are asked for; what is empty is not looked at. who: A name or an id of an actor."""

    who: str = ""
    kinds: tuple[str, ...] = ()
    subject: str = ""
    door: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """A change, or one that was tried and refused.

    actor, role, door, address: See Actor; all empty in what was noted before actors were.
    action: A noun and what was done with it: `budget raised`.
    kind: What it is: budget, key, alias, prompt …
    subject: Its name.
    before, after: The fields that changed; None = it was not there, or is no more.
    detail: What else is known of it.
    """

    id: str
    created_at: datetime
    actor: str = ""
    actor_id: str = ""
    role: str = ""
    door: Door | Literal[""] = ""
    address: str = ""
    action: str
    kind: str = ""
    subject: str
    outcome: Outcome = "done"
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The entry as a sentence: Anna raised the budget 'team-a' from $50 to $80."""
        who = self.actor or "Somebody"
        if self.kind == "login":
            return self._login(who)
        noun, _, deed = self.action.rpartition(" ")
        thing = f"the {noun or self.kind} {self.subject!r}" if self.subject else f"the {noun or self.kind}"
        if self.outcome == "refused":
            return f"{who}{f' ({self.role})' if self.role else ''} was refused to {_TRIED.get(deed, deed)} {thing}"
        changed = self._changed()
        if self.kind == "budget" and list(changed) == ["limit_usd"] and all(changed["limit_usd"]):
            old, new = (float(each) for each in changed["limit_usd"])
            return f"{who} {_OPPOSITE[new > old]} {thing} from {said(*_pair(old))} to {said(*_pair(new))}{self._why()}"
        words = ", ".join(
            f"{name.removesuffix('_usd').replace('_', ' ')} from {said(name, old)} to {said(name, new)}"
            for name, (old, new) in changed.items()
            if not name.endswith("_at")  # when it was is the entry's own moment
        )
        return f"{who} {_DID.get(deed, deed)} {thing}{f': {words}' if words else ''}{self._why()}"

    def _login(self, who: str) -> str:
        if self.outcome == "done":
            return f"{who} logged in by {self.detail.get('way', 'password')}"
        return f"A login{f' as {self.subject!r}' if self.subject else ''} was refused{self._why()}"

    def _changed(self) -> dict[str, tuple[Any, Any]]:
        if self.before is None or self.after is None:
            return {}
        return dict(_differences(self.before, self.after))

    def _why(self) -> str:
        why = self.detail.get("reason") or self.detail.get("note")
        return f" ({str(why)[:200]})" if why else ""


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The fields that differ, those inside of others by both names."""
    for name, value in after.items():
        old = before.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            inner = {key: old.get(key) for key in value}
            yield from ((f"{name} {key}", pair) for key, pair in _differences(inner, value))
        elif old != value:
            yield name, (old, value)


def _pair(usd: float) -> tuple[str, str]:
    return "limit_usd", f"{usd:.9f}".rstrip("0").rstrip(".")


def said(name: str, value: Any) -> str:
    """A value as a person reads it."""
    if value is None or value in ("", [], {}):
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(said("", each) for each in value)[:LONGEST]
    text = " ".join(str(value).split())
    text = f"${text}" if name.endswith("_usd") else text
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
