"""The pages of people: what was changed, by whom, found again by filter."""

from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from core import ModelManager
from core.acting import acting_as
from core.domain.people.actor import Actor, Role
from dashboard import login, process
from tests.conftest import Open
from tests.pages import button, page_app, show, texts

SeenAs = Callable[[Role], tuple[AppTest, ModelManager]]
pytestmark = pytest.mark.usefixtures("pages_as_served")


def test_changes_are_listed_with_who_and_found_by_filter(app: AppTest):
    assert "Nothing has been changed yet" in texts(show(app, "people/audit"))
    mm = process.manager()
    with acting_as(Actor(name="Anna", door="page", id="u_1")):
        budget = mm.budgets.create("team-a", "50").budget
        mm.budgets.change(budget.id, limit_usd="80")
    mm.keys.create("ci")

    show(app, "people/audit")

    listed = app.dataframe[0].value
    assert list(listed["what"][1:]) == [
        "Anna raised the budget 'team-a' from $50 to $80",
        "Anna created the budget 'team-a'",
    ]
    app.selectbox(key="audit_kind").set_value("key").run()
    assert len(app.dataframe[0].value) == 1
    app.text_input(key="audit_who").set_value("Anna").run()
    assert "No change matches" in texts(app)


def test_an_entry_opens_with_before_and_after(app: AppTest):
    mm = process.manager()
    budget = mm.budgets.create("<b>team</b>", "50").budget
    mm.budgets.raise_once(budget.id, "30", reason="launch")
    [raised, _], _ = mm.audit.page()
    app.query_params["entry"] = raised.id

    show(app, "people/audit")

    assert "<td>limit</td><td>$50</td><td><b>$80</b></td>" in texts(app)


@pytest.fixture
def seen_as(monkeypatch: pytest.MonkeyPatch, open_manager: Open, demo_url: str) -> Iterator[SeenAs]:
    """The pages of a server with people and the demo's history, as somebody in a role sees them."""
    mm = open_manager(demo_url, takes_up=False)
    mm.people.add("Root", "staple wrong giraffe", role="admin")
    vera = mm.people.add("Vera", "correct horse battery", role="viewer")

    def seen(role: Role) -> tuple[AppTest, ModelManager]:
        monkeypatch.setattr(login, "visitor", lambda _: login.Visitor(vera.name, role, vera.id, "red"))
        return app, mm

    for app in page_app(mm):  # noqa: B007 - `seen` gives it
        yield seen


LOOKS = (
    "home",
    "alerting/alerts",
    "playground",
    "workflows",
    "compare",
    "budgets",
    "gateway",
    "experiments",
    "library/prompts",
    "settings",
)


def test_a_viewer_sees_all_and_is_told_why_nothing_can_be_changed(seen_as: SeenAs):
    app, mm = seen_as("viewer")
    for page in LOOKS:
        assert "You look at this as a viewer" in texts(show(app, page)), page

    assert button(show(app, "budgets"), "New budget").disabled
    assert "needs the role admin; yours is viewer" in button(app, "New budget").help
    assert button(show(app, "gateway"), "New key").disabled
    assert show(app, "playground").chat_input(key="play_prompt").disabled
    assert "needs the role admin" in texts(show(app, "people/audit"))
    assert mm.audit.page()[0][0].action == "person created"  # looking leaves nothing


def test_an_editor_works_but_makes_no_budget(seen_as: SeenAs):
    app, mm = seen_as("editor")

    assert not show(app, "playground").chat_input(key="play_prompt").disabled
    assert button(show(app, "budgets"), "New budget").disabled
    app.query_params["budget"] = "new"
    assert "You look" not in texts(show(app, "budgets"))
    assert mm.budgets.statuses() == []


def test_an_admin_makes_changes_and_disables_people(seen_as: SeenAs):
    app, mm = seen_as("admin")
    app.query_params["person"] = "new"
    show(app, "people/people")

    app.text_input(key="person_new_name").set_value("bob")
    app.text_input(key="person_new_password").set_value("short")
    button(app, "Add person").click().run()
    assert "can be guessed" in texts(app)
    app.text_input(key="person_new_password").set_value("battery horse correct")
    app.selectbox(key="person_new_role").set_value("editor")
    button(app, "Add person").click().run()
    bob = mm.people.named("bob")
    assert bob.role == "editor" and "person" not in app.query_params

    app.query_params["person"] = bob.id
    button(show(app, "people/people"), "Disable").click().run()
    assert not mm.people.get(bob.id).is_active
    assert {e.door for e in mm.audit.page()[0][:2]} == {"page"}
    assert [e.text for e in mm.audit.page()[0]][:2] == [
        "Vera disabled the person 'bob'",
        "Vera created the person 'bob'",
    ]
    assert list(app.dataframe[0].value["state"]) == ["active", "active", "disabled"]
