"""The one door: whichever way a caller comes, the rules of its key hold, and nothing but the door asks a vendor."""

import ast
import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from core import Conflict, Forbidden, ModelManager, Origin
from core.domain.experiment import OutcomeInput, Target, Variant
from core.domain.workflow import Step, Workflow
from tests.builders import FLASH, GPT, HELLO, Running, running_gateway
from tests.conftest import copied

ROOT = Path(__file__).parents[3]
PARTS = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"


class Door:
    """A gateway with an alias, a rollout and experiments of vendors' models, and a key that may ask none of these."""

    def __init__(self, served: Running) -> None:
        self.served, self.mm = served, served.mm
        self.key, self.secret = self.mm.keys.create("narrow", models=("sim-fast",), scopes=("call", "read"))
        self.origin = Origin(source="api", key=self.key)
        shadow = Variant(position=2, name="C", model="sim-careful", weight=0, is_shadow=True)
        self.tone = self.mm.experiments.create("Tone", [_variant(0, GPT), _variant(1, FLASH), shadow])
        chain = Variant(position=1, name="B", model=GPT, workflow="one")
        self.mm.workflows.save(Workflow(name="one", description="", steps=(Step(name="a", prompt="{input}"),)))
        self.chained = self.mm.experiments.create("Chain", [_variant(0, GPT), chain])
        self.mm.aliases.set("best", Target(model=GPT))
        self.mm.aliases.promote(self.tone.id, 1, "rolling")
        self.assignment_id = self.mm.experiments.assign(self.tone.id, "somebody").id
        self.compared = self.mm.comparisons.start("Hi", [GPT, FLASH])
        self.mm.comparisons.wait(self.compared)
        self.run_id = self.mm.workflows.start("one", "Hi", model=GPT)
        self.mm.workflows.wait(self.run_id)

    def refuses(self, way: Callable[["Door"], Any]) -> bool:
        try:
            found = way(self)
        except Forbidden:
            return True
        return getattr(found, "status", None) == 403

    def traces(self) -> tuple[int, ...]:
        """How much is on record: calls, runs, comparisons, units."""
        ids = [e.id for e in self.mm.experiments.all()]
        units = sum(r.n_exposed for each in ids for r in self.mm.experiments.report(each).analysis.results)
        return self.mm.log.count(), len(self.mm.workflows.runs()), len(self.mm.comparisons.latest()), units

    def post(self, path: str, body: Any, **more: str) -> Any:
        return self.served.post(path, body, {"authorization": f"Bearer {self.secret}", **more})

    def with_key(self, *models: str) -> tuple[Origin, str]:
        """An origin with a key that may ask these models, and the key's text."""
        key, secret = self.mm.keys.create(f"may ask {', '.join(models)}", models=models, scopes=("call", "read"))
        return Origin(source="api", key=key), secret


def _variant(position: int, model: str) -> Variant:
    return Variant(position=position, name="AB"[position], model=model)


