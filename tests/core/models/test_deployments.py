"""Deployments: a key is kept encrypted, goes to its own host alone, and is in use everywhere at once."""

import sqlite3
from pathlib import Path

import pytest

from core import AuthenticationError, Conflict, InvalidRequest, ModelManager, NotFound
from core.domain.generation import Generation
from core.models.cipher import new_key
from tests.builders import GPT, until
from tests.conftest import Open, fresh
from tests.core.models.conftest import KEYS
from tests.fakes.vendors import FakeVendor, failure


def ask(mm: ModelManager, model: str = GPT, **more: object) -> Generation:
    return mm.submit(mm.request("Hello", model=model)).result(10)


def add(mm: ModelManager, name: str, fake: FakeVendor, **values: object) -> None:
    given = {"kind": "openai", "url": f"{fake.url}/v1", "is_private": True, **values}
    mm.deployments.add(name, str(given.pop("kind")), fake.key, **given)


def used_keys(fake: FakeVendor) -> set[str]:
    return {
        value.removeprefix("Bearer ")
        for headers in fake.headers
        for name, value in headers.items()
        if name.lower() in ("authorization", "x-api-key", "api-key", "x-goog-api-key")
    }


def test_a_key_set_up_answers_at_once_and_lies_nowhere_in_clear(
    open_manager: Open, tmp_path: Path, fakes: list[FakeVendor], capsys: pytest.CaptureFixture[str]
):
    mm = open_manager(fresh(tmp_path), call_timeout_s=5.0)
    with pytest.raises(AuthenticationError):
        mm.models.get(GPT)

    add(mm, "openai", fakes[0])

    found = ask(mm)
    assert (found.status, found.provider, found.deployment) == ("ok", "openai", "")
    add(mm, "second", fakes[0], priority=9)
    assert ask(mm, "second/gpt-4o").deployment == "second"
    mm.close()
    for file in tmp_path.iterdir():
        held = file.read_bytes()
        assert KEYS[0].encode() not in held and KEYS[0][3:20].encode() not in held, file
    assert (tmp_path / "aimm.key").stat().st_mode & 0o777 == 0o600
    said = capsys.readouterr()
    assert KEYS[0] not in said.out + said.err


def test_what_one_process_does_holds_in_the_others_within_a_second(
    open_manager: Open, database_url: str, fakes: list[FakeVendor]
):
    keys = (new_key(),)
    mm, other = (open_manager(database_url, encryption_keys=keys, call_timeout_s=5.0) for _ in range(2))

    add(mm, "openai", fakes[0])
    assert until(lambda: other.models.exists(GPT), 1.0)
    assert ask(other).status == "ok"
    fakes[0].key = KEYS[1]
    mm.deployments.rotate("openai", f' "Bearer {KEYS[1]}"\n')
    assert until(lambda: other.deployments.get("openai").deployment.hint == f"…{KEYS[1][-4:]}", 1.0)
    assert ask(other).status == ask(mm).status == "ok"
    mm.deployments.remove("openai")
    assert until(lambda: not other.models.exists(GPT), 1.0)
    with pytest.raises(NotFound):
        other.deployments.rotate("openai", KEYS[0])


def test_another_address_needs_the_key_again(open_manager: Open, sqlite_url: str, fakes: list[FakeVendor]):
    mm = open_manager(sqlite_url, call_timeout_s=5.0)
    add(mm, "eu", fakes[0])

    with pytest.raises(InvalidRequest, match="goes nowhere else"):
        mm.deployments.change("eu", url=f"{fakes[1].url}/v1")
    mm.deployments.change("eu", KEYS[1], url=f"{fakes[1].url}/v1")

    assert ask(mm).deployment == "eu"
    assert (used_keys(fakes[0]), used_keys(fakes[1])) == (set(), {KEYS[1]})


def test_a_row_changed_by_hand_sends_its_key_nowhere(
    open_manager: Open, tmp_path: Path, fakes: list[FakeVendor], caplog: pytest.LogCaptureFixture
):
    url = fresh(tmp_path)
    mm = open_manager(url, call_timeout_s=5.0)
    add(mm, "eu", fakes[0])
    with sqlite3.connect(tmp_path / "aimm.db") as connection:
        connection.execute("UPDATE deployments SET url = ?, revision = 9", (f"{fakes[1].url}/v1",))

    state = mm.deployments.get("eu")

    assert "no key goes anywhere else" in state.problem and "eu" in caplog.text
    with pytest.raises(AuthenticationError):
        mm.models.get(GPT)
    assert fakes[1].headers == []


def test_without_its_encryption_key_one_deployment_is_named_and_the_others_serve(
    open_manager: Open, sqlite_url: str, fakes: list[FakeVendor]
):
    old, new = new_key(), new_key()
    first = open_manager(sqlite_url, encryption_keys=(old,))
    add(first, "lost", fakes[0])
    second = open_manager(sqlite_url, encryption_keys=(new,), call_timeout_s=5.0)
    add(second, "kept", fakes[1])

    states = {state.deployment.name: state.problem for state in second.deployments.all()}
    assert states["kept"] == "" and "another key than AIMM_ENCRYPTION_KEY" in states["lost"]
    assert ask(second).deployment == "kept"

    both = open_manager(sqlite_url, encryption_keys=(new, old))
    assert both.deployments.reencrypt() == 2
    assert [state.problem for state in second.deployments.all()] == ["", ""]


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [("no key", 0o600, "44 letters"), (None, 0o644, "chmod 600"), ("", 0o600, "no key to encrypt")],
)
def test_a_bad_key_file_is_refused_in_words(
    open_manager: Open, sqlite_url: str, tmp_path: Path, content: str | None, mode: int, said: str
):
    file = tmp_path / "of.key"
    file.write_text(new_key() if content is None else content)
    file.chmod(mode)
    mm = open_manager(sqlite_url, encryption_key_file=file)

    with pytest.raises(InvalidRequest) as caught:
        mm.deployments.add("openai", "openai", KEYS[0])

    assert said in caught.value.text


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("Eu", {}, "small letters"),
        ("gemini", {}, "name of a vendor"),
        ("eu", {"weight": -1}, "weight == -1"),
        ("eu", {"priority": 0}, "priority == 0"),
        ("eu", {"vendor": "gemini"}, "answers openai's models"),
        ("eu", {"url": "http://api.example.com/v1"}, "https alone"),
        ("eu", {"url": "https://10.0.0.1/v1"}, "private network"),
        ("eu", {"url": "https://0x7f.1/v1"}, "private network"),
        ("eu", {"url": "https://u:p@example.com"}, "without user"),
        ("eu", {"models": {"a b": "x"}}, "two models' names"),
        ("eu", {"colour": "red"}, "has no colour"),
    ],
)
def test_a_deployment_that_cannot_be_is_refused(
    open_manager: Open, sqlite_url: str, name: str, values: dict, said: str
):
    mm = open_manager(sqlite_url, gemini_api_key="AIza" + "0" * 35, gemini_base_url="http://127.0.0.1:9")

    with pytest.raises((InvalidRequest, Conflict), match=said):
        mm.deployments.add(name, "openai", KEYS[0], **values)


def test_an_error_that_repeats_the_key_is_told_without_it(open_manager: Open, sqlite_url: str, fakes: list[FakeVendor]):
    mm = open_manager(sqlite_url, call_timeout_s=5.0)
    add(mm, "eu", fakes[0])
    fakes[0].next(failure(401, f"Incorrect API key provided: {KEYS[0]}"))

    found = ask(mm)

    assert "[key]" in found.error_message and KEYS[0] not in found.error_message
