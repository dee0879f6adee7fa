"""Each kind of deployment: at its paths, with its key in its header, by the model's name there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core import InvalidRequest, ModelManager
from core.models import deployment_fields
from core.vendors import DEPLOYMENT_KINDS
from tests.builders import CLAUDE, FLASH, GPT
from tests.conftest import Open, fresh
from tests.core.models.test_deployments import ask
from tests.fakes.gemini import FakeGemini
from tests.fakes.tokens import FakeTokens
from tests.fakes.vendors import FakeVendor

KEY = "a-Key-0123456789"


@pytest.fixture
def mm(open_manager: Open, tmp_path: Path) -> ModelManager:
    return open_manager(fresh(tmp_path), call_timeout_s=10.0)


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    found = FakeVendor(key=KEY)
    yield found
    found.close()


@pytest.fixture
def gemini() -> Iterator[FakeGemini]:
    found = FakeGemini(key=KEY)
    yield found
    found.close()


def sent(fake: FakeVendor | FakeGemini) -> tuple[str, str, dict[str, str]]:
    """The path of the last request, its model, and the headers that hold a key."""
    asked, headers = fake.requests[-1], fake.headers[-1]
    held = {name.lower(): value for name, value in headers.items() if KEY in value}
    return asked["path"], str(asked["body"].get("model", "")), held


@pytest.mark.parametrize(
    ("kind", "values", "model", "path", "there", "header"),
    [
        ("azure", {}, GPT, "/openai/v1/chat/completions", "prod-4o", "api-key"),
        (
            "azure",
            {"api_version": "2024-10-21"},
            GPT,
            "/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21",
            "prod-4o",
            "api-key",
        ),
        ("bedrock", {"vendor": "anthropic"}, CLAUDE, "/chat/completions", "eu.anthropic.claude", "authorization"),
        ("server", {"vendor": "openai"}, GPT, "/chat/completions", "my/gpt", "authorization"),
        ("anthropic", {}, CLAUDE, "/v1/messages", "claude-dated", "x-api-key"),
    ],
)
def test_each_kind_has_its_address_header_and_names(
    mm: ModelManager,
    vendor: FakeVendor,
    kind: str,
    values: dict[str, Any],
    model: str,
    path: str,
    there: str,
    header: str,
):
    mm.deployments.add("eu", kind, KEY, url=vendor.url, is_private=True, models={model: there}, **values)

    found = ask(mm, model)

    assert (found.status, found.deployment, found.request_model) == ("ok", "eu", model)
    bearer = {"authorization": f"Bearer {KEY}"} if header == "authorization" else {header: KEY}
    assert sent(vendor) == (path, there, bearer)
    assert found.cost_usd is not None  # as its vendor's model costs
    assert [each.name for each in mm.models() if not each.is_simulated] == [model]
    assert ask(mm, f"eu/{model}").status == "ok"


def test_vertex_takes_a_key(mm: ModelManager, gemini: FakeGemini):
    mm.deployments.add("vertex", "vertex", KEY, url=f"{gemini.url}/v1/publishers/google", is_private=True)

    assert mm.deployments.test("vertex").works
    assert ask(mm, FLASH).status == "ok"
    assert sent(gemini)[0] == f"/v1/publishers/google/models/{FLASH}:streamGenerateContent?alt=sse"
    assert sent(gemini)[2] == {"x-goog-api-key": KEY}


def test_vertex_takes_a_service_account_whose_token_is_fetched_once_and_anew_before_its_end(
    mm: ModelManager, gemini: FakeGemini, caplog: pytest.LogCaptureFixture
):
    tokens = FakeTokens(KEY)
    base = f"{gemini.url}/v1/projects/p/locations/eu/publishers/google"
    mm.deployments.add("vertex", "vertex", tokens.account, url=base, is_private=True, models={FLASH: "gemini-there"})

    assert [ask(mm, FLASH).status for _ in range(3)] == ["ok"] * 3

    assert sent(gemini)[0].startswith("/v1/projects/p/locations/eu/publishers/google/models/gemini-there:stream")
    assert sent(gemini)[2] == {"authorization": f"Bearer {KEY}"}
    assert [claim["aud"] for claim in tokens.claims] == [tokens.url]
    assert mm.deployments.get("vertex").deployment.hint == "bot@project.iam.gserviceaccount.com"
    provider = mm._registry.deployments.named("vertex").provider  # type: ignore[union-attr]
    provider._token._renew_at = 0.0
    assert ask(mm, FLASH).status == "ok"
    assert len(tokens.claims) == 2
    tokens.close()
    provider._token._renew_at = 0.0  # the service is gone, and the token still holds
    assert ask(mm, FLASH).status == "ok"
    assert "PRIVATE" not in caplog.text


def test_a_service_account_that_is_none_or_of_elsewhere_is_refused(mm: ModelManager):
    tokens = FakeTokens("t")
    tokens.close()
    with pytest.raises(InvalidRequest, match="no service account"):
        mm.deployments.add("v", "vertex", '{"type": "authorized_user"}')
    with pytest.raises(InvalidRequest, match="not Google's"):
        mm.deployments.add("v", "vertex", tokens.account)


@pytest.mark.parametrize(
    ("kind", "values", "url"),
    [
        ("bedrock", {"region": "eu-west-1"}, "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1"),
        ("vertex", {}, "https://aiplatform.googleapis.com/v1/publishers/google"),
        (
            "vertex",
            {"region": "europe-west4", "project": "p-1"},
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/p-1/locations/europe-west4/publishers/google",
        ),
        (
            "vertex",
            {"project": "p-1"},
            "https://aiplatform.googleapis.com/v1/projects/p-1/locations/global/publishers/google",
        ),
        ("azure", {"url": "https://r.openai.azure.com/openai/v1/"}, "https://r.openai.azure.com"),
        ("azure", {"url": "https://r.openai.azure.com/openai/deployments/x"}, "https://r.openai.azure.com"),
    ],
)
def test_addresses_are_made_of_regions_and_projects(mm: ModelManager, kind: str, values: dict[str, Any], url: str):
    assert mm.deployments.add("eu", kind, KEY, **values).url == url


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("azure", {}, "needs an address"),
        ("bedrock", {}, "needs a region"),
        ("bedrock", {"region": "evil.com/"}, "needs a region"),
        ("vertex", {"region": "eu"}, "needs a project"),
        ("openai", {"api_version": "2024-10-21"}, "dated addresses"),
        ("azure", {"url": "https://r.azure.com", "api_version": "x&y=1"}, "dated addresses"),
        ("llama", {}, "must be one of"),
    ],
)
def test_what_lacks_a_part_is_refused(mm: ModelManager, kind: str, values: dict[str, Any], said: str):
    with pytest.raises(InvalidRequest, match=said):
        mm.deployments.add("eu", kind, KEY, **values)


@pytest.mark.parametrize(
    "text", [f" {KEY}\n", f"'{KEY}'", f'"Bearer {KEY}"', f"Authorization: Bearer {KEY}", f"bearer {KEY}"]
)
def test_a_key_is_read_as_it_was_pasted(text: str):
    assert deployment_fields.cleaned("openai", text) == KEY


@pytest.mark.parametrize("text", ["", "  ", "two words", "sk-\x00", "“sk-1234567890”"])
@pytest.mark.parametrize("kind", [kind for kind in DEPLOYMENT_KINDS if kind != "server"])
def test_what_is_no_key_is_refused(kind: str, text: str):
    with pytest.raises(InvalidRequest):
        deployment_fields.cleaned(kind, text)


def test_where_no_models_are_listed_an_empty_request_tells_whether_the_key_is_known(
    mm: ModelManager, vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch
):
    from tests.fakes.vendors import failure

    values: dict[str, Any] = {"url": f"{vendor.url}/nothing", "is_private": True}
    handler = vendor._server.RequestHandlerClass
    monkeypatch.setattr(handler, "do_GET", lambda self: self._json(404, {"error": {"message": "no such path"}}, {}))
    vendor.next(failure(400, "model is missing"))

    assert mm.deployments.test_new("aws", "bedrock", KEY, **values).works
    assert mm.deployments.test_new("aws", "bedrock", "another-key-0123", **values).status == "wrong_key"
