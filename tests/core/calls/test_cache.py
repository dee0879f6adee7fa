"""Answers that are kept and given again: to whom, for how long, and in which shape."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from core import clock
from core.domain.experiment import Target, Variant
from tests.builders import CLAUDE, FLASH, GPT, Running, running_gateway
from tests.conftest import SetClock, copied
from tests.fakes import gemini as gemini_fake
from tests.fakes import vendors as vendor_fake

HOUR = {"x-aimm-cache": "3600"}
MODELS = pytest.mark.parametrize("model", [GPT, CLAUDE, FLASH])
_n = iter(range(1000))


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    url = copied(sqlite_template, tmp_path_factory.mktemp("cache"))
    with running_gateway(url, call_timeout_s=6.0) as running:
        yield running


@pytest.fixture(autouse=True)
def forgetful(served: Running) -> None:
    served.forget()


@pytest.fixture
def words() -> list[Any]:
    """A prompt that no other test has."""
    return [{"role": "user", "content": f"Question {next(_n)}"}]


def n_asked(served: Running) -> int:
    return len(served.vendor.requests) + len(served.gemini.requests)


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@MODELS
def test_the_second_call_costs_nothing(served: Running, model: str, words: list[Any]):
    first = served.chat(model, words, extra_headers=HOUR)
    paid = served.row()
    second = served.chat(model, words, extra_headers=HOUR)
    row = served.row()

    assert n_asked(served) == 1
    assert (first.headers["x-aimm-cache"], second.headers["x-aimm-cache"]) == ("miss", "hit")
    assert second.parse().choices[0].message.content == first.parse().choices[0].message.content
    assert second.parse().usage == first.parse().usage
    assert (row.cost_usd, row.cost_status, row.saved_usd, row.status) == (Decimal(0), "cached", paid.cost_usd, "ok")
    assert (row.n_attempts, row.text) == (0, paid.text)
    assert second.headers["x-aimm-saved-usd"] == f"{paid.cost_usd:f}"
    assert second.headers["x-aimm-cost-usd"] == "0"
    assert second.headers["x-aimm-request-id"] == row.id != paid.id
    assert served.books_agree()


@MODELS
@pytest.mark.parametrize("first_streamed", [False, True])
def test_what_came_whole_can_be_streamed_and_the_other_way_round(
    served: Running, model: str, first_streamed: bool, words: list[Any]
):
    def plain() -> str:
        return str(served.chat(model, words, extra_headers=HOUR).parse().choices[0].message.content)

    def streamed() -> str:
        chunks = served.stream(model, words, extra_headers=HOUR, stream_options={"include_usage": True})
        assert chunks[-1].usage.total_tokens == 15
        assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
        return text_of(chunks)

    asks = [streamed, plain, streamed, plain] if first_streamed else [plain, streamed, plain, streamed]
    texts = {ask() for ask in asks}

    assert len(texts) == 1 and n_asked(served) == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_calls_of_tools_are_given_again(served: Running, streamed: bool, words: list[Any]):
    tools: Any = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    served.vendor.next(vendor_fake.openai_tools(("call_a", "look", '{"at": "x"}'), ("call_b", "look", '{"at": "y"}')))
    served.chat(GPT, words, tools=tools, extra_headers=HOUR)
    if streamed:
        deltas = [
            t
            for c in served.stream(GPT, words, tools=tools, extra_headers=HOUR)
            for t in (c.choices[0].delta.tool_calls or ())
        ]
        found = {
            at: (
                next(d.id for d in deltas if d.index == at and d.id),
                "".join(d.function.arguments or "" for d in deltas if d.index == at),
            )
            for at in (0, 1)
        }
    else:
        calls = served.chat(GPT, words, tools=tools, extra_headers=HOUR).parse().choices[0].message.tool_calls
        found = {at: (call.id, call.function.arguments) for at, call in enumerate(calls)}

    assert found == {0: ("call_a", '{"at": "x"}'), 1: ("call_b", '{"at": "y"}')}
    assert n_asked(served) == 1


def test_other_keys_do_not_get_it_unless_both_share(served: Running, words: list[Any]):
    mm = served.mm
    secrets = [mm.keys.create(name, shares_cache=shares)[1] for name, shares in (("a", False), ("b", False), ("c", True), ("d", True))]  # fmt: skip
    seen = [served.chat(GPT, words, key=key, extra_headers=HOUR).headers["x-aimm-cache"] for key in secrets * 2]

    assert seen == ["miss", "miss", "miss", "hit", "hit", "hit", "hit", "hit"]
    assert n_asked(served) == 3


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 0.5}, {"max_tokens": 9}, {"seed": 4}, {"model": CLAUDE}, {"stop": ["x"]}, {"logprobs": True},
        {"messages": [{"role": "user", "content": "Something else"}]},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
    ],
)  # fmt: skip
def test_another_request_is_another_answer(served: Running, more: dict[str, Any], words: list[Any]):
    served.chat(GPT, words, extra_headers=HOUR)
    other = {"model": GPT, "messages": words, **more}

    assert served.chat(**other, extra_headers=HOUR).headers["x-aimm-cache"] == "miss"


def test_who_asks_makes_no_other_request(served: Running, words: list[Any]):
    served.chat(GPT, words, user="u1", extra_headers=HOUR)

    assert served.chat(GPT, words, user="u2", extra_headers=HOUR).headers["x-aimm-cache"] == "hit"


def test_without_the_wish_nothing_is_kept(served: Running, words: list[Any]):
    first = served.chat(GPT, words)
    second = served.chat(GPT, words, extra_headers=HOUR)

    assert "x-aimm-cache" not in first.headers
    assert second.headers["x-aimm-cache"] == "miss"
    with pytest.raises(openai.BadRequestError, match="x-aimm-cache"):
        served.chat(GPT, words, extra_headers={"x-aimm-cache": "soon"})


def test_an_answer_grows_old(served: Running, words: list[Any], set_clock: SetClock):
    served.chat(GPT, words, extra_headers={"x-aimm-cache": "60"})
    now = clock.now()

    set_clock(now + timedelta(seconds=59))
    soon = served.chat(GPT, words, extra_headers={"x-aimm-cache": "60"})
    set_clock(now + timedelta(seconds=61))
    late = served.chat(GPT, words, extra_headers={"x-aimm-cache": "60"})

    assert (soon.headers["x-aimm-cache"], late.headers["x-aimm-cache"]) == ("hit", "miss")


def test_only_whole_answers_are_kept(served: Running, words: list[Any]):
    filtered = {"choices": [{"index": 0, "delta": {"content": "No"}, "finish_reason": "content_filter"}], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}  # fmt: skip
    bad = [
        vendor_fake.failure(400, "wrong"),
        replace(vendor_fake.openai_answer("Half of it, and more"), break_after=1),
        vendor_fake.Reply(events=[("", filtered)]),
    ]
    for reply in bad:
        served.vendor.next(reply)
        try:
            served.stream(GPT, words, extra_headers=HOUR)
        except openai.APIError:
            continue

    assert served.chat(GPT, words, extra_headers=HOUR).headers["x-aimm-cache"] == "miss"
    assert n_asked(served) == 4


def test_an_alias_and_an_experiment_keep_answers_by_themselves(served: Running, words: list[Any]):
    served.mm.aliases.set("kept", Target(model=GPT, system="Be brief.", cache_s=60))
    variants = (Variant(position=0, name="A", model=GPT), Variant(position=1, name="B", model=GPT, weight=1))
    served.mm.experiments.create("kept-e", hypothesis="h", variants=variants, cache_s=60)

    by_alias = [served.chat("kept", words).headers["x-aimm-cache"] for _ in range(2)]
    by_experiment = [served.chat("exp:kept-e", words, user=user).headers["x-aimm-cache"] for user in ("u1", "u1", "u2")]

    assert by_alias == ["miss", "hit"]
    assert by_experiment == ["miss", "hit", "hit"]


def test_geminis_wire_keeps_answers_too(served: Running):
    body = {"contents": [{"role": "user", "parts": [{"text": f"Question {next(_n)}"}]}]}
    path = f"/gemini/v1beta/models/{FLASH}"
    served.gemini.next(gemini_fake.answer("Kept."))

    first = served.post(f"{path}:generateContent", body, HOUR)
    again = served.post(f"{path}:generateContent", body, HOUR)
    streamed = served.post(f"{path}:streamGenerateContent?alt=sse", body, HOUR)

    assert (first.headers["x-aimm-cache"], again.headers["x-aimm-cache"], streamed.headers["x-aimm-cache"]) == ("miss", "hit", "hit")  # fmt: skip
    assert again.json == first.json
    assert b"Kept." in streamed.body and b'"finishReason":"STOP"' in streamed.body
    assert n_asked(served) == 1


def test_what_has_expired_is_deleted(served: Running, words: list[Any], set_clock: SetClock):
    later_us = clock.now_us() + 61_000_000

    def n_kept(sign: str) -> int:
        text = f"SELECT count(*) FROM cached_responses WHERE expires_at {sign} {later_us}"  # noqa: S608 - whole numbers of ours
        with served.mm.database.read() as connection:
            return int(connection.exec_driver_sql(text).scalar_one())

    served.chat(GPT, words, extra_headers={"x-aimm-cache": "60"})
    n_lasting = n_kept(">")
    assert n_kept("<=") > 0

    set_clock(clock.from_us(later_us))
    served.mm._cache.forget_old()

    assert (n_kept("<="), n_kept(">")) == (0, n_lasting)
