"""Runs and comparisons whose caller does not wait: 202, a status address, events that can be taken up, cancel, resume."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.builders import Running, running_gateway, until
from tests.conftest import copied

ASYNC = {"Prefer": "respond-async"}
WORK: list[Any] = [
    ("/api/workflow", {"template": "translation", "input": "Good morning", "model": "sim-fast"}, "workflow", 3),
    ("/api/compare", {"models": ["sim-fast", "sim-careful"], "prompt": "Name three colours."}, "comparison", 2),
]


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_gateway(copied(sqlite_template, tmp_path_factory.mktemp("async"))) as running:
        yield running


def heard(served: Running, address: str, **headers: str) -> list[tuple[str, str, Any]]:
    """(event, id, data) of each event until the end."""
    request = urllib.request.Request(f"{served.address}{address}/events", headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        blocks = [block for block in answer.read().decode().split("\n\n") if block and not block.startswith(":")]
    found = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    return [(each["event"], each["id"], json.loads(each["data"])) for each in found]


@pytest.mark.parametrize(("path", "body", "name", "n_parts"), WORK, ids=["workflow", "comparison"])
def test_work_goes_on_without_its_caller(served: Running, path: str, body: Any, name: str, n_parts: int):
    begun = served.post(path, body, ASYNC)

    assert (begun.status, begun.headers["preference-applied"]) == (202, "respond-async")
    assert begun.json["status"] == "accepted" and begun.json[name]
    address = begun.headers["location"]
    events = heard(served, address)
    assert [kind for kind, _, _ in events] == ["progress"] * n_parts + ["end"]
    assert sorted(data["place"] for kind, _, data in events if kind == "progress") == list(range(n_parts))
    assert events[-1][2]["status"] in ("succeeded", "finished")
    status = served.get(address).json
    assert {**status}[{"workflow": "run"}.get(name, name)]["status"] == events[-1][2]["status"]
    # Whoever lost the connection behind the first event hears the others.
    assert heard(served, address, **{"Last-Event-ID": events[0][1]}) == events[1:]


@pytest.mark.parametrize(("path", "body", "name", "n_parts"), WORK, ids=["workflow", "comparison"])
def test_a_key_sees_the_work_that_it_began_and_no_other(served: Running, path: str, body: Any, name: str, n_parts: int):
    keys = [served.mm.keys.create(f"{who} {name}", scopes=["call"])[1] for who in ("mine", "other")]
    mine, other = ({"Authorization": f"Bearer {key}"} for key in keys)
    address = served.post(path, body, {**ASYNC, **mine}).headers["location"]

    assert served._ask(urllib.request.Request(served.address + address, headers=mine)).status == 200
    assert heard(served, address, **mine)[-1][0] == "end"
    for each in (address, f"{address}/events"):
        assert served._ask(urllib.request.Request(served.address + each, headers=other)).status == 404
    listed = address.rpartition("/")[0]
    assert served._ask(urllib.request.Request(served.address + listed, headers=mine)).status == 403


def test_without_the_header_the_answer_waits_as_before(served: Running):
    path, body, _, _ = WORK[0]

    assert served.post(path, body, {"Prefer": "return=minimal"}).json["workflow"]["status"] == "succeeded"


def test_the_same_key_twice_begins_one_run(served: Running):
    path, body, _, _ = WORK[0]
    first, second = (served.post(path, body, {**ASYNC, "Idempotency-Key": "k1"}) for _ in range(2))

    assert first.headers["location"] == second.headers["location"]
    assert second.status == 202
    assert until(lambda: served.get(first.headers["location"]).json["run"]["status"] == "succeeded")
