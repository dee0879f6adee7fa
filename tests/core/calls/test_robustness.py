"""What must hold when things go sideways: stops, kills of waiters, odd parameters, NUL, privacy, sizes of files."""

import ast
import asyncio
import time
from pathlib import Path

import pytest

from core import InvalidRequest, ModelManager
from core.calls.call import Origin
from core.config import Settings
from core.domain.generation import Message, Parameters, Request
from core.domain.workflow import Step, Workflow
from core.experiments.analysis import analyse
from core.experiments.decision import decide
from core.workflows import spec
from tests.conftest import ROOT
from tests.core.experiments.test_experiments import experiment, sums
from tests.fakes import gemini as wire
from tests.fakes.gemini import FakeGemini, Reply

FLASH = "gemini-2.5-flash"


@pytest.mark.parametrize("policy", ["fallback", "skip", "default"])
def test_a_stopped_run_asks_nothing_more(open_manager, sqlite_url: str, gemini: FakeGemini, policy):
    mm = open_manager(sqlite_url, gemini)
    events = [wire.event(f"word{n} ", usage=wire.usage()) for n in range(100)]
    gemini.next(Reply(events=events, pause_s=0.05))
    stubborn = Workflow(
        name="stubborn",
        steps=(Step(name="a", prompt="{{input}}", model=FLASH, check="json", attempts=5, on_failure=policy, fallback_model=FLASH, default="x"),),
    )  # fmt: skip
    run_id = mm.workflows.start(stubborn, "Hi")
    while not ((view := mm.workflows.live(run_id)) and view.text):
        time.sleep(0.01)

    mm.workflows.cancel(run_id)
    mm.workflows.wait(run_id, 10)
    time.sleep(0.3)
    run = mm.workflows.run(run_id)

    assert (run.status, run.steps[0].status) == ("cancelled", "failed")  # resuming asks the step again
    assert len(gemini.requests) == 1


@pytest.mark.parametrize(
    "parameters",
    ["{temperature: hot}", "{max_tokens: 1.5}", "{temperature: true}", "{thinking_level: huge}", "{json_schema: [1]}"],
)
def test_a_parameter_of_the_wrong_kind_is_refused_where_it_is_written(parameters: str):
    with pytest.raises(InvalidRequest, match="must be"):
        spec.from_yaml(f"name: x\nsteps:\n- {{name: a, prompt: b, parameters: {parameters}}}")


@pytest.mark.parametrize(
    "request_",
    [
        Request(model="sim-fast", messages=(Message("user", "a\x00b"),)),
        Request(model="sim-fast", messages=(Message("user", "hi"),), system="a\x00b"),
        Request(model="sim-fast", messages=(Message("user", "a\x00"), Message("user", "hi"))),
        Request(model="sim-fast", messages=(Message("user", "hi"),), parameters=Parameters(temperature="hot")),  # type: ignore[arg-type]
    ],
)
def test_what_the_database_could_not_keep_is_never_paid_for(mm: ModelManager, request_: Request):
    with pytest.raises(InvalidRequest):
        mm.submit(request_)
    assert mm.log.count() == 0


def test_a_nul_in_an_answer_is_dropped(open_manager, database_url: str, gemini: FakeGemini):
    mm = open_manager(database_url, gemini)
    gemini.next(wire.answer("a\x00b and more"))

    g = mm.generate("Hi", model=FLASH)

    assert mm.generation(g.id).text == "ab and more"


def test_whoever_stops_waiting_does_not_stop_the_call(sqlite_url: str):
    with ModelManager.open(Settings(database_url=sqlite_url)) as mm:
        request = mm.request("Tell a story.", model="sim-balanced")

        async def impatient() -> str:
            call = mm.submit(request, Origin(source="api"))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.wrap_future(call.done), 0.05)
            return call.id

        call = mm.calls.running(asyncio.run(impatient()))
        assert call is not None
        assert call.result(10).status == "ok"


def test_an_answer_that_was_whole_is_whole_though_the_connection_broke_after_it(
    open_manager, sqlite_url: str, gemini: FakeGemini
):
    mm = open_manager(sqlite_url, gemini)
    gemini.next(
        Reply(events=[wire.event("All of it.", finish="STOP", usage=wire.usage()), wire.event("x")], break_after=1)
    )

    g = mm.generate("Hi", model=FLASH)

    assert (g.status, g.cost_status, g.text) == ("ok", "priced", "All of it.")


def test_empty_answers_without_a_count_are_estimated_not_free(open_manager, sqlite_url: str, gemini: FakeGemini):
    mm = open_manager(sqlite_url, gemini, call_timeout_s=3.0)
    gemini.next(*[Reply(events=[])] * 9)

    with pytest.raises(Exception, match="nothing at all") as caught:
        mm.generate("Hi", model=FLASH)

    logged = mm.generation(caught.value.generation_id)  # type: ignore[attr-defined]
    assert logged.cost_status == "estimated"
    assert logged.cost_usd is not None and logged.cost_usd > 0


def test_a_blocked_prompt_without_a_count_costs_nothing(open_manager, sqlite_url: str, gemini: FakeGemini):
    mm = open_manager(sqlite_url, gemini)
    gemini.next(Reply(events=[{"promptFeedback": {"blockReason": "SAFETY"}}]))

    with pytest.raises(Exception, match="SAFETY") as caught:
        mm.generate("Hi", model=FLASH)

    logged = mm.generation(caught.value.generation_id)  # type: ignore[attr-defined]
    assert (logged.cost_usd, logged.cost_status) == (0, "priced")


def test_a_comparison_works_where_no_text_is_kept(open_manager, sqlite_url: str):
    mm = open_manager(sqlite_url, log_content="none")
    comparison = mm.comparisons.wait(mm.comparisons.start("My secret recipe?", ["sim-fast", "sim-careful"]))

    assert comparison.winner == 0
    assert all(c.generation and c.generation.text for c in comparison.candidates)
    mm.comparisons.vote(comparison.id, "a")
    stored = Path(sqlite_url.removeprefix("sqlite:///"))
    content = b"".join(path.read_bytes() for path in stored.parent.glob(f"{stored.name}*") if path.is_file())
    assert b"secret recipe" not in content


def test_a_variant_without_traffic_does_not_hold_the_decision_up():
    made = experiment(1, 1, 0)

    analysis = analyse(made, sums({0: (3000, 900), 1: (3000, 1100)}))

    assert decide(made, analysis).winner == 1
    assert analysis.confidence_level == pytest.approx(0.95)


def test_an_unexpected_fault_ends_a_run_instead_of_leaving_it_running(open_manager, sqlite_url: str, monkeypatch):
    mm = open_manager(sqlite_url)

    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(mm.workflows._steps, "_ask", broken)
    run = mm.workflows.wait(mm.workflows.start("analysis", "x"), 20)

    assert run.status == "failed"
    assert "RuntimeError" in run.error


# Sizes: where a reader starts to get lost


def python_files() -> list[Path]:
    return [path for folder in ("core", "api", "dashboard") for path in (ROOT / folder).rglob("*.py")]


def test_no_file_is_too_long_and_each_says_what_lives_in_it():
    for path in python_files():
        text = path.read_text("utf-8")
        lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
        limit = 120 if path.parent.name == "pages" else 400

        assert len(lines) <= limit, f"{path.relative_to(ROOT)} has {len(lines)} lines, must be <= {limit}"
        assert ast.get_docstring(ast.parse(text)), f"{path.relative_to(ROOT)} says nothing in its first line"