@pytest.fixture(scope="module")
def door(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with running_gateway(copied(sqlite_template, tmp_path_factory.mktemp("door")), require_key=True) as running:
        yield Door(running)


async def _all(stream: Any) -> list[str]:
    return [text async for text in stream]


MODELS = (GPT, "best", "rolling", "exp:Tone")
PYTHON: dict[str, Callable[[ModelManager, str, Origin], Any]] = {
    "submit": lambda mm, model, origin: mm.submit("Hi", origin, model=model, unit="u"),
    "generate": lambda mm, model, origin: mm.generate("Hi", origin, model=model, unit="u"),
    "stream": lambda mm, model, origin: list(mm.stream("Hi", origin, model=model, unit="u")),
    "asubmit": lambda mm, model, origin: asyncio.run(mm.asubmit("Hi", origin, model=model, unit="u")),
    "agenerate": lambda mm, model, origin: asyncio.run(mm.agenerate("Hi", origin, model=model, unit="u")),
    "astream": lambda mm, model, origin: asyncio.run(_all(mm.astream("Hi", origin, model=model, unit="u"))),
    "a fallback": lambda mm, model, origin: mm.submit(
        "Hi", Origin(key=origin.key, fallbacks=(model,)), model="sim-fast"
    ),
    "a comparison": lambda mm, model, origin: mm.comparisons.start("Hi", ["sim-fast", model], origin=origin),
    "a workflow": lambda mm, model, origin: mm.workflows.start("translation", "Hi", model=model, origin=origin),
    "a count": lambda mm, model, origin: mm.count_tokens(mm.request("Hi", model=model), origin.key),
}
WAYS: dict[str, Callable[[Door], Any]] = {
    "experiment: start": lambda d: d.mm.experiments.start(d.tone.id, "u", "Hi", key=d.key),
    "experiment: a workflow": lambda d: d.mm.experiments.start(d.chained.id, "u", "Hi", force="B", key=d.key),
    "experiment: assign": lambda d: d.mm.experiments.assign(d.tone.id, "u", key=d.key),
    "REST experiment": lambda d: d.post(f"/api/experiment/{d.tone.id}/test", {"user_id": "u", "prompt": "Hi"}),
    "REST assign": lambda d: d.post(f"/api/experiment/{d.tone.id}/assign", {"user_id": "u"}),
    "REST workflow with a step's model": lambda d: d.post("/api/workflow", {"template": "one", "input": "Hi"}),
    "vote": lambda d: d.mm.comparisons.vote(d.compared, "a", key=d.key),
    "stop a comparison": lambda d: d.mm.comparisons.stop(d.compared, key=d.key),
    "resume a comparison": lambda d: d.mm.comparisons.resume(d.compared, key=d.key),
    "stop a run": lambda d: d.mm.workflows.cancel(d.run_id, key=d.key),
    "resume a run": lambda d: d.mm.workflows.resume(d.run_id, key=d.key),
    "outcome": lambda d: d.mm.experiments.record(d.tone.id, [OutcomeInput(variant=0, success=True)], by=d.key),
    "estimate": lambda d: d.mm.models.estimate(d.mm.request("Hi", model=GPT), key=d.key),
    "REST vote": lambda d: d.post(f"/api/comparisons/{d.compared}/vote", {"choice": "a"}),
    "REST stop a comparison": lambda d: d.post(f"/api/comparisons/{d.compared}/stop", {}),
    "REST resume a comparison": lambda d: d.post(f"/api/comparisons/{d.compared}/resume", {}),
    "REST stop a run": lambda d: d.post(f"/api/runs/{d.run_id}/stop", {}),
    "REST resume a run": lambda d: d.post(f"/api/runs/{d.run_id}/resume", {}),
    "REST outcome": lambda d: d.post(f"/api/experiment/{d.tone.id}/record", {"variant": "variant_a", "success": True}),
    "REST estimate": lambda d: d.post("/api/cost/estimate", {"prompt": "Hi", "model": GPT}),
    "feedback": lambda d: d.post("/v1/feedback", {"assignment_id": d.assignment_id, "success": True}),
    "OpenRouter's fallbacks": lambda d: d.post(CHAT, {"model": "sim-fast", "messages": HELLO, "models": [GPT]}),
}


def _by_http(model: str) -> dict[str, Callable[[Door], Any]]:
    gemini = f"/gemini/v1beta/models/{quote(model)}"
    return {
        "REST generate": lambda d: d.post("/api/generate", {"prompt": "Hi", "model": model, "user": "u"}),
        "REST compare": lambda d: d.post("/api/compare", {"prompt": "Hi", "models": ["sim-fast", model]}),
        "REST workflow": lambda d: d.post("/api/workflow", {"template": "translation", "input": "Hi", "model": model}),
        "chat": lambda d: d.post(CHAT, {"model": model, "messages": HELLO, "user": "u"}),
        "chat stream": lambda d: d.post(CHAT, {"model": model, "messages": HELLO, "user": "u", "stream": True}),
        "chat fallback": lambda d: d.post(CHAT, {"model": "sim-fast", "messages": HELLO, "fallbacks": [model]}),
        "chat fallback header": lambda d: d.post(
            CHAT, {"model": "sim-fast", "messages": HELLO}, **{"x-aimm-fallbacks": model}
        ),
        "embeddings": lambda d: d.post(EMBEDDINGS, {"model": model, "input": "Hi", "user": "u"}),
        "gemini": lambda d: d.post(f"{gemini}:generateContent", PARTS, **{"x-aimm-user": "u"}),
        "gemini stream": lambda d: d.post(f"{gemini}:streamGenerateContent?alt=sse", PARTS, **{"x-aimm-user": "u"}),
        "gemini count": lambda d: d.post(f"{gemini}:countTokens", PARTS),
    }


def _in_python(name: str, model: str) -> Callable[[Door], Any]:
    return lambda d: PYTHON[name](d.mm, model, d.origin)


for _model in MODELS:
    WAYS |= {f"Python {name}: {_model}": _in_python(name, _model) for name in PYTHON}
    WAYS |= {f"{name}: {_model}": way for name, way in _by_http(_model).items()}


@pytest.mark.parametrize("name", WAYS)
def test_a_key_that_may_not_is_refused_on_every_way_in(door: Door, name: str):
    door.served.forget()
    before = door.traces()

    assert door.refuses(WAYS[name])

    assert (door.served.vendor.requests, door.served.gemini.requests) == ([], [])
    assert door.traces() == before


def test_the_same_ways_are_open_to_a_key_that_may(door: Door, monkeypatch: pytest.MonkeyPatch):
    origin, secret = door.with_key("sim-*", "exp:*")
    monkeypatch.setattr(door, "secret", secret)
    monkeypatch.setattr(door, "key", origin.key)

    for way in PYTHON.values():
        way(door.mm, "sim-balanced", origin)
    for name, way in _by_http("sim-balanced").items():
        assert way(door).status == 200, name
    for name in ("REST experiment", "REST assign"):
        assert WAYS[name](door).status == 200, name


def test_only_the_key_that_asked_or_one_with_admin_stops_and_resumes(door: Door):
    asker, _ = door.with_key("sim-*")
    _, secret = door.with_key("*")
    _, admins = door.mm.keys.create("admin", scopes=("call", "read", "admin"))
    compared = door.mm.comparisons.start("Hi", ["sim-fast", "sim-careful"], origin=asker)
    run_id = door.mm.workflows.start("translation", "Hi", model="sim-fast", origin=asker)
    door.mm.comparisons.wait(compared)
    door.mm.workflows.wait(run_id, timeout_s=20)

    for path in (f"/api/comparisons/{compared}", f"/api/runs/{run_id}"):
        for deed in ("stop", "resume"):
            refused = door.served.post(f"{path}/{deed}", {}, {"authorization": f"Bearer {secret}"})
            assert (refused.status, b"did not ask for this" in refused.body) == (403, True)
            let_in = door.served.post(f"{path}/{deed}", {}, {"authorization": f"Bearer {admins}"})
            assert let_in.status in (200, 409), (path, deed)  # there is nothing left to do
    with pytest.raises(Conflict):
        door.mm.workflows.cancel(run_id, key=asker.key)
    assert door.mm.comparisons.resume(compared, key=asker.key) == 0


def test_what_a_name_stands_for_needs_no_permission_of_its_own(door: Door):
    origin, _ = door.with_key("best", "exp:*", "sim-fast")

    assert door.mm.generate("Hi", origin, model="best").request_model == GPT
    assert door.mm.generate("Hi", origin, model="exp:Tone", unit="u2").request_model in (GPT, FLASH)
    compared = door.mm.comparisons.wait(door.mm.comparisons.start("Hi", ["sim-fast", "best"], origin=origin))
    assert [candidate.generation is not None for candidate in compared.candidates] == [True, True]
    assignment, run_id = door.mm.experiments.start(door.chained.id, "u3", "Hi", force="B", key=origin.key)
    assert assignment.variant.workflow == "one"
    assert door.mm.workflows.wait(str(run_id), timeout_s=20).status == "succeeded"


def test_a_step_is_judged_when_it_is_asked_too(door: Door):
    """A key may have been narrowed since its run began."""
    origin, _ = door.with_key("sim-fast", GPT)
    assert origin.key is not None
    two = Workflow(
        name="two",
        description="",
        steps=(Step(name="a", prompt="{input}", model="sim-fast"), Step(name="b", prompt="{a}", model=GPT)),
    )
    door.mm.keys.change(origin.key.id, models=("sim-fast",))

    run_id = door.mm.workflows.start(two, "Hi", origin=origin)
    run = door.mm.workflows.wait(run_id, timeout_s=20)

    assert run.status == "failed"
    assert "may not ask" in run.steps[1].error


def test_nothing_but_the_door_asks_a_provider():
    asks = {
        (path.relative_to(ROOT).as_posix(), call.func.attr, ast.unparse(call.func.value))
        for folder in ("core", "api", "dashboard")
        for path in (ROOT / folder).rglob("*.py")
        if "core/providers" not in path.as_posix()
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        if call.func.attr == "stream" or (call.func.attr == "count_tokens" and "provider" in ast.unparse(call.func))
    }

    assert asks == {
        ("core/calls/attempts.py", "stream", "state.provider"),
        ("core/calls/attempts.py", "count_tokens", "provider"),
        ("dashboard/login_gate.py", "stream", "request"),  # the body of a login
    }


def test_features_and_shells_cannot_reach_a_provider():
    inside = ("core/calls/", "core/models/", "core/providers/", "core/manager.py")
    reaching = {
        path.relative_to(ROOT).as_posix()
        for folder in ("core", "api", "dashboard")
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.lstrip().startswith(
            ("from core.providers.registry", "import core.providers", "from core.calls.attempts")
        )
        if not path.relative_to(ROOT).as_posix().startswith(inside)
    }

    assert reaching == set()
