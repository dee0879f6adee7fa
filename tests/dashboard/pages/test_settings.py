"""The page of settings: values with where they come from, and no secret on it."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from core import clock, testing
from core.config import Settings
from core.domain.message import Message
from core.storage.schema import workflow_runs
from dashboard import process
from tests.builders import a_generation
from tests.conftest import Open
from tests.fakes.gemini import KEY, FakeGemini
from tests.pages import button, page_app, show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


def test_a_setting_says_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / ".env").write_text("AIMM_LOG_CONTENT=metadata\nAIMM_CALL_TIMEOUT_S=9\nAIMM_PROXY=\n")
    monkeypatch.setenv("AIMM_CALL_TIMEOUT_S", "7")

    found = Settings.load(tmp_path)

    assert (found.log_content, found.call_timeout_s) == ("metadata", 7)
    assert found.sources["AIMM_LOG_CONTENT"] == ".env" and found.sources["AIMM_CALL_TIMEOUT_S"] == "environment"
    assert "AIMM_PROXY" not in found.sources and "metadata" not in found.sources.values()


def test_settings_show_no_secret_and_a_vendor_is_tested_by_name(open_manager, sqlite_url: str, gemini: FakeGemini):
    secret, sources = "https://hooks.example/T0/B0/x1y2", {"AIMM_ALERT_SLACK": "environment"}
    for app in page_app(open_manager(sqlite_url, gemini, alert_slack=secret, sources=sources)):
        process.manager().generate("Hi", model="sim-fast")
        show(app, "settings")

        shown = " ".join(each.proto.body for each in app.get("html"))
        assert "<b>set</b></td><td>environment" in shown
        assert secret not in shown + texts(app) and KEY not in shown + texts(app)
        assert "SQLite" in texts(app) and "1 calls on record" in texts(app)
        button(app, "Test Gemini").click().run()
        assert "The key works" in texts(app)


def test_pages_say_which_texts_retention_has_deleted(open_manager: Open, sqlite_url: str):
    mm, then = open_manager(sqlite_url), clock.now() - timedelta(days=5)
    call = a_generation("old", created_at=then, messages=(Message("user", "Secret"),))
    testing.record(mm, call)
    run_id = mm.workflows.start("translation", "Secret", model="sim-fast")
    mm.workflows.wait(run_id)
    at = dict.fromkeys(("created_at", "finished_at"), clock.to_us(then))
    mm._writer.run(lambda connection: connection.execute(update(workflow_runs).values(at)))
    mm.retention.set_rule("all", "2d", "")
    mm.retention.run()
    for app in page_app(mm):
        for page, name, value in (("log", "call", call.id), ("workflows", "run", run_id)):
            app.query_params.clear()
            app.query_params[name] = value
            show(app, page)
            assert "Texts before" in texts(app) and "Secret" not in texts(app)


def test_rules_of_retention_are_shown_and_changed(open_manager, sqlite_url: str, gemini: FakeGemini):
    for app in page_app(open_manager(sqlite_url, gemini)):
        key, _ = process.manager().keys.create("billing")
        show(app, "settings")
        app.selectbox(key="retention_kind").select("A key").run()
        app.text_input(key="retention_texts").input("7d").run()
        button(app, "Save rule").click().run()
        assert process.manager().retention.rules()[1].scope == f"key:{key.id}"
        assert "Key billing" in app.dataframe[0].value["Calls of"].tolist()
        button(app, "Remove rule").click().run()
        app.selectbox(key="retention_kind").select("A tag").run()
        app.text_input(key="retention_tag").input("eu").run()
        app.text_input(key="retention_texts").input("30").run()
        button(app, "Save rule").click().run()
        assert "must be days from 1d" in texts(app)
        app.text_input(key="retention_texts").input("30d").run()
        button(app, "Save rule").click().run()
        assert [(rule.scope, rule.texts_days) for rule in process.manager().retention.rules()][1:] == [("tag:eu", 30)]
        button(app, "Show what goes next").click().run()
        assert "0 texts of calls before" in texts(app)
        button(app, "Remove rule").click().run()
        assert len(process.manager().retention.rules()) == 1
