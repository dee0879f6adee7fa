"""The items of a run: filtered and ordered for the grid, and one of them with all its answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from core import AimmError
from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.run import OVERALL, Cell, EvaluationRun
from core.evaluation.verdict import Change, counterpart
from dashboard import formatting
from dashboard.frames.evaluation.reading import Seen, View, cells_of, kept, kept_verdicts, key_of
from dashboard.process import manager

SHOWN_LETTERS = 54  # of an item in a row
SHOWS = ("all", "broken", "fixed", "failed", "disagree", "errors", "not run")
STATES = ("pass", "fail", "unchecked", "error", "not_run")  # by their places in `Grid.states`


@dataclass(frozen=True, slots=True)
class Grid:
    """A row an item, a column a contestant.

    states: Places in STATES, of several repetitions the one that stands out most. is_failed: Any repetition failed.
    changes: Against the baseline; empty = none, or it cannot be told. damage: The largest of an item; nan = not known.
    """

    states: npt.NDArray[np.int8]
    is_failed: npt.NDArray[np.bool_]
    changes: Mapping[tuple[int, int], Change]
    damage: npt.NDArray[np.float64]
    broken: npt.NDArray[np.bool_]
    fixed: npt.NDArray[np.bool_]

    def which(self, show: str) -> npt.NDArray[np.bool_]:
        """The items of a filter."""
        passed, failed = (self.states == 0).any(axis=1), (self.states == 1).any(axis=1)
        found: dict[str, npt.NDArray[np.bool_]] = {
            "broken": self.broken,
            "fixed": self.fixed,
            "failed": self.is_failed,
            "disagree": passed & failed,
            "errors": (self.states == STATES.index("error")).any(axis=1),
            "not run": (self.states == STATES.index("not_run")).any(axis=1),
        }
        return found.get(show, np.ones(len(self.damage), dtype=bool))


@kept
def _grid(key: str, view: View, other_key: str, _run: EvaluationRun) -> Grid:
    n, k = _run.n_items, len(_run.plan.contestants)
    ranks = (0, 2, 1, 4, 3)  # of STATES: an error stands out most, then what did not run, a failure, no check
    rank = np.full((n, k), -1, dtype=np.int8)
    failed = np.zeros(n, dtype=bool)
    for position, cells in cells_of(key, OVERALL, _run).items():
        for cell in cells:
            at = STATES.index(cell.outcome)
            rank[cell.item, position] = max(rank[cell.item, position], ranks[at])
            failed[cell.item] |= at == 1
    states = np.array([0, 2, 1, 4, 3, 4], dtype=np.int8)[rank]  # the last one, of −1: no cell, which did not run
    found = () if k == 1 and not view.against else kept_verdicts(key, view, other_key, _run)
    changes: dict[tuple[int, int], Change] = {}
    damage = np.full(n, np.nan)
    broken, fixed = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    for position, verdict in enumerate(found):
        for pair in verdict.items if verdict is not None else ():
            damage[pair.item] = np.fmax(damage[pair.item], pair.damage)
            if pair.change != "same":
                changes[pair.item, position] = pair.change
                (broken if pair.damage > 0 else fixed)[pair.item] = True
    return Grid(states, failed, changes, damage, broken, fixed)


def grid(of: Seen, view: View) -> Grid:
    return _grid(of.key, view, key_of(view.against), of.run)


class Texts(NamedTuple):
    """The items of a dataset, short, by their places."""

    titles: list[str]
    expected: list[str]
    tags: list[tuple[str, ...]]


@st.cache_resource(max_entries=4, ttl=3600, show_spinner=False)
def texts(dataset: str) -> Texts | None:
    """Of a version of a dataset, which never changes; None = it is gone."""
    found = Texts([], [], [])
    try:
        for row in manager().datasets.iterate(dataset):
            found.titles.append(title(row))
            found.expected.append("" if row.expected is None else formatting.short(str(row.expected), 60))
            found.tags.append(row.tags)
    except AimmError:
        return None
    return found


@st.cache_resource(max_entries=4, ttl=3600, show_spinner=False)
def _searched(dataset: str) -> list[str]:
    """All of each row, in small letters."""
    found = []
    for row in manager().datasets.iterate(dataset):
        values = (row.description, *row.variables.values(), row.expected or "", *row.messages, *row.tags, row.id)
        found.append("\n".join(str(value)[:4000] for value in values).lower())
    return found


def title(row: DatasetRow) -> str:
    """An item in a line: its description, else its first variable, else its last turn."""
    last = str(row.messages[-1].get("content", "")) if row.messages else ""
    first = next((str(value) for value in row.variables.values() if str(value).strip()), last)
    return formatting.short(row.description or first, 120)


def tags(dataset: str) -> dict[str, int]:
    """The tags of a dataset with how many rows have each, the most frequent first."""
    found = texts(dataset)
    counted = pd.Series([tag for each in found.tags for tag in each], dtype=object).value_counts() if found else {}
    return {str(tag): int(n) for tag, n in counted.items()}


def items(of: Seen, view: View, show: str, tag: str, words: str) -> list[int]:
    """The places of the items that a filter leaves, the most damaged first."""
    found = grid(of, view)
    keep = found.which(show)
    known = texts(of.run.plan.dataset) if tag or words else None
    if known is not None and tag:
        keep = keep & np.array([tag in each for each in known.tags])
    if known is not None and words:
        keep = keep & np.array([words.lower() in each for each in _searched(of.run.plan.dataset)])
    worst = np.where(np.isnan(found.damage), -np.inf, found.damage)
    if show == "fixed":
        worst = -worst
    failed_first = (found.states != 0).sum(axis=1)
    order = np.lexsort((np.arange(len(worst)), -failed_first, -worst))
    return [int(item) for item in order if keep[item]]


def grid_table(of: Seen, view: View, items: Sequence[int]) -> pd.DataFrame:
    """A row an item: what was asked, and what became of it with each contestant."""
    found, known = grid(of, view), texts(of.run.plan.dataset)
    frame = pd.DataFrame({"item": [item + 1 for item in items]})
    for each in of.run.plan.contestants:
        at = each.position
        states = [STATES[found.states[item, at]].replace("_", " ") for item in items]
        changes = [found.changes.get((item, at)) for item in items]
        frame[each.letter] = [_chips(state, change) for state, change in zip(states, changes, strict=True)]
    if known is not None:
        frame["asked"] = [formatting.short(known.titles[item], SHOWN_LETTERS) for item in items]
        if any(known.expected):
            frame["expected"] = [known.expected[item] for item in items]
    if not np.isnan(found.damage).all():
        frame["damage"] = [found.damage[item] for item in items]
    if known is not None and any(known.tags[item] for item in items):
        frame["tags"] = [list(known.tags[item]) for item in items]
    return frame


def _chips(state: str, change: Change | None) -> list[str]:
    """Broken and fixed say by themselves what the answer is now."""
    return [state] if change is None else [change] if change in ("broken", "fixed") else [state, change]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemSeen:
    """An item with all its answers.

    row: None = it is no longer kept. cells: By contestant and repetition. before: Those of the run that is held
    against, by contestant and repetition of this one. texts: By "mine" or "before", and the cell's place.
    """

    row: DatasetRow | None
    cells: Mapping[tuple[int, int], Cell]
    before: Mapping[tuple[int, int], Cell]
    texts: Mapping[tuple[object, ...], str]

    @property
    def first_failed(self) -> int:
        """The first repetition that did not pass."""
        return min((cell.repetition for cell in self.cells.values() if cell.outcome != "pass"), default=0)

    def baseline_text(self, view: View, contestant: int, repetition: int) -> str | None:
        """The answer that a contestant's is held against; None = there is none, or it is its own."""
        if view.against:
            cell = self.before.get((contestant, repetition))
            return None if cell is None else self.texts.get(("before", *cell.place))
        cell = self.cells.get((view.baseline, repetition))
        return None if cell is None or contestant == view.baseline else self.texts.get(("mine", *cell.place))


