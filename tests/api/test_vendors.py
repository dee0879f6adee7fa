"""/api/vendors: deployments over HTTP, without a key in any answer."""

from collections.abc import Iterator

import pytest

from tests.builders import GPT, HELLO, Running, running_gateway
from tests.conftest import fresh
from tests.fakes.vendors import FakeVendor, failure

KEYS = ("sk-Key-of-the-first-0123456789", "sk-Key-of-the-second-012345678")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_gateway(fresh(tmp_path_factory.mktemp("vendors")), call_timeout_s=6.0) as running:
        yield running


@pytest.fixture
def fake() -> Iterator[FakeVendor]:
    found = FakeVendor(key=KEYS[0])
    yield found
    found.close()


def test_a_deployment_is_set_up_tried_rotated_and_removed(
    own: Running, fake: FakeVendor, caplog: pytest.LogCaptureFixture
):
    body = {"name": "eu", "kind": "azure", "url": fake.url, "private": True, "models": {GPT: "prod"}, "weight": 5}

    refused = own.post("/api/vendors", {**body, "key": KEYS[1]})
    assert refused.status == 422 and b"Nothing was kept" in refused.body and KEYS[1].encode() not in refused.body
    made = own.post("/api/vendors", {**body, "key": f"Bearer {KEYS[0]}"})
    assert (made.status, made.json["deployment"]["key"], made.json["deployment"]["models"]) == (
        201,
        f"…{KEYS[0][-4:]}",
        {GPT: "prod"},
    )
    own.vendor.next(failure(503, "down"))
    answer = (
        own.chat_raw()
        if hasattr(own, "chat_raw")
        else own.post("/v1/chat/completions", {"model": GPT, "messages": HELLO})
    )
    assert answer.status == 200
    listed = own.get("/api/vendors")
    assert [each["name"] for each in listed.json["deployments"]] == ["eu"] and "openai" in listed.json["environment"]
    fake.key = KEYS[1]
    assert own.post("/api/vendors/eu/test", {}).json["works"] is False
    assert own.post("/api/vendors/eu/rotate", {"key": KEYS[1]}).status == 200
    assert own.post("/api/vendors/eu/test", {}).json["works"] is True
    everything = b"".join((made.body, listed.body, own.get("/api/audit").body, own.get("/api/logs").body))
    assert all(key.encode() not in everything and key not in caplog.text for key in KEYS)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/vendors", {"name": "x", "kind": "none", "key": "k" * 20}, 422),
        ("/api/vendors", {"name": "x", "kind": "openai", "key": {"a": "sk-secret-0123456789"}}, 422),
        ("/api/vendors", {"name": "x", "kind": "openai", "wieght": 1}, 422),
        ("/api/vendors/none/rotate", {"key": "sk-secret-0123456789"}, 404),
        ("/api/vendors/none/test", {}, 404),
    ],
)
def test_what_cannot_be_is_refused_without_its_key(own: Running, path: str, body: dict, status: int):
    heard = own.post(path, body)

    assert heard.status == status and b"sk-secret" not in heard.body


def test_what_goes_on_from_a_stored_response_goes_to_the_deployment_that_has_it(own: Running):
    fakes = {name: FakeVendor(key=KEYS[0]) for name in ("r-eu", "r-us")}
    for name, fake in fakes.items():
        values = {"url": fake.url, "is_private": True, "models": {"gpt-4.1": "there"}}
        own.mm.deployments.add(name, "azure", KEYS[0], **values)
    asked = dict.fromkeys(fakes, 0)
    for at in range(6):
        first = own.post("/v1/responses", {"model": "gpt-4.1", "input": f"Hello {at}", "store": True})
        by = own.row().deployment
        assert first.status == 200
        body = {"model": "gpt-4.1", "input": "More", "previous_response_id": first.json["id"]}
        for fake in fakes.values():
            fake.stored = {first.json["id"]} if by and fake is fakes[by] else set()
        own.vendor.stored = {first.json["id"]} if not by else set()
        again = own.post("/v1/responses", body)

        assert (again.status, own.row().deployment) == (200, by), again.body
        asked |= {by: asked[by] + 1} if by else {}
    for name, fake in fakes.items():
        own.mm.deployments.remove(name)
        fake.close()
    assert sum(asked.values()) >= 1
