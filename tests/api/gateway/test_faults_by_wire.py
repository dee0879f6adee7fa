"""Faults of each vendor as callers of Messages and of Responses hear them, by their own clients."""

import json
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest

from tests.api.gateway.test_vendor_faults import VENDORS, asked, failing, raw, tell
from tests.builders import Running
from tests.fakes import gemini as gemini_fake
from tests.fakes.responses import response_answer
from tests.fakes.vendors import anthropic_answer, openai_answer

CLIENTS: dict[str, Any] = {"messages": anthropic, "responses": openai}
pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude:DeprecationWarning")
each = pytest.mark.parametrize("vendor", ["openai", "anthropic", "gemini"])
both = pytest.mark.parametrize("wire", CLIENTS)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


class Asking:
    """One request, and what it left behind."""

    def __init__(self, running: Running, wire: str, vendor: str, *, streamed: bool) -> None:
        before = running.mm.log.count()
        self.text, self.error = "", None
        try:
            ask = self._messages if wire == "messages" else self._responses
            self.text = ask(running, VENDORS[vendor], streamed)
        except (anthropic.APIError, openai.APIError) as error:
            self.error: Any = error
        assert running.mm.log.count() == before + 1  # nothing lost, nothing doubled
        assert running.books_agree()
        self.row = running.row()

    def _messages(self, running: Running, model: str, streamed: bool) -> str:
        client = anthropic.Anthropic(base_url=running.address, api_key="none", max_retries=0)
        body: Any = {"model": model, "max_tokens": 2000, "messages": [{"role": "user", "content": "Hello"}]}
        if not streamed:
            return "".join(block.text for block in client.messages.create(**body).content if block.type == "text")
        with client.messages.stream(**body) as stream:
            return "".join(stream.text_stream)

    def _responses(self, running: Running, model: str, streamed: bool) -> str:
        client = running.client()
        if not streamed:
            return str(client.responses.create(model=model, input="Hello").output_text)
        text = ""
        for event in client.responses.create(model=model, input="Hello", stream=True):
            if event.type == "response.output_text.delta":
                text += event.delta
            if event.type == "response.failed":
                error = event.response.error
                raise openai.APIError(error.message if error else "", None, body=None)  # type: ignore[arg-type]
        return text


def answering(vendor: str, wire: str) -> Any:
    if vendor == "gemini":
        return gemini_fake.answer()
    if vendor == "anthropic":
        return anthropic_answer()
    return response_answer() if wire == "responses" else None


@both
@each
@pytest.mark.parametrize(("status", "streamed"), [(429, True), (503, False)])
def test_what_passes_soon_is_tried_again(served: Running, wire: str, vendor: str, streamed: bool, status: int):
    tell(served, vendor, failing(vendor, status, "Not now", "", "0.02"))

    seen = Asking(served, wire, vendor, streamed=streamed)

    assert seen.error is None and seen.text
    assert (seen.row.status, seen.row.n_attempts, seen.row.text) == ("ok", 2, seen.text)


@both
@each
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "BadRequestError"), (401, "AuthenticationError"),
        (413, "RequestTooLargeError"), (429, "RateLimitError"),
    ],
)  # fmt: skip
def test_a_refusal_is_typed(served: Running, wire: str, vendor: str, status: int, kind: str):
    tell(served, vendor, failing(vendor, status, "Because of the words.", "slow_down", "30"))

    seen = Asking(served, wire, vendor, streamed=True)

    wanted = getattr(CLIENTS[wire], kind, CLIENTS[wire].APIStatusError)
    assert isinstance(seen.error, wanted), repr(seen.error)
    assert "Because of the words." in str(seen.error)
    assert (seen.row.status, seen.row.n_attempts, seen.row.cost_usd) == ("error", 1, 0)
    if status == 429:
        assert seen.error.response.headers["retry-after"] == "30"
    assert asked(served, vendor) == 1


@both
@each
@both_ways
def test_an_answer_that_is_cut_off_is_no_answer(served: Running, wire: str, vendor: str, streamed: bool):
    reply = answering(vendor, wire)
    if reply is None:
        return  # told by the tests of chat
    after = {"gemini": 1, "anthropic": 4}.get(vendor, 6)
    tell(served, vendor, *[replace(reply, break_after=after)] * 5)

    seen = Asking(served, wire, vendor, streamed=streamed)

    assert seen.error is not None
    assert seen.row.status in ("truncated", "error")
    assert seen.row.cost_status != "priced" or seen.row.cost_usd != 0


@both
@each
@pytest.mark.parametrize(("data", "streamed"), [(b"<html>no</html>", False), (b'data: {"x": \n\n', True)])
def test_what_cannot_be_read_is_a_vendors_fault(served: Running, wire: str, vendor: str, streamed: bool, data: bytes):
    tell(served, vendor, *[raw(vendor, data, is_json=not streamed)] * 5)

    seen = Asking(served, wire, vendor, streamed=streamed)

    assert seen.error is not None
    assert seen.error.status_code >= 500
    assert seen.row.error_class == "provider_error"


@pytest.mark.parametrize("wire", CLIENTS)
def test_an_error_has_the_form_of_its_wire(served: Running, wire: str):
    body = {"model": "nobodys-model", "messages": [{"role": "user", "content": "Hi"}], "input": "Hi", "max_tokens": 9}

    answer = served.post(f"/v1/{wire}", body)

    error = json.loads(answer.body)
    assert answer.status == 404
    if wire == "messages":
        assert (error["type"], error["error"]["type"]) == ("error", "not_found_error")
    else:
        assert error["error"]["code"] == "model_not_found"


@both
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_events_whose_data_stands_in_several_lines_are_read(served: Running, wire: str, vendor: str, end: str):
    reply = (
        anthropic_answer() if vendor == "anthropic" else openai_answer() if wire == "messages" else response_answer()
    )
    lines = []
    for name, value in reply.events:
        data = value if isinstance(value, str) else json.dumps(value, indent=1)
        lines += [f"event: {name}"] * bool(name) + [f"data: {line}" for line in data.split("\n")] + [""]
    served.vendor.next(replace(reply, events=[], raw=end.join([*lines, ""]).encode()))

    asking = Asking(served, wire, vendor, streamed=True)

    assert (asking.error, asking.text, asking.row.cost_status) == (None, "Hello there.", "priced")
