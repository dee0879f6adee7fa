"""The same Idempotency-Key twice is one call, one charge, and the first answer again."""

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core import Conflict, ModelManager, clock
from core.domain.experiment import Target
from tests.builders import FLASH, GPT, HELLO, Running, running_gateway
from tests.conftest import Open, SetClock, copied
from tests.fakes import gemini as gemini_fake
from tests.fakes.vendors import Reply, openai_answer

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": GPT, "messages": HELLO}
WORKFLOW = {"template": "translation", "input": "Hello", "model": "sim-fast"}
CASES = [
    (CHAT, BODY),
    (CHAT, {**BODY, "stream": True, "stream_options": {"include_usage": True}}),
    (CHAT, {**BODY, "model": "sim-fast"}),
    ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "Hello"}),
    (f"/gemini/v1beta/models/{FLASH}:generateContent", {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}),
    (f"/gemini/v1beta/models/{FLASH}:streamGenerateContent?alt=sse", {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}),
    ("/api/generate", {"prompt": "Hello", "model": GPT}),
    ("/api/workflow", WORKFLOW),
    ("/api/compare", {"prompt": "Hello", "models": [GPT, "sim-fast"]}),
    ("/api/experiment", {"name": "once", "variant_a": "sim-fast", "variant_b": "sim-balanced"}),
    ("/api/experiment/ID/test", {"user_id": "u1", "prompt": "Hello"}),
    ("/api/budgets", {"name": "b", "limit_usd": 5}),
    ("/api/keys", {"name": "made once"}),
]  # fmt: skip
counter = iter(range(10_000))


def fresh() -> dict[str, str]:
    return {"Idempotency-Key": f"k-{next(counter)}"}


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_gateway(copied(sqlite_template, tmp_path_factory.mktemp("once")), call_timeout_s=6.0) as running:
        yield running


@pytest.fixture(autouse=True)
def forgetful(served: Running) -> None:
    served.forget()


def made(served: Running) -> tuple[int, int, int, int]:
    mm = served.mm
    return mm.log.count(), len(mm.experiments.all()), len(mm.budgets.statuses()), len(mm.keys.all())


@pytest.mark.parametrize(("path", "body"), CASES)
def test_the_same_key_twice_is_one_call_and_the_first_answer_byte_for_byte(served: Running, path: str, body: Any):
    experiment = served.mm.experiments.create(f"e{next(counter)}", ["sim-fast", "sim-balanced"])
    path, named = path.replace("ID", experiment.id), fresh()

    first = served.post(path, body, named)
    after = made(served)
    again = served.post(path, dict(reversed(body.items())), named)  # the same in another order is the same

    assert first.status in (200, 201) and again.status == first.status, first.body
    assert again.body == first.body and made(served) == after
    assert again.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in first.headers
    assert again.headers.get("x-aimm-request-id") == first.headers.get("x-aimm-request-id")
    assert again.headers["content-type"] == first.headers["content-type"]
    other = served.post(path, {**body, "user": "someone else"}, named)
    assert other.status == 409 and made(served) == after
    assert "came before with another request" in other.body.decode()
    assert served.post(path, body, named).body == first.body


def test_another_address_header_or_key_is_another_request(served: Running):
    mm, named = served.mm, fresh()
    one, two = (mm.keys.create(f"of {n}-{next(counter)}")[1] for n in (1, 2))
    first = served.post(CHAT, BODY, named)

    assert served.post(CHAT, BODY, {**named, "x-aimm-tags": "a"}).status == 409
    assert served.post("/v1/embeddings", BODY, named).status == 409
    by_key = [served.post(CHAT, BODY, {**named, "Authorization": f"Bearer {secret}"}) for secret in (one, two, one)]
    assert [heard.status for heard in by_key] == [200] * 3
    assert by_key[0].body == by_key[2].body
    ids = {heard.headers["x-aimm-request-id"] for heard in (first, *by_key)}
    assert len(ids) == 3


@pytest.mark.parametrize(("name", "status"), [("x" * 255, 200), ("x" * 256, 400), ("é", 400), ("", 200), ("  ", 200)])
def test_a_key_is_a_short_text_and_an_empty_one_is_none(served: Running, name: str, status: int):
    heard = served.post(CHAT, BODY, {"Idempotency-Key": name})

    assert heard.status == status
    if not name.strip():
        assert (
            served.post(CHAT, BODY, {"Idempotency-Key": name}).body != b""
            and "idempotent-replayed" not in heard.headers
        )


@pytest.mark.parametrize("is_streamed", [False, True])
def test_who_asks_at_the_same_time_waits_for_the_first(served: Running, is_streamed: bool):
    served.vendor.next(Reply(**{**vars(openai_answer()), "hang_s": 0.4}))
    before, named, body = served.mm.log.count(), fresh(), {**BODY, "stream": is_streamed}

    with ThreadPoolExecutor(8) as pool:
        heard = list(pool.map(lambda _: served.post(CHAT, body, named), range(8)))

    assert {each.status for each in heard} == {200} and len({each.body for each in heard}) == 1
    assert served.mm.log.count() == before + 1
    assert sum("idempotent-replayed" in each.headers for each in heard) == 7


@pytest.mark.parametrize(("path", "body"), [(CHAT, BODY), ("/api/generate", {"prompt": "Hello", "model": GPT}), ("/api/compare", {"prompt": "Hello", "models": [GPT, GPT]})])  # fmt: skip
def test_a_first_try_that_failed_and_cost_nothing_may_be_tried_again(served: Running, path: str, body: Any):
    named = fresh()
    refusal = Reply(401, body={"error": {"message": "no such key", "type": "invalid_request_error"}})
    served.vendor.next(refusal, refusal)

    failed = served.post(path, body, named)
    served.vendor.forget()
    again = served.post(path, body, named)

    assert failed.status >= 400 and again.status == 200, (failed.body, again.body)
    assert "idempotent-replayed" not in again.headers


