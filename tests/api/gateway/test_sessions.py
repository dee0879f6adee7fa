"""Sessions and the log at the gateway: what callers say of them, and what their keys may see."""

import urllib.request
from urllib.parse import quote

import pytest

from tests.builders import CLAUDE, GPT, HELLO, Heard, Running

CLAUDE_CODE = "user_ab12_account_cd34_session_5e6f-77"


def claude(**metadata: str) -> dict[str, object]:
    return {"model": CLAUDE, "max_tokens": 9, "messages": HELLO, "metadata": metadata}


@pytest.mark.parametrize(
    ("path", "body", "headers", "session"),
    [
        ("/v1/chat/completions", {"prompt_cache_key": "c1"}, {"x-aimm-session": "mine"}, "mine"),
        ("/v1/chat/completions", {"prompt_cache_key": "c1"}, {}, "c1"),
        ("/v1/chat/completions", {"metadata": {"session_id": "m1"}, "prompt_cache_key": "c1"}, {}, "m1"),
        ("/v1/chat/completions", {}, {"session_id": "codex"}, "codex"),
        ("/v1/chat/completions", {"prompt_cache_key": 7, "metadata": {"session_id": ["no"]}}, {}, ""),
        ("/v1/chat/completions", {"metadata": {"session_id": "x" * 500}}, {}, "x" * 150 + "…"),
        ("/anthropic/v1/messages", claude(user_id=CLAUDE_CODE), {}, "5e6f-77"),
        ("/anthropic/v1/messages", claude(user_id='{"device_id": "d", "session_id": "s9"}'), {}, "s9"),
        ("/anthropic/v1/messages", claude(user_id="ada"), {}, ""),
        (
            "/gemini/v1beta/models/gemini-2.5-flash:generateContent",
            {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}], "labels": {"session_id": "g1"}}, {}, "g1",
        ),
    ],
)  # fmt: skip
def test_a_call_is_counted_to_the_session_that_its_caller_names(
    served: Running, path: str, body: dict[str, object], headers: dict[str, str], session: str
):
    whole = {"model": GPT, "messages": HELLO, **body} if path.startswith("/v1/chat") else body
    answer = served.post(path, whole, headers)

    assert answer.status == 200, answer.body
    found = served.row().session_id
    assert found == session or (session.endswith("…") and found.startswith(session) and len(found) < 200)


def test_a_session_that_is_too_long_is_refused_in_words(served: Running):
    answer = served.complete({}, x_aimm_session="s" * 201)

    assert answer.status == 400 and "session must have at most 200" in answer.json["error"]["message"]


def test_the_log_is_asked_for_by_its_address(served: Running):
    for words, session in (("Refund one", "a b/ü"), ("Refund two", "a b/ü"), ("Other", "")):
        body = {"messages": [{"role": "user", "content": words}], "metadata": {"session_id": session}}
        assert served.complete(body, x_aimm_tags="asked-here").status == 200

    first = served.get("/api/logs?tag=asked-here&limit=2").json
    assert (len(first["logs"]), first["total"]["requests"], first["logs"][0]["session"]) == (2, 3, None)
    assert "messages" not in first["logs"][0]
    second = served.get(f"/api/logs?tag=asked-here&limit=2&texts=1&cursor={first['next']}").json
    assert [row["messages"][0]["text"] for row in second["logs"]] == ["Refund one"] and second["next"] is None
    assert served.get("/api/logs?tag=asked-here&text=refund&total=0").json["total"] is None
    lines = served.get("/api/logs/export?tag=asked-here&format=csv&texts=true")
    assert lines.headers["content-type"].startswith("text/csv") and lines.body.count(b"Refund") == 2
    found = served.get(f"/api/sessions/{quote('a b/ü', safe='')}").json
    assert found["session"]["requests"] == 2
    assert [each["turns"][0]["text"] for each in found["conversation"]] == ["Refund one", "Refund two"]
    assert served.get("/api/sessions").json["sessions"][0]["id"] == "a b/ü"


@pytest.mark.parametrize(
    ("query", "param", "said"),
    [
        ("status=bad", "status", "must be one of failed, ok, truncated, stopped, blocked, error"),
        ("modle=x", "modle", "There is no filter 'modle'; there are from, to, model"),
        ("model=a&model=b", "model", "given twice"),
        ("limit=1&limit=2", "limit", "given twice"),
        ("cursor=nonsense", "cursor", "must be the `next` of the page before"),
        ("key=ci", "key", "say key_id"),
        ("from=soon", "from", "must be ISO 8601"),
        ("cursor=1.g.000000000000", "cursor", "of another filter"),
    ],
)
def test_a_wrong_parameter_of_the_log_is_named(served: Running, query: str, param: str, said: str):
    answer = served.get(f"/api/logs?{query}")

    assert (answer.status, answer.json["param"]) == (400, param) and said in answer.json["error"]


def test_a_key_sees_its_own_calls_alone(served: Running):
    mine, secret = served.mm.keys.create("log-mine", scopes=("call",))
    assert served.complete({}, authorization=f"Bearer {secret}", x_aimm_session="shared").status == 200
    assert served.complete({}, x_aimm_session="shared").status == 200

    def ask(path: str) -> Heard:
        return served._ask(urllib.request.Request(served.address + path, headers={"x-api-key": secret}))

    assert [row["key"] for row in ask("/api/logs?session=shared").json["logs"]] == [mine.id]
    assert ask("/api/logs/export?session=shared").body.count(b"\n") == 1
    assert ask("/api/sessions/shared").json["session"]["requests"] == 1
    refused = ask("/api/logs?key_id=other")
    assert refused.status == 403 and "its own calls alone" in refused.json["error"]
