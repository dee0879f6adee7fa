"""Vendors' batches that go wrong: nothing is created twice, nothing that was paid for is lost, one line spoils no other."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.api.gateway.test_batches import COST, begun, ended, line, results
from tests.api.gateway.test_vendor_batches import QUICK, batches_of, calls, told
from tests.builders import CLAUDE, FLASH, GPT, Running, running_gateway, until
from tests.conftest import copied
from tests.fakes import vendors

ALL = pytest.mark.parametrize("model", [GPT, CLAUDE, FLASH])


@pytest.fixture(scope="module")
def own_gateway(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    url = copied(sqlite_template, tmp_path_factory.mktemp("vendor_batch_faults"))
    with running_gateway(url, call_timeout_s=6.0) as running:
        yield running


@pytest.fixture
def served(own_gateway: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    own_gateway.forget()
    own_gateway.vendor.batches.is_on = own_gateway.gemini.batches.is_on = True
    for name, value in QUICK.items():
        monkeypatch.setattr(f"core.batches.handing.{name}", value)
    yield own_gateway
    own_gateway.vendor.key = vendors.KEY


@pytest.fixture
def client(served: Running) -> openai.OpenAI:
    return served.client()


def failing(statuses: list[int], is_meant: Callable[[str, str], bool]) -> Callable[[str, str], tuple[int, Any] | None]:
    """A vendor that answers some requests with these, one after the other, before it answers them well."""

    def answer(method: str, path: str) -> tuple[int, Any] | None:
        if not statuses or not is_meant(method, path.partition("?")[0]):
            return None
        status = statuses.pop(0)
        return status, {"error": {"message": "Not now.", "code": status}}

    return answer


def is_list(method: str, path: str) -> bool:
    return method == "GET" and path.endswith("/batches")


def is_look(method: str, path: str) -> bool:
    return method == "GET" and path.split("/")[-2] == "batches"


def is_download(method: str, path: str) -> bool:
    return method == "GET" and any(part in path for part in ("/content", "/results", "/download/"))


def is_creation(method: str, path: str) -> bool:
    return method == "POST" and path.endswith(("/batches", ":batchGenerateContent"))


@ALL
def test_results_and_looks_that_fail_for_a_while_are_asked_for_again(
    client: openai.OpenAI, served: Running, model: str
):
    fake = batches_of(served, model)
    served.gemini.batches.in_file = True
    looks, downloads = (failing([401, 404, 429, 500, 403], each) for each in (is_look, is_download))
    fake.before = lambda method, path: looks(method, path) or downloads(method, path)

    batch = ended(client, begun(client, line("a", model=model), line("b", model=model)).id)

    assert (told(client, batch), fake.n_created) == ({"a": 200, "b": 200}, 1)


@ALL
def test_a_list_that_is_refused_makes_no_second_batch(client: openai.OpenAI, served: Running, model: str):
    fake = batches_of(served, model)
    fake.loses, fake.before = 1, failing([404, 403, 500, 400], is_list)

    batch = ended(client, begun(client, line("a", model=model)).id)

    assert (batch.service_tier, told(client, batch), fake.n_created) == ("batch", {"a": 200}, 1)
    assert (served.vendor.requests, served.gemini.requests) == ([], [])


@ALL
def test_results_that_are_never_there_are_left_at_the_vendor(
    client: openai.OpenAI, served: Running, model: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("core.batches.handing.MAX_READS", 2)
    fake, served.gemini.batches.in_file = batches_of(served, model), True
    fake.before = failing([404] * 2, is_download)

    batch = ended(client, begun(client, line("a", model=model)).id)

    assert (batch.status, told(client, batch), len(fake.made)) == ("completed", {"a": "batch_line_missing"}, 1)
    [failed] = results(client, batch.error_file_id)
    assert "cannot be read" in failed["error"]["message"]
    assert served.books_agree()


@ALL
def test_a_vendor_deletes_nothing_before_all_of_it_is_on_record(client: openai.OpenAI, served: Running, model: str):
    """A process that died in between would find neither lines nor the reason why some have no result."""
    fake, is_over = batches_of(served, model), list[bool]()
    fake.expires = 1

    def heard(method: str, _path: str) -> None:
        if method == "DELETE":
            is_over.append(served.mm.batches.page(None, 1)[0][0].is_over)

    fake.before = heard
    ended(client, begun(client, line("a", model=model), line("b", model=model)).id)

    assert until(lambda: not (served.vendor.batches.files if model == GPT else fake.made))
    assert is_over[-1]  # the first ones may be of a batch before


OPENAI: list[Any] = [
    [], {}, {"error": "text"}, {"response": "text"}, {"response": {"status_code": 200, "body": []}}, None,
]  # fmt: skip
ANTHROPIC: list[Any] = [
    [], {}, {"result": None}, {"result": {"type": "errored"}}, {"result": {"type": "succeeded", "message": {}}},
    {"result": {"type": "errored", "error": {"type": "overloaded_error", "message": "Overloaded"}}},
]  # fmt: skip
GEMINI: list[Any] = [
    [], {}, {"error": "text"}, {"error": {"code": "RESOURCE_EXHAUSTED"}}, {"response": []}, {"response": {}},
]  # fmt: skip


@pytest.mark.parametrize(("model", "odd"), [(GPT, OPENAI), (CLAUDE, ANTHROPIC), (FLASH, GEMINI)])
def test_a_result_that_cannot_be_read_spoils_no_other(
    client: openai.OpenAI, served: Running, model: str, odd: list[Any], monkeypatch: pytest.MonkeyPatch
):
    """googleapis/python-genai#2008: results without their metadata, and worse."""
    fake, handle, n = batches_of(served, model), type(batches_of(served, model)).handle, len(odd)

    def spoilt(lines: list[Any]) -> list[Any]:
        lines.sort(key=str)
        return [o if not isinstance(o, dict) else {**kept(e), **o} for e, o in zip(lines, odd, strict=False)] + lines[
            n:
        ]

    def kept(each: dict[str, Any]) -> dict[str, Any]:
        return {name: each[name] for name in ("custom_id", "metadata") if name in each}

    def handled(self: Any, *asked: Any) -> tuple[int, Any]:
        status, body = handle(self, *asked)
        if isinstance(body, bytes):
            return status, "\n".join(map(json.dumps, spoilt([*map(json.loads, body.splitlines())]))).encode()
        if isinstance(body, dict) and "response" in body:
            whole = spoilt(json.loads(json.dumps(body["response"]["inlinedResponses"]["inlinedResponses"])))
            body = {**body, "response": {"inlinedResponses": {"inlinedResponses": whole}}}
        return status, body

    monkeypatch.setattr(type(fake), "handle", handled)
    names = [f"{at}" for at in range(n + 2)]

    batch = ended(client, begun(client, *(line(name, model=model) for name in names)).id)

    found = told(client, batch)
    assert batch.status == "completed"
    assert {name: found[name] for name in names[-2:]} == dict.fromkeys(names[-2:], 200)
    assert 200 not in [found[name] for name in names[:-2]]
    assert served.books_agree()


