"""The Log: its filters, its sums, and the drawer."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from streamlit.testing.v1 import AppTest

from core.calls.origin import Origin
from core.domain.metrics import Window
from dashboard import process
from dashboard.components.monitoring.breakdown import query_of
from tests.pages import show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


def test_the_log_opens_a_call(app: AppTest):
    process.manager().generate("Find me in the log", model="sim-fast")
    show(app, "log")
    app.session_state["log_page"] = 2
    app.text_input(key="log_search").input("find me").run()  # from the first page on

    assert app.dataframe[0].value["prompt"].tolist() == ["Find me in the log"]


def test_the_log_shows_the_calls_of_a_range_and_their_sums(app: AppTest):
    mm = process.manager()
    mm.generate("Hello", model="sim-fast")
    mm.generate("Hello", model="sim-careful")
    now = int(time.time())
    app.query_params["log_range"] = f"{now - 60}-{now + 60}"
    show(app, "log")
    assert "**2** calls" in texts(app)
    app.selectbox(key="log_model").set_value("sim-fast").run()
    assert "**1** calls" in texts(app)
    assert len(app.dataframe[0].value) == 1

    app.button(key="log_clear").click().run()
    app.query_params["log_range"] = "0-3600"
    app.run()
    assert "No call matches. Take a filter away." in texts(app)
    app.button(key="log_without_range").click().run()
    assert "**2** calls" in texts(app)


def test_each_filter_is_a_chip_that_takes_it_away(app: AppTest):
    mm = process.manager()
    for user, tags in (("ada", ("team-a",)), ("ada", ()), ("", ("team-a", "team-b"))):
        mm.submit(mm.request("Hello", model="sim-fast"), Origin(source="api", tags=tags, user_id=user)).result(10)
    app.query_params["log_tag"], app.query_params["log_user"] = "team-a", "ada"
    show(app, "log")
    assert "**1** calls" in texts(app)  # summed from what is found
    assert [b.label.replace("\\", "") for b in app.button if "log_without" in b.key] == ["Tag: team-a", "User: ada"]

    app.button(key="log_without_user").click().run()
    assert "**2** calls" in texts(app)  # from the spend by days
    assert "log_user" not in app.query_params
    app.selectbox(key="log_status").set_value("failed").run()
    assert "No call matches" in texts(app)
    app.button(key="log_clear").click().run()
    assert "**3** calls" in texts(app)
    assert not [b for b in app.button if "log_without" in b.key]


def test_a_link_shows_what_it_says_without_the_filters_of_the_one_before(app: AppTest):
    process.manager().generate("Hello", model="sim-fast")
    app.query_params["log_status"], app.query_params["log_user"] = "failed", "ada"
    show(app, "log")
    show(app, "budgets")
    show(app, "log")  # by the navigation: as it was left
    assert [b.key for b in app.button if "log_without" in b.key] == ["log_without_status", "log_without_user"]

    show(app, "budgets")
    now = datetime.now(UTC)
    app.query_params.clear()
    app.query_params.update(query_of(Window(now - timedelta(hours=1), now + timedelta(hours=1)), simulated=True))
    show(app, "log")
    assert [b.key for b in app.button if "log_without" in b.key] == ["log_without_range", "log_without_calls"]
    assert len(app.dataframe[0].value) == 1


def test_a_row_of_the_breakdown_leads_to_its_calls(app: AppTest):
    mm = process.manager()
    for user, tags, model in (
        ("ada", ("team-a",), "sim-fast"),
        ("ada", (), "sim-careful"),
        ("", ("team-a",), "sim-fast"),
    ):
        mm.submit(mm.request("Hello", model=model), Origin(source="api", tags=tags, user_id=user)).result(10)
    app.query_params.update({"log_view": "Breakdown", "log_by": "user", "log_and": "model"})
    show(app, "log")
    found = app.dataframe[0].value
    assert sorted(zip(found["user"], found["model"], found["calls"], strict=True)) == [
        ("ada", "sim-careful", 1), ("ada", "sim-fast", 1), ("no user", "sim-fast", 1)
    ]  # fmt: skip
    assert found["share"].sum() == pytest.approx(1)

    links = app.session_state["log_cells_ids"]
    assert [links[at] for at, user in enumerate(found["user"]) if user == "no user"] == [""]  # no filter finds them
    app.session_state["log_cells_row"] = next(link for link in links if "sim-fast" in link)  # a click
    app.run()
    assert sorted(b.key for b in app.button if "log_without" in b.key) == ["log_without_model", "log_without_user"]
    assert "**1** calls" in texts(app)
    assert app.segmented_control(key="log_view").value == "Calls"


def test_a_breakdown_by_day_opens_that_day_within_the_range(app: AppTest):
    process.manager().generate("Hello", model="sim-fast")
    now = int(time.time())
    app.query_params.update({"log_view": "Breakdown", "log_by": "day", "log_range": f"{now - 60}-{now + 60}"})
    app.query_params["log_and"] = "day"  # the same twice is one
    show(app, "log")
    app.session_state["log_cells_row"] = app.session_state["log_cells_ids"][0]
    app.run()
    assert "**1** calls" in texts(app)


def test_a_model_that_was_asked_can_be_filtered_when_it_cannot_be_asked(app_with_gemini: AppTest):
    process.manager().generate("Hi", model="gemini-unpriced-1")
    app_with_gemini.query_params["log_model"] = "gemini-unpriced-1"
    show(app_with_gemini, "log")
    assert app_with_gemini.selectbox(key="log_model").value == "gemini-unpriced-1"


def test_a_call_opens_in_compare_with_its_prompt_and_model(app: AppTest):
    g = process.manager().generate("Compare me", model="sim-careful")
    app.query_params["call"] = g.id
    show(app, "log")
    app.button(key="drawer_compare").click().run()

    assert app.title[0].value == "Compare"
    assert app.text_area(key="compare_prompt").value == "Compare me"
    assert app.session_state["compare_kept_rows"]["model"][0] == "sim-careful"


def test_the_drawer_steps_through_the_calls_of_the_table(app: AppTest):
    mm = process.manager()
    first, second = (mm.generate(text, model="sim-fast") for text in ("First", "Second"))
    app.query_params["call"] = second.id
    show(app, "log")
    assert "Second" in [code.value for code in app.code]

    app.button(key="drawer_down").click().run()
    assert app.query_params["call"] in (first.id, [first.id])
    assert "First" in [code.value for code in app.code]


def test_feedback_shows_in_the_log_and_at_its_call(app: AppTest):
    mm = process.manager()
    g = mm.submit(mm.request("Hello", model="sim-fast"), Origin(source="playground", tags=("team-a",))).result(10)
    mm.feedback.give(g.id, {"thumb": "down", "rating": 2, "text": "Wrong *year*."}, user_id="ada")
    show(app, "log")
    app.query_params["call"] = g.id
    app.run()

    log, by_model, by_tag = (
        frame.value for frame in app.dataframe if "feedback" in frame.value or "opinions" in frame.value
    )
    assert list(log["feedback"]) == ["down 2/5"]
    assert [list(each.iloc[0])[:2] for each in (by_model, by_tag)] == [
        ["sim-fast (simulated)", 1],
        ["team-a (simulated)", 1],
    ]
    assert "down 2/5 by ada" in texts(app)
    assert "Wrong *year*." in [code.value for code in app.code]


def test_real_calls_are_told_from_simulated_ones(app_with_gemini: AppTest):
    app, mm = app_with_gemini, process.manager()
    mm.generate("Hello", model="sim-fast")
    mm.generate("Hello", model="gemini-2.5-flash")
    app.query_params["log_calls"] = "real"
    show(app, "log")

    assert app.dataframe[0].value["model"].tolist() == ["gemini-2.5-flash"]
    assert "**1** calls" in texts(app)
    app.selectbox(key="log_calls").set_value("simulated").run()
    assert app.dataframe[0].value["model"].tolist() == ["sim-fast"]
    app.button(key="log_without_calls").click().run()
    assert "**2** calls" in texts(app)


def test_a_session_opens_as_a_conversation_with_its_cost(app: AppTest):
    mm = process.manager()
    for words in ("Name a colour", "Name another"):
        mm.submit(mm.request(words, model="sim-fast"), Origin(source="api", session_id="talk/1")).result(10)
    mm.generate("Elsewhere", model="sim-fast")
    app.query_params["log_session"] = "talk/1"
    show(app, "log")
    assert "**2** calls" in texts(app)
    app.button(key="log_conversation").click().run()

    shown = texts(app)
    assert "talk/1" in shown and [m.value for m in app.metric if m.label == "Calls"] == ["2"]
    assert len([b for b in app.button if b.key.startswith("session_open_")]) == 2

    app.text_input(key="log_min_cost").input("cheap").run()
    assert "must be a number of US dollars" in app.error[0].value
