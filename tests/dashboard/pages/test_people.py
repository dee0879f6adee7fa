"""The pages of people: what was changed, by whom, found again by filter."""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from core import ModelManager, Origin
from core.acting import acting_as
from core.domain.evaluation.prompt import PromptContent, PromptMessage
from core.domain.people.actor import Actor, Role
from core.domain.people.entry import Wanted
from core.monitoring.alerts.rule_file import read_rule
from core.storage.people.watched import WATCHED
from core.storage.schema import metadata
from dashboard import login, process
from dashboard.components.budgets.form import DEEDS
from tests.conftest import Open
from tests.pages import PAGES, button, is_broken, live, page_app, show, texts

View = tuple[str, dict[str, str]]  # a page, and what its address says
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


def _filled(mm: ModelManager) -> None:
    """Something of each kind, beside the demo's."""
    mm.budgets.create("team-a", "50")
    mm.keys.create("ci", team="red")
    mm.alert_rules.put(read_rule({"kind": "error_rate", "above": "5%"}, "errors"))
    mm.alert_rules.silence("errors", timedelta(hours=1), "known")
    mm.deployments.add("mine", "openai", "sk-1234567890", url="http://127.0.0.1:9/v1", is_private=True)
    for text in ("Hello {{name}}", "Good day {{name}}"):
        mm.prompts.save("greeting", PromptContent(messages=(PromptMessage("user", text),)))
    mm.prompts.move_label("greeting", "live", 2)
    mm.datasets.load(mm.datasets.read(b"question\nWhy?\n"), "cases")
    mm.prices.set_price({"provider": "openai", "model": "gpt-x", "input": "1", "output": "2"})
    mm.workflows.save("name: mine\nsteps:\n  - {name: one, prompt: 'Say {{input}}'}\n")
    mm.comparisons.wait(mm.comparisons.start("Why?", ["sim-fast", "sim-careful"], is_blind=True))
    mm.generate("Hi", model="sim-fast", origin=Origin(source="playground"))


def _views(mm: ModelManager) -> Iterator[View]:
    """All pages, then what opens on them by the address."""
    yield from ((page, {}) for page in PAGES)
    [call] = mm.log.latest(source="playground", limit=1)
    opened: list[tuple[str, str, Iterable[str]]] = [
        ("playground", "conversation", [call.id, f"{call.id}:1"]),
        ("playground", "prompt", ["greeting"]),
        ("workflows", "run", [run.id for run in mm.workflows.runs()]),
        ("compare", "comparison", [each.id for each in mm.comparisons.latest(2)]),
        ("compare", "evaluation", ["new", *(run.id for run in mm.evaluations.page(9)[0])]),
        ("experiments", "experiment", ["new", *(each.id for each in mm.experiments.all())]),
        ("monitoring", "monitor_view", ["Reconcile"]),
        ("budgets", "budget", ["new", *(f"{deed}:{mm.budgets.statuses()[0].budget.id}" for deed in DEEDS)]),
        ("library/prompts", "prompt", ["greeting"]),
        ("library/prompts", "prompt_edit", ["new", "greeting"]),
        ("library/datasets", "dataset", ["cases"]),
        ("library/datasets", "import", ["new"]),
        ("log", "call", [call.id]),
        ("alerting/alerts", "rule", ["new:", "errors"]),
        ("gateway", "key", ["new", mm.keys.all()[0].id]),
        ("gateway", "team", ["red"]),
        ("models", "prices_view", ["Own prices", "Unpriced", "Recalculate costs", "Catalogue", "Changes"]),
        ("settings", "deployment", ["new", "mine"]),
    ]  # fmt: skip
    for page, name, values in opened:
        yield from ((page, {name: value}) for value in values)
    yield "workflows", {"flow_view": "Edit", "flow_name": "mine"}
    yield "workflows", {"flow_view": "YAML", "flow_name": "mine"}


def _clicked(app: AppTest, views: Iterable[View], leaves: tuple[str, ...] = ()) -> set[str]:
    """Click each button that can be clicked in these views, one of each kind; nothing breaks. Their kinds."""
    clicked: set[str] = set()

    def opened(page: str, address: dict[str, str]) -> dict[str, Any]:
        for name in app.query_params:  # what is open is closed
            if (kept := f"address_{app.session_state['address_page']}_{name}") in app.session_state:
                del app.session_state[kept]
        app.query_params.clear()
        app.query_params.update(address)
        return live(show(app, page))

    for page, address in views:
        here = opened(page, address)
        for key in list(here):
            kind = re.sub(r"(?<=_)[a-z]?_?[0-9a-f]{6,}|[0-9]+", "", key)
            if kind in clicked or key.startswith(leaves):
                continue
            here = here or opened(page, address)
            if key not in here:
                continue
            clicked.add(kind)
            (here[key].click() if here[key].type == "button" else here[key].click_index(0)).run()
            assert not is_broken(app), (page, address, key, texts(app))
            here = {}
    return clicked


def _rows(mm: ModelManager) -> dict[str, list[Any]]:
    """All that a role is needed to change, and the calls."""
    return {name: mm.database.rows(select(metadata.tables[name])) for name in (*WATCHED, "generations")}


def test_no_button_that_a_viewer_can_click_is_refused_or_changes_anything(seen_as: SeenAs):
    app, mm = seen_as("viewer")
    _filled(mm)
    before, noted = _rows(mm), mm.audit.page()[0]

    clicked = _clicked(app, _views(mm))

    assert {"play_new", "run_close", "drawer_compare", "rule_errors_try", "flow_begin"} <= clicked
    assert mm.audit.page()[0] == noted
    assert _rows(mm) == before


def test_no_button_of_admins_that_an_editor_can_click_is_refused(seen_as: SeenAs):
    app, mm = seen_as("editor")
    _filled(mm)
    admins = ("budgets", "gateway", "models", "settings", "monitoring", "alerting/alerts")

    clicked = _clicked(app, (view for view in _views(mm) if view[0] in admins), ("demo_", "settings_", "gateway_try"))

    assert {"rule_silence", "deployment_test", "retention_due"} <= clicked
    assert mm.audit.page(Wanted(outcome="refused"))[0] == []
