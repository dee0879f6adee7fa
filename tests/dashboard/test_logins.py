"""People at the door of the pages: by name and password, with their role at once, and out as soon as it ends."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from core import ModelManager
from core.domain.people.entry import Wanted
from dashboard import login, process
from tests.api.test_access import Pages
from tests.conftest import Open

ADA, BOB = "correct horse battery", "staple wrong giraffe"


@pytest.fixture
def mm(open_manager: Open, sqlite_url: str) -> Iterator[ModelManager]:
    manager = open_manager(sqlite_url, takes_up=False)
    manager.people.add("Ada", ADA, role="admin")
    yield manager
    process.use(None)


@pytest.fixture
def pages(mm: ModelManager, monkeypatch: pytest.MonkeyPatch) -> Pages:
    return Pages(mm, monkeypatch)


def log_in(pages: Pages, name: str, password: str, **more: str) -> int:
    form = f"name={quote(name)}&password={quote(password)}".encode()
    return pages.ask("POST", "/login", form, **more).status_code


def test_where_people_are_pages_ask_who_it_is(pages: Pages):
    assert not pages.is_in()
    assert 'name="name"' in pages.ask("GET", "/login").text
    assert log_in(pages, "Ada", BOB) == log_in(pages, "nobody", ADA) == log_in(pages, "", ADA) == 403
    assert log_in(pages, "", "\x00") == 403

    assert log_in(pages, " ada", ADA) == 303

    found = login.visitor(pages.cookies)
    assert found is not None and (found.name, found.role) == ("Ada", "admin")
    assert pages.is_in()
    pages.ask("GET", "/logout")
    assert login.visitor(pages.cookies) is None


def test_logins_are_in_the_audit_and_no_password_is(pages: Pages, mm: ModelManager):
    log_in(pages, "Ada", BOB)
    log_in(pages, ADA, "x")  # a password in the wrong field
    log_in(pages, "ada", ADA)

    mm._writer.run(lambda _: None)  # behind what is noted of refusals
    found = [each for each in mm.audit.page()[0] if each.kind == "login"]
    assert [(each.text, each.outcome, each.door) for each in found] == [
        ("Ada logged in by password", "done", "page"),
        ("A login was refused (wrong password)", "refused", "page"),
        ("A login as 'Ada' was refused (wrong password)", "refused", "page"),
    ]
    assert found[0].actor_id and all(each.address for each in found)
    text = b"".join(mm.audit.export(Wanted(), "jsonl")).decode()
    assert ADA not in text and BOB not in text and "$argon2" not in text


def test_a_change_of_role_holds_at_once_and_a_disabled_person_or_a_new_password_ends_the_login(
    pages: Pages, mm: ModelManager
):
    bob = mm.people.add("Bob", BOB, role="editor")
    log_in(pages, "Bob", BOB)

    mm.people.change(bob.id, role="viewer", team="red")
    assert login.visitor(pages.cookies) == login.Visitor("Bob", "viewer", bob.id, "red")
    mm.people.disable(bob.id)
    assert login.visitor(pages.cookies) is None and not pages.is_in()
    assert log_in(pages, "Bob", BOB) == 403
    mm.people.enable(bob.id)
    assert pages.is_in()
    mm.people.set_password(bob.id, ADA)
    assert not pages.is_in()


def test_nobody_is_taken_for_another_by_the_name_in_a_cookie(pages: Pages, mm: ModelManager):
    bob = mm.people.add("Bob", BOB)
    log_in(pages, "Bob", BOB)
    token = pages.cookies[login.COOKIE].partition(".")[2]
    [ada] = [each for each in mm.people.all() if each.name == "Ada"]

    for spoilt in (f"{ada.id}.{token}", token, f"{bob.id}.", f"{bob.id}.{token}x", f"u_{'0' * 16}.{token}"):
        assert login.visitor({login.COOKIE: spoilt}) is None


def test_a_shared_password_goes_on_beside_people_and_is_named_so(
    open_manager: Open, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
):
    manager = open_manager(sqlite_url, takes_up=False, dashboard_password=BOB)
    manager.people.add("Ada", ADA, role="admin")
    pages = Pages(manager, monkeypatch)

    assert log_in(pages, "Ada", BOB) == 403
    assert log_in(pages, "", BOB) == 303
    assert login.visitor(pages.cookies) == login.Visitor("shared login")
    process.use(None)


def test_many_tries_at_once_are_counted_before_they_are_looked_at():
    tries = login.Tries(lambda: 0.0)
    looked_at: list[int] = []

    def is_right() -> bool:
        looked_at.append(len(looked_at))
        tries.refused("10.0.0.1", is_right)  # another one comes while this one is looked at
        return False

    tries.refused("10.0.0.1", is_right)

    assert len(looked_at) == login.FREE_TRIES
