"""Datasets: versions by content, rows by content, nothing half written."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core import Conflict, InvalidRequest, ModelManager, NotFound
from core.domain.evaluation.dataset import DatasetRow
from tests.conftest import Open


def row(n: object, **others: object) -> DatasetRow:
    return DatasetRow(variables={"n": n}, **others)  # type: ignore[arg-type]


FULL = DatasetRow(
    variables={"question": "{{env.KEY}}", "n": 1.5, "deep": {"a": [None, True]}, "empty": ""},
    messages=({"role": "user", "content": "Hi"},), expected={"a": 1}, threshold=0.5,
    checks=({"type": "contains", "value": "x"},), description="d", tags=("a", "b"), metadata={"k": ["v"]}, source='{"x":1}',
)  # fmt: skip


def test_rows_come_back_as_they_were(mm: ModelManager):
    version = mm.datasets.save("faq", [FULL, row(1), row(1), row(2)], origin="faq.csv", note="first", author="Ann")

    assert (version.ref, version.n_rows, version.n_without_checks) == ("faq@1", 4, 3)
    assert version.columns == ("question", "n", "deep", "empty")
    assert (version.origin, version.note, version.author) == ("faq.csv", "first", "Ann")
    assert mm.datasets.get("faq") == mm.datasets.get("faq@1") == version
    rows = mm.datasets.rows("faq")
    assert [(each.as_dict(), each.source) for each in rows] == [
        (r.as_dict(), r.source) for r in (FULL, row(1), row(1), row(2))
    ]
    assert rows[0].id == FULL.digest and rows[2].id == f"{rows[1].id}-2"
    assert mm.datasets.rows("faq", start=1, limit=2) == rows[1:3] and list(mm.datasets.iterate("faq@1")) == rows


def test_the_same_rows_are_the_same_version_and_their_order_counts(mm: ModelManager):
    first = mm.datasets.save("d", [row(1), row(2)])
    assert mm.datasets.save("d", iter([row(2), row(1)])).number == 2
    assert mm.datasets.save("d", [row(1), row(2)], note="again") == first
    added = mm.datasets.add("d", [row(3)])
    assert (added.number, added.n_rows) == (3, 3)
    assert [each.variables["n"] for each in mm.datasets.rows("d")] == [2, 1, 3]
    assert [each.number for each in mm.datasets.versions("d")] == [3, 2, 1]
    assert mm.datasets.add("new", [row(1)]).ref == "new@1"
    assert [(each.name, each.n_versions, each.newest.n_rows) for each in mm.datasets.all()] == [
        ("d", 3, 3),
        ("new", 1, 1),
    ]


def test_many_rows_are_read_in_their_order(mm: ModelManager):
    mm.datasets.save("d", (row(n % 2500) for n in range(3000)))

    assert [each.variables["n"] for each in mm.datasets.iterate("d")] == [n % 2500 for n in range(3000)]
    assert len({each.id for each in mm.datasets.iterate("d")}) == 3000


def test_nothing_is_left_of_what_could_not_be_saved(mm: ModelManager):
    def rows() -> Iterator[DatasetRow]:
        yield from (row(n) for n in range(1500))
        raise InvalidRequest("line 1501: broken")

    with pytest.raises(InvalidRequest, match="line 1501"):
        mm.datasets.save("d", rows())
    for wrong, says in ([], "no row"), ([row(1), row("\x00")], "row 2: .*NUL"), ([row({1, 2})], "row 1 cannot be"):
        with pytest.raises(InvalidRequest, match=says):
            mm.datasets.save("d", wrong)
    with pytest.raises(InvalidRequest, match="no name for a dataset"):
        mm.datasets.save("a/b", [row(1)])

    assert mm.datasets.all() == []
    assert mm.datasets.save("d", [row(1)]).number == 1


def test_what_is_not_there_is_told_with_close_names(mm: ModelManager):
    mm.datasets.save("faq", [row(1)])

    for ref, says in ("fag", "Did you mean faq"), ("faq@7", "faq@1"), ("faq@live", "no version 'faq@live'"):
        with pytest.raises(NotFound) as error:
            mm.datasets.get(ref)
        assert says in error.value.text


def test_a_deleted_dataset_leaves_the_rows_of_others(mm: ModelManager):
    mm.datasets.save("a", [row(1), row(2)])
    mm.datasets.save("b", [row(2), row(3)])
    mm.datasets.uses.append(lambda name: ["the run r1"] if name == "a" else [])
    with pytest.raises(Conflict, match="the run r1"):
        mm.datasets.delete("a")
    mm.datasets.uses.clear()
    mm.datasets.delete("a")

    assert [each.name for each in mm.datasets.all()] == ["b"]
    assert [each.variables["n"] for each in mm.datasets.rows("b")] == [2, 3]


def test_two_people_who_save_at_once_get_two_versions(open_manager: Open, database_url: str):
    managers = [open_manager(database_url, takes_up=False) for _ in range(2)]

    with ThreadPoolExecutor(2) as pool:
        for n in range(10):
            saved = pool.map(lambda at, n=n: managers[at].datasets.save("d", [row(f"{n}-{at}")]).number, (0, 1))
            assert sorted(saved) == [2 * n + 1, 2 * n + 2]
        assert list(pool.map(lambda mm: mm.datasets.save("d", [row("same")]).number, managers)) == [21, 21]
