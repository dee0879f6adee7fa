"""The HTTP API: every row of its table, and every error in its one form."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import running_server
from tests.fakes import gemini as wire
from tests.fakes.gemini import KEY, FakeGemini, Reply


class Client:
    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str) -> tuple[int, Any]:
        return self._send(urllib.request.Request(self.address + path))

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        data = raw if raw is not None else json.dumps(body).encode()
        return self._send(urllib.request.Request(self.address + path, data, {"Content-Type": kind, **(headers or {})}))

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"}
        return self._send(urllib.request.Request(self.address + path, data, kind, method=method))

    def _send(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                raw = response.read()
                is_json = response.headers.get_content_type() == "application/json"
                return response.status, json.loads(raw) if is_json else raw.decode()
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeGemini]:
    server = FakeGemini()
    yield server
    server.close()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, fake: FakeGemini) -> Iterator[Client]:
    """A server with the fake Gemini, shared by the module."""
    with running_server(
        tmp_path_factory.mktemp("api"), GEMINI_API_KEY=KEY, GOOGLE_GEMINI_BASE_URL=fake.url, AIMM_CALL_TIMEOUT_S="4"
    ) as address:
        yield Client(address)


def test_health(client: Client):
    assert client.get("/health") == (200, {"status": "healthy"})


def test_models(client: Client):
    status, body = client.get("/api/models")

    assert status == 200
    assert body["count"] == len(body["models"]) == len(body["details"])
    assert {"sim-fast", "sim-balanced", "sim-careful", "gemini-2.5-flash"} <= set(body["models"])


def test_generate(client: Client):
    status, body = client.post(
        "/api/generate",
        {"prompt": "Why?", "model": "sim-fast", "system": "Be brief.", "temperature": 0.1, "max_tokens": 5},
    )

    assert (status, body["status"], body["model"], body["finish_reason"]) == (200, "success", "sim-fast", "length")
    assert body["usage"]["output"] == 5
    assert body["tokens"] == body["usage"]["input"] + body["usage"]["output"]
    assert body["cost"] == pytest.approx((body["usage"]["input"] * 0.1 + 5 * 0.4) / 1e6)
    assert body["cost_status"] == "priced" and body["id"] and body["response"] and body["latency"] > 0


def test_generate_with_gemini_counts_as_the_vendor_does(client: Client, fake: FakeGemini):
    fake.next(wire.answer("Yes.", prompt=1000, candidates=50, thoughtsTokenCount=30, cachedContentTokenCount=200))

    _, body = client.post("/api/generate", {"prompt": "Why?", "model": "gemini-2.5-flash"})

    assert body["response"] == "Yes."
    assert body["usage"] == {"input": 1000, "cached": 200, "thinking": 30, "output": 80}
    assert (body["tokens"], body["cost"], body["simulated"]) == (1080, 0.000446, False)


def test_a_model_without_a_price_has_cost_null(client: Client, fake: FakeGemini):
    fake.next(wire.answer("Yes."))

    _, body = client.post("/api/generate", {"prompt": "Why?", "model": "gemini-unpriced-1"})
    _, costs = client.get("/api/costs")

    assert (body["cost"], body["cost_status"]) == (None, "unknown")
    row = next(row for row in costs["costs"] if row["model_name"] == "gemini-unpriced-1")
    assert (row["total_cost"], row["unpriced_requests"], row["unpriced_tokens"]) == (None, 1, 15)


@pytest.mark.parametrize(
    ("template", "steps"),
    [
        ("content_generation", ["generate", "improve", "format"]),
        ("translation", ["translate", "review", "polish"]),
        ("analysis", ["extract", "summarise", "report"]),
    ],
)
def test_workflow(client: Client, template: str, steps: list[str]):
    status, body = client.post(
        "/api/workflow", {"template": template, "input": "The sea is calm.", "model": "sim-fast"}
    )

    run = body["workflow"]
    assert (status, body["status"], run["workflow_name"]) == (200, "success", template)
    assert [step["step"] for step in run["steps"]] == steps
    assert run["final_output"] == run["steps"][-1]["response"]
    assert run["total_tokens"] == sum(step["tokens"] for step in run["steps"])
    assert run["total_cost"] == pytest.approx(sum(step["cost"] for step in run["steps"]))
    assert run["total_latency"] == pytest.approx(sum(step["latency"] for step in run["steps"]))
    assert all(step["model"] == "sim-fast" and step["prompt"] for step in run["steps"])


def test_a_workflow_that_fails_says_what_is_kept(client: Client):
    status, body = client.post(
        "/api/workflow", {"template": "analysis", "input": "[[fail:block]]", "model": "sim-fast"}
    )

    assert (status, body["code"]) == (502, "workflow_failed")
    assert "can be resumed" in body["error"]


def test_compare(client: Client):
    status, body = client.post("/api/compare", {"models": ["sim-fast", "sim-careful", "sim-careful"], "prompt": "Why?"})

    comparison = body["comparison"]
    assert (status, body["status"], comparison["prompt"]) == (200, "success", "Why?")
    assert [result["model"] for result in comparison["results"]] == ["sim-fast", "sim-careful", "sim-careful"]
    assert all({"response", "tokens", "latency", "cost"} <= set(result) for result in comparison["results"])
    metrics = comparison["comparison_metrics"]
    assert (metrics["fastest_model"], metrics["cheapest_model"], comparison["winner"]) == ("sim-fast",) * 3
    assert metrics["avg_cost"] == pytest.approx(sum(r["cost"] for r in comparison["results"]) / 3)


def test_comparisons_and_votes_are_read_back_in_pages(client: Client):
    made = [
        client.post(
            "/api/compare", {"models": ["sim-fast", "sim-balanced"], "prompt": f"Why {n}?", "system": "Be kind."}
        )[1]
        for n in range(3)
    ]
    ids = [body["comparison"]["id"] for body in made]

    _, whole = client.get(f"/api/comparisons/{ids[0]}")
    assert whole["comparison"] == made[0]["comparison"] | {"status": "finished"}
    assert (whole["comparison"]["prompt"], whole["comparison"]["system"], whole["comparison"]["demo"]) == (
        "Why 0?",
        "Be kind.",
        False,
    )
    _, first = client.get("/api/comparisons?limit=2")
    _, second = client.get(f"/api/comparisons?limit=2&before={first['next']}")
    assert [row["id"] for row in first["comparisons"] + second["comparisons"]][:3] == ids[::-1]
    assert client.get("/api/comparisons?demo=true")[1]["comparisons"] == []

    for choice in ("a", "tie", "b"):
        status, body = client.post(f"/api/comparisons/{ids[0]}/vote", {"choice": choice, "pair": [1, 0]})
    vote = body["vote"]
    assert (status, vote["choice"], vote["pair"], vote["voter"], vote["blind"]) == (200, "a", [0, 1], "local", False)
    assert client.get(f"/api/votes/{vote['id']}")[1]["vote"] == vote
    assert client.get(f"/api/comparisons/{ids[0]}/votes")[1]["votes"] == [vote]
    assert client.get("/api/votes?limit=1")[1]["votes"] == [vote]
    rows = client.get("/api/win-rates")[1]["win_rates"]
    assert {(row["model"], row["wins"], row["win_rate"]) for row in rows} == {
        ("sim-fast", 1, None),
        ("sim-balanced", 0, None),
    }


def test_workflows_and_their_runs_are_read_back_in_pages(client: Client):
    runs = [
        client.post("/api/workflow", {"template": "translation", "input": f"Text {n}", "model": "sim-fast"})[1][
            "workflow"
        ]["run_id"]
        for n in range(2)
    ]

    _, listed = client.get("/api/workflows?limit=2")
    assert [row["name"] for row in listed["workflows"]] == ["analysis", "content_generation"]
    assert [row["name"] for row in client.get(f"/api/workflows?after={listed['next']}")[1]["workflows"]][
        -1
    ] == "translation"
    _, one = client.get("/api/workflows/translation")
    assert one["workflow"]["n_steps"] == len(one["workflow"]["steps"]) > 0
    assert one["workflow"]["yaml"].startswith("name: translation")
    _, first = client.get("/api/workflows/translation/runs?limit=1")
    _, second = client.get(f"/api/workflows/translation/runs?limit=1&before={first['next']}")
    assert [row["run_id"] for row in first["runs"] + second["runs"]] == runs[::-1]
    assert client.get("/api/runs?limit=1")[1]["runs"] == first["runs"]
    run = client.get(f"/api/runs/{runs[0]}")[1]["run"]
    assert (run["status"], run["inputs"]["input"], run["demo"]) == ("succeeded", "Text 0", False)
    assert client.get("/api/workflows/translation/runs?demo=true")[1]["runs"] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *((f"/api/{path}", 404) for path in ("comparisons/c_none", "comparisons/c_none/votes", "votes/v_none", "workflows/none", "workflows/none/runs", "runs/r_none", "runs/%C3%A4%27")),
        *((f"/api/{path}", 422) for path in ("comparisons?limit=0", "comparisons?limit=201", "votes?before=x", "runs?before=1.%27", "comparisons?before=", "runs?limit=x", "votes?demo=maybe")),
    ],
)  # fmt: skip
def test_what_is_not_on_record_is_404_and_a_page_that_cannot_be_422(client: Client, path: str, status: int):
    assert client.get(path)[0] == status


@pytest.mark.parametrize(
    "path", ["/api/generations/%00", "/v1/models/%00", "/gemini/v1beta/models/%00", "/api/..%2f..%2fx"]
)
def test_an_address_that_cannot_be_is_refused_in_json(client: Client, path: str):
    status, body = client.get(path)
    assert status in (400, 404) and body["error"]


def test_experiment_from_beginning_to_end(client: Client):
    status, made = client.post(
        "/api/experiment",
        {"name": "Tone", "variant_a": "sim-fast", "variant_b": {"model": "sim-balanced", "weight": 1}},
    )
    assert (status, made["status"]) == (201, "success")
    path = f"/api/experiment/{made['experiment_id']}"

    _, served = client.post(f"{path}/test", {"user_id": "u_1", "prompt": "Hello"})
    _, again = client.post(f"{path}/test", {"user_id": "u_1", "prompt": "Hello"})
    assert served["variant"] == again["variant"] in ("variant_a", "variant_b")
    assert served["response"] and served["generation_id"] and served["experiment_id"] == made["experiment_id"]

    _, one = client.post(f"{path}/record", {"variant": served["variant"], "success": True, "rating": 4})
    _, many = client.post(
        f"{path}/record", {"results": [{"variant": "variant_a", "success": False}, {"variant": "b", "success": True}]}
    )
    assert one["result_id"] and len(many["result_ids"]) == 2

    status, body = client.get(f"{path}/stats")
    stats = body["stats"]
    assert (status, stats["name"], stats["status"], stats["winner"]) == (200, "Tone", "running", None)
    assert stats["variant_a"]["total"] + stats["variant_b"]["total"] == 3
    assert stats[served["variant"]]["avg_rating"] == 4
    for variant in (stats["variant_a"], stats["variant_b"]):
        assert variant["conversion_rate"] == pytest.approx(100 * variant["successes"] / max(1, variant["total"]))

    assert client.post(f"{path}/stop")[0] == 200
    assert client.post(f"{path}/test", {"user_id": "u_1", "prompt": "Hello"})[0] == 409


def test_metrics_and_costs_agree_with_what_was_called(client: Client):
    _, before = client.get("/api/metrics?simulated=true&model=sim-balanced")
    n = before["metrics"][0]["total_requests"] if before["metrics"] else 0
    _, made = client.post("/api/generate", {"prompt": "Count me.", "model": "sim-balanced"})

    _, body = client.get("/api/metrics?simulated=true&model=sim-balanced&bucket=day")
    [row] = body["metrics"]
    assert (row["model_name"], row["total_requests"]) == ("sim-balanced", n + 1)
    assert {"avg_latency", "success_rate", "avg_tokens", "p50", "p95", "p99", "bucket"} <= set(row)
    _, costs = client.get("/api/costs?simulated=true")
    assert costs["total_cost"] == pytest.approx(sum(row["total_cost"] for row in costs["costs"]))
    assert made["cost"] <= next(row["total_cost"] for row in costs["costs"] if row["model_name"] == "sim-balanced")
    assert all(row["model_name"].startswith("sim-") for row in costs["costs"])
    assert not any(row["model_name"].startswith("sim-") for row in client.get("/api/costs")[1]["costs"])


def test_budgets(client: Client):
    status, made = client.post(
        "/api/budgets", {"name": "Month", "limit_usd": 30, "period": "month", "scope": "all", "action": "notify"}
    )
    assert status == 201
    _, body = client.get("/api/budgets")

    [budget] = [budget for budget in body["budgets"] if budget["name"] == "Month"]
    assert {"spent", "reserved", "left", "resets_at"} <= set(budget)
    assert budget["spent"] + budget["left"] == pytest.approx(30)
    assert made["budget"]["id"] == budget["id"]
    assert client.get(f"/api/budgets/{budget['id']}")[1]["budget"] == budget
    assert budget["projected"] is None and budget["projection_note"].startswith("A forecast needs")
    assert client.post("/api/budgets", {"name": "Month", "limit_usd": 1})[0] == 409


def test_the_document_describes_every_route(client: Client):
    status, document = client.get("/api/openapi.json")

    assert status == 200
    assert {
        "/generate",
        "/workflow",
        "/compare",
        "/experiment/{experiment_id}/stats",
        "/metrics",
        "/costs",
        "/budgets",
    } <= set(document["paths"])
    with urllib.request.urlopen(client.address + "/api/docs") as page:
        assert b"openapi.json" in page.read()


# Errors

BAD = [
    ("/api/generate", {}, 422),
    ("/api/generate", {"prompt": ""}, 422),
    ("/api/generate", {"prompt": 5}, 422),
    ("/api/generate", {"prompt": None}, 422),
    ("/api/generate", {"prompt": "x", "temperature": "hot"}, 422),
    ("/api/generate", {"prompt": "x", "temperature": 99}, 422),
    ("/api/generate", {"prompt": "x", "max_tokens": 0}, 422),
    ("/api/generate", {"prompt": "x", "model": "no-such-model"}, 404),
    ("/api/generate", {"prompt": "x", "model": "sim-fast", "thinking_budget": 5}, 422),
    ("/api/generate", [1], 422),
    ("/api/workflow", {"template": "no-such", "input": "x"}, 404),
    ("/api/workflow", {"template": "analysis"}, 422),
    ("/api/workflow", {"template": "analysis", "input": " "}, 422),
    ("/api/workflow", {"template": "analysis", "input": "x", "model": "no-such-model"}, 404),
    ("/api/workflow", {"template": "analysis", "input": "x", "inputs": {"y": "z"}}, 422),
    ("/api/compare", {"models": ["sim-fast"], "prompt": "x"}, 422),
    ("/api/compare", {"models": "sim-fast", "prompt": "x"}, 422),
    ("/api/compare", {"models": ["sim-fast", "nope"], "prompt": "x"}, 404),
    ("/api/compare", {"models": ["sim-fast"] * 9, "prompt": "x"}, 422),
    ("/api/compare", {"models": ["sim-fast", "sim-fast"], "prompt": ""}, 422),
    ("/api/experiment", {"name": "x"}, 422),
    ("/api/experiment", {"name": "x", "variant_a": "sim-fast", "variant_b": "nope"}, 404),
    ("/api/experiment", {"name": "x", "variants": ["sim-fast"]}, 422),
    (
        "/api/experiment",
        {"name": "x", "variants": ["sim-fast", {"model": "sim-fast", "parameters": {"colour": 1}}]},
        422,
    ),
    ("/api/experiment/e_none/test", {"user_id": "u", "prompt": "x"}, 404),
    ("/api/experiment/e_none/record", {"variant": "a", "success": True}, 404),
    ("/api/budgets", {"name": "b", "limit_usd": -1}, 422),
    ("/api/budgets", {"name": "b", "limit_usd": 1, "timezone": "Nowhere"}, 422),
    ("/api/budgets", {"name": "b", "limit_usd": 1, "scope": "planet"}, 422),
    ("/api/nothing", {}, 404),
]


@pytest.mark.parametrize(("path", "body", "expected"), BAD)
def test_bad_input_gets_a_clear_error(client: Client, path: str, body: Any, expected: int):
    status, answer = client.post(path, body)

    assert (status, set(answer) >= {"error", "code"}) == (expected, True), answer
    assert isinstance(answer["error"], str) and "Traceback" not in answer["error"]


@pytest.mark.parametrize("path", ["/api/experiment/e_none/stats", "/api/nothing"])
def test_what_is_not_there_is_404(client: Client, path: str):
    status, answer = client.get(path)

    assert (status, set(answer)) == (404, {"error", "code"})


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "to=2026-99-99",
        "from=2026-02-01&to=2026-01-01",
        "bucket=year",
        "from=0001-01-01T00:00:00%2B14:00",
        "simulated=perhaps",
    ],
)
def test_a_range_that_cannot_be_is_422(client: Client, query: str):
    assert client.get(f"/api/metrics?{query}")[0] == 422


def test_what_is_not_json_is_400(client: Client):
    assert client.post("/api/generate", raw=b'{"prompt": ')[0] == 400
    assert client.post("/api/generate", raw=b"")[0] in (400, 422)
    assert client.post("/api/generate", raw=b"prompt=x", kind="application/x-www-form-urlencoded")[0] == 400
    assert client.post("/api/generate", raw=b'{"prompt": "\xff"}')[0] in (400, 422)
    assert client.post("/api/generate", raw=b'{"prompt": "a\\u0000b"}')[0] == 422


_PRICE = b'"provider": "gemini", "model": "m", "input": 1, "output": 1'


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("prices", b'{%s, "note": "\\ud800"}' % _PRICE),
        ("prices", b'{%s, "note": "a\\u0000"}' % _PRICE),
        ("prices", b'{%s, "above": {"\\ud800": {"input": 2}}}' % _PRICE),
        ("prices", b'{%s, "above": {"\xc2\xb2": {"input": 2}}}' % _PRICE),
        ("prices", b'{%s, "effective_from": "0001-01-01T00:00:00+23:00"}' % _PRICE),
        ("prices", b'{%s, "effective_from": "9999-12-31T23:59:59-23:00"}' % _PRICE),
        ("generate", b'{"prompt": "Hi", "model": "sim-fast", "what is this": {"a": ["\\udfff"]}}'),
        ("generate", b'{"prompt": "Hi", "model": "sim-fast", "tags": ["\\udfff"]}'),
    ],
)
def test_texts_and_dates_that_cannot_be_kept_are_refused(client: Client, path: str, raw: bytes):
    status, body = client.post(f"/api/{path}", raw=raw)

    assert (status, body["code"]) == (422, "invalid_request")
    assert client.get("/api/prices")[1]["own_rows"] == []


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"[" * 150 + b'""' + b"]" * 150, 200),
        (b"[" * 150 + b'"\\ud800"' + b"]" * 150, 422),
        (b"[" * 900 + b"]" * 900, 400),
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b"NaN", 400),
        (b"-Infinity", 400),
        (b"1e999", 400),
        (b"9" * 5000, 400),
        (b'"\xed\xa0\x80"', 400),
    ],
)
def test_what_is_not_json_or_too_deep_is_refused_wherever_it_stands(client: Client, more: bytes, status: int):
    """Also where nobody reads it, and within a schema that a vendor would get."""
    for body in (b'"more": %s', b'"json_schema": {"type": "object", "default": %s}'):
        raw = b'{"prompt": "Hi", "model": "sim-fast", ' + body % more + b"}"

        assert client.post("/api/generate", raw=raw)[0] == status


@pytest.mark.parametrize("size", [5_000_000, 10_000_000])
def test_a_prompt_of_megabytes_is_413(client: Client, size: int):
    status, answer = client.post("/api/generate", {"prompt": "x" * size, "model": "sim-fast"})

    assert (status, answer["code"]) == (413, "too_large")
    assert client.post("/api/workflow", {"template": "analysis", "input": "x" * size})[0] == 413


@pytest.mark.parametrize(
    ("replies", "status", "code"),
    [
        ([wire.rate_limited(99)], 429, "rate_limited"),
        ([wire.error(503, "UNAVAILABLE", "overloaded")] * 9, 503, "provider_unavailable"),
        ([wire.error(403, "PERMISSION_DENIED", "no")], 401, "authentication"),
        ([Reply(events=[{"promptFeedback": {"blockReason": "SAFETY"}}])], 422, "blocked"),
        ([Reply(hang_s=5.0, events=[])], 504, "provider_timeout"),
        ([Reply(raw=b"<html>busy</html>")] * 9, 502, "provider_error"),
    ],
)  # fmt: skip
def test_a_vendors_fault_has_its_own_code(
    client: Client, fake: FakeGemini, replies: list[Reply], status: int, code: str
):
    fake.next(*replies)

    got, answer = client.post("/api/generate", {"prompt": "Hi", "model": "gemini-2.5-flash"})

    while fake.pending():
        fake.take()
    assert (got, answer["code"]) == (status, code), answer
    assert KEY not in json.dumps(answer)
    assert answer["generation_id"].startswith("g_")


def test_two_hundred_calls_at_once_are_all_answered(client: Client):
    with ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(lambda n: client.post("/api/generate", {"prompt": f"Say {n}", "model": "sim-fast"}), range(200))
        )

    assert {status for status, _ in answers} == {200}
    assert len({body["id"] for _, body in answers}) == 200


def experiment_of(client: Client, **fields: Any) -> str:
    body = {"name": "t", "hypothesis": "h", "variant_a": "sim-fast", "variant_b": "sim-balanced", **fields}
    status, made = client.post("/api/experiment", body)
    assert status == 201
    return str(made["experiment_id"])


def test_an_experiment_from_assignment_to_decision(client: Client):
    name = experiment_of(client, guardrails=[{"metric": "error_rate", "margin": 0.05}], internal_units=["qa-*"])

    _, given = client.post(f"/api/experiment/{name}/assign", {"user_id": "u1"})
    _, again = client.post(f"/api/experiment/{name}/assign", {"user_id": "u1"})
    _, forced = client.post(f"/api/experiment/{name}/assign", {"user_id": "u1", "variant": "variant_b"})
    _, tested = client.post(f"/api/experiment/{name}/test", {"user_id": "u1", "prompt": "Hello"})
    outcomes = [
        {"assignment_id": given["assignment_id"], "success": True},
        {"generation_id": tested["generation_id"], "rating": 5, "text": "good"},
        {"user_id": "nobody", "number": 1.5},
    ]
    status, recorded = client.post(f"/api/experiment/{name}/record", {"results": outcomes})

    assert given == again
    assert (forced["counted"], forced["not_counted_because"]) == (False, "forced")
    assert tested["assignment_id"] == given["assignment_id"]
    assert (status, recorded["states"]) == (200, {"counted": 2, "orphan": 1})
    stats = client.get(f"/api/experiment/{name}/stats")[1]["stats"]
    variant = stats[given["variant"]]
    assert (variant["total"], variant["successes"], variant["calls"], variant["avg_rating"], variant["exposures"]) == (
        1,
        1,
        1,
        5.0,
        1,
    )
    assert stats["not_counted"]["orphaned_outcomes"] == 1
    assert client.get(f"/api/experiment/{name}/decision")[0] == 200

    status, decided = client.post(f"/api/experiment/{name}/decide", {"variant": "variant_b", "why": "a test"})
    assert (status, decided["stats"]["status"]) == (200, "stopped")
    assert "# Decision record: t" in decided["record"]
    assert client.post(f"/api/experiment/{name}/assign", {"user_id": "u2"})[0] == 409


def test_an_idempotency_key_records_once(client: Client):
    name = experiment_of(client)
    body, headers = {"variant": "variant_a", "success": True}, {"Idempotency-Key": "once"}

    first = client.post(f"/api/experiment/{name}/record", body, headers=headers)
    again = client.post(f"/api/experiment/{name}/record", body, headers=headers)
    other = client.post(f"/api/experiment/{name}/record", {**body, "success": False}, headers=headers)

    assert first == again
    assert (first[0], other[0]) == (200, 409)
    assert client.get(f"/api/experiment/{name}/stats")[1]["stats"]["variant_a"]["total"] == 1


def test_weights_open_a_phase_and_an_alias_is_promoted(client: Client):
    name = experiment_of(client)

    status, changed = client.send("PATCH", f"/api/experiment/{name}", {"weights": [1, 3]})
    assert (status, len(changed["experiment"]["phases"])) == (200, 2)
    assert client.send("PATCH", f"/api/experiment/{name}", {})[0] == 422
    assert client.post(f"/api/experiment/{name}/promote", {"alias": "bot"})[0] == 409  # nobody has won
    status, promoted = client.post(f"/api/experiment/{name}/promote", {"alias": "bot", "variant": "variant_b"})
    assert (status, promoted["alias"]["model"]) == (200, "sim-fast")
    assert promoted["alias"]["rollout"]
    assert client.post("/api/generate", {"prompt": "Hi", "model": "bot", "user": "u1"})[0] == 200
    status, put = client.send("PUT", "/api/aliases/bot", {"model": "sim-careful"})
    assert (status, put["alias"]["rollout"]) == (200, None)
    assert client.post("/api/generate", {"prompt": "Hi", "model": "bot"})[1]["model"] == "sim-careful"
    assert [a["name"] for a in client.get("/api/aliases")[1]["aliases"]] == ["bot"]
    assert client.send("DELETE", "/api/aliases/bot")[0] == 200
    assert client.post("/api/generate", {"prompt": "Hi", "model": "bot"})[0] == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"guardrails": [{"metric": "luck", "margin": 1}]},
        {"audience": 0},
        {"primary": "x"},
        {"unit": "planet"},
        {"rule": "not_worse_and_cheaper"},
        {"variants": ["sim-fast", {"model": "sim-fast", "parameters": {"nonsense": 1}}]},
    ],
)
def test_a_design_that_cannot_be_is_refused_with_its_reason(client: Client, fields: dict[str, Any]):
    body = {"name": "t", "variant_a": "sim-fast", "variant_b": "sim-balanced", **fields}
    status, answer = client.post("/api/experiment", body)
    assert status in (400, 422)
    assert answer["error"]


def test_retention_is_ruled_shown_and_a_user_forgotten(client: Client):
    rule = {"scope": "tag:eu", "texts": "7d", "calls": "forever"}
    assert client.post("/api/retention/rules", rule)[0] == 201
    assert client.post("/api/retention/rules", rule | {"texts": "7"})[0] == 422
    status, body = client.get("/api/retention")
    assert status == 200 and body["rules"] == [
        {"scope": "all", "texts": None, "calls": None, "fixed": False},
        {"scope": "tag:eu", "texts": "7d", "calls": "forever", "fixed": False},
    ]
    due = client.get("/api/retention/due")[1]["due"]
    assert [(each["scope"], each["part"], each["requests"]) for each in due] == [("tag:eu", "texts", 0)]
    assert client.send("DELETE", "/api/retention/rules/tag:eu") == (200, {"status": "success", "dropped": True})
    assert client.post("/api/retention/run")[0] == 202

    asked = {"model": "sim-fast", "user": "ada", "messages": [{"role": "user", "content": "My name is Ada."}]}
    assert client.post("/v1/chat/completions", asked)[0] == 200
    forgotten = client.send("DELETE", "/api/users/ada/data")[1]
    assert forgotten["requests"] == 1 and forgotten["alias"].startswith("forgotten-")
    assert client.get("/api/logs?user=ada")[1]["logs"] == []
    assert client.send("DELETE", "/api/users/ada/data")[1] == {"status": "success", "alias": None, "requests": 0}
