"""The page of budgets: where they stand, and that what changes money or refuses calls is said first."""

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import process
from tests.fakes import gemini as wire
from tests.fakes.gemini import FakeGemini
from tests.pages import button, show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


def rows(app: AppTest) -> str:
    return " ".join(each.proto.body for each in app.get("html"))


@pytest.fixture
def spent(app_with_gemini: AppTest, gemini: FakeGemini) -> AppTest:
    """The dashboard after a real call that cost $0.0008."""
    gemini.next(wire.answer(prompt=1000, candidates=200))
    process.manager().generate("Hi", model="gemini-2.5-flash")
    return app_with_gemini


def test_without_budgets_the_page_says_what_one_is_for(spent: AppTest):
    show(spent, "budgets")

    assert "No budgets yet" in texts(spent) and "0.000800" in texts(spent).replace("\\", "")
    button(spent, "New budget").click().run()
    assert spent.query_params["budget"] == "new"


def test_what_a_file_manages_says_so(spent: AppTest):
    configuration = process.manager().configuration
    text = "budgets: {team: {limit_usd: 5}}\nkeys: [{name: ci}]\naliases: {fast: {model: sim-fast}}"
    list(configuration.apply(configuration.read(text), "config.yaml"))
    process.manager().budgets.create("by hand", 1)

    assert "config.yaml manages the budgets team: what is changed here" in texts(show(spent, "budgets")).replace(
        "\\", ""
    )
    assert "config.yaml manages the keys ci:" in texts(show(spent, "gateway")).replace("\\", "")
    assert "config.yaml manages the aliases fast:" in texts(show(spent, "models")).replace("\\", "")


def test_a_budget_stands_in_words_and_red_is_for_refusal_alone(spent: AppTest):
    budgets = process.manager().budgets
    budgets.create("Team <b>", "0.001", action="stop", forecast_thresholds=(1.0,))
    budgets.create("Over", "0.0001", scope="model:gemini-2.5-flash")
    show(spent, "budgets")

    assert "Team &lt;b&gt;" in rows(spent) and "80%" in rows(spent)
    month = next(each.proto.label for each in spent.get("page_link") if "This month" in each.proto.label)
    assert "80% of the budget Team" in month and "so far" in month
    assert "Notifies only" in rows(spent) and "Calls are refused" not in rows(spent)

    budgets.create("Stop", "0.0001", action="stop")
    show(spent, "budgets")
    assert rows(spent).count("Calls are refused") == 1


def test_a_limit_that_is_spent_already_is_said_before_it_refuses_calls(spent: AppTest):
    show(spent, "budgets")
    button(spent, "New budget").click().run()
    button(spent, "Add budget").click().run()
    assert "A budget needs a name" in texts(spent)

    spent.text_input(key="budget_new_name").input("Team")
    spent.number_input(key="budget_new_limit").set_value(0.0001)
    spent.selectbox(key="budget_new_action").select("stop")
    button(spent, "Add budget").click().run()
    assert "would be refused at once" in texts(spent)
    assert process.manager().budgets.statuses() == []
    assert spent.text_input(key="budget_new_name").value == "Team"

    button(spent, "Save, and refuse calls now").click().run()
    [status] = process.manager().budgets.statuses()
    assert status.is_refusing and "budget" not in spent.query_params


def test_a_budget_is_changed_raised_and_removed_by_name(spent: AppTest):
    budgets = process.manager().budgets
    made = budgets.create("Team", "0.0001", action="stop").budget
    show(spent, "budgets")
    menu = spent.menu_button(key=f"icon_budget_{made.id}")
    menu.click("Raise once").run()
    assert "reason" not in texts(spent)
    button(spent, "Raise Team").click().run()
    assert "needs a reason" in texts(spent)
    spent.text_input(key=f"raise_{made.id}_reason").input("the fair")
    button(spent, "Raise Team").click().run()
    assert not budgets.status(made.id).is_refusing

    spent.menu_button(key=f"icon_budget_{made.id}").click("Change").run()
    name = next(each for each in spent.text_input if each.label == "Name")
    name.input("Others")
    button(spent, "Save").click().run()
    assert budgets.status(made.id).budget.name == "Others"

    spent.menu_button(key=f"icon_budget_{made.id}").click("Remove").run()
    button(spent, "Remove Others").click().run()
    assert budgets.statuses() == []


def test_many_budgets_are_a_searched_list_and_a_few_banners(app_with_gemini: AppTest, gemini: FakeGemini):
    manager = process.manager()
    for n in range(25):
        manager.budgets.create(f"Team {n}", "0.0001", scope="all" if n else "user:nobody")
    gemini.next(wire.answer(prompt=1000, candidates=200))
    manager.generate("Hi", model="gemini-2.5-flash")
    st.cache_data.clear()
    show(app_with_gemini, "log")

    banners = [each.value for each in (*app_with_gemini.error, *app_with_gemini.warning)]
    assert sum("**Budget" in text for text in banners) == 3
    assert any("21 more budgets have passed a threshold" in text for text in banners)
    assert all("Calls continue: this budget only notifies." in text for text in banners if "**Budget" in text)
    show(app_with_gemini, "budgets")
    assert not any("**Budget" in each.value for each in app_with_gemini.error)
    assert "20 of 25 budgets, the fullest first." in texts(app_with_gemini)
    app_with_gemini.text_input(key="budget_search").set_value("nobody").run()
    assert [each.label for each in app_with_gemini.menu_button] == ["Actions for Team 0"]
