"""The process of the pages: what is loaded takes no time of every run."""

import gc
import sys
from types import ModuleType

import pytest
from streamlit import config
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session

from dashboard import process


def test_what_is_loaded_is_left_out_of_collections_until_modules_come(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "_n_modules", 0)
    try:
        process.put_aside()
        assert gc.get_freeze_count() > 10_000  # what a collection does not go through any more

        made = [[] for _ in range(1000)]
        process.put_aside()
        assert any(each is made for each in gc.get_objects())  # no module came: what was made since is looked at

        monkeypatch.setitem(sys.modules, "a module that came later", ModuleType("later"))
        process.put_aside()
        assert not any(each is made for each in gc.get_objects())
    finally:
        gc.unfreeze()


def test_the_theme_is_looked_up_once(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    theme = {"primaryColor": "#1f5fd0", "chartCategoricalColors": ["#1f5fd0", "#2fa595"]}
    monkeypatch.setattr(config, "get_options_for_section", lambda name: asked.append(name) or theme)
    monkeypatch.setattr(app_session, "to_snake_case", app_session.to_snake_case)  # as before in the end
    process.keep_settings()

    for _ in range(2):
        found = CustomThemeConfig()
        app_session._populate_theme_msg(found, "theme.light")
        assert (found.primary_color, len(found.chart_categorical_colors)) == ("#1f5fd0", 2)
    assert asked == ["theme.light"]
