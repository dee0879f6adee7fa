"""Files and batches through the openai client: sent, checked, answered, fetched, cancelled; each line exactly once."""

import io
import json
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

import openai
import pytest

from tests.builders import GPT, HELLO, Running, running_gateway, until
from tests.conftest import copied
from tests.fakes.vendors import Reply, failure, openai_answer

CHAT = "/v1/chat/completions"


def line(custom_id: str, *, url: str = CHAT, model: str = GPT, **body: Any) -> str:
    whole = {"model": model, "messages": HELLO, **body}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": whole})


def sent(client: openai.OpenAI, *lines: str, raw: bytes | None = None) -> Any:
    data = "\n".join(lines).encode() if raw is None else raw
    return client.files.create(file=("lines.jsonl", io.BytesIO(data)), purpose="batch")


def begun(client: openai.OpenAI, *lines: str, endpoint: Any = CHAT, raw: bytes | None = None, **more: Any) -> Any:
    file = sent(client, *lines, raw=raw)
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more)


def ended(client: openai.OpenAI, batch_id: str, seconds: float = 20) -> Any:
    over = ("completed", "failed", "expired", "cancelled")
    assert until(lambda: client.batches.retrieve(batch_id).status in over, seconds), client.batches.retrieve(batch_id)
    return client.batches.retrieve(batch_id)


