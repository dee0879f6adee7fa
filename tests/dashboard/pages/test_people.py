"""The pages of people: what was changed, by whom, found again by filter."""

import pytest
from streamlit.testing.v1 import AppTest

from core.acting import acting_as
from core.domain.people.actor import Actor
from dashboard import process
from tests.pages import show, texts

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
