"""The audit over HTTP: who did what is noted of keys and of this machine; what may not be done is 403 and noted."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from api.rest.app import make_app
from core import Origin
from core.domain.people.entry import Wanted
from core.storage.evaluation.runs import RunStore
from tests.builders import Running, running_gateway
from tests.conftest import fresh
from tests.fakes.vendors import failure


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_gateway(fresh(tmp_path_factory.mktemp("audit"))) as found:
        yield found


def test_a_key_is_noted_with_its_name_and_one_that_may_not_is_refused_and_noted(running: Running):
    mm = running.mm
    admin, reader = (mm.keys.create(name, scopes=(name,))[1] for name in ("admin", "read"))
    with httpx2.Client(base_url=running.address) as client:
        may, may_not = ({"authorization": f"Bearer {secret}"} for secret in (admin, reader))
        made = client.post("/api/budgets", json={"name": "team-a", "limit_usd": 50}, headers=may)
        budget_id = made.json()["budget"]["id"]
        refused = client.post(f"/api/budgets/{budget_id}/raise", json={"extra_usd": 9, "reason": "x"}, headers=may_not)
        client.delete(f"/api/keys/{admin}", headers=may_not)
        hidden = client.get("/api/audit", headers=may_not)
        forwarded = {**may, "x-forwarded-for": "198.51.100.66, 203.0.113.9"}  # what a client says of itself comes first
        client.patch(f"/api/budgets/{budget_id}", json={"limit_usd": 80}, headers=forwarded)
        found = client.get("/api/audit", params={"kind": "budget"}, headers=may).json()
        page = client.get("/api/audit", params={"kind": "budget", "limit": 1}, headers=may).json()
        rest = client.get("/api/audit", params={"kind": "budget", "before": page["next"]}, headers=may).json()
        file = client.get("/api/audit/export", params={"kind": "budget", "format": "jsonl"}, headers=may)
        local = client.delete(f"/api/budgets/{budget_id}")
        last = client.get("/api/audit", params={"limit": 1}).json()["entries"][0]

    assert (made.status_code, refused.status_code, hidden.status_code, local.status_code) == (201, 403, 403, 200)
    changed, turned_away, created = found["entries"]
    assert changed["text"] == "key admin raised the budget 'team-a' from $50 to $80"
    assert (changed["actor"], changed["role"], changed["door"]) == ("key admin", "admin", "api")
    assert (changed["address"], created["address"]) == ("203.0.113.9", "127.0.0.1")
    assert admin not in file.text + str(running.mm.audit.page()[0])
    assert (turned_away["outcome"], turned_away["actor"], turned_away["kind"]) == ("refused", "key read", "budget")
    assert budget_id in turned_away["subject"]
    assert created["before"] is None and created["after"]["limit_usd"] == "50"
    assert [*page["entries"], *rest["entries"]] == found["entries"]
    assert [json.loads(line)["id"] for line in file.text.splitlines()] == [each["id"] for each in found["entries"]]
    assert (last["actor"], last["door"], last["action"]) == ("local", "api", "budget deleted")


# What asks or records is on record by itself: in the log, as a run, an answer, a vote or an outcome, each with its key.
ON_RECORD = {
    ("post", "/generate"), ("post", "/workflow"), ("post", "/compare"), ("post", "/experiment/{experiment_id}/assign"),
    ("post", "/experiment/{experiment_id}/test"), ("post", "/experiment/{experiment_id}/record"),
    ("post", "/comparisons/{comparison_id}/vote"),
}  # fmt: skip
# What is posted because it is long, and changes nothing; a verdict is computed, and kept that it need not be again; a
# round of retention, which its rules begin by themselves.
READS = {
    ("post", "/cost/estimate"), ("post", "/evaluations/estimate"), ("post", "/datasets/preview"),
    ("post", "/evaluations/{run_id}/judge"), ("post", "/retention/run"), ("post", "/alert-rules/{name}/test"),
    ("post", "/vendors/{name}/test"),
}  # fmt: skip
PAIR = {"name": "e", "variant_a": "sim-fast", "variant_b": "sim-careful"}


class Walk:
    """Asks routes that write, and looks whether each left an entry of who asked."""

    def __init__(self, client: httpx2.Client, running: Running) -> None:
        self._client = client
        self.mm, self.vendor = running.mm, running.vendor
        self.asked: set[tuple[str, str]] = set()
        self.silent: list[str] = []

    def __call__(self, method: str, route: str, body: Any = None, **names: str) -> Any:
        path = f"/api{route}"
        for name, value in names.items():
            path = path.replace(f"{{{name}}}", value)
        before = self._n_entries()
        answer = self._client.request(method, path, json=body)
        assert answer.status_code < 300, (method, path, answer.text)
        self.asked.add((method, route))
        if self._n_entries() == before:
            self.silent.append(f"{method} {route}")
        return answer.json()

    def pause(self, run_id: str) -> None:
        """As a spending limit does."""
        with self.mm.database.write() as connection:
            assert RunStore.move(connection, run_id, "paused", ("finished",))

    def _n_entries(self) -> int:
        return len(self.mm.audit.page(Wanted(who="key walker", outcome="done"), 1000)[0])


def test_every_route_that_writes_leaves_an_entry_of_who_asked(running: Running):
    _, secret = running.mm.keys.create("walker", scopes=("admin",))
    with httpx2.Client(base_url=running.address, headers={"authorization": f"Bearer {secret}"}, timeout=30) as client:
        walk = Walk(client, running)
        for part in (_money, _operating, _library, _experiments, _evaluations, _runs):
            part(walk)

    paths = make_app(lambda: running.mm).openapi()["paths"]
    writes = {(method, path) for path, methods in paths.items() for method in methods if method != "get"}
    assert walk.silent == []
    text = b"".join(running.mm.audit.export(Wanted(), "jsonl")).decode()
    assert secret not in text and "k-0123456789" not in text and "k-fedcba987" not in text
    new = writes - walk.asked - ON_RECORD - READS
    assert new == set(), "Ask it in a part of the walk if it changes something, else say here why not."


def _money(walk: Walk) -> None:
    budget = walk("post", "/budgets", {"name": "b", "limit_usd": 5})["budget"]["id"]
    walk("patch", "/budgets/{budget_id}", {"limit_usd": 6}, budget_id=budget)
    walk("post", "/budgets/{budget_id}/raise", {"extra_usd": 1, "reason": "r"}, budget_id=budget)
    walk("delete", "/budgets/{budget_id}", budget_id=budget)
    row = walk("post", "/prices", {"provider": "openai", "model": "m", "input": 1, "output": 2})["row"]["id"]
    walk("post", "/prices/reprice", {"provider": "openai", "model": "m", "apply": True})
    walk("delete", "/prices/{row_id}", row_id=row)
    walk("post", "/retention/rules", {"scope": "all", "texts": "30d"})
    walk("delete", "/retention/rules/{scope}", scope="all")
    key = walk("post", "/keys", {"name": "k"})["key"]["id"]
    walk("patch", "/keys/{key_id}", {"rpm": 5}, key_id=key)
    walk("delete", "/keys/{key_id}", key_id=key)
    walk("put", "/teams/{name}", {"tpm": 500}, name="red")


def _operating(walk: Walk) -> None:
    rule = {"kind": "error_rate", "above": "5%", "over": "15m", "for": "5m"}
    walk("put", "/alert-rules/{name}", rule, name="errors")
    walk("post", "/alert-silences", {"name": "errors", "for": "2h"})
    walk("delete", "/alert-silences/{name}", name="errors")
    walk("delete", "/alert-rules/{name}", name="errors")
    walk("post", "/vendors", {"name": "eu", "kind": "openai", "key": "k-0123456789abcdef", "test": False})
    walk("patch", "/vendors/{name}", {"weight": 2}, name="eu")
    walk("post", "/vendors/{name}/rotate", {"key": "k-fedcba9876543210", "test": False}, name="eu")
    walk("delete", "/vendors/{name}", name="eu")
    walk.mm.generate("Hello", model="sim-fast", origin=Origin(user_id="u-1"))
    walk("delete", "/users/{user}/data", user="u-1")


def _library(walk: Walk) -> None:
    walk("put", "/aliases/{name}", {"model": "sim-fast"}, name="quick")
    walk("delete", "/aliases/{name}", name="quick")
    for number in (1, 2):
        walk("post", "/prompts/{name}", {"prompt": f"Hello {number} {{{{q}}}}"}, name="p")
        walk("put", "/prompts/{name}/labels/{label}", {"number": number}, name="p", label="live")
    walk("post", "/prompts/{name}/labels/{label}/undo", {}, name="p", label="live")
    walk("post", "/prompts/{name}", {"prompt": "Bye"}, name="gone")
    walk("delete", "/prompts/{name}", name="gone")
    walk("post", "/datasets/{name}", {"text": "q,expected\na,b\nc,d\n"}, name="d")
    walk("post", "/datasets/{name}", {"text": "q,expected\nx,y\n"}, name="gone")
    walk("delete", "/datasets/{name}", name="gone")


def _experiments(walk: Walk) -> None:
    ids = [walk("post", "/experiment", {**PAIR, "name": name})["experiment_id"] for name in ("e1", "e2")]
    walk("patch", "/experiment/{experiment_id}", {"weights": [20, 80]}, experiment_id=ids[0])
    walk("post", "/experiment/{experiment_id}/acknowledge", {}, experiment_id=ids[0])
    walk("post", "/experiment/{experiment_id}/promote", {"variant": "variant_b", "alias": "f"}, experiment_id=ids[0])
    walk("post", "/experiment/{experiment_id}/decide", {"why": "w"}, experiment_id=ids[0])
    walk("post", "/experiment/{experiment_id}/stop", {}, experiment_id=ids[1])


def _evaluations(walk: Walk) -> None:
    asks = {"dataset": "d", "prompts": ["p@1"], "models": ["sim-fast"], "checks": [{"type": "contains", "value": "a"}]}
    begun = [walk("post", "/evaluations", {**asks, "name": name})["evaluation"]["id"] for name in ("v1", "v2")]
    for run_id in begun:
        walk.mm.evaluations.wait(run_id, 20)
    first, second = begun
    walk("post", "/evaluations/{run_id}/grade", {}, run_id=first)
    walk("post", "/baselines/{name}", {"run_id": first}, name="best")
    for route in ("stop", "cancel"):
        walk("post", "/evaluations/{run_id}/resume", {}, run_id=second)
        walk.mm.evaluations.wait(second, 20)
        walk.pause(second)
        walk("post", f"/evaluations/{{run_id}}/{route}", run_id=second)
    walk("delete", "/evaluations/{run_id}", run_id=second)


def _runs(walk: Walk) -> None:
    run_id = walk.mm.workflows.start("translation", "Hello", model="sim-fast", cap_usd=Decimal("0.000001"))
    assert walk.mm.workflows.wait(run_id, 20).status == "paused"
    walk("post", "/runs/{run_id}/resume", {"max_cost_usd": 0.000002}, run_id=run_id)
    assert walk.mm.workflows.wait(run_id, 20).status == "paused"
    walk("post", "/runs/{run_id}/stop", run_id=run_id)
    walk.mm.comparisons.wait(other := walk.mm.comparisons.start("Hi", ["sim-fast", "sim-careful"]))
    token = walk.mm.comparisons.get(other).owner
    assert walk.mm.comparisons.job.move(other, "running", ("finished",), owner=token)
    walk("post", "/comparisons/{comparison_id}/stop", comparison_id=other)
    walk.vendor.next(failure(400, "no"))
    failed = walk.mm.comparisons.start("Hi", ["gpt-4o", "sim-fast"])
    walk.mm.comparisons.wait(failed)
    walk("post", "/comparisons/{comparison_id}/resume", {"positions": [0]}, comparison_id=failed)
