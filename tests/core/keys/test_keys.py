"""Keys: made once and shown once, found without a query, and gone everywhere within a second."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core import AuthenticationError, Conflict, Forbidden, InvalidRequest, ModelManager, NotFound, clock
from core.cli import __main__ as command_line
from core.errors import redact
from core.formats.text import MAX_TAGS
from core.keys import rules
from core.keys.issuing import Allowance
from tests.builders import statements, until
from tests.conftest import Open, SetClock


def is_refused(mm: ModelManager, secret: str) -> bool:
    try:
        mm.keys.find(secret)
    except AuthenticationError:
        return True
    return False


def test_a_new_key_is_found_by_its_text_and_has_what_it_was_given(mm: ModelManager):
    until_ = datetime.now(UTC) + timedelta(days=30)
    key, secret = mm.keys.create(
        " ci ", scopes=("read", "call"), models=("gpt-4o*", "exp:*"), tags=("team-a",), rpm=60, user_rpm=6,
        log_content="none", shares_cache=True, expires_at=until_,
    )  # fmt: skip

    found = mm.keys.find(secret)

    assert found == key
    assert (key.name, key.scopes, key.models, key.tags) == ("ci", ("call", "read"), ("gpt-4o*", "exp:*"), ("team-a",))
    assert (key.rpm, key.user_rpm, key.log_content, key.shares_cache) == (60, 6, "none", True)
    assert key.expires_at == until_
    assert secret.startswith("aimm_") and key.hint == f"{secret[:9]}…{secret[-4:]}"
    assert mm.keys.cached(secret) == key and asyncio.run(mm.keys.afind(secret)) == key


def test_two_keys_differ(mm: ModelManager):
    assert mm.keys.create("a")[1] != mm.keys.create("b")[1]
    assert [key.name for key in mm.keys.all()] == ["b", "a"]


def test_the_text_of_a_key_is_nowhere_in_the_database(open_manager: Open, tmp_path: Path):
    mm = open_manager(f"sqlite:///{tmp_path}/aimm.db")
    _, secret = mm.keys.create("ci")
    mm.keys.find(secret)
    mm.keys.flush()
    mm.close()

    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert rules.digest_of(secret).encode() in kept
    assert secret.encode() not in kept and secret[9:-4].encode() not in kept


def test_a_text_loses_a_key_but_keeps_its_hint():
    secret = rules.new_secret()

    assert redact(f"Bearer {secret}; ?key={secret}; <{secret}>") == "Bearer [key]; ?key=[key]; <[key]>"
    assert redact(rules.hint_of(secret)) == rules.hint_of(secret)
    assert str(InvalidRequest(f"no {secret}")) == "no [key]"


def test_who_is_refused_hears_why_and_no_key_is_echoed(mm: ModelManager):
    _, secret = mm.keys.create("ci")
    mistyped = secret[:-1] + ("0" if secret[-1] != "0" else "1")

    with pytest.raises(AuthenticationError, match="mistyped") as typo:
        mm.keys.find(mistyped)
    with pytest.raises(AuthenticationError, match="not known here") as unknown:
        mm.keys.find(rules.new_secret())

    assert "aimm_" not in f"{typo.value}{unknown.value}"


def test_an_expired_key_is_refused(mm: ModelManager, set_clock: SetClock):
    now = clock.now()
    key, secret = mm.keys.create("short", expires_at=now + timedelta(days=1))

    assert mm.keys.find(secret) == key
    set_clock(now + timedelta(days=2))
    with pytest.raises(AuthenticationError, match="'short' expired at"):
        mm.keys.find(secret)
    assert mm.keys.cached(secret) is None


def test_a_revoked_key_is_refused_at_once(mm: ModelManager):
    key, secret = mm.keys.create("ci")
    mm.keys.find(secret)

    mm.keys.revoke(key.id)

    assert mm.keys.cached(secret) is None
    with pytest.raises(AuthenticationError, match="'ci' was revoked"):
        mm.keys.find(secret)
    with pytest.raises(Conflict, match="revoked already"):
        mm.keys.revoke(key.id)
    with pytest.raises(Conflict, match="is revoked"):
        mm.keys.change(key.id, rpm=5)


def test_a_revocation_holds_in_another_process_within_a_second(open_manager: Open, database_url: str):
    here, there = open_manager(database_url, takes_up=False), open_manager(database_url, takes_up=False)
    key, secret = here.keys.create("ci")
    assert there.keys.find(secret) == key

    there.keys.revoke(key.id)

    assert until(lambda: is_refused(here, secret), 1.0)


def test_a_key_of_another_process_is_known_almost_at_once(open_manager: Open, database_url: str):
    here, there = open_manager(database_url, takes_up=False), open_manager(database_url, takes_up=False)
    assert is_refused(here, rules.new_secret())  # what it knows is fresh now

    _, secret = there.keys.create("ci")

    assert until(lambda: not is_refused(here, secret), 0.5)


def test_finding_a_key_reads_the_database_about_once_a_second(mm: ModelManager):
    _, secret = mm.keys.create("ci")

    async def many() -> None:
        for _ in range(50):
            await asyncio.gather(*(mm.keys.afind(secret) for _ in range(20)))

    with statements("api_keys") as asked:
        asyncio.run(many())

    assert len(asked) <= 1


def test_finding_a_known_key_asks_the_database_nothing(mm: ModelManager):
    key, secret = mm.keys.create("ci")
    mm.keys.find(secret)

    with statements() as asked:
        assert mm.keys.cached(secret) == key

    assert asked == []


def test_the_last_use_is_written_once_a_minute_and_at_the_end(open_manager: Open, database_url: str):
    mm, other = open_manager(database_url, takes_up=False), open_manager(database_url, takes_up=False)
    key, secret = mm.keys.create("ci")
    assert mm.keys.get(key.id).last_used_at is None

    mm.keys.find(secret)
    mm.keys.flush()
    first = other.keys.get(key.id).last_used_at
    mm.keys.find(secret)
    mm.keys.flush()

    assert first is not None and other.keys.get(key.id).last_used_at == first
    mm.close()
    last = other.keys.get(key.id).last_used_at
    assert last is not None and last > first


def test_a_change_holds_at_once_and_keeps_the_rest(mm: ModelManager):
    key, secret = mm.keys.create("ci", models=("sim-*",), rpm=60)
    mm.keys.find(secret)

    mm.keys.change(key.id, name="build", scopes=("admin",), rpm=None)

    found = mm.keys.find(secret)
    assert (found.name, found.scopes, found.models, found.rpm) == ("build", ("admin",), ("sim-*",), None)


def test_what_is_done_with_keys_is_in_the_audit_trail(mm: ModelManager):
    key, secret = mm.keys.create("ci")
    mm.keys.change(key.id, rpm=5)
    mm.keys.revoke(key.id)

    entries, _ = mm.audit.page()

    assert [entry.action for entry in entries] == ["key revoked", "key changed", "key created"]
    assert {entry.subject for entry in entries} == {"ci"}
    assert secret not in str(entries)


def test_a_name_is_free_again_once_its_key_is_revoked(mm: ModelManager):
    first, _ = mm.keys.create("ci")
    with pytest.raises(Conflict, match="named 'ci' already"):
        mm.keys.create("ci")
    mm.keys.revoke(first.id)
    second, _ = mm.keys.create("ci")

    assert mm.keys.named("ci") == second
    assert mm.keys.named(first.id).id == first.id
    with pytest.raises(NotFound):
        mm.keys.named("nobody")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "  "}, "1 to 80"),
        ({"name": "x" * 81}, "1 to 80"),
        ({"name": "a\nb"}, "printable"),
        ({"scopes": ()}, "one or more of call, read, admin"),
        ({"scopes": ("call", "root")}, "one or more of"),
        ({"scopes": "call"}, "a list of texts"),
        ({"models": tuple(f"m{n}" for n in range(51))}, "at most 50 patterns"),
        ({"models": ("",)}, "at most 50 patterns"),
        ({"tags": tuple(f"t{n}" for n in range(MAX_TAGS + 1))}, "at most 10 words"),
        ({"tags": ("a b",)}, "at most 10 words"),
        ({"rpm": 0}, "from 1 to 1,000,000"),
        ({"rpm": 1_000_001}, "from 1 to 1,000,000"),
        ({"user_rpm": True}, "from 1 to 1,000,000"),
        ({"log_content": "all"}, "full, metadata or none"),
        ({"shares_cache": "yes"}, "true or false"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "after now"),
        ({"expires_at": datetime(2090, 1, 1)}, "time zone"),  # noqa: DTZ001 - what is refused
        ({"colour": "red"}, "no field colour"),
    ],
)
def test_what_no_key_can_have_is_refused(open_manager: Open, sqlite_url: str, fields: dict[str, object], text: str):
    mm = open_manager(sqlite_url, takes_up=False)

    with pytest.raises(InvalidRequest, match=text):
        mm.keys.create(**{"name": "ci", **fields})  # type: ignore[arg-type]
    assert mm.keys.all() == []


def test_a_key_asks_only_what_its_patterns_name(mm: ModelManager):
    key, _ = mm.keys.create("ci", models=("gpt-4o*", "exp:*"))

    for model in ("gpt-4o", "gpt-4o-mini", "exp:checkout"):
        rules.check_model(key, model)
    for model in ("gpt-4", "openai/gpt-4o", "GPT-4o"):
        with pytest.raises(Forbidden, match="may not ask"):
            rules.check_model(key, model)
    rules.check_model(None, "anything")


def test_a_key_and_its_budget_are_made_together_or_not_at_all(mm: ModelManager):
    key, _, budget = mm.issuer.issue("ci", allowance=Allowance.parse("$5.50/month"))

    assert budget is not None
    assert (budget.name, budget.scope, budget.action) == ("key ci", f"key:{key.id}", "stop")
    assert (f"{budget.limit_usd:f}", budget.period) == ("5.5", "month")
    with pytest.raises(InvalidRequest, match="limit_usd"):
        mm.issuer.issue("no budget", allowance=Allowance.parse("0/month"))
    assert [key.name for key in mm.keys.all() if key.revoked_at is None] == ["ci"]


@pytest.mark.parametrize("text", ["5", "5/year", "-5/month", "five/month", "5/month/day", "1e9/month"])
def test_a_budget_that_cannot_be_read_is_refused(text: str):
    with pytest.raises(InvalidRequest, match="such as 5/month"):
        Allowance.parse(text)


def test_the_command_line_makes_lists_and_revokes_keys(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("DATABASE_URL", sqlite_url)

    made = ["keys", "create", "ci", "--scope", "call", "--scope", "read", "--budget", "5/month", "--expires", "30d"]
    assert command_line.main(made) == 0
    out, err = capsys.readouterr()
    secret = out.strip()
    assert rules.is_well_formed(secret) and secret not in err
    assert "stops at $5 a month" in err

    assert command_line.main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert rules.hint_of(secret) in listed and secret not in listed and "call read" in listed

    assert command_line.main(["keys", "create", "x", "--expires", "soon"]) == 1
    assert "such as 30d" in capsys.readouterr().err
    assert command_line.main(["keys", "revoke", "ci"]) == 0
    with ModelManager.open(takes_up=False) as mm, pytest.raises(AuthenticationError, match="revoked"):
        mm.keys.find(secret)
