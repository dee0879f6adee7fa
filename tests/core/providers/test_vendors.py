"""Vendors beside Gemini, each over its real wire: what is sent, what comes back, what it costs, how it fails."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from core import AimmError, ModelManager
from core.calls.origin import Origin
from core.config import Settings
from core.domain.generation import Message, Request
from core.errors import AuthenticationError, InvalidRequest, redact
from core.providers.registry import Registry
from tests.conftest import Open
from tests.fakes.gemini import FakeGemini
from tests.fakes.vendors import KEY, FakeVendor, Reply, anthropic_answer, failure, openai_answer, openai_tools

GPT, CLAUDE, LLAMA = "gpt-4o", "claude-sonnet-4-5", "llama3.2:3b"


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    server = FakeVendor()
    yield server
    server.close()


@pytest.fixture
def mm(open_manager: Open, sqlite_url: str, vendor: FakeVendor) -> ModelManager:
    """Every vendor at the fake's address."""
    return open_manager(
        sqlite_url,
        openai_api_key=KEY,
        openai_base_url=f"{vendor.url}/v1",
        anthropic_api_key=KEY,
        anthropic_base_url=vendor.url,
        ollama_base_url=vendor.url,
        servers={"vllm": f"{vendor.url}/v1"},
        call_timeout_s=5.0,
    )


def ask(mm: ModelManager, model: str, **parameters: Any):
    return mm.submit(mm.request("Hello", model=model, **parameters), Origin()).result()


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        (GPT, "openai"),
        (CLAUDE, "anthropic"),
        (f"ollama/{LLAMA}", "ollama"),
        ("vllm:my-model", "vllm"),
        (f"openai/{GPT}", "openai"),
    ],
)
def test_each_vendor_answers_and_is_recorded_with_its_usage(mm: ModelManager, model: str, provider: str):
    g = ask(mm, model)

    assert (g.status, g.text, g.provider) == ("ok", "Hello there.", provider)
    assert (g.usage.input_tokens, g.usage.output_tokens, g.finish_reason) == (10, 5, "stop")


