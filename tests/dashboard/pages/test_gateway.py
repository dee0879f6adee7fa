"""The Gateway page: snippets that work as they stand, requests as they come in, keys made and revoked."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from core import ModelManager
from core.calls.origin import Origin
from core.keys.rules import is_well_formed
from dashboard import process
from dashboard.components import clients
from dashboard.components.gateway import snippets
from dashboard.frames import gateway
from tests.builders import Running, printed_by
from tests.conftest import ROOT, Open
from tests.fakes import gemini as wire
from tests.fakes.gemini import FakeGemini
from tests.pages import button, page_app, show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


@pytest.fixture
def mm(open_manager: Open, sqlite_url: str, gemini: FakeGemini) -> ModelManager:
    return open_manager(sqlite_url, gemini, takes_up=False)


@pytest.fixture
def app(mm: ModelManager) -> Iterator[AppTest]:
    yield from page_app(mm)


def asked(mm: ModelManager, model: str = "sim-fast", **origin: object) -> str:
    """The id of a call by a program."""
    request = mm.request("Why is the sky blue?", model=model)
    return mm.submit(request, Origin(source="api", **origin)).result().id  # type: ignore[arg-type]


# Snippets -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(gateway: Running) -> Iterator[str]:
    made = gateway.mm.experiments.create("it's a test", ["sim-fast", "sim-balanced"])
    yield gateway.address
    gateway.mm.experiments.stop(made.id)


@pytest.fixture
def opened(mm: ModelManager) -> Iterator[None]:
    process.use(mm)
    yield
    process.use(None)


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("client", ["curl", "OpenAI Python", "Anthropic Python", "Google Gen AI"])
def test_a_snippet_works_as_it_stands(address: str, client: str):
    codes = [snippets.snippet(client, address, model, "none") for model in ("sim-fast", "exp:it's a test")]
    if clients.KNOWN[client].language == "python":
        assert printed_by("\n".join(codes), {}).count("In short") == 2
        return
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    command = ["bash", "-c", " && ".join(f"{code} -sS --fail" for code in codes)]

    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("In short") == 2


@pytest.mark.usefixtures("opened")
def test_a_header_of_a_snippet_is_taken(address: str):
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    for header in ({"x-aimm-cache": "3600"}, {"x-aimm-fallbacks": "sim-balanced, sim-careful"}):
        code = snippets.snippet("curl", address, "sim-fast", "none", header)

        ran = subprocess.run(["bash", "-c", f"{code} -sS --fail"], capture_output=True, text=True, timeout=60)

        assert "In short" in ran.stdout, ran.stderr


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("client", clients.KNOWN)
def test_each_snippet_names_the_address_the_model_and_the_key(client: str):
    code = snippets.snippet(client, "https://aimm.example", 'say "hi"', "aimm_…")

    assert "https://aimm.example" in code and "aimm_…" in code
    assert 'say \\"hi\\"' in code


# The page -------------------------------------------------------------------------------------------------------------


def test_with_nothing_there_the_page_says_how_to_begin(app: AppTest):
    show(app, "gateway")

    shown = texts(app)
    assert "No program has called yet" in shown and "No keys yet" in shown
    assert any("/v1/chat/completions" in code.value for code in app.code)
    assert "0 calls since" in shown


def test_each_client_has_its_snippet(app: AppTest, mm: ModelManager):
    mm.experiments.create("checkout", ["sim-fast", "sim-balanced"])
    show(app, "gateway")

    app.selectbox(key="gateway_model").select("exp:checkout").run()
    codes = {}
    for client in clients.KNOWN:
        app.button_group(key="gateway_kind").set_value(clients.KNOWN[client].kind).run()
        app.button_group(key="gateway_client").set_value(client).run()
        assert not app.exception
        codes[client] = app.code[1].value

    assert len(set(codes.values())) == len(clients.KNOWN)
    assert all("exp:checkout" in code for code in codes.values())
    assert [client for client, code in codes.items() if snippets.USER not in code] == ["aider"]  # it sends no headers


def test_requests_show_with_their_key_cost_and_error(app: AppTest, mm: ModelManager, gemini: FakeGemini):
    key, _ = mm.keys.create("ci", tags=("build",))
    gemini.next(wire.answer("Yes.", prompt=1000, candidates=100))
    asked(mm, "gemini-2.5-flash", key=key)
    gemini.next(wire.error(400, "INVALID_ARGUMENT", "No."))
    asked(mm, "gemini-2.5-flash")
    mm.generate("Not of a program", model="sim-fast")
    show(app, "gateway")

    keys, rows = app.dataframe[0].value, app.dataframe[1].value
    assert list(rows["source"]) == ["–", "ci"]
    assert [list(each) for each in rows["status"]] == [["Invalid request"], ["OK"]]
    assert rows["cost"].iloc[1] == "$0.000550"
    assert keys["month"].iloc[0] == keys["today"].iloc[0] == "$0.000550" and keys["calls"].iloc[0] == 1
    assert "2 calls since" in texts(app)


def test_the_tail_holds_the_newest_fifty_and_stands_still_when_paused(app: AppTest, mm: ModelManager):
    for _ in range(gateway.TAIL + 2):
        asked(mm)
    show(app, "gateway")
    assert len(app.dataframe[0].value) == gateway.TAIL

    app.toggle(key="gateway_pause").set_value(True).run()
    before = list(app.dataframe[0].value["time"])
    asked(mm)
    app.run()
    assert list(app.dataframe[0].value["time"]) == before

    app.toggle(key="gateway_pause").set_value(False).run()
    assert list(app.dataframe[0].value["time"]) != before


def test_a_new_key_shows_once_and_works(app: AppTest, mm: ModelManager):
    show(app, "gateway")
    button(app, "New key").click().run()
    app.text_input(key="key_new_name").input("nightly")
    app.multiselect(key="key_new_scopes").set_value(["call", "read"])
    app.number_input(key="key_new_rpm").set_value(60)
    app.number_input(key="key_new_budget").set_value(5.0)
    button(app, "Create key").click().run()

    assert not app.exception
    [secret] = [code.value for code in app.code if is_well_formed(code.value)]
    assert sum(secret in code.value for code in app.code) == 1 + len(clients.KNOWN)
    key = mm.keys.find(secret)
    assert (key.name, key.scopes, key.rpm) == ("nightly", ("call", "read"), 60)
    assert [status.budget.scope for status in mm.budgets.statuses()] == [f"key:{key.id}"]
    assert "shown only once" in texts(app)

    app.run()
    assert not any(secret in code.value for code in app.code)
    frame = app.dataframe[0].value
    assert frame["budget"].iloc[0] == 0


def test_a_key_that_cannot_be_is_refused_in_words(app: AppTest, mm: ModelManager):
    mm.keys.create("ci")
    show(app, "gateway")
    button(app, "New key").click().run()
    app.text_input(key="key_new_name").input("ci")
    app.number_input(key="key_new_rpm").set_value(7)
    button(app, "Create key").click().run()

    assert "There is a key named 'ci' already" in texts(app)
    assert app.number_input(key="key_new_rpm").value == 7
    assert len(mm.keys.all()) == 1


def test_a_key_is_changed_and_revoked_by_name(app: AppTest, mm: ModelManager):
    show(app, "log")  # which keeps the names of keys for a while
    key, _ = mm.keys.create("ci", tags=("build",))
    mm.budgets.create("ci's", "5", scope=f"key:{key.id}", action="stop")
    show(app, "gateway")
    app.query_params["key"] = key.id
    app.run()
    next(each for each in app.number_input if each.label == "Requests per minute").set_value(9)
    button(app, "Save").click().run()
    assert (mm.keys.get(key.id).rpm, mm.keys.get(key.id).tags) == (9, ("build",))

    app.query_params["key"] = key.id
    app.run()
    assert button(app, "Revoke ci").disabled
    app.checkbox[0].check().run()
    button(app, "Revoke ci").click().run()
    assert mm.keys.get(key.id).revoked_at is not None


def test_a_revoked_key_is_out_of_sight_until_asked_for(app: AppTest, mm: ModelManager):
    mm.keys.revoke(mm.keys.create("old")[0].id)
    show(app, "gateway")
    assert not app.dataframe

    app.toggle(key="gateway_revoked").set_value(True).run()

    assert list(app.dataframe[0].value["state"][0]) == ["Revoked"]


def test_a_key_shows_the_budget_of_its_tag(app: AppTest, mm: ModelManager):
    key, _ = mm.keys.create("ci", tags=["team-a"])
    mm.budgets.create("Team", 5, scope="tag:team-a")
    app.query_params["key"] = key.id
    show(app, "gateway")

    assert any(each.proto.label.startswith("Budget Team") for each in app.get("page_link"))


def test_a_team_gets_its_limits_on_the_page(mm: ModelManager, app: AppTest):
    mm.keys.create("ci", team="red")
    show(app, "gateway")
    app.query_params["team"] = "red"
    app.run()
    next(each for each in app.number_input if each.label == "Tokens per minute").set_value(5000)
    button(app, "Save").click().run()

    assert not app.exception
    assert [(team.name, team.rpm, team.tpm) for team in mm.teams.all()] == [("red", None, 5000)]
