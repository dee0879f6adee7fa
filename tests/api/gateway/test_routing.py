"""Who answers: aliases, experiments and their shadows, fallbacks, and models that a body names for its vendor."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from core import InvalidRequest
from core.domain.experiment import Variant
from core.domain.generation import Generation
from tests.builders import CLAUDE, GPT, HELLO, Running, until
from tests.fakes.vendors import Reply, failure


def test_an_experiment_says_what_was_assigned_and_takes_feedback(served: Running):
    variants = (
        Variant(position=0, name="A", model="sim-fast"),
        Variant(position=1, name="B", model=GPT, system="Be brief."),
        Variant(position=2, name="S", model=CLAUDE, weight=0, is_shadow=True),
    )
    experiment_id = served.mm.experiments.create("tone of u1", hypothesis="h", variants=variants).id
    heard = served.chat("exp:tone of u1", user="u1")
    answer_id, assignment = heard.headers["x-aimm-request-id"], heard.headers["x-aimm-assignment"]

    first = served.post("/v1/feedback", {"generation_id": answer_id, "success": True})
    second = served.post("/v1/feedback", {"assignment_id": assignment, "rating": 4})
    wrong = served.post("/v1/feedback", {"generation_id": "g_none", "success": True})
    unsaid = served.post("/v1/feedback", {"success": True})

    assert heard.headers["x-aimm-variant"] in ("variant_a", "variant_b")
    assert (first.status, second.status, wrong.status, unsaid.status) == (200, 200, 404, 400)
    assert unsaid.json["error"]["type"] == "invalid_request_error"
    units = served.mm.experiments.reports.latest_units(experiment_id)
    assert [(unit.unit_id, unit.assignment_id) for unit in units] == [("u1", assignment)]
    assert (first.json["state"], second.json["state"]) == ("counted", "counted")
    # The shadow is asked with the same words, recorded as what it is, and never returned.
    assert until(lambda: any("shadow" in row.tags for row in served.rows()))
    shadow = next(row for row in served.rows() if "shadow" in row.tags)
    assert (shadow.model, answer_id in (shadow.ref_part or ""), shadow.messages[0].text) == (CLAUDE, True, "Hello")
    assert heard.headers["x-aimm-model"] != CLAUDE


def test_a_shadow_keeps_the_tags_of_its_call(served: Running):
    variants = (
        Variant(position=0, name="A", model="sim-fast"),
        Variant(position=1, name="S", model=GPT, weight=0, is_shadow=True),
    )
    served.mm.experiments.create("shaded", variants)
    tags = [f"t{at}" for at in range(10)]

    assert served.complete({"model": "exp:shaded", "user": "u"}, x_aimm_tags=",".join(tags)).status == 200

    def shadows() -> list[Generation]:
        return [row for row in served.rows() if "shadow" in row.tags and row.ref_name == "experiment:shaded"]

    assert until(lambda: bool(shadows()))
    assert shadows()[0].tags == (*tags[:9], "shadow")


def test_an_alias_and_an_experiment_are_told_by_http_to_cache_and_fall_back(served: Running):
    place = urlsplit(served.address)
    line = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
    body = {"model": GPT, "fallbacks": [CLAUDE], "cache_s": 60}
    line.request("PUT", "/api/aliases/kept", json.dumps(body), {"Content-Type": "application/json"})
    alias = json.loads(line.getresponse().read())["alias"]
    line.close()
    assert (alias["fallbacks"], alias["cache_s"]) == ([CLAUDE], 60)

    made = {"name": "kept-e", "variant_a": "sim-fast", "variant_b": GPT, "cache_s": 60}
    assert served.post("/api/experiment", made).status == 201
    assert served.post("/api/experiment", made | {"cache_s": 2_592_001}).status == 422
    with pytest.raises(InvalidRequest):
        served.mm.experiments.create("x", [GPT, CLAUDE], cache_s=0)

    for model in ("kept", "exp:kept-e"):
        body = {"model": model, "user": "u", "messages": [{"role": "user", "content": f"Hello {model}"}]}
        heard = [served.complete(body).headers.get("x-aimm-cache") for _ in range(2)]
        unkept = served.complete(body, x_aimm_cache="no")
        assert (heard, unkept.status, unkept.headers.get("x-aimm-cache")) == (["miss", "hit"], 200, None)


def test_models_that_a_body_names_for_its_vendor_are_asked_for_too(served: Running):
    """OpenRouter takes a list of fallbacks of its own."""
    _, secret = served.mm.keys.create("narrow", models=("vllm/*",))
    body = {"model": "vllm/my-model", "messages": HELLO}

    heard = [
        served.complete({**body, "models": models}, authorization=f"Bearer {secret}").status
        for models in (["vllm/other"], ["openai/o3-pro"], "openai/o3-pro", [5])
    ]

    assert heard == [200, 403, 403, 400]


def test_a_cap_is_for_all_models_of_a_call(served: Running):
    """An attempt that was billed and said nothing costs 5 cents; then another model is asked."""
    billed = Reply(events=[("", {"choices": [], "usage": {"prompt_tokens": 4000, "completion_tokens": 4000}})])
    more: Any = {"extra_body": {"fallbacks": [CLAUDE]}, "max_tokens": 100}
    for cap, status in (("0.0502", 400), ("0.06", 200)):
        served.forget()
        served.vendor.next(billed, failure(503, "down", headers={"retry-after": "60"}))
        try:
            found = served.chat(GPT, extra_headers={"x-aimm-cap-usd": cap}, **more).status_code
        except openai.BadRequestError as error:
            found = error.status_code
            assert "of the cap is left" in error.message and cap not in error.message
        assert found == status


def test_a_name_that_several_vendors_have_is_listed_once_as_the_first_of_them(served: Running):
    listed = served.get("/v1/models").json["data"]
    names = [model["name"] for model in served.get("/gemini/v1beta/models").json["models"]]

    assert len({model["id"] for model in listed}) == len(listed) and len(set(names)) == len(names)
    assert [model["owned_by"] for model in listed if model["id"] == GPT] == ["openai"]
