"""The changes that a piece of work makes in watched tables, seen from its statements; who may not is refused.

The writer begins one for each piece of work. No service can forget it: a change that it does not note itself is noted
as what it is, and a table that the actor may not write to fails the work before it is committed.
"""

import itertools
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, Table, event, insert, select
from sqlalchemy.sql.dml import Delete, Insert, Update, UpdateBase

from core import acting
from core.clock import from_us, now_us
from core.domain.people.actor import ROLES, Actor
from core.errors import Forbidden, redact
from core.formats import strict_json as json
from core.formats.money import from_nano
from core.formats.text import storable
from core.storage.people.watched import WATCHED, kind_of, role_for
from core.storage.schema import audit

MOST_ROWS = 20  # of one piece of work that are looked at one by one
LONGEST = 2000
_CHANGES = "aimm_changes"
Values = dict[str, Any]
Told = tuple[Values | None, Values | None]  # before and after
_numbers = itertools.count()


class Refused(Forbidden):
    """The actor may not do this. entries: What is noted of it, in a transaction of its own."""

    def __init__(self, cause: Forbidden, entries: Sequence[Values]) -> None:
        super().__init__(cause.message, hint=cause.hint)
        self.entries = entries


@dataclass(slots=True)
class _Row:
    table: Table
    key: Values
    before: Values | None


@dataclass(slots=True)
class _Note:
    action: str
    kind: str
    subject: str
    detail: Mapping[str, Any]
    before: Values | None = None
    after: Values | None = None


@dataclass(slots=True)
class Changes:
    """The changes of one piece of work by one actor."""

    actor: Actor
    _rows: dict[tuple[Any, ...], _Row] = field(default_factory=dict)
    _notes: list[_Note] = field(default_factory=list)
    _kinds: dict[str, None] = field(default_factory=dict)  # whatever was written to, in this order
    _n_more: int = 0

    def see(self, connection: Connection, statement: UpdateBase, given: Sequence[Mapping[str, Any]]) -> None:
        """Look at a statement before it is executed."""
        table: Any = statement.table
        if table.name == "audit" and not isinstance(statement, Insert):
            raise RuntimeError("The audit is only ever added to.")
        watched = WATCHED.get(table.name)
        if watched is None:
            return
        self._kinds[watched.kind] = None
        if not watched.is_noted:
            return
        for before, key in _targets(connection, statement, table, given):
            if len(self._rows) >= MOST_ROWS:
                self._n_more += 1
            else:
                self._rows.setdefault((table.name, *key.values()), _Row(table, key, before))

    def note(self, action: str, subject: str, detail: Mapping[str, Any], told: "Told") -> None:
        before, after = told
        self._notes.append(_Note(action, kind_of(action), subject, detail, before, after))
        self._kinds[kind_of(action)] = None

    def close(self, connection: Connection) -> None:
        """Write the entries, in the transaction of what they tell of.

        Raises:
            Refused
        """
        if not self._kinds:
            return
        needed = max((role_for(kind) for kind in self._kinds), key=ROLES.index)
        is_refused = not self.actor.may(needed)
        rows = self._entries(connection, "refused" if is_refused else "done")
        if is_refused:
            deed = " and ".join(f"change {_many(kind)}" for kind in self._kinds if not self.actor.may(role_for(kind)))
            raise Refused(acting.refusal(self.actor, needed, deed), rows)
        if rows:
            add(connection, rows)

    def _entries(self, connection: Connection, outcome: str) -> list[Values]:
        notes = [*self._notes]
        # Made-up history is one deed, whatever it is made of.
        found = {} if any(each.kind == "demo" for each in notes) else self._read(connection)
        for kind, told in found.items():
            note = next((each for each in notes if each.kind == kind), None)
            if note is None:
                notes.append(note := _default(kind, told))
            if note.before is note.after is None:
                note.before, note.after = _joined(told)
            if self._n_more:
                note.detail = {**note.detail, "more_rows": self._n_more}
        if outcome == "refused" and not notes:
            notes = [_Note(f"{kind} changed", kind, "", {}) for kind in self._kinds]
        return [_entry(self.actor, each, outcome) for each in notes]

    def _read(self, connection: Connection) -> "dict[str, list[_Told]]":
        """The rows as they are now, by kind; without what is as it was."""
        found: dict[str, list[_Told]] = {}
        for row in self._rows.values():
            c = row.table.c
            now = connection.execute(select(row.table).where(*(c[name] == row.key[name] for name in row.key))).first()
            told = _told(row, None if now is None else dict(now._mapping))
            if told is not None:
                found.setdefault(WATCHED[row.table.name].kind, []).append(told)
        return found


