"""What is written down, what travels on, and what does neither."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from core import AimmError, ModelManager
from core.calls.origin import Origin
from core.config import Settings
from tests.builders import CLAUDE, FLASH, GPT, Running, running_gateway
from tests.conftest import Open, copied, fresh
from tests.fakes import gemini as gemini_fake
from tests.fakes import vendors as vendor_fake

ASKED, SAID, CALLED = "xylophone-quagmire", "zeppelin-marmalade", "obelisk-turnip"
MESSAGES: list[Any] = [
    {"role": "system", "content": f"System {ASKED}"},
    {"role": "user", "content": f"Tell me of {ASKED}"},
]
TOOLS: Any = [
    {"type": "function", "function": {"name": "look", "description": ASKED, "parameters": {"type": "object"}}}
]
MODELS = (GPT, CLAUDE, FLASH, "vllm/my-model")


def ask_all(running: Running, **more: Any) -> None:
    """Every vendor and the simulated models, plain and streamed, with text and calls of tools, on both wires."""
    for model in MODELS:
        for streamed in (False, True):
            running.gemini.next(gemini_fake.answer(SAID))
            if model != FLASH:
                made = vendor_fake.anthropic_answer if model == CLAUDE else vendor_fake.openai_answer
                running.vendor.next(made(SAID))
                running.gemini.forget()
            if streamed:
                running.stream(model, MESSAGES, tools=TOOLS, **more)
            else:
                running.chat(model, MESSAGES, tools=TOOLS, **more)
    running.vendor.next(vendor_fake.openai_tools(("call_a", "look", f'{{"at": "{CALLED}"}}')))
    running.chat(GPT, MESSAGES, tools=TOOLS, **more)
    running.chat("sim-fast", MESSAGES, **more)
    running.client(more.get("key", "none")).embeddings.create(
        model="sim-fast", input=ASKED, extra_headers=more.get("extra_headers")
    )
    quoted = f"Cannot read {ASKED}"
    running.vendor.next(vendor_fake.failure(400, quoted, "bad_words"))
    with pytest.raises(openai.BadRequestError, match=ASKED):
        running.chat(GPT, MESSAGES, **more)
    running.vendor.next(vendor_fake.failure(404, quoted))
    running.chat(GPT, MESSAGES, extra_body={"fallbacks": ["sim-fast"]}, **more)


def all_bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())


@pytest.mark.parametrize("way", ["setting", "key", "header"])
def test_no_text_is_written_down_where_none_may_be(tmp_path: Path, way: str):
    settings = {"log_content": "metadata"} if way == "setting" else {}
    with running_gateway(fresh(tmp_path), **settings) as running:
        more: dict[str, Any] = {}
        if way == "key":
            more["key"] = running.mm.keys.create("quiet", log_content="none")[1]
        if way == "header":
            more["extra_headers"] = {"x-aimm-no-store": "1"}
        ask_all(running, **more)
        assert len(running.rows()) == 14
        assert "400 bad_words" in [row.error_message for row in running.rows()]
        assert all(row.text == "" and row.messages == () for row in running.rows())
        with_log = all_bytes(tmp_path)
    for stored in (with_log, all_bytes(tmp_path)):
        assert not [word for word in (ASKED, SAID, CALLED) if word.encode() in stored]


def test_otherwise_it_is(tmp_path: Path):
    with running_gateway(fresh(tmp_path)) as running:
        ask_all(running)
        texts = [row.text for row in running.rows()]
        assert texts.count(SAID) == 8
        assert f"OpenAI: Cannot read {ASKED}" in [row.error_message for row in running.rows()]
        assert any(call.arguments == f'{{"at": "{CALLED}"}}' for row in running.rows() for call in row.tool_calls)


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    url = copied(sqlite_template, tmp_path_factory.mktemp("privacy"))
    with running_gateway(url, call_timeout_s=6.0) as running:
        yield running


def test_what_must_not_be_written_down_is_not_kept_for_others_either(served: Running):
    served.forget()
    secret = served.mm.keys.create("quiet too", log_content="metadata")[1]
    headers = {"x-aimm-cache": "3600"}
    for more in ({"key": secret, "extra_headers": headers}, {"extra_headers": {**headers, "x-aimm-no-store": "1"}}):
        for _ in range(2):
            assert served.chat(GPT, MESSAGES, **more).headers["x-aimm-cache"] == "miss"

    assert len(served.vendor.requests) == 4


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streamed", [False, True])
def test_no_header_travels_through(served: Running, model: str, streamed: bool):
    served.forget()
    secret = served.mm.keys.create(f"k {model} {streamed}")[1]
    theirs = {"Set-Cookie": "session=vendor", "openai-organization": "org-secret", "x-request-id": "vendor-request"}
    fake: Any = served.gemini if model == FLASH else served.vendor
    reply = gemini_fake.answer() if model == FLASH else vendor_fake.anthropic_answer() if model == CLAUDE else vendor_fake.openai_answer()  # fmt: skip
    reply.headers = theirs
    fake.next(reply)
    ours = {"Cookie": "session=mine", "Authorization": f"Bearer {secret}", "x-custom": "mine-too", "OpenAI-Organization": "org-mine"}  # fmt: skip

    heard = served.post("/v1/chat/completions", {"model": model, "messages": MESSAGES, "stream": streamed}, ours)

    assert heard.status == 200
    assert not set(theirs.values()) & set(heard.headers.values())
    told = repr(fake.headers[-1])
    assert not [word for word in ("session=mine", secret, "mine-too", "org-mine") if word in told]
    # No key of ours is in the vendor's request, and none of anybody's is in the log.
    assert secret not in repr(fake.requests)


def test_keys_are_in_no_row(served: Running, tmp_path: Path):
    served.forget()
    secret = served.mm.keys.create("leaky")[1]
    for key in (vendor_fake.KEY, gemini_fake.KEY, secret):
        for model in (GPT, CLAUDE):
            served.vendor.next(vendor_fake.failure(400, f"Your key {key} is odd"))
            with pytest.raises(openai.BadRequestError) as caught:
                served.chat(model, MESSAGES, key=secret)
            assert key not in str(caught.value) + repr(caught.value.body)
    served.gemini.next(gemini_fake.error(400, "INVALID_ARGUMENT", f"Your key {gemini_fake.KEY} is odd"))
    path = f"/gemini/v1beta/models/{FLASH}:generateContent?key={secret}"
    heard = served.post(path, {"contents": [{"parts": [{"text": "Hi"}]}]})

    assert heard.status == 400 and gemini_fake.KEY.encode() not in heard.body
    with sqlite3.connect(served.mm.database.url.database or "") as connection:
        everything = "\n".join(connection.iterdump())
    assert not [key for key in (vendor_fake.KEY, gemini_fake.KEY, secret) if key in everything]


LINK_LOCAL = ["http://169.254.169.254/v1", "http://[::ffff:169.254.169.254]/v1", "http://[fe80::1]/v1", "http://2852039166/v1"]  # fmt: skip


@pytest.mark.parametrize("address", LINK_LOCAL)
def test_addresses_that_no_vendor_has_are_not_asked(open_manager: Open, sqlite_url: str, address: str):
    mm = open_manager(sqlite_url, servers={"odd": address}, gemini_api_key=gemini_fake.KEY, gemini_base_url=address)  # fmt: skip

    for model in ("odd/m", FLASH):
        assert "link-local or metadata address" in refusal(mm, model)
    assert [row.n_attempts for row in mm.log.latest()] == [1, 1]


def test_link_local_addresses_are_asked_where_they_are_meant(open_manager: Open, sqlite_url: str):
    settings = Settings.from_environ({"AIMM_SERVERS": "odd=http://[fe80::1]:9/v1", "AIMM_ALLOW_LINK_LOCAL": "1"})
    mm = open_manager(sqlite_url, servers=settings.servers, allows_link_local=settings.allows_link_local, call_timeout_s=0.5)  # fmt: skip

    assert "link-local" not in refusal(mm, "odd/m")


def refusal(mm: ModelManager, model: str) -> str:
    call = mm.submit(mm.request("Hi", model=model), Origin())
    with pytest.raises(AimmError) as caught:
        call.answered(call.result(60))
    return caught.value.message


def test_a_comparison_works_where_no_text_is_kept(open_manager, sqlite_url: str):
    mm = open_manager(sqlite_url, log_content="none")
    comparison = mm.comparisons.wait(mm.comparisons.start("My secret recipe?", ["sim-fast", "sim-careful"]))

    assert comparison.winner == 0
    assert all(c.generation and c.generation.text for c in comparison.candidates)
    mm.comparisons.vote(comparison.id, "a")
    stored = Path(sqlite_url.removeprefix("sqlite:///"))
    content = b"".join(path.read_bytes() for path in stored.parent.glob(f"{stored.name}*") if path.is_file())
    assert b"secret recipe" not in content
