"""Comparisons as evaluations of one item."""

from decimal import Decimal

import pytest

from core import DamagedRecord, ModelManager
from core.domain.comparison import Candidate, Criterion, prompt_digest
from core.evaluation.requests import request_of
from tests.conftest import Open
from tests.core.comparison.test_compare import migrated


def test_a_comparison_is_an_evaluation_of_one_item(mm: ModelManager):
    mine = Candidate(position=0, model="sim-fast", system="Answer in {{braces}}.")
    one = mm.comparisons.wait(mm.comparisons.start("[[fail:block]] Why?", [mine, "sim-careful"], cap_usd=Decimal(1))).id
    run = mm.evaluations.get(one)
    cells = mm.evaluations.cells(one)

    assert (run.n_items, run.n_cells, run.status, run.is_simulated) == (1, 2, "finished", True)
    assert run.plan.limit_usd == Decimal(1) and run.spent_usd == sum(
        (g.cost_usd or 0 for g in mm.log.by_ref(one)), Decimal(0)
    )
    assert run.ended_at is not None and run.ended_at >= run.created_at
    assert [cell.outcome for cell in cells] == ["error", "error"]
    assert mm.evaluations.rows(run, [0])[0].variables == {"prompt": "[[fail:block]] Why?"}
    asked = [request_of(each, run.plan.quick.row) for each in run.plan.contestants if run.plan.quick]
    assert [(r.system, r.messages[0].text) for r in asked] == [("Answer in {{braces}}.", "[[fail:block]] Why?"), (None, "[[fail:block]] Why?")]  # fmt: skip
    assert mm.evaluations.page()[0] == [] and [each.id for each in mm.evaluations.page(quick=True)[0]] == [one]
    assert mm.evaluations.resume(one) == 0
    assert mm.evaluations.verdicts.find(one).id == one


def test_the_answers_of_a_comparison_can_be_checked_afterwards(mm: ModelManager):
    one = mm.comparisons.wait(mm.comparisons.start("Why?", ["sim-fast", "sim-careful"])).id
    n_calls = len(mm.log.latest())

    mm.evaluations.regrade(one, checks=[{"type": "icontains", "value": "why"}, {"type": "latency", "threshold": 1e9}])

    assert {len(cell.scores) for cell in mm.evaluations.cells(one)} == {2}
    assert [tally.n_graded for tally in mm.evaluations.tallies(one)] == [1, 1]
    assert len(mm.log.latest()) == n_calls
    assert [c.is_whole for c in mm.comparisons.get(one).candidates] == [True, True]


def test_comparisons_of_the_last_version_are_carried_over(open_manager: Open, empty_database_url: str):
    call = {
        "created_at": 1_700_000_000_000_000, "request_model": "sim-fast", "provider": "simulated", "source": "compare",
        "input_tokens": 10, "cached_tokens": 0, "output_tokens": 5, "thinking_tokens": 0, "cost_status": "priced",
        "cost_nano_usd": 1000, "latency_us": 500_000, "ref_id": "c_1",
    }  # fmt: skip
    of_it = {
        "comparison_id": "c_1",
        "settings": '{"system": null, "parameters": {"temperature": 0.5}, "prompt": "1a2b3c4d"}',
    }
    asked = {**of_it, "model": "sim-fast"}
    one = {"id": "c_1", "created_at": 1_700_000_000_000_000, "source": "compare", "prompt": "Why {{not}}?", "system": "Be {{kind}}.", "rule": '[["latency", 0.05, false]]', "winner": 0, "is_blind": 1, "status": "stopped", "cap_nano_usd": 2_500_000_000}  # fmt: skip
    migrated(
        empty_database_url,
        "0022",
        {
            "generations": [{**call, "id": f"g{at}", "status": status, "ref_part": str(at)} for at, status in enumerate(("ok", "stopped", "error"))],
            "comparisons": [one, {**one, "id": "c_2", "rule": "{", "winner": None, "status": "finished"}],
            "candidates": [
                {**asked, "position": 0, "generation_id": "g0", "error": ""},
                {**asked, "position": 1, "generation_id": "g1", "error": "stopped"},
                {**asked, "position": 2, "generation_id": "g2", "error": ""},
                {**asked, "position": 3, "generation_id": None, "error": "temperature == 9", "settings": '{"asked": "chat"}'},
            ],
            "votes": [{"id": "v_1", "comparison_id": "c_1", "voter": "local", "created_at": 7, "position_a": 0, "position_b": 1, "choice": "a", "is_blind": 1, "shown_first": 1}],
        },
    )  # fmt: skip
    mm = open_manager(empty_database_url)
    found = mm.comparisons.get("c_1")

    assert (found.prompt, found.system, found.winner, found.is_blind, found.status) == (
        "Why {{not}}?",
        "Be {{kind}}.",
        0,
        True,
        "stopped",
    )
    assert (found.cap_usd, found.rule) == (Decimal("2.5"), [Criterion("latency", 0.05)])
    assert [(c.generation_id, c.error, c.name, c.prompt) for c in found.candidates] == [
        ("g0", "", "sim-fast", "1a2b3c4d"), ("g1", "stopped", "sim-fast", "1a2b3c4d"), ("g2", "", "sim-fast", "1a2b3c4d"),
        ("", "temperature == 9", "chat", prompt_digest("Be {{kind}}.")),
    ]  # fmt: skip
    assert found.candidates[0].parameters.temperature == 0.5
    assert [(v.id, v.choice, v.a.prompt) for v in mm.comparisons.votes()] == [("v_1", "a", "1a2b3c4d")]
    assert [cell.outcome for cell in mm.evaluations.cells("c_1")] == ["unchecked", "not_run", "error", "error"]
    run = mm.evaluations.get("c_1")
    assert (run.spent_usd, run.is_simulated) == (Decimal("0.000003"), True)
    with pytest.raises(DamagedRecord):
        mm.comparisons.get("c_2")
    assert [each.id for each in mm.comparisons.latest()] == ["c_1"]
    assert mm.comparisons.resume("c_1") == 2