def item(of: Seen, view: View, place: int) -> ItemSeen:
    """An item as the run, and the one that it is held against, answered it."""
    mm, run = manager(), of.run
    cells = mm.evaluations.cells(run.id, items=[place])
    try:
        rows = mm.datasets.rows(run.plan.dataset, start=place, limit=1)
    except AimmError:
        rows = []
    texts_of: dict[tuple[object, ...], str] = {
        ("mine", *at): text for at, text in mm.evaluations.answers(cells).items()
    }
    before: dict[tuple[int, int], Cell] = {}
    if view.against and cells:
        other = mm.evaluations.verdicts.find(view.against)
        theirs = {c.row_id: c.item for each in cells_of(key_of(view.against), OVERALL, other).values() for c in each}
        if (there := theirs.get(cells[0].row_id)) is not None:
            found = mm.evaluations.cells(other.id, items=[there])
            texts_of |= {("before", *at): text for at, text in mm.evaluations.answers(found).items()}
            for each in run.plan.contestants:
                opponent = counterpart(each, other.plan.contestants)
                before |= {
                    (each.position, cell.repetition): cell
                    for cell in found
                    if opponent is not None and cell.contestant == opponent.position
                }
    return ItemSeen(
        row=rows[0] if rows else None,
        cells={(cell.contestant, cell.repetition): cell for cell in cells},
        before=before,
        texts=texts_of,
    )
