"""The questions that the engine asks a kind of run. A new kind is a class that answers them, named in the manager."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.calls.engine import CallEngine
from core.domain.key import Key
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.runs import Unfinished


class Closing(Exception):
    """The process is going down; the run is left as it stands, and the next process takes it up."""


class Job(Protocol):
    """A kind of run. Its rows in our tables are the truth; the engine keeps nothing that outlives the process.

    A start is one taking-up of a run. Whatever an earlier start still says must not undo what a later one has done.
    """

    kind: str

    def unfinished(self) -> list[Unfinished]: ...

    def claim(self, run_id: str, owner: str) -> int | None:
        """Take a queued run for a process; the number of this start, or None where it is no longer queued."""

    def requeue(self, run_id: str, start: int) -> None:
        """Queue a running run again, if it is still in this start."""

    def steps(self, run_id: str, start: int) -> Sequence[str]:
        """The steps in their order, those that are done included; none where the run is no longer in this start."""

    def do_step(self, run_id: str, start: int, step: str) -> bool:
        """Bring one step to its end; False = the run goes no further. What has been paid for is never asked again.

        Raises:
            Closing
        """

    def settle(self, run_id: str, start: int, error: str = "") -> None:
        """Say what the run came to, if it is still in this start. error: What ended it unexpectedly."""


@dataclass(frozen=True, slots=True)
class JobTools:
    """The parts of the house that every kind of run works with. key_of: The key of an id; None = there is none."""

    database: Database
    writer: Writer
    calls: CallEngine
    key_of: Callable[[str], Key | None]
