"""The Log: its filters, its sums, and the drawer."""

import time

import pytest
from streamlit.testing.v1 import AppTest

from core.calls.call import Origin
from dashboard import process
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
    app.button(key="log_any_time").click().run()
    assert "**2** calls" in texts(app)


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
