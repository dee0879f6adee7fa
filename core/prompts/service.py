"""Prompts for their users: versions that never change, and labels that are moved from one to another."""

from collections.abc import Callable, Iterable
from datetime import datetime

from core import clock
from core.domain.evaluation.prompt import LIVE, LabelMove, Prompt, PromptContent, PromptVersion
from core.errors import Conflict, InvalidRequest, NotFound
from core.formats import strict_json as json
from core.formats.names import check_own, missing, split_ref
from core.prompts.rendering import variables_of
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Writer
from core.storage.library.prompts import PromptStore

MAX_BYTES = 1_000_000
MAX_NOTE = 2000
_ROLES = ("system", "user", "assistant")


class PromptService:
    """uses: Each gives the places that refer to a prompt, in words; it is not deleted while there are any."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._store = PromptStore(database)
        self._writer = writer
        self.uses: list[Callable[[str], Iterable[str]]] = []

    def save(self, name: str, content: PromptContent, *, note: str = "", author: str = "") -> PromptVersion:
        """The version of this content: a new one, unless one of this name has it already.

        Raises:
            InvalidRequest: The name is no name, or the content cannot be asked; a TemplateError names the place.
        """
        check_own("prompt", name)
        check_content(content)
        note, author = _kept(note), _kept(author)
        found: PromptVersion = self._writer.run(lambda c: self._store.add(c, name, content, note, author))
        return found

    def get(self, ref: str) -> PromptVersion:
        """`name` (its live version, else the newest), `name@7` or `name@label`. Raises: NotFound, with close names."""
        name, which = split_ref(ref)
        if which.isdecimal():
            number: int | None = int(which) if len(which) < 10 else None
        elif which:
            number = self._store.number_of(name, which)
        else:
            number = self._store.number_of(name, LIVE) or self._store.newest(name)
        found = None if number is None else self._store.version(name, number)
        if found is None:
            raise self._missing(name, which)
        return found

    def has(self, name: str) -> bool:
        """True if a prompt of this name is kept, whatever follows an @."""
        return self._store.newest(split_ref(name)[0]) is not None

    def _missing(self, name: str, which: str) -> NotFound:
        newest = self._store.newest(name)
        if newest is None:
            return missing("prompt", name, self._store.names())
        if which.isdecimal():
            return NotFound(f"The prompt {name} has no version {which[:20]}; the newest is {newest}.")
        labels = self._store.labels(name)
        hint = f"It has {', '.join(labels)}." if labels else "It has no labels yet."
        return NotFound(f"The prompt {name} has no label {which[:60]!r}.", hint=hint)

    def all(self) -> list[Prompt]:
        return self._store.all()

    def live_since(self) -> dict[str, datetime]:
        """By prompt, since when its live version is live; or, where it has none, when that was taken away."""
        return {name: clock.from_us(at) for name, at in self._store.pointing_since(LIVE).items()}

    def versions(self, name: str) -> list[PromptVersion]:
        """Newest first. Raises: NotFound"""
        found = self._store.versions(name)
        if not found:
            raise missing("prompt", name, self._store.names())
        return found

    def move_label(self, name: str, label: str, number: int, *, author: str = "", run_id: str = "") -> LabelMove:
        """Point a label at a version; a new label is made.

        run_id: The evaluation that justifies it.

        Raises:
            NotFound. InvalidRequest: the label is no word, or a number.
        """
        self.get(f"{name}@{number}")
        check_own("label", label)
        if label.isdecimal():
            raise InvalidRequest(f"{label!r} is no label: a number behind the @ is a version.")
        author, run_id = _kept(author), _kept(run_id)
        found: LabelMove = self._writer.run(lambda c: self._store.move(c, name, label, number, author, run_id))
        return found

    def undo_label(self, name: str, label: str, *, author: str = "") -> LabelMove:
        """Point a label at what it pointed at before its last move; a new one is taken away.

        Raises:
            NotFound: It was never moved.
        """

        def work(connection: Connection) -> LabelMove:
            last = self._store.last_move(connection, name, label)
            if last is None:
                raise NotFound(f"The prompt {name[:60]} has no label {label[:60]!r}.")
            return self._store.move(connection, name, label, last.was, _kept(author), "")

        found: LabelMove = self._writer.run(work)
        return found

    def label_moves(self, name: str) -> list[LabelMove]:
        """Newest first."""
        return self._store.moves(name)

    def delete(self, name: str) -> None:
        """Delete a prompt with all its versions. Raises: NotFound. Conflict: something refers to it."""
        self.versions(name)
        used = [place for uses in self.uses for place in uses(name)]
        if used:
            raise Conflict(f"The prompt {name} is used by {', '.join(used[:5])}.", hint="Change that first.")
        self._writer.run(lambda connection: self._store.delete(connection, name))


def check_content(content: PromptContent) -> None:
    """Raises: InvalidRequest: It could not be asked, or not be kept; a TemplateError names the place."""
    if not any(message.text.strip() for message in content.messages):
        raise InvalidRequest("A prompt needs a turn with a text.")
    for message in content.messages:
        if message.role not in _ROLES:
            raise InvalidRequest(f"role == {str(message.role)[:40]!r}, must be one of {', '.join(_ROLES)}")
    if problem := content.parameters.problem():
        raise InvalidRequest(problem)
    try:
        kept = content.as_dict()
        size = len(json.encoded(kept))
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"The prompt cannot be written as JSON: {error}") from None
    if problem := json.problem_of(kept):
        raise InvalidRequest(problem)
    if size > MAX_BYTES:
        raise InvalidRequest(f"The prompt has {size:,} bytes; at most {MAX_BYTES:,} are kept.")
    variables_of(content)


def _kept(text: str) -> str:
    """A remark as it is kept. Raises: InvalidRequest"""
    if problem := json.problem_of(text):
        raise InvalidRequest(problem)
    return text.strip()[:MAX_NOTE]
