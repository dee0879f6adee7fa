"""Datasets: their versions, and the rows of each, which are kept once whatever versions hold them."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from core.clock import DAY_US, from_us, now_us
from core.domain.evaluation.dataset import Dataset, DatasetRow, DatasetVersion
from core.formats import strict_json as json
from core.storage.engine.bulk import insert_many
from core.storage.engine.damaged import readable, whole
from core.storage.engine.database import Store
from core.storage.engine.records import from_row, upsert
from core.storage.library.schema import dataset_rows, dataset_version_rows, dataset_versions, datasets
from core.storage.people.audit import note as audit

_v, _r, _p = dataset_versions.c, dataset_rows.c, dataset_version_rows.c
_IS_WHOLE = _v.number.is_not(None)


class PlacedRow(NamedTuple):
    """A row at its place in a version. content_id: The hash of its content; copy: the how manieth of it."""

    position: int
    content_id: str
    copy: int
    row: DatasetRow

    @property
    def id(self) -> str:
        return row_id(self.content_id, self.copy)


def row_id(content_id: str, copy: int) -> str:
    return content_id if copy == 1 else f"{content_id}-{copy}"


class DatasetStore(Store):
    def names(self) -> list[str]:
        wanted = select(_v.dataset).where(_IS_WHOLE).distinct().order_by(_v.dataset)
        return [name for (name,) in self._database.rows(wanted)]

    def all(self) -> list[Dataset]:
        """By name."""
        newest = select(_v.dataset, func.max(_v.number).label("number")).group_by(_v.dataset).subquery()
        joined = dataset_versions.join(newest, (_v.dataset == newest.c.dataset) & (_v.number == newest.c.number))
        wanted = select(dataset_versions, datasets.c.created_at.label("since")).select_from(
            joined.join(datasets, datasets.c.name == _v.dataset)
        )
        return readable("dataset", self._database.rows(wanted.order_by(_v.dataset)), _to_dataset)

    def versions(self, name: str) -> list[DatasetVersion]:
        """Newest first."""
        wanted = select(dataset_versions).where(_v.dataset == name, _IS_WHOLE).order_by(_v.number.desc())
        return readable("dataset version", self._database.rows(wanted), _to_version)

    def version(self, name: str, number: int | None) -> DatasetVersion | None:
        """number: None = the newest."""
        wanted = select(dataset_versions).where(_v.dataset == name, _IS_WHOLE)
        if number is not None:
            wanted = wanted.where(_v.number == number)
        [*rows] = self._database.rows(wanted.order_by(_v.number.desc()).limit(1))
        return whole("dataset version", rows[0], _to_version) if rows else None

    def rows(self, version: DatasetVersion, start: int, limit: int) -> list[DatasetRow]:
        """Rows from a position on, 0 the first."""
        joined = (
            select(_p.row_id, _p.copy, _p.source, _r.content)
            .join_from(dataset_version_rows, dataset_versions, _v.id == _p.version_id)
            .join(dataset_rows, _r.id == _p.row_id)
            .where(_v.dataset == version.dataset, _v.number == version.number, _p.position >= start)
        )
        found = self._database.rows(joined.order_by(_p.position).limit(limit))
        return [whole("dataset row", {"id": row.row_id, "row": row}, _to_row) for row in found]

    # In transactions

    @staticmethod
    def begin(connection: Connection, name: str, origin: str, note: str, author: str) -> str:
        """The id of a version whose rows are about to come. What was begun a day ago and never ended goes."""
        now = now_us()
        connection.execute(delete(dataset_versions).where(_v.number.is_(None), _v.created_at < now - DAY_US))
        connection.execute(upsert(connection.dialect.name, datasets, ()), {"name": name, "created_at": now})
        row = {"id": f"d_{secrets.token_hex(8)}", "dataset": name, "created_at": now}
        connection.execute(insert(dataset_versions).values(**row, origin=origin, note=note, author=author))
        return row["id"]  # type: ignore[return-value]  # a text

    @staticmethod
    def append(connection: Connection, version_id: str, rows: Sequence[PlacedRow]) -> None:
        kept = {each.content_id: {"id": each.content_id, "content": _content(each.row)} for each in rows}
        connection.execute(upsert(connection.dialect.name, dataset_rows, ()), list(kept.values()))
        placed = [
            {
                "version_id": version_id, "position": each.position, "row_id": each.content_id, "copy": each.copy,
                "source": each.row.source,
            }
            for each in rows
        ]  # fmt: skip
        insert_many(connection, dataset_version_rows, placed)

    @staticmethod
    def finish(connection: Connection, version_id: str, version: DatasetVersion) -> DatasetVersion:
        """The version with its number; the one that is there already, if its rows are the same."""
        connection.execute(select(datasets.c.name).where(datasets.c.name == version.dataset).with_for_update())
        mine = _v.dataset == version.dataset
        same = connection.execute(select(dataset_versions).where(mine, _v.digest == version.digest)).first()
        if same is not None:
            DatasetStore.drop(connection, version_id)
            return _to_version(same)
        number = (connection.execute(select(func.max(_v.number)).where(mine)).scalar() or 0) + 1
        values = {
            "number": number, "digest": version.digest, "n_rows": version.n_rows,
            "n_without_checks": version.n_without_checks, "columns": json.dumps(list(version.columns)),
            "layout": json.dumps(dict(version.layout)),
        }  # fmt: skip
        connection.execute(update(dataset_versions).where(_v.id == version_id).values(**values))
        audit(
            connection, "dataset saved", f"{version.dataset}@{number}", {"rows": version.n_rows, "note": version.note}
        )
        created_at = connection.execute(select(_v.created_at).where(_v.id == version_id)).scalar_one()
        return replace(version, number=number, created_at=from_us(created_at))

    @staticmethod
    def drop(connection: Connection, version_id: str) -> None:
        """Take back a version that was begun, and the name if it has no other."""
        [name] = connection.execute(select(_v.dataset).where(_v.id == version_id)).scalars().all() or [None]
        connection.execute(delete(dataset_versions).where(_v.id == version_id))
        if name and connection.execute(select(_v.id).where(_v.dataset == name).limit(1)).first() is None:
            connection.execute(delete(datasets).where(datasets.c.name == name))

    @staticmethod
    def set_time(connection: Connection, name: str, at_us: int) -> None:
        """Let a dataset and its versions be of a moment."""
        connection.execute(update(datasets).where(datasets.c.name == name).values(created_at=at_us))
        connection.execute(update(dataset_versions).where(_v.dataset == name).values(created_at=at_us))

    @staticmethod
    def delete(connection: Connection, name: str) -> None:
        """Delete a dataset; its rows go if no other version holds them."""
        connection.execute(delete(datasets).where(datasets.c.name == name))
        connection.execute(delete(dataset_rows).where(_r.id.not_in(select(_p.row_id))))
        audit(connection, "dataset deleted", name, {})


def _content(row: DatasetRow) -> str:
    return json.encoded(row.as_dict()).decode()


def _to_row(found: Any) -> DatasetRow:
    row = found["row"]
    return DatasetRow.of(json.loads(row.content), id=row_id(row.row_id, row.copy), source=row.source)


def _to_version(row: Any) -> DatasetVersion:
    return from_row(DatasetVersion, row, columns=tuple(json.loads(row.columns)), layout=json.loads(row.layout))


def _to_dataset(row: Any) -> Dataset:
    return Dataset(name=row.dataset, created_at=from_us(row.since), n_versions=row.number, newest=_to_version(row))
