"""Prompts, their versions, and the labels that point at them."""

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from core.clock import from_us, now_us
from core.domain.evaluation.prompt import LabelMove, Prompt, PromptContent, PromptVersion
from core.formats import strict_json as json
from core.storage.engine.damaged import readable
from core.storage.engine.database import Store
from core.storage.engine.records import from_row, grouped, put, upsert
from core.storage.library.schema import prompt_label_moves, prompt_labels, prompt_versions, prompts
from core.storage.people.audit import note as audit

_v, _l, _m = prompt_versions.c, prompt_labels.c, prompt_label_moves.c


class PromptStore(Store):
    def names(self) -> list[str]:
        return [name for (name,) in self._database.rows(select(prompts.c.name).order_by(prompts.c.name))]

    def all(self) -> list[Prompt]:
        """By name."""
        newest = select(_v.prompt, func.max(_v.number).label("number")).group_by(_v.prompt).subquery()
        joined = prompt_versions.join(newest, (_v.prompt == newest.c.prompt) & (_v.number == newest.c.number))
        wanted = select(prompt_versions, prompts.c.created_at.label("since")).join_from(joined, prompts)
        with self._database.read() as connection:
            rows = connection.execute(wanted.order_by(_v.prompt)).all()
            labels = grouped(connection.execute(select(prompt_labels)).mappings(), "prompt")
        return readable("prompt", rows, lambda row: _to_prompt(row, labels.get(row.prompt, [])))

    def versions(self, name: str) -> list[PromptVersion]:
        """Newest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(prompt_versions).where(_v.prompt == name).order_by(_v.number.desc())).all()
            labels = connection.execute(select(prompt_labels).where(_l.prompt == name)).mappings().all()
        return readable("prompt version", rows, lambda row: _to_version(row, labels))

    def labels(self, name: str) -> dict[str, int]:
        rows = self._database.rows(select(_l.label, _l.number).where(_l.prompt == name).order_by(_l.label))
        return {row.label: row.number for row in rows}

    def moves(self, name: str) -> list[LabelMove]:
        """Newest first."""
        wanted = select(prompt_label_moves).where(_m.prompt == name).order_by(_m.moved_at.desc(), _m.id)
        return [from_row(LabelMove, row) for row in self._database.rows(wanted)]

    def number_of(self, name: str, label: str) -> int | None:
        """The version that a label points at; None = there is no such label."""
        found: int | None = self._database.value(select(_l.number).where(_l.prompt == name, _l.label == label))
        return found

    def newest(self, name: str) -> int | None:
        found: int | None = self._database.value(select(func.max(_v.number)).where(_v.prompt == name))
        return found

    def version(self, name: str, number: int) -> PromptVersion | None:
        with self._database.read() as connection:
            return read_version(connection, name, _v.number == number)

    def pointing_since(self, label: str) -> dict[str, int]:
        """By prompt, when (µs) a label was turned to the version that it points at."""
        moved = select(_m.prompt, func.max(_m.moved_at)).where(_m.label == label).group_by(_m.prompt)
        return {str(name): int(at) for name, at in self._database.rows(moved)}

    # In transactions

    @staticmethod
    def add(connection: Connection, name: str, content: PromptContent, note: str, author: str) -> PromptVersion:
        """The version of a content: a new one, unless there is one. Two at once get two numbers: the name is locked."""
        now = now_us()
        connection.execute(upsert(connection.dialect.name, prompts, ()), {"name": name, "created_at": now})
        connection.execute(select(prompts.c.name).where(prompts.c.name == name).with_for_update())
        digest = content.digest
        if found := read_version(connection, name, _v.digest == digest):
            return found
        number = (connection.execute(select(func.max(_v.number)).where(_v.prompt == name)).scalar() or 0) + 1
        row = {"prompt": name, "number": number, "digest": digest, "created_at": now, "note": note, "author": author}
        connection.execute(insert(prompt_versions).values(**row, content=json.encoded(content.as_dict()).decode()))
        found = read_version(connection, name, _v.digest == digest)
        assert found is not None  # noqa: S101 - it was just written
        return found

    @staticmethod
    def move(connection: Connection, name: str, label: str, number: int | None, author: str, run_id: str) -> LabelMove:
        """Point a label at a version, or take it away, and write down what it pointed at before."""
        connection.execute(select(prompts.c.name).where(prompts.c.name == name).with_for_update())
        mine = (_l.prompt == name, _l.label == label)
        was = connection.execute(select(_l.number).where(*mine)).scalar()
        if number is None:
            connection.execute(delete(prompt_labels).where(*mine))
        else:
            put(connection, prompt_labels, {"prompt": name, "label": label, "number": number})
        row: dict[str, Any] = {"prompt": name, "label": label, "number": number, "was": was, "moved_at": now_us()}
        row |= {"id": f"m_{secrets.token_hex(8)}", "author": author, "run_id": run_id}
        connection.execute(insert(prompt_label_moves).values(**row))
        detail = {"number": number, "was": was, "author": author, "run_id": run_id}
        audit(connection, "prompt label moved", f"{name}@{label}", detail)
        return from_row(LabelMove, row)

    @staticmethod
    def last_move(connection: Connection, name: str, label: str) -> LabelMove | None:
        wanted = select(prompt_label_moves).where(_m.prompt == name, _m.label == label)
        row = connection.execute(wanted.order_by(_m.moved_at.desc(), _m.id).limit(1)).first()
        return None if row is None else from_row(LabelMove, row)

    @staticmethod
    def set_times(connection: Connection, name: str, at_us: Sequence[int]) -> None:
        """Let the versions of a prompt be of these moments, in their order, and its labels of the last one."""
        connection.execute(update(prompts).where(prompts.c.name == name).values(created_at=at_us[0]))
        for number, moment in enumerate(at_us, 1):
            version = update(prompt_versions).where(_v.prompt == name, _v.number == number)
            connection.execute(version.values(created_at=moment))
        connection.execute(update(prompt_label_moves).where(_m.prompt == name).values(moved_at=at_us[-1]))

    @staticmethod
    def delete(connection: Connection, name: str) -> None:
        connection.execute(delete(prompts).where(prompts.c.name == name))
        audit(connection, "prompt deleted", name, {})


def read_version(connection: Connection, name: str, which: Any) -> PromptVersion | None:
    row = connection.execute(select(prompt_versions).where(_v.prompt == name, which)).first()
    if row is None:
        return None
    labels = connection.execute(select(prompt_labels).where(_l.prompt == name)).mappings().all()
    return _to_version(row, labels)


def _to_version(row: Any, labels: Any) -> PromptVersion:
    mine = tuple(sorted(each["label"] for each in labels if each["number"] == row.number))
    return from_row(PromptVersion, row, content=PromptContent.of(json.loads(row.content)), labels=mine)


def _to_prompt(row: Any, labels: Any) -> Prompt:
    return Prompt(
        name=row.prompt,
        created_at=from_us(row.since),
        n_versions=row.number,
        newest=_to_version(row, labels),
        labels={each["label"]: each["number"] for each in sorted(labels, key=lambda each: str(each["label"]))},
    )
