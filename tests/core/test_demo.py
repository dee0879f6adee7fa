"""Demo data beside real traffic: people see it, marked; programs and totals never meet it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from core.cli import __main__ as cli
from core.errors import Conflict, NotFound
from tests.builders import HELLO, Running, running_gateway
from tests.conftest import copied


@pytest.fixture(scope="module")
def served(demo_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway with the demo, and a real experiment that has the name of a running one of the demo."""
    with running_gateway(copied(demo_template, tmp_path_factory.mktemp("served"))) as running:
        running.mm.experiments.create(name_of(made_up(running)), ["gpt-4o", "claude-sonnet-4-5"])
        yield running


def made_up(served: Running) -> Any:
    return next(e for e in served.mm.experiments.all() if e.is_demo and e.status == "running")


def name_of(experiment: Any) -> str:
    return str(experiment.name)


def others(served: Running) -> list[str]:
    """Names and ids of the demo's experiments that no real one has too."""
    mine = {e.name for e in served.mm.experiments.all(demo=False)}
    demo = [e for e in served.mm.experiments.all() if e.is_demo]
    return [e.id for e in demo] + [e.name for e in demo if e.name not in mine]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models",
        "/gemini/v1/models",
        "/gemini/v1beta/models",
        "/api/experiment",
        "/api/comparisons",
        "/api/votes",
        "/api/runs",
        "/metrics",
    ],
)
def test_no_list_for_programs_holds_the_demo(served: Running, path: str):
    text = served.get(path).body.decode()

    assert not [name for name in others(served) if name in text]
    if path == "/v1/models":
        assert text.count('"owned_by":"experiment"') == 1  # the real one, once
    if path == "/metrics":
        assert 'route="demo"' not in text and "aimm_request_duration_seconds_count{" not in text


def test_no_wire_asks_an_experiment_of_the_demo(served: Running):
    wanted = [f"exp:{each}" for each in others(served)]
    assert len(wanted) >= 3
    before = served.mm.log.count()
    for model in wanted:
        chat = served.post("/v1/chat/completions", {"model": model, "messages": HELLO, "user": "u1"})
        contents = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
        native = served.post(f"/gemini/v1beta/models/{quote(model)}:generateContent", contents)
        assert (chat.status, native.status, served.get(f"/v1/models/{quote(model)}").status) == (404,) * 3
        with pytest.raises(NotFound):
            served.mm.submit("Hello", model=model, unit="u1")
    assert served.mm.log.count() == before
    # The real one of the same name answers, and the demo's has no more units than before.
    units = served.mm.experiments.report(made_up(served).id).analysis.results
    real = served.post(
        "/v1/chat/completions", {"model": f"exp:{made_up(served).name}", "messages": HELLO, "user": "u9"}
    )
    assert real.status == 200
    assert served.row().ref_id not in {e.id for e in served.mm.experiments.all() if e.is_demo}
    assert served.mm.experiments.report(made_up(served).id).analysis.results == units


def test_experiments_of_the_demo_take_no_traffic_outcomes_or_rollout(served: Running):
    mm, demo = served.mm, made_up(served)
    refused: list[Callable[[], object]] = [
        lambda: mm.experiments.assign(demo.id, "u1"),
        lambda: mm.experiments.start(demo.id, "u1", "Hi"),
        lambda: mm.experiments.record(demo.id, []),
        lambda: mm.aliases.promote(demo.id, 1, "support"),
    ]
    for call in refused:
        with pytest.raises(Conflict, match="made up"):
            call()
    body: dict[str, Any] = {
        "user_id": "u1",
        "prompt": "Hi",
        "success": True,
        "alias": "support",
        "variant": "variant_a",
    }
    wanted = {
        "assign": ("user_id",),
        "test": ("user_id", "prompt"),
        "record": ("success", "variant"),
        "promote": ("alias",),
    }
    for route, names in wanted.items():
        answer = served.post(f"/api/experiment/{demo.id}/{route}", {name: body[name] for name in names})
        assert answer.status == 409, (route, answer.body)
    assert mm.aliases.all() == []
    mm.experiments.traffic.play(demo.id, 20)  # made-up users among made-up ones


def test_figures_hold_either_the_real_rows_or_the_made_up_ones(served: Running):
    mm = served.mm
    real, simulated = (
        {row["model_name"] for row in served.get(f"/api/costs{query}").json["costs"]}
        for query in ("", "?simulated=true")
    )
    assert not real & simulated and simulated and all(name.startswith("sim-") for name in simulated)
    assert mm.spend.by("tag", mm.monitoring.window(days=20)) == []
    days = mm.monitoring.window(days=40)
    assert set(mm.experiments.reports.successes(days).values()) <= {0}
    assert mm.experiments.reports.successes(days, simulated=True)[made_up(served).name] > 0
    shown = served.get("/api/experiment?demo=true").json["experiments"]
    assert {each["demo"] for each in shown} == {True}


def test_lists_for_people_mark_the_demo(served: Running, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    monkeypatch.setenv("DATABASE_URL", served.mm.settings.database_url)
    assert cli.main(["experiments", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    demo = {e.id for e in served.mm.experiments.all() if e.is_demo}
    assert all(("(demo)" in line) == (line.split()[0] in demo) for line in lines) and len(lines) > len(demo)
    assert cli.main(["logs", "-n", "30"]) == 0
    assert "(demo)" in capsys.readouterr().out
    assert cli.main(["logs", "--by", "tag,model", "-n", "2", "--filter", "calls=simulated"]) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 2 and "of the cost" in told.out and "more: -n" in told.err
    assert cli.main(["logs", "--by", "colour"]) == 2


def test_removing_the_demo_leaves_the_real_experiment(served: Running):
    made_up_call = served.mm.log.latest(limit=1, source="demo")[0].id
    served.post("/v1/feedback", {"generation_id": made_up_call, "success": True})
    served.mm.demo.remove()
    (kept,) = served.mm.experiments.all()
    assert not kept.is_demo
