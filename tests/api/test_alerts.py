"""Alert rules and silences over HTTP: the keys of the file, their refusals, and who may what."""

import httpx2

from tests.builders import running_gateway
from tests.conftest import fresh


def test_rules_and_silences_are_made_read_tested_and_removed(tmp_path):
    with running_gateway(fresh(tmp_path)) as running, httpx2.Client(base_url=running.address) as client:
        reader = {"authorization": f"Bearer {running.mm.keys.create('r', scopes=('read',))[1]}"}
        rule = {"kind": "error_rate", "above": 0.05, "over": "15m", "where": {"tag": "shop"}, "channels": ["slack"]}
        made = client.put("/api/alert-rules/errors", json=rule)
        wrong = client.put("/api/alert-rules/errors", json={**rule, "abov": 1})
        empty = client.put("/api/alert-rules/x", json={"kind": "latency_p95"})
        refused = client.put("/api/alert-rules/errors", json=rule, headers=reader)
        seen = client.get("/api/alert-rules/errors", headers=reader).json()
        tried = client.post("/api/alert-rules/errors/test").json()
        untold = client.post("/api/alert-rules/errors/test", params={"channel": "slack"})
        silenced = client.post("/api/alert-silences", json={"name": "errors", "for": "2h", "reason": "deploy"})
        missing = client.post("/api/alert-silences", json={"name": "errrs", "for": "2h"})
        ended = client.delete("/api/alert-silences/errors").json()
        alerts = client.get("/api/alerts").json()
        gone = [client.delete("/api/alert-rules/errors").status_code for _ in range(2)]

    assert made.json()["rule"] == {
        "name": "errors", "kind": "error_rate", "above": "5%", "over": "15m", "at_least": 20,
        "where": {"tag": "shop"}, "channels": ["slack"],
    }  # fmt: skip
    assert (wrong.status_code, refused.status_code, missing.status_code) == (422, 403, 404)
    assert "a rule has no 'abov'" in wrong.json()["error"] and "Did you mean above" in wrong.json()["error"]
    assert "above is missing" in empty.json()["error"]
    assert seen["rule"] == made.json()["rule"]
    [reading] = tried["readings"]
    assert (reading["holds"], reading["value"], tried["would_have_fired"]) == (None, None, 0)
    assert "slack is not set up" in untold.json()["error"]
    assert (silenced.status_code, silenced.json()["silence"]["reason"]) == (201, "deploy")
    assert "Did you mean errors?" in missing.json()["error"]
    assert ended["ended"] == 1
    assert alerts["alerts"] == [] and {each["rule"] for each in alerts["rules"]} <= {"errors"}
    assert gone == [200, 404]
