"""The audit: who changed what, from where, when, before and after."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from api.rest.dependencies import Before, Limit, Manager, StrictRoute, moment
from api.rest.views import View
from core.domain.people.entry import AUDIT_FORMATS, AuditEntry, Wanted

router = APIRouter(route_class=StrictRoute)

_entry_view = View(
    AuditEntry,
    "id at=created_at actor actor_id role door address outcome action kind subject before after detail text",
)
_Text = Annotated[str, Query(max_length=200)]
_When = Annotated[str | None, Query(max_length=40, description="ISO 8601; without a zone it is UTC.")]


def _wanted(  # noqa: PLR0913 - the filters of an address
    who: Annotated[str, Query(max_length=200, description="The name or id of a person or key.")] = "",
    kind: Annotated[str, Query(max_length=200, description="budget, key, alias …; several after commas.")] = "",
    subject: Annotated[str, Query(max_length=200, description="The name of what was changed.")] = "",
    door: Annotated[str, Query(max_length=20, description="page, api, cli, python or system.")] = "",
    outcome: Annotated[str, Query(max_length=20, description="done or refused.")] = "",
    since: _When = None,
    until: _When = None,
) -> Wanted:
    return Wanted(
        who=who,
        kinds=tuple(each.strip() for each in kind.split(",") if each.strip()),
        subject=subject,
        door=door,
        outcome=outcome,
        since=moment(since, "since"),
        until=moment(until, "until"),
    )


_Wanted = Annotated[Wanted, Depends(_wanted)]


@router.get("/audit")
def entries(mm: Manager, wanted: _Wanted, limit: Limit = 50, before: Before = None) -> dict[str, Any]:
    """Changes and refusals, the newest first. `next` is the `before` of the following page, null = there is none."""
    found, more = mm.audit.page(wanted, limit, before)
    return {"status": "success", "entries": _entry_view.each(found), "next": more}


@router.get("/audit/export", response_class=StreamingResponse)
def export(mm: Manager, wanted: _Wanted, format: Literal["jsonl", "csv"] = "jsonl") -> StreamingResponse:
    """All entries that the filters find as a file, the newest first."""
    name = f'attachment; filename="audit.{format}"'
    chunks = mm.audit.export(wanted, format)
    return StreamingResponse(chunks, media_type=AUDIT_FORMATS[format], headers={"Content-Disposition": name})
