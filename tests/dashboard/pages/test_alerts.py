"""The page of alerts: rules to begin with, what fires, changes, silences, tests of channels."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from streamlit.testing.v1 import AppTest

from core import clock, testing
from core.monitoring.alerts.rule_file import read_rule
from dashboard import process
from tests.builders import a_generation
from tests.pages import button, show, texts

PAGE = "alerting/alerts"


def links(app: AppTest) -> str:
    """The labels of links, without what keeps their signs from being Markdown."""
    return re.sub(r":color\[\\(.)\]|\\", r"\1", "\n".join(str(link.proto.label) for link in app.get("page_link")))


pytestmark = pytest.mark.usefixtures("pages_as_served")


def test_a_suggested_rule_is_added_with_one_click_and_fires_here_and_on_home(app: AppTest):
    mm = process.manager()
    assert "No rules yet" in texts(show(app, PAGE))
    app.button(key="suggest_errors").click().run()
    assert [rule.kind for rule in mm.alert_rules.all()] == ["error_rate"]
    for n in range(30):
        made = clock.now() - timedelta(minutes=1)
        failed = {"status": "error", "error_class": "provider_unavailable"} if n < 12 else {}
        testing.record(mm, a_generation(f"g{uuid4().hex}", created_at=made, **failed))
    mm.alert_rules.put(read_rule({"kind": "error_rate", "above": "10%", "channels": ["email:a@b.c"]}, "e"))
    mm.alert_rules.evaluate()

    show(app, PAGE)

    listed = app.dataframe[0].value
    assert list(listed["rule"]) == ["e", "errors"]
    assert list(listed["state"]) == ["Firing", "Pending"]
    assert list(listed["last value"]) == ["40.0%", "40.0%"]
    assert "e: 40.0% of 30 calls failed in 15m, above 10%." in links(app)
    assert "Alert e, since" in links(app.switch_page("pages/home.py").run())
    mm.alert_rules.silence("e", timedelta(hours=1), "deploy")
    assert "e is silenced until" in texts(show(app, PAGE))
    button(app, "End silence").click().run()
    assert "is silenced" not in texts(app)


def test_a_rule_is_made_tried_refused_and_removed_in_its_drawer(app: AppTest):
    mm = process.manager()
    app.query_params["rule"] = "new:"
    show(app, PAGE)
    app.text_input(key="rule_new_name").set_value("slow ones").run()
    app.selectbox(key="rule_new_kind").set_value("latency_p95").run()
    app.button(key="rule_new_save").click().run()
    assert "must be at most 80 letters" in texts(app)
    app.text_input(key="rule_new_name").set_value("slow").run()
    app.text_input(key="rule_new_where_model").set_value("m").run()
    app.button(key="rule_new_try").click().run()
    assert "Not known" in texts(app) and "fewer than 20" in texts(app)
    assert "it would have fired 0 times" in texts(app)
    app.button(key="rule_new_save").click().run()
    [rule] = mm.alert_rules.all()
    assert (rule.name, rule.above, rule.where, rule.channels) == ("slow", 10.0, {"model": "m"}, ())

    app.query_params["rule"] = "slow"
    app.run()
    app.text_input(key="rule_slow_above_latency_p95").set_value("3s").run()
    app.button(key="rule_slow_save").click().run()
    assert mm.alert_rules.get("slow").above == 3.0
    app.query_params["rule"] = "slow"
    app.run()
    app.button(key="rule_remove").click().run()
    assert mm.alert_rules.all() == []
