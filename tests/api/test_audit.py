"""The audit over HTTP: who did what is noted of keys and of this machine; what may not be done is 403 and noted."""

import json
from collections.abc import Iterator

import httpx2
import pytest

from tests.builders import Running, running_gateway
from tests.conftest import fresh


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
        hidden = client.get("/api/audit", headers=may_not)
        client.patch(f"/api/budgets/{budget_id}", json={"limit_usd": 80}, headers=may)
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
    assert changed["address"] == "127.0.0.1"
    assert (turned_away["outcome"], turned_away["actor"], turned_away["kind"]) == ("refused", "key read", "budget")
    assert budget_id in turned_away["subject"]
    assert created["before"] is None and created["after"]["limit_usd"] == "50"
    assert [*page["entries"], *rest["entries"]] == found["entries"]
    assert [json.loads(line)["id"] for line in file.text.splitlines()] == [each["id"] for each in found["entries"]]
    assert (last["actor"], last["door"], last["action"]) == ("local", "api", "budget deleted")
