"""People: roles, passwords, the last admin, accounts of an identity provider, and keys that stop with their owner."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core import AuthenticationError, Conflict, Forbidden, InvalidRequest, ModelManager, Origin, clock
from core.acting import acting_as
from core.domain.people.actor import Actor
from core.domain.people.entry import Wanted
from core.keys.rules import problem_of
from core.people.roles import RoleRules, groups_of, role_of
from core.people.service import PeopleService
from core.storage.columns import metadata
from tests.conftest import Open
from tests.fakes import gemini as wire
from tests.fakes.gemini import FakeGemini

PASSWORD, OTHER = "correct horse battery", "staple wrong giraffe"


def test_a_password_lets_its_person_in_and_no_other(mm: ModelManager):
    anna = mm.people.add("Anna", PASSWORD, role="admin")

    assert mm.people.check("anna ", PASSWORD) == anna
    assert mm.people.check("Anna", OTHER) is None
    assert mm.people.check("nobody", PASSWORD) is None
    assert mm.people.get(anna.id).last_login_at is not None
    mm.people.change_own_password(anna.id, PASSWORD, OTHER)
    assert mm.people.check("Anna", PASSWORD) is None
    assert mm.people.check("Anna", OTHER) is not None
    with pytest.raises(AuthenticationError):
        mm.people.change_own_password(anna.id, PASSWORD, PASSWORD)
    with pytest.raises(InvalidRequest, match="can be guessed"):
        mm.people.add("Bob", "password1234")
    with pytest.raises(Conflict, match="named 'ANNA' already"):
        mm.people.add("ANNA", PASSWORD)
    entries = str(mm.audit.page()[0])
    assert "argon2" not in entries and PASSWORD not in entries


def test_the_last_admin_stays(mm: ModelManager):
    anna, bob = (mm.people.add(name, PASSWORD, role="admin") for name in ("Anna", "Bob"))
    mm.people.disable(bob.id)

    with pytest.raises(Conflict, match="the last admin"):
        mm.people.disable(anna.id)
    with pytest.raises(Conflict, match="the last admin"):
        mm.people.change(anna.id, role="viewer")
    mm.people.enable(bob.id)
    assert mm.people.change(anna.id, role="viewer").role == "viewer"
    assert [e.action for e in mm.audit.page()[0]][:3] == ["person changed", "person enabled", "person disabled"]


def test_a_key_does_no_more_than_its_owner_may_and_stops_with_them(mm: ModelManager):
    mm.people.add("Root", PASSWORD, role="admin")
    ed = mm.people.add("Ed", PASSWORD, role="editor")
    key, secret = mm.keys.create("ci", scopes=("admin",), owner="ed", team="red")

    assert (key.owner, mm.keys.find(secret).role, mm.keys.find(secret).owner_name) == (ed.id, "editor", "Ed")
    mm.people.change(ed.id, role="viewer")
    assert mm.keys.find(secret).role == "viewer"
    assert "may ask no models any more" in problem_of(key.id, mm.keys.find(secret), clock.now())  # what it began stops
    mm.people.disable(ed.id)
    with pytest.raises(AuthenticationError, match="its owner Ed was disabled"):
        mm.keys.find(secret)
    mm.people.enable(ed.id)
    assert mm.keys.find(secret).team == "red"


def test_a_viewer_may_not_ask_models_nor_make_people(mm: ModelManager):
    vera = Actor(name="Vera", role="viewer", door="page", id="u_1")
    with acting_as(vera), pytest.raises(Forbidden, match="may not ask models"):
        mm.generate("Hello", model="sim-fast")
    with pytest.raises(InvalidRequest, match="must be an admin"):
        mm.people.add("Ed", PASSWORD, role="editor")
    mm.people.add("Root", PASSWORD, role="admin")
    with acting_as(vera), pytest.raises(Forbidden):
        mm.people.add("Friend", PASSWORD)

    assert [each.name for each in mm.people.all()] == ["Root"]
    assert [e.text for e in mm.audit.page(Wanted(outcome="refused"))[0]] == [
        "Vera (viewer) was refused to create the person 'Friend'",
        "Vera (viewer) was refused to ask the model 'sim-fast'",
    ]


def test_a_team_has_a_budget_of_what_its_keys_and_people_spend(with_gemini: ModelManager, gemini: FakeGemini):
    mm = with_gemini
    red, _ = mm.keys.create("red", team="red")
    blue, _ = mm.keys.create("blue", team="blue")
    with pytest.raises(InvalidRequest, match="the teams are blue, red"):
        mm.budgets.create("t", "5", scope="team:green")
    budget = mm.budgets.create("t", "5", scope="team:red", action="stop").budget
    gemini.next(*(wire.answer(prompt=1000, candidates=100) for _ in range(3)))
    mm.generate("Hello", model="gemini-2.5-flash", origin=Origin(source="api", key=red))
    mm.generate("Hello", model="gemini-2.5-flash", origin=Origin(source="api", key=blue))
    with acting_as(Actor(name="Rob", role="editor", team="red")):
        mm.generate("Hello", model="gemini-2.5-flash")

    calls = mm.log.latest()
    assert [g.team for g in calls] == ["red", "blue", "red"]
    spent = sum((g.cost_usd or Decimal(0) for g in calls if g.team == "red"), Decimal(0))
    assert spent > 0 and mm.budgets.status(budget.id).spent_usd == spent
    by_team = mm.spend.by("team", mm.monitoring.window(days=2))
    assert {row.value: row.cost_usd for row in by_team} == {"red": spent, "blue": spent / 2}
    later = mm.budgets.create("from now", "5", scope="team:blue").budget  # counts what its period has cost so far
    assert mm.budgets.status(later.id).spent_usd == spent / 2
    assert mm.monitoring.differences() == [] and mm.budgets.differences() == []


@pytest.mark.parametrize(
    ("account", "claim", "groups"),
    [
        ({"groups": ["a", "b c"]}, "groups", ["a", "b c"]),
        ({"groups": "a"}, "groups", ["a"]),
        ({"groups": "all staff"}, "groups", ["all staff"]),
        ({"groups": "x, admins"}, "groups", ["x, admins"]),  # else whoever names a group could be in another
        ({"groups": ["/ml/platform"]}, "groups", ["ml/platform"]),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", ["a"]),
        ({"https://x.org/groups": ["a"]}, "https://x.org/groups", ["a"]),
        ({"urn:zitadel:roles": {"a": {"org": "x"}}}, "urn:zitadel:roles", ["a"]),
        ({"groups": [{"name": "a"}, 3, None, ""]}, "groups", ["a"]),
        ({"groups": None}, "groups", []),
        ({"groups": 7}, "groups.more", []),
        ({}, "groups", []),
    ],
)
def test_groups_are_read_in_the_forms_that_providers_write(account: dict[str, Any], claim: str, groups: list[str]):
    assert groups_of(account, claim) == groups


def test_the_highest_role_counts_and_without_a_rule_nobody_comes_in():
    rules = RoleRules(admins=("group:root", "ann@x.org"), editors=("@x.org",), viewers=("group:all staff",))

    def role(**account: Any) -> str | None:
        return role_of(account, rules)

    assert role(groups=["root", "all staff"]) == "admin"
    assert role(email="Ann@X.org", email_verified=True) == "admin"
    assert role(email="ann@x.org", email_verified=False, groups=["all staff"]) == "viewer"
    assert role(email="bob@x.org") == "editor"
    assert role(email="bob@evil.org", groups="all staff") == "viewer"
    assert role(email="bob@evil.org", groups="all staff root") is None
    assert role(groups=["admin", "ROOT"]) is None
    assert role_of({}, RoleRules(viewers=("*",))) == "viewer"
    assert role_of({}, RoleRules()) == "admin"


def test_an_account_is_met_once_and_its_role_follows_its_groups(open_manager: Open, sqlite_url: str):
    mm = open_manager(sqlite_url, admins=("group:root",), viewers=("group:staff",))
    account = {"provider": "default", "sub": "42", "email": "ann@x.org", "groups": ["staff"]}

    ann = mm.people.of_account(account)
    assert ann is not None and (ann.name, ann.role) == ("ann@x.org", "viewer")
    assert mm.people.of_account(account) == mm.people.get(ann.id)
    assert mm.people.of_account({**account, "groups": ["root"]}).role == "admin"  # type: ignore[union-attr]
    assert mm.people.of_account({**account, "groups": ["strangers"]}) is None
    assert mm.people.of_account({**account, "sub": "", "email": ""}) is None
    with pytest.raises(Conflict, match="identity provider"):
        mm.people.change(ann.id, role="editor")
    mm.people.disable(ann.id)
    assert mm.people.of_account(account) is None
    assert len(mm.people.all()) == 1 and isinstance(mm.people, PeopleService) and "people" in metadata.tables


def test_who_is_known_stays_so_while_the_database_cannot_be_read(
    open_manager: Open, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
):
    mm = open_manager(sqlite_url, takes_up=False)
    anna = mm.people.add("Anna", PASSWORD, role="admin")
    monkeypatch.setattr("core.people.service.FRESH_S", -1.0)
    Path(sqlite_url.removeprefix("sqlite:///")).unlink()

    assert mm.people.of_id(anna.id) == anna and mm.people.have_passwords()