def test_a_first_try_that_failed_and_cost_something_is_not_paid_twice(served: Running):
    named = fresh()
    served.vendor.next(*[Reply(**{**vars(openai_answer()), "break_after": 1})] * 6)
    first = served.post(CHAT, BODY, named)
    served.vendor.forget()
    n = served.mm.log.count()

    again = served.post(CHAT, BODY, named)

    assert served.row().cost_usd != 0
    assert first.status == again.status == 502 and again.body == first.body
    assert again.headers["idempotent-replayed"] == "true" and served.mm.log.count() == n


@pytest.mark.parametrize("path", [CHAT, "/api/generate"])
@pytest.mark.parametrize("is_charged", [True, False])
def test_a_chain_that_failed_is_not_paid_twice_where_one_of_it_cost_something(
    served: Running, path: str, is_charged: bool
):
    served.mm.aliases.set("chain", Target(model=FLASH, fallbacks=(GPT,)))
    failed = gemini_fake.Reply(
        events=[gemini_fake.event(None, finish="MALFORMED_FUNCTION_CALL", usage=gemini_fake.usage(10, 5))]
    )
    served.gemini.next(failed if is_charged else gemini_fake.error(403, "PERMISSION_DENIED", "no"))
    served.vendor.next(Reply(401, body={"error": {"message": "no such key"}}))
    named, body = (
        fresh(),
        {"model": "chain", "messages": HELLO} if path == CHAT else {"model": "chain", "prompt": "Hello"},
    )

    first, again = (served.post(path, body, named) for _ in range(2))

    assert first.status == 401 and again.status == (401 if is_charged else 200)
    assert ("idempotent-replayed" in again.headers) is is_charged
    cost = first.headers.get("x-aimm-fallback-cost-usd", "0")
    assert cost == ("0.0000155" if is_charged else "0")


def test_who_left_finds_the_answer_when_asking_again(served: Running):
    served.vendor.next(Reply(**{**vars(openai_answer("Still here.")), "hang_s": 0.5}))
    n, named = served.mm.log.count(), fresh()
    line = http.client.HTTPConnection(served.address.removeprefix("http://"), timeout=0.2)
    with pytest.raises(TimeoutError):
        line.request("POST", CHAT, json.dumps(BODY), {"content-type": "application/json", **named})
        line.getresponse()
    line.close()

    again = served.post(CHAT, BODY, named)

    assert again.json["choices"][0]["message"]["content"] == "Still here."
    assert served.mm.log.count() == n + 1 and served.row().status == "ok"


def test_where_no_texts_are_kept_an_answer_is_in_memory_alone(served: Running):
    mm = served.mm
    secret = mm.keys.create(f"private {next(counter)}", log_content="metadata")[1]
    served.vendor.next(*[openai_answer("Zanzibar forever.")] * 2)

    for headers in ({"Authorization": f"Bearer {secret}"}, {"x-aimm-no-store": "1"}):
        named = {**fresh(), **headers}
        first, again = served.post(CHAT, BODY, named), served.post(CHAT, BODY, named)
        assert again.body == first.body and b"Zanzibar" in first.body
        mm.requests._unwritten.clear()  # as after a restart, or in another process
        told = served.post(CHAT, BODY, named)
        assert told.status == 409 and "not kept" in told.json["error"]["message"]
    made = served.post("/api/keys", {"name": f"x{next(counter)}"}, named := fresh())
    assert served.post("/api/keys", {"name": "x"}, named).status == 409
    with mm.database.read() as connection:
        kept = b"".join(row[0] or b"" for row in connection.exec_driver_sql("SELECT answer FROM keyed_requests"))
    assert b"Zanzibar" not in kept and made.json["secret"].encode() not in kept


# Over processes and restarts ------------------------------------------------------------------------------------------


def test_a_key_is_taken_once_over_all_processes_and_restarts(open_manager: Open, database_url: str):
    one, two = (open_manager(database_url, takes_up=False).requests for _ in range(2))

    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(lambda n: (one, two)[n % 2].claim("k", "a", "d").state, range(16)))
    assert sorted(states) == ["busy"] * 15 + ["mine"]
    one.keep("k", "a", b"answer", is_written=True)

    later = open_manager(database_url, takes_up=False).requests
    for keeper in (one, two, later):
        assert keeper.claim("k", "a", "d") == ("answered", b"answer")
        with pytest.raises(Conflict, match="came before with another request"):
            keeper.claim("k", "a", "other")
    assert later.claim("another key", "a", "other").state == "mine"
    later.free("another key", "a")
    assert one.claim("another key", "a", "other").state == "mine"


def test_what_a_process_that_died_had_begun_may_be_begun_again(
    open_manager: Open, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    dead, alive = (open_manager(database_url, takes_up=False) for _ in range(2))
    assert dead.requests.claim("", "a", "d").state == "mine"
    assert alive.requests.claim("", "a", "d").state == "busy"
    dead.close()

    assert [alive.requests.claim("", "a", "d").state for _ in range(2)] == ["mine", "busy"]


def test_an_answer_is_kept_for_a_day(mm: ModelManager, set_clock: SetClock):
    for name in ("a", "b"):
        mm.requests.claim("", name, "d")
        mm.requests.keep("", name, b"answer", is_written=True)
    set_clock(clock.now() + timedelta(days=1, seconds=1))

    assert mm.requests.claim("", "a", "other").state == "mine"
    mm.requests.keep("", "a", b"new", is_written=True)
    with mm.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM keyed_requests").scalar() == 1
