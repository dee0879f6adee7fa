"""Answers of the Responses API, kept for later requests, on each database."""

from datetime import timedelta
from typing import Any

import pytest

from core import ModelManager, NotFound, clock
from core.log.stored_responses import StoredResponses, UnknownResponse
from tests.conftest import SetClock


def answer(name: str, *, text: str = "Hi") -> dict[str, Any]:
    message = {"type": "message", "id": f"msg_{name}", "content": [{"type": "output_text", "text": text}]}
    return {"id": f"resp_{name}", "output": [message], "previous_response_id": None}


def asked(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


@pytest.fixture
def kept(mm: ModelManager) -> StoredResponses:
    return mm.responses


def test_a_conversation_is_put_together_from_its_answers(kept: StoredResponses):
    kept.keep(answer("a"), [asked("1")], "k", "", full=True)
    kept.keep(answer("b"), [asked("2")], "k", "", previous_id="resp_a", full=True)

    found = kept.conversation([asked("3")], "resp_b", "k")

    assert [item.get("content") if "role" in item else item["id"] for item in found.items or ()] == [
        "1", "msg_a", "2", "msg_b", "3",
    ]  # fmt: skip
    assert kept.input_items("resp_b", "k") == (found.items or [])[:3]


def test_what_a_caller_sends_again_is_kept_as_it_was_sent(kept: StoredResponses):
    kept.keep(answer("a"), [asked("1")], "k", "openai", full=True)
    again = [asked("1"), *answer("a", text="Edited by the caller")["output"], asked("2")]
    kept.keep(answer("b"), again, "k", "openai", full=True)
    kept.delete("resp_a", "k")

    assert kept.input_items("resp_b", "k") == again
    assert kept.conversation([], "resp_b", "k").kept_by == "openai"


def test_each_key_has_its_own(kept: StoredResponses):
    kept.keep(answer("a"), [asked("1")], "k", "", full=True)

    with pytest.raises(NotFound):
        kept.get("resp_a", "other")
    with pytest.raises(NotFound):
        kept.delete("resp_a", "other")
    with pytest.raises(UnknownResponse):
        kept.conversation([], "resp_a", "other")
    for named in ("msg_a", "msg_unheard_of"):
        with pytest.raises(UnknownResponse):
            kept.conversation([{"type": "item_reference", "id": named}], "", "other")


def test_what_is_forgotten_is_not_asked_of_its_vendor_by_others(kept: StoredResponses):
    kept.keep(answer("a"), [asked("1")], "k", "openai", full=True)
    kept.delete("resp_a", "k")

    for key_id in ("k", "other", ""):
        with pytest.raises(UnknownResponse):
            kept.conversation([], "resp_a", key_id)
        with pytest.raises(UnknownResponse):
            kept.conversation([{"type": "item_reference", "id": "msg_a"}], "", key_id)


def test_an_item_that_another_key_claims_stays_with_its_first(kept: StoredResponses):
    kept.keep(answer("a"), [asked("1")], "k", "", full=True)
    stolen = {**answer("b"), "output": answer("a", text="Forged")["output"]}
    kept.keep(stolen, [], "other", "", full=True)

    found = kept.conversation([{"type": "item_reference", "id": "msg_a"}], "", "k")

    assert (found.items or [{}])[0]["content"][0]["text"] == "Hi"


def test_what_may_not_be_kept_is_known_by_its_id_alone(kept: StoredResponses):
    kept.keep(answer("a"), [asked("a secret")], "k", "", full=False)

    with pytest.raises(UnknownResponse, match="not kept"):
        kept.get("resp_a", "k")
    assert kept.conversation([], "resp_a", "k").items is None


def test_they_are_forgotten(kept: StoredResponses, set_clock: SetClock):
    kept.keep(answer("a"), [asked("1")], "k", "", full=True)
    kept.keep(answer("b"), [asked("1")], "k", "", full=True)
    kept.delete("resp_b", "k")
    with pytest.raises(NotFound):
        kept.get("resp_b", "k")

    set_clock(clock.now() + timedelta(days=31))
    kept.forget_old()

    with pytest.raises(NotFound):
        kept.get("resp_a", "k")
    with pytest.raises(UnknownResponse):
        kept.conversation([{"type": "item_reference", "id": "msg_a"}], "", "k")