def test_a_vendor_that_takes_no_more_is_asked_again_and_then_the_lines_one_by_one(
    client: openai.OpenAI, served: Running, monkeypatch: pytest.MonkeyPatch
):
    """googleapis/js-genai#1264, python-genai#1901: 429 for days. openai/openai-python#1643: files left behind."""
    fake = served.vendor.batches
    fake.before = failing([429, 429], is_creation)
    batched = ended(client, begun(client, line("a")).id)
    n_created, is_clean = fake.n_created, until(lambda: not fake.files)
    fake.before = failing([429] * 1000, is_creation)
    monkeypatch.setattr("core.batches.handing.BUSY", timedelta(seconds=-1))
    paced = ended(client, begun(client, line("a")).id)

    assert (batched.service_tier, n_created, is_clean) == ("batch", 1, True)
    assert (paced.service_tier, Decimal(paced.cost_usd), fake.files) == ("default", COST, {})
    assert served.books_agree()


@pytest.mark.parametrize("state", ["JOB_STATE_PARTIALLY_SUCCEEDED", "BATCH_STATE_OF_TOMORROW", ""])
def test_a_batch_of_gemini_that_is_done_has_ended_whatever_it_calls_that(
    client: openai.OpenAI, served: Running, state: str, monkeypatch: pytest.MonkeyPatch
):
    """freelawproject/courtlistener#6907, googleapis/python-genai#1297."""
    view = type(served.gemini.batches)._view

    def other(self: Any, made: dict[str, Any]) -> dict[str, Any]:
        told = view(self, made)
        return {**told, "metadata": {**told["metadata"], "state": state}} if "done" in told else told

    monkeypatch.setattr(type(served.gemini.batches), "_view", other)

    batch = ended(client, begun(client, line("a", model=FLASH)).id)

    assert (batch.status, told(client, batch)) == ("completed", {"a": 200})


def test_a_key_that_is_changed_meanwhile_is_the_one_that_looks(client: openai.OpenAI, served: Running):
    served.vendor.batches.holds = True
    batch = begun(client, line("a"))
    assert until(lambda: served.vendor.batches.n_created == 1)
    served.vendor.key = "sk-AnotherKeyOfTheFakeVendor98765"
    registry = served.mm.calls._registry
    registry.set_key("openai", served.vendor.key)
    served.vendor.batches.holds = False
    try:
        batch = ended(client, batch.id)
    finally:
        registry.set_key("openai", vendors.KEY)

    assert (batch.status, told(client, batch), len(calls(served, batch))) == ("completed", {"a": 200}, 1)
