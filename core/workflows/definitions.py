"""Workflows as they are written: the built-in ones, the team's files, and what users saved; read, checked, kept."""

from collections.abc import Callable
from pathlib import Path

from core import clock
from core.domain.generation import Model
from core.domain.workflow import Workflow
from core.errors import AimmError, InvalidRequest, NotFound
from core.formats.names import ref_in, split_ref
from core.storage.engine.writer import Writer
from core.storage.workflows import WorkflowStore
from core.workflows import spec

BUILT_IN = Path(__file__).parent / "builtin"
OWN = Path("data/workflows")  # files of the team's own, in the folder that the program is started from


class WorkflowDefinitions:
    def __init__(self, store: WorkflowStore, writer: Writer, resolve: Callable[[str], Model]) -> None:
        self._store = store
        self._writer = writer
        self._resolve = resolve

    def with_prompt(self, name: str) -> list[str]:
        """The workflows that have a step with a prompt, in words."""
        asked = [(each.name, ref_in(step.system or "")) for each in self.all().values() for step in each.steps]
        mine = dict.fromkeys(workflow for workflow, ref in asked if split_ref(ref)[0] == name)
        return [f"the workflow {workflow}" for workflow in mine]

    def all(self) -> dict[str, Workflow]:
        """All workflows by name: the built-in ones, over them the team's files, and over these what users saved.

        One that cannot be read is left out; `unreadable` says why.
        """
        return self._read()[0]

    def unreadable(self) -> dict[str, str]:
        """Name -> what is wrong, of the workflows that cannot be read."""
        return self._read()[1]

    def texts(self) -> dict[str, str]:
        """The YAML of all workflows by name, as it was written."""
        sources = self._sources().items()
        return {name: each if isinstance(each, str) else each.decode("utf-8", "replace") for name, each in sources}

    def get(self, name: str) -> Workflow:
        workflows, problems = self._read()
        if name in problems:
            raise InvalidRequest(f"The workflow {name} cannot be read: {problems[name]}")
        if name not in workflows:
            raise NotFound(f"There is no workflow {name[:60]!r}.", hint=f"There are: {', '.join(workflows)}.")
        return workflows[name]

    def is_saved(self, name: str) -> bool:
        return name in self._store.definitions()

    def save(self, workflow: Workflow | str) -> Workflow:
        """Keep a workflow under its name; a built-in one of that name is covered, not lost.

        workflow: As YAML, it is kept as it is written, with its comments.

        Raises:
            InvalidRequest: It could not run.
        """
        text = workflow if isinstance(workflow, str) else spec.to_yaml(workflow)
        read = spec.from_yaml(text)
        self.check(read)
        self._writer.run(lambda connection: self._store.save(connection, read.name, text, clock.now_us()))
        return read

    def remove(self, name: str) -> None:
        if not self._writer.run(lambda connection: self._store.remove(connection, name)):
            raise NotFound(f"There is no saved workflow {name[:60]!r}.")

    def problems(self, workflow: Workflow) -> list[spec.Problem]:
        return spec.problems(workflow, self._why_not)

    def check(self, workflow: Workflow) -> None:
        """Raises: InvalidRequest: It could not run."""
        if found := self.problems(workflow):
            raise InvalidRequest("The workflow cannot run: " + "; ".join(str(problem) for problem in found[:5]))

    def _sources(self) -> dict[str, str | bytes]:
        files = (path for folder in (BUILT_IN, OWN) for path in sorted(folder.glob("*.yaml")))
        return {path.stem: path.read_bytes() for path in files if path.is_file()} | self._store.definitions()

    def _read(self) -> tuple[dict[str, Workflow], dict[str, str]]:
        found: dict[str, Workflow] = {}
        problems: dict[str, str] = {}
        for name, source in self._sources().items():
            try:
                found[name] = spec.from_yaml(source)
            except InvalidRequest as error:
                problems[name] = error.message
        return found, problems

    def _why_not(self, model: str) -> str:
        try:
            self._resolve(model)
        except AimmError as error:
            return error.message
        return ""