def _entry(actor: Actor, note: _Note, outcome: str) -> Values:
    at = now_us()
    return {
        "id": f"a_{at:014x}{next(_numbers) % 0x10000:04x}{secrets.token_hex(3)}", "created_at": at,
        "action": note.action, "kind": note.kind, "subject": storable(redact(note.subject)), "outcome": outcome,
        "actor": storable(redact(actor.name)), "actor_id": actor.id, "role": actor.role, "door": actor.door,
        "address": actor.address, "detail": _json(note.detail),
        "before": None if note.before is None else _json(note.before),
        "after": None if note.after is None else _json(note.after),
    }  # fmt: skip


def add(connection: Connection, entries: Sequence[Values]) -> None:
    connection.execute(insert(audit), list(entries))


def entry_of_door(actor: Actor, action: str, subject: str, outcome: str, detail: Values) -> Values:
    """The entry of what was done or refused at a door, before any work began."""
    return _entry(actor, _Note(action, kind_of(action), subject, detail), outcome)


@dataclass(slots=True)
class _Told:
    name: str
    is_part: bool
    table: str
    before: Values | None
    after: Values | None


def watch(engine: Engine) -> None:
    """Show each statement that changes rows to the changes of the connection it is executed on, if any are begun."""

    @event.listens_for(engine, "before_execute")
    def _see(connection: Connection, statement: Any, many: Any, one: Any, _options: Any) -> None:
        changes: Changes | None = connection.info.get(_CHANGES)
        if changes is not None and isinstance(statement, UpdateBase):
            changes.see(connection, statement, many or ([one] if one else []))


def begin(connection: Connection, actor: Actor) -> Changes:
    changes = connection.info[_CHANGES] = Changes(actor)
    return changes


def end(connection: Connection) -> None:
    connection.info.pop(_CHANGES, None)


def note(
    connection: Connection,
    action: str,
    subject: str,
    detail: Mapping[str, Any],
    told: Told = (None, None),
) -> None:
    """Name what the work on this connection does; the rows that it changes are told with it.

    action: A noun and a participle, such as `budget raised`.
    told: What it was before and is now, where no row tells.
    """
    changes: Changes | None = connection.info.get(_CHANGES)
    if changes is not None:
        changes.note(action, subject, detail, told)
        return
    alone = Changes(acting.current())
    alone.note(action, subject, detail, told)
    alone.close(connection)


def noted(
    work: Callable[[Connection], Any], action: str, subject: str, told: Told = (None, None), **detail: Any
) -> Callable[[Connection], Any]:
    """The work with its note, unless it says False: there was nothing to do."""

    def run(connection: Connection) -> Any:
        found = work(connection)
        if found is not False:
            note(connection, action, subject, detail, told)
        return found

    return run


