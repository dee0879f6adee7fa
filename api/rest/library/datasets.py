"""Datasets: files looked at and imported, versions, rows."""

from collections.abc import Iterator
from typing import Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse

from api.rest.dependencies import Limit, Manager, StrictRoute
from api.rest.library import schemas
from api.rest.views import View
from core.datasets.reading import Preview
from core.domain.evaluation.dataset import Dataset, DatasetRow, DatasetVersion

router = APIRouter(route_class=StrictRoute, prefix="/datasets")

_version_view = View(
    DatasetVersion,
    "dataset number ref digest n_rows n_without_checks columns note author origin created_at",
)
_dataset_view = View(Dataset, "name n_versions newest created_at", newest=_version_view)
_row_view = View(DatasetRow, "id content=.", content=DatasetRow.as_dict)
_preview_view = View(
    Preview,
    "format=shape.format encoding=shape.encoding separator=shape.separator kind=layout.kind columns roles=layout.roles"
    " rows n_rows n_without_checks problems n_problems warnings",
    rows=_row_view.each,
    problems=lambda problems: [problem._asdict() for problem in problems],
)
_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl", "yaml": "application/yaml"}


@router.get("")
def datasets(mm: Manager) -> dict[str, Any]:
    return {"status": "success", "datasets": _dataset_view.each(mm.datasets.all())}


@router.post("/preview")
def preview(body: schemas.DatasetFile, mm: Manager) -> dict[str, Any]:
    """A file as it would be imported, with its first rows and each fault; nothing is kept."""
    return {"status": "success", "preview": _preview_view(_read(mm, body))}


@router.get("/{name}")
def dataset(name: str, mm: Manager) -> dict[str, Any]:
    """Its versions, newest first."""
    return {"status": "success", "versions": _version_view.each(mm.datasets.versions(name))}


@router.post("/{name}", status_code=201)
def import_dataset(name: str, body: schemas.ImportDataset, mm: Manager) -> dict[str, Any]:
    """A new version; the one that is there, if its rows are the same. A bad row refuses the whole, by its line."""
    found = _read(mm, body)
    said = {"skip_bad": body.skip_bad, "adds": body.adds}
    version = mm.datasets.load(found, name, note=body.note, author=body.author, **said)
    return {"status": "success", "version": _version_view(version), "warnings": list(found.warnings)}


@router.delete("/{name}")
def delete(name: str, mm: Manager) -> dict[str, Any]:
    mm.datasets.delete(name)
    return {"status": "success"}


@router.get("/{ref}/rows")
def rows(ref: str, mm: Manager, start: int = Query(default=0, ge=0, le=10**9), limit: Limit = 50) -> dict[str, Any]:
    """Rows of `NAME` or `NAME@NUMBER`, from a position on."""
    version = mm.datasets.get(ref)
    found = mm.datasets.rows(version.ref, start=start, limit=limit)
    return {"status": "success", "version": _version_view(version), "rows": _row_view.each(found)}


@router.get("/{ref}/export", response_class=Response)
def export(ref: str, mm: Manager, format: Literal["csv", "jsonl", "yaml"] | None = None) -> Response:
    """All rows as a file, by default in the form in which they came."""
    version = mm.datasets.get(ref)
    chosen = mm.datasets.format_of(version, format)
    chunks: Iterator[bytes] = mm.datasets.export(version.ref, chosen)
    return StreamingResponse(chunks, media_type=_TYPES[chosen])


def _read(mm: Manager, body: schemas.DatasetFile) -> Preview:
    return mm.datasets.read(body.text.encode(), body.format, name=body.filename, mapping=body.mapping)
