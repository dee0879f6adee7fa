"""Compare as its users see it: models side by side, votes with and without names, what came of them."""

from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.domain.comparison import Candidate
from core.domain.generation import Model, Parameters
from dashboard import process
from dashboard.components.compare import candidates, differences
from dashboard.visitors import voter
from tests.pages import button, show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


def test_a_comparison_is_drawn_once_its_last_answer_is_in(app: AppTest, monkeypatch: pytest.MonkeyPatch):
    comparisons = process.manager().comparisons
    monkeypatch.setattr(comparisons, "wait", lambda _: None)  # what writes down that it is over is late
    comparison_id = comparisons.start("Hello", ["sim-fast", "sim-careful"])
    for call in comparisons.calls(comparison_id).values():
        call.result(10)

    show(app, "compare")
    app.query_params["comparison"] = comparison_id
    app.run()

    assert "Cheapest" in texts(app) and "Another process" not in texts(app)


def test_models_are_compared_and_a_vote_counts(app: AppTest):
    show(app, "compare")
    button(app, "Compare").click().run()
    assert not app.exception
    [comparison] = process.manager().comparisons.latest()
    assert comparison.winner is not None
    assert "Cheapest" in texts(app)

    for digit in "112":
        app.button(key=f"vote_{digit}_False").click().run()

    votes = [vote for vote in process.manager().comparisons.votes() if vote.choice != "skip"]
    assert sorted((vote.choice, vote.is_blind, vote.voter) for vote in votes) == [
        ("a", False, "local"),
        ("b", False, "local"),
    ]
    assert "Your vote: **B** (sim-balanced)" in texts(app)
    app.segmented_control(key="compare_view").set_value("History").run()
    assert list(app.dataframe[-1].value["votes"]) == ["sim-balanced 2 of 2"]
    app.segmented_control(key="compare_view").set_value("Win rates").run()
    assert "sim-balanced wins 100% of 1 vote against sim-fast; 95% interval 3–100%: not decided yet" in page_of(app)


def test_a_blind_vote_shows_nothing_but_the_answers(app_with_demo: AppTest):
    app = show(app_with_demo, "compare")
    app.toggle(key="compare_hidden").set_value(True)
    button(app, "Compare").click().run()
    comparison = process.manager().comparisons.wait(process.manager().comparisons.latest()[0].id)
    app.run()

    for difference in (None, "Answer 1–Answer 3"):
        app.pills(key="compare_difference").set_value(difference).run()
        seen = page_of(app)
        assert all(f"Answer {n}" in seen for n in (1, 2, 3)) and ("<ins>" in seen) == bool(difference)
        words = (
            "sim-",
            "Sim ",
            "cost",
            "Cheapest",
            "irst token",
            " s ·",
            "tok",
            "rule",
            "receipt_",
            "stop_",
            "background",
        )
        assert not [word for word in words if word in seen]
        assert len(app.dataframe) + len(app.metric) == 0
    app.button(key="vote_1_True").click().run()

    assert "Cheapest" in texts(app)
    votes = [vote for vote in process.manager().comparisons.votes() if vote.choice != "skip"]
    assert [vote.is_blind for vote in votes] == [True] * 2
    assert all((vote.choice == "a") == (vote.shown_first == vote.position_a) for vote in votes)
    app.button(key="vote_0_False").click().run()  # the names are known by now
    tied = [vote.is_blind for vote in process.manager().comparisons.votes() if vote.choice == "tie"]
    assert tied == [False] * 3
    assert comparison.candidates[0].generation is not None


def page_of(app: AppTest) -> str:
    """All that the page sent to the browser, the strip above its title aside."""
    places = (app.main, app._tree.children[3]) if 3 in app._tree.children else (app.main,)
    return "\n".join(str(each.proto) for place in places for each in place).partition('body: "Compare"')[2]


def test_a_blind_comparison_is_hidden_in_the_history_of_who_has_not_voted(app: AppTest):
    comparisons = process.manager().comparisons
    one = comparisons.wait(comparisons.start("Why?", ["sim-fast", "sim-careful"], is_blind=True)).id
    show(app, "compare")
    app.segmented_control(key="compare_view").set_value("History").run()
    shown = app.dataframe[-1].value
    assert [list(shown["models"][0]), shown["votes"][0]] == [["hidden until you vote"], "hidden until you vote"]
    assert shown["certainty"][0] == "hidden until you vote"
    assert "too few votes to say" in texts(app)
    show(app, "log")
    assert app.dataframe[0].value.empty  # nor do the calls say whose the answers are
    call_id = str(comparisons.get(one).candidates[0].generation_id)
    for page, name in (("log", "call"), ("playground", "conversation")):
        show(app, page)
        app.query_params[name] = call_id
        app.run()
        assert "It appears here after you have voted" in texts(app) and "Receipt" not in texts(app)

    show(app, "compare")
    app.query_params["comparison"] = one
    app.run()
    app.button(key="compare_reveal").click().run()
    show(app, "log")
    assert app.dataframe[0].value["model"].tolist() == ["sim-careful", "sim-fast"]
    show(app, "compare")
    app.segmented_control(key="compare_view").set_value("History").run()
    assert list(app.dataframe[-1].value["models"][0]) == ["sim-fast", "sim-careful"]
    app.segmented_control(key="compare_view").set_value("Win rates").run()
    assert [vote.choice for vote in comparisons.votes()] == ["skip"]
    assert "No votes yet" in texts(app)


