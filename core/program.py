"""Evaluations from a program: `evaluate(…)`, with own functions as contestants and as checks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.datasets.layouts import Layout, kind_of, roles_of, row_of
from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.prompt import PromptContent, PromptMessage
from core.domain.evaluation.run import OVERALL, Cell, Contestant, EvaluationRun, Plan, Tally, placed
from core.domain.generation import Parameters
from core.errors import InvalidRequest
from core.evaluation.answers import OWN
from core.evaluation.file import read_prompt
from core.evaluation.gate import GateResult, held_against
from core.evaluation.verdict import Verdict, sentence
from core.formats.names import as_own

if TYPE_CHECKING:
    from core import ModelManager

Rows = str | Path | Iterable[Mapping[str, Any] | DatasetRow]
Check = Mapping[str, Any] | Callable[..., Any]
_EXPECTED = "expected"


@dataclass(frozen=True)
class EvaluationResult:
    """An evaluation that is over.

    cells: In the order of items. answers: Their texts by (item, contestant, repetition).
    """

    run: EvaluationRun
    tallies: tuple[Tally, ...]
    cells: tuple[Cell, ...]
    answers: Mapping[tuple[int, int, int], str]
    gate: GateResult
    verdicts: tuple[Verdict, ...]

    def pass_rate(self, contestant: int | str = 0) -> float | None:
        """Passes among what was graded, of a contestant by its place or name; None = nothing was."""
        at = next((c.position for c in self.run.plan.contestants if contestant in (c.position, c.name, c.label)), None)
        if at is None:
            raise InvalidRequest(f"There is no contestant {contestant!r}.")
        return next((tally.pass_rate for tally in self.tallies if tally.contestant == at), None)

    def __str__(self) -> str:
        return "\n".join([*map(sentence, self.verdicts), self.gate.reason])


def evaluate(  # noqa: PLR0913 - an evaluation with its rules
    data: Rows,
    contestants: Sequence[str | Contestant] | Mapping[str, Callable[..., Any]],
    checks: Sequence[Check] = (),
    *,
    prompt: str = "",
    name: str = "evaluation",
    repeat: int = 1,
    limit_usd: float | Decimal | None = None,
    concurrency: int = 16,
    parameters: Parameters | None = None,
    against: str = "",
    manager: "ModelManager | None" = None,
) -> EvaluationResult:
    """Ask each contestant every item, check the answers, and wait until that is over.

    Args:
        data: Rows as mappings of variables (`expected`: the answer that is hoped for) or of `messages`, a file, or a
            dataset (`faq@3`).
        contestants: Models, or functions by name: each is given an item's variables and says a text.
        checks: `{"type": …, "value": …}`, or functions of (answer, variables) that say a bool, a score, a mapping.
        prompt: For models: a version (`support@live`), a file, or a text with {{variables}}; empty = the rows bring
            their turns.
        repeat: Answers to each item.
        limit_usd: The run pauses before it would cost more.
        against: A baseline or a run, for the gate.
        manager: The one to use; None = one is opened for the time being.

    Raises:
        InvalidRequest, NotFound, AuthenticationError
    """
    from core import ModelManager  # at first use: the whole house

    with ExitStack() as stack:
        mm = manager or stack.enter_context(ModelManager.open(takes_up=False))
        functions: dict[str, Callable[..., Any]] = {}
        plan = Plan(
            name=name,
            dataset=_dataset(mm, data, name),
            contestants=placed(_contestants(mm, contestants, prompt, parameters or Parameters(), functions)),
            checks=tuple(_check(each, functions) for each in checks),
            repetitions=repeat,
            limit_usd=None if limit_usd is None else Decimal(str(limit_usd)),
            width=concurrency,
            allows_python=any(callable(each) for each in checks),
            gate=held_against(None, against),
        )
        run_id = mm.evaluations.start(plan, functions=functions or None)
        run = mm.evaluations.wait(run_id)
        cells = tuple(mm.evaluations.cells(run_id))
        others = range(1, len(plan.contestants))
        return EvaluationResult(
            run=run,
            tallies=tuple(mm.evaluations.tallies(run_id)),
            cells=cells,
            answers=mm.evaluations.answers(cells),
            gate=mm.evaluations.verdicts.conclude(run_id),
            verdicts=tuple(mm.evaluations.verdicts.verdict(run_id, at, metric=OVERALL) for at in others),
        )


def _dataset(mm: "ModelManager", data: Rows, name: str) -> str:
    if isinstance(data, str) and not Path(data).is_file():
        return data
    own = as_own(name)
    if isinstance(data, str | Path):
        return mm.datasets.load(mm.datasets.read(Path(data), name=Path(data).name), own).ref
    return mm.datasets.save(own, [_row(each) for each in data], origin="program").ref


def _row(given: Mapping[str, Any] | DatasetRow) -> DatasetRow:
    if isinstance(given, DatasetRow):
        return given
    if kind_of(given) == "chat":  # it brings its turns
        return row_of(Layout(kind="chat", roles=roles_of(tuple(given), None)), given)
    variables = {name: value for name, value in given.items() if name != _EXPECTED}
    return DatasetRow(variables=variables, expected=given.get(_EXPECTED))


def _contestants(
    mm: "ModelManager",
    given: Sequence[str | Contestant] | Mapping[str, Callable[..., Any]],
    prompt: str,
    parameters: Parameters,
    functions: dict[str, Callable[..., Any]],
) -> list[Contestant]:
    if isinstance(given, Mapping):
        functions |= given
        return [Contestant(position=0, name=name, function=name) for name in given]
    ref, content = "", None
    if prompt and Path(prompt).is_file():
        ref, content = Path(prompt).name, read_prompt(Path(prompt))
    elif "{{" in prompt or "\n" in prompt or " " in prompt:
        ref, content = "prompt", PromptContent(messages=(PromptMessage("user", prompt),))
    elif prompt:
        version = mm.prompts.get(prompt)
        ref, content = version.ref, version.content
    return [
        each
        if isinstance(each, Contestant)
        else Contestant(position=0, model=each, prompt=ref, content=content, parameters=parameters)
        for each in given
    ]


def _check(given: Check, functions: dict[str, Callable[..., Any]]) -> Mapping[str, Any]:
    if isinstance(given, Mapping):
        return given
    name = f"{OWN}{getattr(given, '__name__', 'check')}"
    while name in functions:
        name += "'"
    functions[name] = given
    return {"type": "python", "value": name, "metric": name.removeprefix(OWN)}
