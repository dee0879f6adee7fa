"""Prompts, their versions and labels."""

from typing import Any

from fastapi import APIRouter, Query

from api.rest.dependencies import Manager, StrictRoute
from api.rest.library import schemas
from api.rest.views import View
from core.domain.evaluation.prompt import LabelMove, Prompt, PromptVersion
from core.prompts.files import content_of, difference, to_dict
from core.prompts.rendering import variables_of

router = APIRouter(route_class=StrictRoute, prefix="/prompts")

_version_view = View(
    PromptVersion,
    "prompt number ref digest labels note author created_at content variables=content",
    content=to_dict,
    variables=variables_of,
)
_prompt_view = View(Prompt, "name n_versions newest labels created_at", newest=_version_view)
_move_view = View(LabelMove, "label number was moved_at author run_id")


@router.get("")
def prompts(mm: Manager) -> dict[str, Any]:
    return {"status": "success", "prompts": _prompt_view.each(mm.prompts.all())}


@router.get("/{name}")
def prompt(name: str, mm: Manager) -> dict[str, Any]:
    """Its versions, newest first, and the moves of its labels."""
    versions, moves = mm.prompts.versions(name), mm.prompts.label_moves(name)
    return {"status": "success", "versions": _version_view.each(versions), "moves": _move_view.each(moves)}


@router.post("/{name}", status_code=201)
def save(name: str, body: schemas.SavePrompt, mm: Manager) -> dict[str, Any]:
    """A new version; the one that is there, if its content is the same."""
    content = content_of(body.model_dump(exclude={"note", "author"}, exclude_none=True))
    version = mm.prompts.save(name, content, note=body.note, author=body.author)
    return {"status": "success", "version": _version_view(version)}


@router.delete("/{name}")
def delete(name: str, mm: Manager) -> dict[str, Any]:
    mm.prompts.delete(name)
    return {"status": "success"}


@router.get("/{name}/versions/{which}")
def version(name: str, which: str, mm: Manager) -> dict[str, Any]:
    """A version by its number or a label."""
    return {"status": "success", "version": _version_view(mm.prompts.get(f"{name}@{which}"))}


@router.get("/{name}/diff")
def diff(
    name: str,
    mm: Manager,
    old: str = Query(alias="from", max_length=80, description="A number or a label."),
    new: str = Query(alias="to", max_length=80, description="A number or a label."),
) -> dict[str, Any]:
    found = difference(mm.prompts.get(f"{name}@{old}"), mm.prompts.get(f"{name}@{new}"))
    return {"status": "success", "diff": found}


@router.put("/{name}/labels/{label}")
def move_label(name: str, label: str, body: schemas.MoveLabel, mm: Manager) -> dict[str, Any]:
    move = mm.prompts.move_label(name, label, body.number, author=body.author, run_id=body.run_id)
    return {"status": "success", "move": _move_view(move)}


@router.post("/{name}/labels/{label}/undo")
def undo_label(name: str, label: str, mm: Manager) -> dict[str, Any]:
    """The label turned back to where it pointed before."""
    return {"status": "success", "move": _move_view(mm.prompts.undo_label(name, label))}
