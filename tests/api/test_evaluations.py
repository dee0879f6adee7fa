"""Evaluations by HTTP: begun, watched, judged, stopped and resumed by programs."""

import json
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.prompt import PromptContent, PromptMessage
from tests.builders import Running, running_gateway
from tests.conftest import copied

CHECK = {"type": "contains", "value": "e"}


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_gateway(copied(sqlite_template, tmp_path_factory.mktemp("evaluations"))) as running:
        running.mm.datasets.save("cases", [DatasetRow(variables={"topic": f"the sea, {at}"}) for at in range(6)])
        for text in ("Tell of {{topic}}.", "Tell more of {{topic}}."):
            running.mm.prompts.save("tell", PromptContent(messages=(PromptMessage("user", text),)))
        yield running


def plan(**more: Any) -> dict[str, Any]:
    return {
        "name": "suite",
        "dataset": "cases",
        "prompts": ["tell@1", "tell@2"],
        "models": ["sim-fast"],
        "checks": [CHECK],
        **more,
    }


def begun(served: Running, **more: Any) -> str:
    """The address of a run that is over."""
    answer = served.post("/api/evaluations", plan(**more))
    assert answer.status == 202, answer.json
    address = answer.headers["location"]
    served.mm.evaluations.wait(address.rsplit("/", 1)[1], 30)
    return str(address)


def test_a_run_is_begun_watched_and_read(served: Running):
    address = begun(served, gate={"require": [{"not_worse_than_points": 2}]})

    with urllib.request.urlopen(f"{served.address}{address}/events", timeout=20) as answer:
        last = answer.read().decode().strip().split("\n\n")[-1]
    assert last.startswith("event: end")
    whole = json.loads(last.split("data: ", 1)[1])
    assert (whole["status"], whole["done"], whole["n_items"]) == ("finished", 12, 6)
    assert served.get(address).json["evaluation"]["contestants"][1]["prompt"] == "tell@2"
    assert served.post(f"{address}/judge", {}).json["result"]["exit_code"] == 0
    assert served.get(address).json["evaluation"]["judged"]["exit_code"] == 0
    verdict = served.get(f"{address}/verdict").json["verdict"]
    assert verdict["comparison"]["n_items"] == 6
    assert verdict["sentence"].startswith("No difference is shown")


def test_cells_come_in_pages_with_their_answers(served: Running):
    address = begun(served)

    found, after = [], ""
    while after is not None:
        page = served.get(f"{address}/cells?limit=5&after={after}").json
        found += page["cells"]
        after = page["next"]
    assert [(each["item"], each["contestant"]) for each in found] == [(at // 2, at % 2) for at in range(12)]
    assert all(each["answer"] and each["generation_id"] and each["checks"][0]["type"] == "contains" for each in found)
    assert served.get(f"{address}/cells?outcome=fail").json["cells"] == []


def test_checks_are_changed_and_reports_are_written(served: Running):
    address = begun(served)
    again = served.post(f"{address}/grade", {"checks": [{"type": "equals", "value": "never"}]})
    assert again.json["evaluation"]["contestants"][0]["outcomes"] == {"fail": 6}

    junit = ET.fromstring(served.get(f"{address}/report?format=junit").body)  # noqa: S314 - our own
    assert [suite.get("failures") for suite in junit] == ["6", "6"]
    assert "❌" in served.get(f"{address}/report?format=markdown").body.decode()
    assert len(served.get(f"{address}/report").json["cells"]) == 12


def test_a_baseline_is_blessed_and_held_against(served: Running):
    run_id = begun(served, prompts=["tell@1"]).rsplit("/", 1)[1]
    assert served.post("/api/baselines/main", {"run_id": run_id}).json["baseline"]["run_id"] == run_id
    assert "main" in [each["name"] for each in served.get("/api/baselines").json["baselines"]]

    address = begun(served, prompts=["tell@2"], gate={"against": "main", "require": [{"not_worse_than_points": 2}]})
    result = served.post(f"{address}/judge", {}).json["result"]
    assert result["exit_code"] == 0
    assert "against main" in result["reason"]
    assert (
        served._ask(urllib.request.Request(f"{served.address}/api/evaluations/{run_id}", method="DELETE")).status == 409
    )


def test_what_is_wrong_is_named(served: Running):
    for change, words in (
        ({"dataset": "nothing"}, "nothing"),
        ({"dataset": "../../etc/passwd"}, "there is no file"),
        ({"prompts": ["/etc/passwd"]}, "there is no file"),
        ({"checks": [{"type": "is-json", "value": "file:///etc/passwd"}]}, "names no files"),
        ({"checks": [{"type": "containz"}]}, "containz"),
        ({"promts": ["x"]}, "promts"),
        ({"gate": {"require": [{"metric": "pass"}]}}, "has no bound"),
    ):
        answer = served.post("/api/evaluations", plan() | change)
        assert (answer.status in (404, 422), words in answer.json["error"]) == (True, True), answer.json


def test_an_estimate_costs_nothing(served: Running):
    n = len(served.rows())
    [a, b] = served.post("/api/evaluations/estimate", plan(repeat=2)).json["contestants"]
    assert (a["n_cells"], b["label"]) == (12, "tell@2 · sim-fast")
    assert 0 < a["low_usd"] < a["expected_usd"] < a["high_usd"]
    assert len(served.rows()) == n


def test_a_key_sees_what_it_began_and_its_budget_pays(served: Running):
    keys = [served.mm.keys.create(f"{who} eval", scopes=["call"])[1] for who in ("mine", "other")]
    mine, other = ({"Authorization": f"Bearer {key}"} for key in keys)
    address = served.post("/api/evaluations", plan(), mine).headers["location"]
    served.mm.evaluations.wait(address.rsplit("/", 1)[1], 30)

    assert served._ask(urllib.request.Request(served.address + address, headers=mine)).status == 200
    assert served._ask(urllib.request.Request(served.address + address, headers=other)).status == 404
    assert served.post(f"{address}/stop", {}, other).status == 403
    assert {call.key_id != "" for call in served.mm.log.by_ref(address.rsplit("/", 1)[1])} == {True}

    theirs = served.post("/api/evaluations", plan(), other).headers["location"]
    served.mm.evaluations.wait(theirs.rsplit("/", 1)[1], 30)
    not_its_own = address.rsplit("/", 1)[1]
    asked = urllib.request.Request(f"{served.address}{theirs}/verdict?against={not_its_own}", headers=other)
    assert served._ask(asked).status == 404
    assert served.post(f"{theirs}/judge", {"against": not_its_own}, other).status == 404