def test_a_voter_is_a_login_a_browser_or_whoever_sits_at_the_machine(
    open_manager, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
):
    process.use(open_manager(sqlite_url))
    monkeypatch.setattr("dashboard.login.is_local", lambda: True)
    assert voter.voter() == "local"
    process.use(open_manager(sqlite_url, dashboard_password="a long password"))
    seen = []
    for cookies in ({"aimm_browser": "b" * 32}, {"aimm_browser": "b" * 32}, {"aimm_browser": "forged; x"}, {}, {}):
        monkeypatch.setattr(voter.st, "context", SimpleNamespace(cookies=cookies))
        seen.append(voter.voter())
    assert seen == [f"browser:{'b' * 32}"] * 2 + ["browser:without a cookie"] * 3
    monkeypatch.setattr("dashboard.login.providers", lambda: ["default"])
    monkeypatch.setattr(voter.st, "user", {"is_logged_in": True, "email": "ada@example.org"})
    assert voter.voter() == "user:ada@example.org"
    process.use(None)


def test_a_past_comparison_shows_what_it_asked_and_can_be_asked_again(app: AppTest):
    comparisons = process.manager().comparisons
    mine = Candidate(position=0, model="sim-fast", system="Be brief.", parameters=Parameters(temperature=0.5))
    one = comparisons.wait(comparisons.start("Why do cats purr?", [mine, "sim-fast"], system="Be kind.")).id
    show(app, "compare")
    app.query_params["comparison"] = one
    app.run()
    assert not app.text_area  # the form is folded
    app.session_state[f"compare_form_{one}"] = True
    app.run()

    seen = page_of(app)
    assert all(words in seen for words in ("Why do cats purr?", "Be brief.", "Be kind.", "temperature 0.5"))
    app.button(key="compare_reuse").click().run()
    button(app, "Compare").click().run()
    again = comparisons.get(comparisons.latest()[0].id)
    assert again.id != one
    assert [c.contestant for c in again.candidates] == [c.contestant for c in comparisons.get(one).candidates]
    assert (again.prompt, again.system) == ("Why do cats purr?", "Be kind.")


def test_a_key_that_comes_later_changes_what_a_comparison_begins_with(app: AppTest, monkeypatch: pytest.MonkeyPatch):
    show(app, "compare")
    assert app.session_state["compare_start"]["model"].tolist() == ["sim-fast", "sim-balanced", "sim-careful"]
    found = process.manager().models()
    own = [Model(name=name, provider="own") for name in ("m1", "m2")]
    monkeypatch.setattr(type(process.manager().models), "__call__", lambda *_: [*own, *found])
    st.cache_data.clear()  # as whatever takes a key does

    app.run()

    assert app.session_state["compare_start"]["model"].tolist() == ["m1", "m2"]


@pytest.mark.parametrize(
    ("real", "first"),
    [
        ("", ["sim-fast", "sim-balanced", "sim-careful"]),
        ("g:1", ["g1", "sim-fast"]),
        ("g:1 g:2 g:3 g:4", ["g3", "g1", "g2"]),
        ("g:3 g:1 o:5 o:6 a:7", ["g3", "o5", "a7"]),
        ("o:5 o:6", ["o5", "o6"]),
    ],
)
def test_a_comparison_begins_with_the_models_that_have_a_key(real: str, first: list[str]):
    models = [Model(name=name.replace(":", ""), provider=name[0]) for name in real.split()]
    simulated = [Model(name=f"sim-{name}", provider="simulated") for name in ("fast", "balanced", "careful")]

    assert candidates.first_models([*models, *simulated], "g3") == first


def test_a_failed_answer_is_tried_again_alone(app: AppTest):
    comparisons = process.manager().comparisons
    one = comparisons.wait(comparisons.start("[[fail:block]] Why?", ["sim-fast", "sim-careful"])).id
    show(app, "compare")
    app.query_params["comparison"] = one
    app.run()
    kept = comparisons.get(one).candidates[0].generation_id

    app.button(key="compare_retry_1").click().run()

    assert not app.exception and "Fewer than two complete answers" in texts(app)
    assert comparisons.get(one).candidates[0].generation_id == kept
    assert len(process.manager().log.by_ref(one)) == 3


@pytest.mark.parametrize(
    ("before", "after", "drawn"),
    [
        ("A small dog.", "A big dog.", "A <del>small</del> <ins>big</ins> dog."),
        ("**Bold** `code`", "Bold code", "Bold code"),
        ("x", "<script>alert(1)</script>", "<del>x</del> <ins>&lt;script&gt;alert(1)&lt;/script&gt;</ins>"),
        ("- one\n- two", "1. one\n2. two\n3. three", "one\ntwo\n<ins>three</ins>"),
        ("[here](http://a.b)", "[here](http://c.d)", "here <del>(http://a.b)</del> <ins>(http://c.d)</ins>"),
        ("我喜欢猫", "我喜欢狗", "我喜欢<del>猫</del> <ins>狗</ins>"),
        ("gone with the wind", "", "<del>gone with the wind</del> "),
    ],
)
def test_differences_are_words_and_nothing_else(before: str, after: str, drawn: str):
    assert differences.marked(before, after) == drawn