def results(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    return [json.loads(each) for each in client.files.content(file_id).text.splitlines()] if file_id else []


@pytest.fixture(scope="module")
def own_gateway(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway that is closed at the end: of the managers of one process, one executes batches."""
    url = copied(sqlite_template, tmp_path_factory.mktemp("batches"))
    with running_gateway(url, call_timeout_s=6.0) as running:
        running.mm.budgets.create("all", "1000", action="stop")
        yield running


@pytest.fixture
def served(own_gateway: Running) -> Running:
    own_gateway.forget()
    return own_gateway


@pytest.fixture
def client(served: Running) -> openai.OpenAI:
    return served.client()


def test_three_lines_are_answered(client: openai.OpenAI, served: Running):
    batch = begun(client, line("a"), line("b"), line("c"), metadata={"of": "today"})

    batch = ended(client, batch.id)

    assert batch.status == "completed"
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (3, 3, 0)
    found = results(client, batch.output_file_id)
    assert [each["custom_id"] for each in found] == ["a", "b", "c"]
    assert {each["response"]["status_code"] for each in found} == {200}
    assert {each["response"]["body"]["choices"][0]["message"]["content"] for each in found} == {"Hello there."}
    assert batch.error_file_id is None
    assert batch.metadata == {"of": "today"}
    assert served.books_agree()


def test_the_file_comes_back_as_it_was_sent(client: openai.OpenAI):
    data = "\r\n".join([line("ä"), "", line("b")]).encode("utf-8-sig")
    file = sent(client, raw=data)

    assert (file.bytes, file.purpose, file.filename) == (len(data), "batch", "lines.jsonl")
    assert client.files.content(file.id).content == data
    assert client.files.retrieve(file.id).expires_at == file.created_at + 30 * 86_400
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_blank_lines_carriage_returns_and_a_mark_are_no_requests(client: openai.OpenAI):
    data = ("\r\n".join(["", line("a"), "  ", line("b")]) + "\r\n\r\n").encode("utf-8-sig")

    batch = ended(client, begun(client, raw=data).id)

    assert [each["custom_id"] for each in results(client, batch.output_file_id)] == ["a", "b"]


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        ([], "empty_file", None),
        ([line("a"), "{"], "invalid_json_line", 2),
        ([line("a"), "[]"], "invalid_json_line", 2),
        ([line("a"), line("b"), line("a")], "duplicate_custom_id", 3),
        ([line("a", url="/v1/embeddings")], "url_mismatch", 1),
        ([line("a"), line("b", model="gpt-4o-mini")], "model_mismatch", 2),
        ([line("a").replace("POST", "GET")], "invalid_method", 1),
        ([line("a").replace("custom_id", "customId")], "missing_required_parameter", 1),
        ([line("a", model="exp:sky")], "invalid_model", 1),
        ([line("a", model="no-such-model")], "model_not_found", 1),
    ],
)
def test_a_file_that_is_wrong_fails_the_batch_and_says_where(
    client: openai.OpenAI, served: Running, lines: list[str], code: str, number: int | None
):
    batch = ended(client, begun(client, *lines).id)

    assert batch.status == "failed"
    assert [(error.code, error.line) for error in batch.errors.data] == [(code, number)]
    assert batch.output_file_id is batch.error_file_id is None
    assert served.vendor.requests == []


def test_a_line_that_is_wrong_is_in_the_error_file_and_the_others_are_answered(client: openai.OpenAI, served: Running):
    batch = begun(client, line("a"), line("b", messages=[]), line("c", stream=True), line("d"))

    batch = ended(client, batch.id)

    assert batch.status == "completed"
    assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 2)
    assert [each["custom_id"] for each in results(client, batch.output_file_id)] == ["a", "d"]
    failed = results(client, batch.error_file_id)
    assert [(each["custom_id"], each["response"]["status_code"]) for each in failed] == [("b", 400), ("c", 400)]
    assert failed[0]["response"]["body"]["error"]["type"] == "invalid_request_error"


def test_embeddings_are_asked_in_batches_too(client: openai.OpenAI):
    asked = {"model": "text-embedding-3-small", "input": "The sea"}
    one = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": asked})

    batch = ended(client, begun(client, one, endpoint="/v1/embeddings").id)

    [found] = results(client, batch.output_file_id)
    assert found["response"]["body"]["data"][0]["embedding"] == [0.25, -0.5, 0.0]


def test_responses_are_asked_in_batches_and_kept_like_others(client: openai.OpenAI):
    asked = {"model": "claude-sonnet-4-5", "input": "Hello"}
    one = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": asked})

    batch = ended(client, begun(client, one, endpoint="/v1/responses").id)

    [found] = results(client, batch.output_file_id)
    body = found["response"]["body"]
    assert body["output"][0]["content"][0]["text"] == "Hello there."
    assert client.responses.retrieve(body["id"]).output_text == "Hello there."


def test_each_key_sees_its_own(served: Running):
    first, second = (served.mm.keys.create(name, scopes=["call"])[1] for name in ("one of two", "the other"))
    mine, other = served.client(first), served.client(second)
    batch = ended(mine, begun(mine, line("a")).id)

    for ask in (
        lambda: other.files.retrieve(batch.input_file_id),
        lambda: other.files.content(batch.output_file_id),
        lambda: other.files.delete(batch.output_file_id),
        lambda: other.batches.retrieve(batch.id),
        lambda: other.batches.cancel(batch.id),
        lambda: other.batches.create(input_file_id=batch.input_file_id, endpoint=CHAT, completion_window="24h"),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()
    assert list(other.files.list()) == list(other.batches.list()) == []
    assert {file.id for file in mine.files.list()} == {batch.input_file_id, batch.output_file_id}
    assert [each.id for each in mine.batches.list()] == [batch.id]


def test_lists_come_in_pages(client: openai.OpenAI, served: Running):
    _, key = served.mm.keys.create("pages", scopes=["call"])
    mine = served.client(key)
    ids = [sent(mine, line("a")).id for _ in range(5)]

    assert [file.id for file in mine.files.list(limit=2)] == ids[::-1]
    assert [file.id for file in mine.files.list(limit=2, order="asc")] == ids
    assert list(mine.files.list(purpose="batch_output")) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "/v1/nothing"},
        {"completion_window": "1h"},
        {"metadata": {"a": "b" * 513}},
        {"metadata": {str(n): "" for n in range(17)}},
        {"output_expires_after": {"anchor": "created_at", "seconds": 60}},
    ],
)
def test_a_batch_that_cannot_be_is_refused_at_once(client: openai.OpenAI, wrong: dict[str, Any]):
    file = sent(client, line("a"))

    with pytest.raises(openai.BadRequestError):
        client.batches.create(**{"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **wrong})


def test_another_purpose_is_refused(client: openai.OpenAI):
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")


def test_a_file_that_a_batch_reads_stays(client: openai.OpenAI, served: Running):
    served.vendor.next(*[Reply(**{**vars(openai_answer()), "hang_s": 0.5})])
    batch = begun(client, line("a"))

    with pytest.raises(openai.ConflictError):
        client.files.delete(batch.input_file_id)
    ended(client, batch.id)
    assert client.files.delete(batch.input_file_id).deleted


# Money

WORST = 1000 * Decimal("0.00001")  # a thousand tokens of gpt-4o's answer, at $10 a million
COST = 10 * Decimal("0.0000025") + 5 * Decimal("0.00001")  # what the fake's answer uses


@pytest.fixture
def spender(served: Running) -> tuple[openai.OpenAI, str]:
    """A client with a key of its own, and the scope of its budgets."""
    key, secret = served.mm.keys.create(f"spender {uuid.uuid4().hex}", scopes=["call"])
    return served.client(secret), f"key:{key.id}"


def test_a_batch_that_no_budget_can_pay_is_refused_whole(spender: tuple[openai.OpenAI, str], served: Running):
    client, scope = spender
    served.mm.budgets.create(scope, WORST * 2, scope=scope, action="stop")

    batch = ended(client, begun(client, *(line(str(n), max_tokens=1000) for n in range(3))).id)

    assert batch.status == "failed"
    [error] = batch.errors.data
    assert error.code == "budget_exceeded"
    assert f"has ${WORST * 2:.6f} left" in error.message
    assert served.vendor.requests == []
    assert served.books_agree()


def test_money_for_the_whole_batch_is_set_aside_before_its_first_line(
    spender: tuple[openai.OpenAI, str], served: Running
):
    client, scope = spender
    budget = served.mm.budgets.create(scope, WORST * 4, scope=scope, action="stop").budget
    gate = Event()
    served.vendor.hold = gate
    batch = begun(client, *(line(str(n), max_tokens=1000) for n in range(3)))
    try:
        assert until(lambda: len(served.vendor.requests) == 3)
        reserved = served.mm.budgets.status(budget.id).reserved_usd
    finally:
        gate.set()
    batch = ended(client, batch.id)

    assert WORST * 3 < reserved < WORST * 3 * Decimal("1.1")
    assert batch.request_counts.completed == 3
    assert served.mm.budgets.status(budget.id).spent_usd == COST * 3
    assert Decimal(batch.cost_usd) == COST * 3
    assert batch.usage.total_tokens == 45
    assert served.books_agree()


def test_a_line_whose_vendor_is_down_is_asked_again_and_paid_once(
    spender: tuple[openai.OpenAI, str], served: Running, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("core.runs.pace.PAUSE_S", 0.01)
    client, scope = spender
    budget = served.mm.budgets.create(scope, WORST * 2, scope=scope, action="stop").budget
    served.vendor.next(*[failure(503, "Down for a moment")] * 5)

    batch = ended(client, begun(client, line("a", max_tokens=1000)).id)

    assert batch.request_counts.completed == 1
    assert [row.status for row in served.mm.log.by_ref(batch.id)] == ["error", "ok"]
    assert served.mm.budgets.status(budget.id).spent_usd == COST
    assert served.books_agree()


def test_a_line_that_its_vendor_refuses_is_in_the_error_file_in_the_vendors_words(
    client: openai.OpenAI, served: Running
):
    served.vendor.next(failure(400, "Unsupported value: 'temperature'", "unsupported_value"))

    batch = ended(client, begun(client, line("a")).id)

    assert (batch.status, batch.output_file_id) == ("completed", None)
    [found] = results(client, batch.error_file_id)
    assert found["response"]["status_code"] == 400
    assert found["response"]["body"]["error"]["message"] == "Unsupported value: 'temperature'"
    assert found["error"] is None


def test_a_line_with_a_large_picture_is_answered(client: openai.OpenAI, served: Running):
    """As large as a request by itself may be: a picture, a document or a recording stands in its line."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * (20 << 20)}"}}
    large = line("a", messages=[{"role": "user", "content": [picture]}], max_tokens=5)

    batch = ended(client, begun(client, large, line("b"), metadata={"aimm_batch": "paced"}).id)

    assert [each["custom_id"] for each in results(client, batch.output_file_id)] == ["a", "b"]
    assert served.books_agree()


def test_files_can_be_deleted_while_they_are_listed(client: openai.OpenAI):
    files = {sent(client, line(name)).id for name in "abcde"}

    listed = []
    for file in client.files.list(limit=2, purpose="batch"):
        listed.append(file.id)
        if file.id in files:
            client.files.delete(file.id)

    assert files <= set(listed)
    assert len(set(listed)) == len(listed)
    with pytest.raises(openai.BadRequestError, match="must be an id of the list"):
        client.batches.list(after="nothing")