def _targets(
    connection: Connection, statement: UpdateBase, table: Table, given: Sequence[Mapping[str, Any]]
) -> Iterable[tuple[Values | None, Values]]:
    """The rows that a statement is about to touch, as they are, and their keys."""
    names = table.primary_key.columns.keys()
    if isinstance(statement, Insert):
        fixed = {} if given else dict(statement.compile().params)
        for values in given or [fixed]:
            key = {name: values[name] for name in names if name in values}
            if len(key) == len(names):
                before = connection.execute(select(table).where(*(table.c[n] == key[n] for n in names))).first()
                yield (None if before is None else dict(before._mapping)), key
        return
    assert isinstance(statement, Update | Delete)  # noqa: S101 - there is no other
    wanted = select(table)
    if statement.whereclause is not None:
        wanted = wanted.where(statement.whereclause)
    for values in given or [{}]:
        for row in connection.execute(wanted, dict(values)).all():
            found = dict(row._mapping)
            yield found, {name: found[name] for name in names}


def _told(row: _Row, after: Values | None) -> _Told | None:
    """The fields that changed; None = none that is news."""
    watched = WATCHED[row.table.name]
    before = row.before
    if before == after:
        return None
    whole = after or before or {}
    name = str(whole.get(watched.name, ""))
    if before is not None and after is not None:
        changed = [each for each in after if before[each] != after[each] and each not in watched.quiet]
        if not changed:
            return None
        before = {each: before[each] for each in changed}
        after = {each: after[each] for each in changed}
    return _Told(name, watched.is_part, row.table.name, _shown(before, watched.secret), _shown(after, watched.secret))


def _default(kind: str, told: Sequence[_Told]) -> _Note:
    first = next((each for each in told if not each.is_part), told[0])
    deed = "changed" if first.is_part or (first.before and first.after) else "deleted" if first.before else "created"
    return _Note(f"{kind} {deed}", kind, first.name, {})


def _joined(told: Sequence[_Told]) -> tuple[Values | None, Values | None]:
    """Before and after of one row, or of several by table and name."""
    if len(told) == 1 and not told[0].is_part:
        return told[0].before, told[0].after
    main = next((each for each in told if not each.is_part), None)
    before, after = dict((main and main.before) or {}), dict((main and main.after) or {})
    for number, each in enumerate(told):
        if each is main:
            continue
        label = f"{each.table} {each.name}".strip()
        label = label if label not in before and label not in after else f"{label} {number}"
        if each.before is not None:
            before[label] = each.before
        if each.after is not None:
            after[label] = each.after
    return before or None, after or None


def _shown(row: Values | None, secret: Sequence[str]) -> Values | None:
    """A row as people and programs read it: dollars, moments, and no secret."""
    if row is None:
        return None
    return dict(_field(name, value) for name, value in row.items() if name not in secret)


def _field(name: str, value: Any) -> tuple[str, Any]:
    if name.endswith("_nano_usd"):
        plain = f"{from_nano(value):f}" if value is not None else None
        return name.replace("_nano_usd", "_usd"), plain and (plain.rstrip("0").rstrip(".") if "." in plain else plain)
    if name.endswith("_at") and isinstance(value, int):
        return name, from_us(value).isoformat()
    if name.startswith(("is_", "shares_", "refuses_")) and value in (0, 1):
        return name, bool(value)
    if isinstance(value, bytes):
        return name, f"{len(value):,} bytes"
    if isinstance(value, str):
        if value[:1] in ("{", "[") and len(value) <= LONGEST:
            try:
                return name, json.loads(value)
            except ValueError:
                pass
        return name, value if len(value) <= LONGEST else f"{value[:LONGEST]}… ({len(value):,} characters)"
    return name, value


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(_redacted(value))


def _redacted(value: Any) -> Any:
    """The value with its texts redacted one by one: of JSON as a whole, signs around them would go too."""
    if isinstance(value, Mapping):
        return {redact(name): _redacted(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(each) for each in value]
    return redact(value) if isinstance(value, str) else value


def _many(kind: str) -> str:
    return {"alias": "aliases", "batch": "batches", "feedback": "feedback", "demo": "the demo data"}.get(
        kind, f"{kind}s"
    )
