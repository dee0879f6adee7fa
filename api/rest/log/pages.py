"""The log by filter: pages, files, and sessions."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from api.rest.dependencies import Caller, Limit, Manager, StrictRoute, failure, moment
from api.rest.views import View, tokens_view
from core import Forbidden, Generation, InvalidRequest, Key
from core.clock import now
from core.domain.log.breakdown import Cell, fields_of
from core.domain.log.filter import DESCRIBED, LogFilter, from_texts
from core.domain.log.session import Exchange, Session
from core.domain.message import Message
from core.domain.metrics import Counted

_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}


class _LogRoute(StrictRoute):
    """A route whose parameters are filters: one that is wrong is a bad request, which names it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except InvalidRequest as error:
                return failure(400, error.code, error.message, param=error.param)

        return handle


router = APIRouter(route_class=_LogRoute)
_FILTERS: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}, "description": told}
        for name, told in DESCRIBED.items()
    ]
}

call_view = View(
    Generation,
    "id created_at model response_model vendor=provider deployment? source operation status error=error_class?"
    " error_message? latency=latency_s ttft=ttft_s cost=cost_usd cost_status price_id? service_tier n_attempts usage"
    " simulated=is_simulated key=key_id? user=user_id? tags session=session_id? ref_id ref_part ref_name?"
    " prompt_version? note?",
    usage=tokens_view,
)
_turn_view = View(Message, "role text=. ", text=lambda message: message.text or "\n".join(map(str, message.parts)))
texts_view = View(Generation, "system messages response=text thinking?", messages=lambda turns: _turn_view.each(turns))
_session_view = View(
    Session,
    "id first_at last_at requests=n failed=n_failed cost=cost_usd unpriced_requests=n_unpriced tokens user?",
)
_exchange_view = View(Exchange, "call turns response=call.text", call=call_view, turns=_turn_view.each)
_cell_view = View(Cell, "requests=n failed=n_failed cost=cost_usd unpriced_requests=n_unpriced p95=p95_s")
_total_view = View(Counted, "requests=n failed=n_failed cost=cost_usd unpriced_requests=n_unpriced")


def _wanted(request: Request, key: Key | None, *others: str) -> LogFilter:
    """The filter of an address; a key without `read` sees its own calls alone. others: Its other parameters."""
    if request.scope.get("aimm.key_in_query") and not (key and key.may("read")):
        told = "`key` in an address is a key to ask with. To find the calls of one, say key_id, its id or name."
        raise InvalidRequest(told, param="key")
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise InvalidRequest(f"{name[:60]} is given twice; the log takes one of each.", param=name[:60])
        given[name] = value
    wanted = from_texts({name: value for name, value in given.items() if name not in others}, now())
    if key is None or key.may("read"):
        return wanted
    if wanted.key not in (None, key.id, key.name):
        raise Forbidden(f"The key {key.name!r} may see its own calls alone; for others it needs the scope read.")
    return replace(wanted, key=key.id)


@router.get("/logs", openapi_extra=_FILTERS)
def logs(  # noqa: PLR0913 - one for each parameter of the address
    request: Request, mm: Manager, key: Caller, limit: Limit = 50, cursor: str | None = None,
    texts: bool = False, total: bool | Literal["exact"] = True,
) -> dict[str, Any]:  # fmt: skip
    """The newest calls that all filters find. `next` is the `cursor` of the following page, null = there is none.

    texts: With prompts and answers. total: Whether to count and sum what is found; null = too many to count. Where no
    index answers, it is counted back for a moment, to `since` if that was not enough; with `exact`, to the oldest call.
    """
    wanted = _wanted(request, key, "limit", "cursor", "texts", "total")
    is_exact = total == "exact"
    page = mm.log.search(wanted, limit=limit, cursor=cursor, texts=texts, counts=bool(total), is_exact=is_exact)
    rows = [call_view(call) | (texts_view(call) if texts else {}) for call in page.calls]
    found = None if page.total is None else _total_view(page.total) | {"since": page.since}
    return {"status": "success", "logs": rows, "next": page.following, "total": found, "note": page.note or None}


@router.get("/logs/export", response_class=StreamingResponse, openapi_extra=_FILTERS)
def export(
    request: Request,
    mm: Manager,
    key: Caller,
    format: Literal["jsonl", "csv", "parquet"] = "jsonl",
    texts: bool = False,
) -> StreamingResponse:
    """All calls that the filters find as a file, the oldest first. texts: With prompts and answers."""
    wanted = _wanted(request, key, "format", "texts")
    headers = {"Content-Disposition": f'attachment; filename="calls.{format}"'}
    if note := mm.log.deleted(wanted):
        headers["x-aimm-note"] = note
    chunks = mm.log.export(wanted, format, texts=texts)
    return StreamingResponse(chunks, media_type=_TYPES[format], headers=headers)


@router.get("/logs/breakdown", openapi_extra=_FILTERS)
def breakdown(request: Request, mm: Manager, key: Caller, by: str) -> dict[str, Any]:
    """The calls that the filters find by one or two fields (`by=key,model`), the most expensive first.

    Fields: model, vendor, deployment, source, status, error, key, team, user, session, made_for, prompt, tag, day,
    hour (UTC).
    """
    names = fields_of(by)
    wanted = _wanted(request, key, "by")
    cells = mm.log.breakdown(wanted, by)
    rows = [dict(zip(names, cell.of, strict=True)) | _cell_view(cell) for cell in cells]
    return {"status": "success", "by": list(names), "breakdown": rows, "note": mm.log.deleted(wanted) or None}


@router.get("/sessions")
def sessions(mm: Manager, key: Caller, limit: Limit = 50, since: str | None = None) -> dict[str, Any]:
    """Sessions, the one with the latest call first. since: Those with a call since then."""
    found = mm.log.sessions.latest(limit, moment(since, "since"), key=_own(key))
    return {"status": "success", "sessions": _session_view.each(found)}


@router.get("/sessions/{session_id:path}")
def session(session_id: str, mm: Manager, key: Caller) -> dict[str, Any]:
    """A session as a conversation: what each call added to it, the oldest first."""
    found, exchanges = mm.log.session(session_id, key=_own(key))
    return {"status": "success", "session": _session_view(found), "conversation": _exchange_view.each(exchanges)}


def _own(key: Key | None) -> str | None:
    """The only key whose calls a key may see; None = it may see all."""
    return None if key is None or key.may("read") else key.id
