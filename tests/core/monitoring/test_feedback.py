"""What people thought of answers: of any call, by whom, changed, and summed by model and tag."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from core import ModelManager, NotFound, clock
from core.calls.origin import Origin
from tests.builders import Heard, Running, running_gateway
from tests.conftest import Open, copied


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_gateway(copied(sqlite_template, tmp_path_factory.mktemp("feedback"))) as running:
        yield running


def give(served: Running, call_id: str, secret: str = "", **said: Any) -> Heard:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return served.post("/v1/feedback", {"generation_id": call_id, **said}, headers)


def call(served: Running, secret: str = "") -> str:
    return str(served.chat("sim-fast", key=secret or "none").headers["x-aimm-request-id"])


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"thumb": "up"}, ("up", None, None)),
        ({"thumb": "down", "text": "Wrong year."}, ("down", None, "Wrong year.")),
        ({"rating": 4}, (None, 4.0, None)),
        ({"rating": 1.5, "text": "Größe 👍"}, (None, 1.5, "Größe 👍")),
        ({"success": False}, ("down", None, None)),
        ({"text": "x" * 20_000}, (None, None, "x" * 20_000)),
    ],
)
def test_any_call_takes_an_opinion(served: Running, said: dict[str, Any], kept: tuple[Any, ...]):
    call_id = call(served)

    heard = give(served, call_id, user="ada", **said)

    assert (heard.status, heard.json) == (200, {"object": "feedback", "id": call_id, "state": "recorded"})
    [found] = served.get(f"/api/generations/{call_id}/feedback").json["feedback"]
    assert (found["thumb"], found["rating"], found["text"]) == kept and found["user_id"] == "ada"


def test_the_same_person_changes_it_and_another_adds_one(served: Running):
    call_id = call(served)
    for user, said in (("ada", {"thumb": "up", "rating": 5}), ("bob", {"thumb": "down"}), ("ada", {"thumb": "down"})):
        assert give(served, call_id, user=user, **said).status == 200

    found = {each.user_id: (each.thumb, each.rating) for each in served.mm.feedback.of(call_id)}
    assert found == {"ada": ("down", 5), "bob": ("down", None)}


def test_nothing_but_null_takes_it_back(served: Running):
    call_id = call(served)
    for user in ("ada", "bob"):
        give(served, call_id, user=user, thumb="up", text="Good.")

    assert give(served, call_id, user="ada", thumb="down", text=None).json["state"] == "recorded"
    told = give(served, call_id, user="ada", thumb=None, rating=None)

    assert (told.status, told.json["state"]) == (200, "removed")
    assert [each.user_id for each in served.mm.feedback.of(call_id)] == ["bob"]
    assert (
        give(served, call_id, user="ada", thumb=None).status == 200 and give(served, "g_none", thumb=None).status == 404
    )


@pytest.mark.parametrize(
    "said",
    [
        {}, {"text": " \n"}, {"thumb": "sideways"}, {"thumb": 1}, {"rating": 0}, {"rating": 6}, {"rating": True}, {"rating": "5"}, {"text": 5},
        {"text": "x" * 20_001}, {"thumb": "up", "user": 5}, {"thumb": "up", "user": "x" * 501}, {"text": "a\x00b"},
    ],
)  # fmt: skip
def test_an_opinion_that_cannot_be_is_refused_and_nothing_is_kept(served: Running, said: dict[str, Any]):
    call_id = call(served)

    heard = give(served, call_id, **said)

    assert heard.status == 400 and heard.json["error"]["type"] == "invalid_request_error"
    assert served.mm.feedback.of(call_id) == []


def test_a_key_speaks_of_its_own_calls_only(served: Running):
    mm = served.mm
    one, other, admin = (
        mm.keys.create(name, scopes=(scope,))[1]
        for name, scope in (("one", "call"), ("other", "call"), ("all", "admin"))
    )
    call_id = call(served, one)

    statuses = [give(served, call_id, secret, thumb="up").status for secret in (one, other, admin, "")]

    assert statuses == [200, 404, 200, 200]
    assert give(served, "g_none", thumb="up").status == give(served, "g_none", one, thumb="up").status == 404
    assert give(served, call(served), one, thumb="up").status == 404  # nobody's call is not this key's
    assert len(mm.feedback.of(call_id)) == 3


def test_of_an_experiment_s_answer_it_is_an_outcome_too(served: Running):
    experiment = served.mm.experiments.create("heard", ["sim-fast", "sim-balanced"])
    _, secret = served.mm.keys.create("limited", models=("sim-*",))
    heard = served.chat("exp:heard", user="u1")
    call_id, assignment = heard.headers["x-aimm-request-id"], heard.headers["x-aimm-assignment"]

    told = give(served, call_id, thumb="up")
    elsewhere = served.post("/v1/feedback", {"assignment_id": assignment, "rating": 1}, {"x-api-key": secret})

    assert told.json["state"] == "counted" and elsewhere.status == 403
    assert sum(each.n_successes for each in served.mm.experiments.report(experiment.id).analysis.results) == 1
    assert [each.thumb for each in served.mm.feedback.of(call_id)] == ["up"]


@pytest.mark.parametrize(("log_content", "headers"), [("metadata", {}), ("full", {"x-aimm-no-store": "1"})])
def test_words_of_who_wants_none_kept_are_not_among_an_experiment_s_outcomes_either(
    served: Running, log_content: str, headers: dict[str, str]
):
    mm = served.mm
    made = mm.experiments.create(f"quiet {log_content}", ["sim-fast", "sim-balanced"])
    _, secret = mm.keys.create(f"quiet {log_content}", log_content=log_content)
    call_id = served.chat(f"exp:{made.name}", key=secret, user="u1").headers["x-aimm-request-id"]
    headers |= {"x-api-key": secret}

    heard = [
        served.post("/v1/feedback", {"generation_id": call_id, **said}, headers).status
        for said in (
            {"text": "Ada was here."},
            {"rating": 4, "thumb": "sideways"},
            {"rating": 4, "text": "Ada was here."},
        )
    ]

    assert heard == [400, 400, 200]
    assert [(each.rating, each.text) for each in mm.feedback.of(call_id)] == [(4, None)]
    with mm.database.read() as connection:
        rows = connection.execute(
            text("SELECT rating, text FROM experiment_outcomes WHERE experiment_id = :id"), {"id": made.id}
        ).all()
    assert [(rating, words or "") for rating, words in rows] == [(4, "")]


def test_opinions_are_summed_by_model_and_tag(mm: ModelManager):
    until = clock.now() + timedelta(minutes=1)
    said = [("sim-fast", ("a", "b"), {"thumb": "up", "rating": 5}), ("sim-fast", ("a",), {"thumb": "down", "rating": 2}), ("sim-careful", (), {"rating": 4})]  # fmt: skip
    for model, tags, given in said:
        g = mm.submit(mm.request("Hello", model=model), Origin(source="python", tags=tags)).result(10)
        mm.feedback.give(g.id, given)

    def sums(by: str) -> dict[str, tuple[Any, ...]]:
        found = mm.feedback.sums(until - timedelta(hours=1), until, by=by, simulated=True)
        return {each.name: (each.n, each.n_up, each.n_down, each.rating) for each in found}

    assert sums("model") == {"sim-fast": (2, 1, 1, 3.5), "sim-careful": (1, 0, 0, 4.0)}
    assert sums("tag") == {"a": (2, 1, 1, 3.5), "b": (1, 1, 0, 5.0)}
    assert mm.feedback.sums(until - timedelta(hours=1), until) == []  # simulated answers are apart from real ones


def test_where_no_texts_are_kept_a_thumb_is_and_its_words_are_not(open_manager: Open, sqlite_url: str):
    mm = open_manager(sqlite_url, log_content="metadata", takes_up=False)
    g = mm.generate("Hello", model="sim-fast")

    given = mm.feedback.give(g.id, {"thumb": "down", "text": "Wrong."})

    assert (given.thumb, given.text) == ("down", None)
    with pytest.raises(NotFound):
        mm.feedback.give("g_none", {"thumb": "up"})