def test_the_wire_says_what_was_asked(mm: ModelManager, vendor: FakeVendor):
    ask(mm, GPT, system="Be brief.", temperature=0.2, max_tokens=7, seed=3, json_schema={"type": "object"})
    ask(mm, CLAUDE, system="Be brief.", temperature=0.2, max_tokens=3000, thinking_budget=2000)

    first, second = (request["body"] for request in vendor.requests)
    assert first["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert (first["temperature"], first["max_tokens"], first["seed"]) == (0.2, 7, 3)
    assert first["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert first["stream_options"] == {"include_usage": True}
    assert (second["system"], second["messages"]) == ("Be brief.", [{"role": "user", "content": "Hello"}])
    assert second["thinking"]["budget_tokens"] == 2000
    assert second["max_tokens"] == 3000
    assert "temperature" not in second  # with thinking on, the API takes only its own
    assert vendor.headers[1]["anthropic-version"]


COUNTED = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


def ending(*events: dict[str, Any]) -> Reply:
    """OpenAI's stream with other events at its end."""
    reply = openai_answer(usage={})
    reply.events[-1:] = [*(("", {"model": GPT, **event}) for event in events), ("", "[DONE]")]
    return reply


@pytest.mark.parametrize(
    ("model", "reply", "usd"),
    [
        # gpt-4o: $2.50 in, $1.25 cached, $10 out; cached is part of the prompt, reasoning of the completion
        (GPT, openai_answer(usage={"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}, "completion_tokens_details": {"reasoning_tokens": 60}}), "0.003"),
        # claude-sonnet-4-5: $3 in, $0.30 read, $3.75 written, $15 out; all three are beside each other
        (CLAUDE, anthropic_answer(usage={"input_tokens": 600, "cache_read_input_tokens": 400, "cache_creation_input_tokens": 200}), "0.002745"),
        # gateways end with zeros for what they counted before, Groq counts in `x_groq`, Moonshot beside the last piece
        (GPT, ending({"choices": [], "usage": COUNTED}, {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}), "0.0035"),
        (GPT, ending({"choices": [], "x_groq": {"id": "r1", "usage": COUNTED}}), "0.0035"),
        (GPT, ending({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": COUNTED}]}), "0.0035"),
        (CLAUDE, anthropic_answer(usage={"input_tokens": 600, "cache_read_input_tokens": 400}, at_end={"input_tokens": 0, "cache_read_input_tokens": 0}), "0.001995"),
    ],
)  # fmt: skip
def test_tokens_cost_what_each_vendor_says_wherever_it_counts_them(
    mm: ModelManager, vendor: FakeVendor, model: str, reply: Reply, usd: str
):
    vendor.next(reply)

    g = ask(mm, model)

    assert (g.cost_usd, g.cost_status) == (Decimal(usd), "priced")


def test_a_local_model_is_free_and_an_unknown_servers_is_unknown(mm: ModelManager):
    assert (ask(mm, f"ollama/{LLAMA}").cost_usd, ask(mm, "vllm/my-model").cost_usd) == (Decimal(0), None)


def test_thinking_is_kept_apart_and_characters_cut_in_two_are_whole(mm: ModelManager, vendor: FakeVendor):
    vendor.next(anthropic_answer("Grüße 😀", thinking="Hm."))
    split = openai_answer("Grüße 😀 an alle")
    split.split_at = 3
    vendor.next(split)

    first, second = ask(mm, CLAUDE), ask(mm, GPT)

    assert (first.text, first.thinking) == ("Grüße 😀", "Hm.")
    assert second.text == "Grüße 😀 an alle"


@pytest.mark.parametrize("model", [GPT, CLAUDE])
@pytest.mark.parametrize(
    ("reply", "code", "n_requests"),
    [
        (
            failure(400, "This model's maximum context length is 8 tokens", "context_length_exceeded"),
            "context_too_long",
            1,
        ),
        (failure(400, "temperature is wrong"), "invalid_request", 1),
        (failure(403, "not allowed"), "authentication", 1),
        (failure(404, "no such model"), "model_not_found", 1),
        (Reply(raw=b"<html>nonsense", content_type="application/json"), "provider_error", 2),
        (Reply(raw=b"data: {broken\n\n"), "provider_error", 2),
    ],
)
def test_failures_are_typed_and_retried_only_where_it_helps(
    mm: ModelManager, vendor: FakeVendor, model: str, reply: Reply, code: str, n_requests: int
):
    vendor.next(*[reply] * 5)

    g = ask(mm, model)

    assert (g.status, g.error_class) == ("error", code)
    assert min(2, len(vendor.requests)) == n_requests  # more than one: it was tried again


@pytest.mark.parametrize("model", [GPT, CLAUDE])
@pytest.mark.parametrize("first", [failure(429, "slow down", "rate_limit", {"retry-after": "0.05"}), failure(503, "busy"), failure(500, "oops"), failure(529, "overloaded")])  # fmt: skip
def test_what_passes_is_tried_again(mm: ModelManager, vendor: FakeVendor, model: str, first: Reply):
    vendor.next(first)

    g = ask(mm, model)

    assert (g.status, g.n_attempts) == ("ok", 2)


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_stream_that_breaks_is_truncated_and_its_cost_estimated(mm: ModelManager, vendor: FakeVendor, model: str):
    broken = anthropic_answer("Half of it") if model == CLAUDE else openai_answer("Half of it, and the rest")
    broken.break_after = 4 if model == CLAUDE else 1
    vendor.next(broken)

    g = ask(mm, model)

    assert (g.status, g.cost_status) == ("truncated", "estimated")
    assert g.text.startswith("Half")


def test_an_error_in_the_midst_of_a_stream_is_that_error(mm: ModelManager, vendor: FakeVendor):
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    vendor.next(Reply(events=[("error", error)]))
    first = ask(mm, CLAUDE)
    vendor.next(Reply(events=[("", {"error": {"message": "server busy", "code": 503}})]))
    second = ask(mm, GPT)

    assert (first.status, first.n_attempts) == ("ok", 2)
    assert (second.status, second.n_attempts) == ("ok", 2)


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}])
@pytest.mark.parametrize(
    "answer",
    [partial(openai_answer, "x" * 400), partial(openai_tools, ("c1", "look_up", json.dumps({"q": "x" * 384})))],
)
def test_an_answer_without_its_count_is_estimated(mm: ModelManager, vendor: FakeVendor, answer: Any, usage: Any):
    vendor.next(answer(usage=usage))

    g = ask(mm, GPT)

    assert (g.status, g.cost_status, g.usage.output_tokens) == ("ok", "estimated", 100)


def test_refusals_are_blocked(mm: ModelManager, vendor: FakeVendor):
    refused = Reply(
        events=[("", {"choices": [{"delta": {}, "finish_reason": "content_filter"}], "usage": {"prompt_tokens": 9}})]
    )
    vendor.next(refused)

    assert ask(mm, GPT).status == "blocked"


def test_models_are_the_vendors_own_lists(mm: ModelManager):
    found = {(model.provider, model.name) for model in mm.models()}

    assert {("openai", GPT), ("anthropic", CLAUDE), ("ollama", LLAMA), ("vllm", GPT)} <= found
    assert mm.vendors.names == ["openai", "anthropic", "vllm", "ollama"]
    assert all(mm.vendors.check(name).works for name in mm.vendors.names)


def test_tokens_are_counted_where_the_vendor_counts(mm: ModelManager):
    assert mm.count_tokens(mm.request("Hello", model=CLAUDE)) == 42
    with pytest.raises(InvalidRequest):
        mm.count_tokens(mm.request("Hello", model=GPT))


def test_a_wrong_key_is_named_and_never_shown(open_manager: Open, sqlite_url: str, vendor: FakeVendor):
    wrong = "sk-wrong-secret-0123456789"
    mm = open_manager(sqlite_url, openai_api_key=wrong, openai_base_url=f"{vendor.url}/v1")

    check, g = mm.vendors.check("openai"), ask(mm, GPT)

    assert check.status == "wrong_key"
    assert g.error_class == "authentication"
    assert wrong not in check.message + g.error_message
    assert mm.vendors.check("anthropic").status == "missing"


def test_a_vendor_that_does_not_say_its_models_keeps_nobody_waiting(
    open_manager: Open, sqlite_url: str, vendor: FakeVendor
):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and says nothing
        dead = f"http://127.0.0.1:{silent.getsockname()[1]}"
        servers = {"dead": f"{dead}/v1", "vllm": f"{vendor.url}/v1"}
        mm = open_manager(sqlite_url, servers=servers, server_keys={"vllm": KEY})

        begin = time.monotonic()
        found = {model.provider for model in mm.models(wait_s=2)}
        assert mm.models.get(LLAMA).provider == "vllm"  # known from a list that is there

        assert {"vllm", "simulated"} <= found and "dead" not in found
        assert time.monotonic() - begin < 6  # after which the silent one is given up


def test_vendors_that_are_not_there_say_so(open_manager: Open, sqlite_url: str):
    mm = open_manager(sqlite_url, openai_api_key=KEY, openai_base_url="http://127.0.0.1:9/v1", finds_local=True)

    assert mm.vendors.check("openai").status == "network"
    assert [m.provider for m in mm.models() if not m.is_simulated] == []
    with pytest.raises(AimmError, match="No key is set for Anthropic"):
        mm.generate("Hello", model=CLAUDE)


def test_settings_name_further_servers():
    environ = {
        "AIMM_SERVERS": "vllm=http://gpu:8000/v1, router=https://r.example/api/v1",
        "AIMM_SERVER_ROUTER_KEY": "sk-abcdef123456",
    }
    settings = Settings.from_environ(environ)

    assert dict(settings.servers) == {"vllm": "http://gpu:8000/v1", "router": "https://r.example/api/v1"}
    assert dict(settings.keys) == {"router": "sk-abcdef123456"}
    assert "sk-abcdef" not in repr(settings)
    for wrong in ("vllm", "vllm=gpu:8000", "openai=http://x", "A B=http://x"):
        with pytest.raises(InvalidRequest):
            Settings.from_environ({"AIMM_SERVERS": wrong})


KEY_NAMES = {
    "gemini": "GEMINI_API_KEY", "openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY",
    "vllm": "AIMM_SERVER_VLLM_KEY", "lm-studio": "AIMM_SERVER_LM_STUDIO_KEY",
}  # fmt: skip
ASKED = {
    "gemini": "gemini-2.5-flash", "openai": GPT, "anthropic": CLAUDE, "ollama": f"ollama/{LLAMA}", "vllm": "vllm/a-model",
    "lm-studio": "lm-studio/a-model",
}  # fmt: skip


def test_each_vendor_is_asked_with_its_own_key_and_no_other(
    open_manager: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each pair of keys with the others missing, each alone, all and none; each fake refuses all keys but its own."""
    keys = {name: f"sk-key-of-{name}-0123456789" for name in KEY_NAMES}
    fakes = {name: FakeGemini(key) if name == "gemini" else FakeVendor(("a-model",), key) for name, key in keys.items()}
    fakes["ollama"] = FakeVendor((LLAMA,), "none: Ollama has no keys")
    addresses = {
        "GOOGLE_GEMINI_BASE_URL": fakes["gemini"].url, "OPENAI_BASE_URL": f"{fakes['openai'].url}/v1", "ANTHROPIC_BASE_URL": fakes["anthropic"].url,
        "OLLAMA_HOST": fakes["ollama"].url, "AIMM_SERVERS": f"vllm={fakes['vllm'].url}/v1 lm-studio={fakes['lm-studio'].url}/v1",
    }  # fmt: skip
    # What google-genai would take from the environment of the process by itself.
    for name, value in {
        "GOOGLE_API_KEY": "sk-of-another-house", "GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_GENAI_API_VERSION": "v9",
        "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9", "GOOGLE_GENAI_CLIENT_MODE": "replay", "GOOGLE_CLOUD_PROJECT": "p",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    async def ask_all(given: frozenset[str]) -> dict[str, str]:
        registry = Registry(Settings.from_environ(addresses | {KEY_NAMES[name]: keys[name] for name in given}))
        found = {}
        for name, model in ASKED.items():
            try:
                provider, resolved = await registry.resolve(model)
                request = Request(model=resolved.name, messages=(Message("user", "Hi"),))
                async for chunk in provider.stream(request, attempt=1, timeout_s=5.0):
                    found[name] = found.get(name, "") + chunk.text
            except AuthenticationError as error:
                found[name] = error.message
        await registry.close()
        return found

    try:
        for n in (0, 1, 2, len(keys)):
            for given in map(frozenset, combinations(keys, n)):
                for name, answer in asyncio.run(ask_all(given)).items():
                    needs_key = name in ("gemini", "openai", "anthropic")
                    assert ("No key is set for" in answer) == (needs_key and name not in given), (name, given, answer)
                    sent = fakes[name].headers[-1:]
                    shown = [
                        v
                        for h in sent
                        for k, v in h.items()
                        if k.lower() in ("x-api-key", "x-goog-api-key", "authorization")
                    ]
                    if name in given:
                        assert [value.removeprefix("Bearer ") for value in shown] == [keys[name]], (name, given)
                    else:
                        assert shown == [], (name, given)
                    fakes[name].forget()
    finally:
        for fake in fakes.values():
            fake.close()


@pytest.mark.parametrize(
    ("environ", "gemini", "server"),
    [
        ({"GEMINI_API_KEY": "G-0123456", "GOOGLE_API_KEY": "other-0123"}, "G-0123456", None),
        ({"GEMINI_API_KEY": "  ", "GOOGLE_API_KEY": "other-0123"}, "other-0123", None),
        ({"GEMINI_API_KEY": ' "G-0123456"\r\n', "AIMM_SERVER_MY_BOX_KEY": "'V-0123456'\n"}, "G-0123456", "V-0123456"),
        ({"AIMM_SERVER_MY_BOX_KEY": "V-0123456"}, None, "V-0123456"),
        ({"AIMM_SERVER_MY-BOX_KEY": "V-0123456", "AIMM_SERVER__KEY": "W-0123456"}, None, None),
        ({"GEMINI_API_KEY": "''", "OPENAI_API_KEY": "O-0123456"}, None, None),
    ],
)
def test_keys_are_read_as_they_were_meant(environ: dict[str, str], gemini: str | None, server: str | None):
    settings = Settings.from_environ({"AIMM_SERVERS": "my-box=http://box:8000/v1"} | environ)

    assert settings.keys.get("gemini") == gemini
    assert settings.keys.get("my-box") == server


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("OPENAI_API_KEY", "sk-1\r\nx-api-key: stolen", "OPENAI_API_KEY holds a blank, a line break"),
        ("GEMINI_API_KEY", "Bearer AIza", "GEMINI_API_KEY holds a blank"),
        ("ANTHROPIC_API_KEY", "sk-ant-…", "ANTHROPIC_API_KEY holds"),
        ("AIMM_SERVER_A_B_KEY", "two words", "AIMM_SERVER_A_B_KEY holds"),
        ("OPENAI_BASE_URL", "api.openai.com/v1", "must look like https://host"),
        ("ANTHROPIC_BASE_URL", "http://", "must look like https://host"),
        ("GOOGLE_GEMINI_BASE_URL", "http://user:hunter2hunter2@host:port/", "must look like https://host"),
        ("AIMM_SERVERS", "a-b=http://x a_b=http://y", "two servers whose key is AIMM_SERVER_A_B_KEY"),
        ("AIMM_SERVERS", "a=http://x,a=http://y", "two servers"),
        ("AIMM_SERVERS", "VLLM=http://x", "small letters"),
        ("AIMM_SERVERS", "a=http://:80", "must look like"),
        ("OPENAI_BASE_URL", "https://host/v1?api-version=2", "without user, [?] and #"),
        ("ANTHROPIC_BASE_URL", "https://ada:hunter2hunter2@host", "without user"),
        ("OLLAMA_HOST", "http://gpu:port", "OLLAMA_HOST == 'http://gpu:port', must look like host"),
        ("AIMM_ALERT_WEBHOOK", "hooks.example/hunter2", "AIMM_ALERT_WEBHOOK is no address"),
        ("AIMM_ALERT_SLACK", "smtp://hooks.example/hunter2", "AIMM_ALERT_SLACK is no address"),
        ("AIMM_SMTP_URL", "http://ada:hunter2hunter2@mail", "must look like smtps://"),
        ("AIMM_ALERT_EMAIL", "ada@example.com", "AIMM_SMTP_URL say which server"),
        ("AIMM_LOGIN_ALLOWED", "ada", "must look like ada@example.com"),
        ("AIMM_ALLOW_LINK_LOCAL", "maybe", "AIMM_ALLOW_LINK_LOCAL == 'maybe', must be 1 or 0"),
        ("AIMM_CALL_TIMEOUT_S", "nan", "must be a number from 0.001 to 86400"),
        ("AIMM_DEFAULT_MODEL", "sim-fast\u200b", "AIMM_DEFAULT_MODEL holds an invisible character"),
        ("AIMM_DASHBOARD_PASSWORD", "\ufeffhunter2-hunter2-kR9x", "AIMM_DASHBOARD_PASSWORD holds an invisible"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://", "must look like http://localhost:4318"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x=hunter2%0d%0ay:z", "must look like name=value"),
    ],
)
def test_a_key_or_an_address_that_is_none_is_refused_by_name(name: str, value: str, rule: str):
    with pytest.raises(InvalidRequest, match=rule) as refused:
        Settings.from_environ({"AIMM_SERVERS": "a-b=http://x", name: value})

    for secret in ("stolen", "AIza", "sk-ant", "words", "hunter2"):
        assert secret not in refused.value.text


@pytest.mark.parametrize("form", ["{}\r", '"{}"', "'{}' ", "\t{}\n"])
def test_what_stands_around_a_value_is_no_part_of_it(form: str):
    environ = {
        "AIMM_SERVERS": "vllm=http://h:1/v1", "DATABASE_URL": "sqlite:///x.db", "AIMM_DEFAULT_MODEL": "sim-fast", "AIMM_PRICES_FILE": "p.yaml",
        "AIMM_CALL_TIMEOUT_S": "30", "AIMM_ALERT_WEBHOOK": "http://h/hook", "AIMM_ALERT_EMAIL": "a@b.c", "AIMM_SMTP_URL": "smtp://h:25",
        "AIMM_LOG_CONTENT": "none", "AIMM_DASHBOARD_PASSWORD": "kR9xWq27LmZp", "AIMM_REQUIRE_KEY": "1", "AIMM_LOGIN_ALLOWED": "@b.c",
        "AIMM_MAX_IN_FLIGHT": "5", "AIMM_ALLOW_LINK_LOCAL": "1", "AIMM_SIMULATED_SPEED": "0", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318",
        "OTEL_EXPORTER_OTLP_HEADERS": "a=b,c=%20", "OTEL_SERVICE_NAME": "ours", "OLLAMA_HOST": "",
        "AIMM_LOG_FORMAT": "json", "AIMM_DRAIN_S": "60", "SENTRY_DSN": "https://abc@h/1",
    }  # fmt: skip
    plain = Settings.from_environ(environ)

    assert Settings.from_environ({name: form.format(value) for name, value in environ.items()}) == plain
    assert (plain.allows_link_local, plain.finds_local, dict(plain.otel_headers)) == (True, False, {"a": "b"})


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("gpu", "http://gpu:11434"), ("gpu:8080", "http://gpu:8080"), (":8080", "http://127.0.0.1:8080"), ("::1", "http://[::1]:11434"),
        ("http://gpu", "http://gpu"), ("https://gpu/ollama/", "https://gpu/ollama"), ("[::1]:8080", "http://[::1]:8080"), ("", None),
    ],
)  # fmt: skip
def test_ollamas_host_is_read_as_ollama_reads_it(given: str, address: str | None):
    assert Settings.from_environ({"OLLAMA_HOST": given}).addresses.get("ollama") == address


def test_a_misspelt_setting_is_told(caplog: pytest.LogCaptureFixture):
    Settings.from_environ({"AIMM_LOG_CONTNET": "none", "AIMM_SERVER_VLLM_KEY": "sk-0123456789", "PATH": "/bin"})

    assert [record.getMessage() for record in caplog.records] == [
        "AIMM_LOG_CONTNET is no setting; did you mean AIMM_LOG_CONTENT?",
        "AIMM_SERVER_VLLM_KEY is the key of no server in AIMM_SERVERS",
    ]


def test_the_databases_password_is_told_by_nothing():
    settings = Settings.from_environ({"DATABASE_URL": "'postgresql://ada:hunter%402%25x@host/db'\n"})

    assert settings.database_url == "postgresql://ada:hunter%402%25x@host/db"
    assert "hunter" not in repr(settings) + redact("no login with hunter%402%25x or hunter@2%x")
    assert Settings.from_environ({"DATABASE_URL": " "}).database_url == Settings().database_url


def test_a_file_of_settings_is_read_in_the_forms_that_editors_write(tmp_path: Path):
    for written in (b"GEMINI_API_KEY=G-0123456\n", b"\xef\xbb\xbfGEMINI_API_KEY='G-0123456'\r\n"):
        (tmp_path / ".env").write_bytes(written)
        assert Settings.load(tmp_path).keys["gemini"] == "G-0123456"

    (tmp_path / ".env").write_text("GEMINI_API_KEY=G\n", encoding="utf-16")
    with pytest.raises(InvalidRequest, match="UTF-8"):
        Settings.load(tmp_path)


def test_an_empty_key_is_no_key_of_the_environment(
    open_manager: Open, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GOOGLE_API_KEY", "AIzaOfTheProcess0123456789")
    mm = open_manager(sqlite_url)

    assert mm.vendors.check_key(" ").status == "missing"
    assert mm.vendors.check_key("AIza with a blank").status == "wrong_key"
    with pytest.raises(InvalidRequest):
        mm.vendors.use_key("")


def test_a_budget_holds_for_every_vendor(mm: ModelManager, vendor: FakeVendor):
    mm.budgets.create("b", "0.00001", action="stop", scope="provider:vllm")
    mm.budgets.create("c", "0.0001", action="stop", scope="provider:openai")

    g = ask(mm, GPT, max_tokens=1000)

    assert (g.error_class, vendor.requests) == ("budget_exceeded", [])
