"""The process of the pages: what is loaded takes no time of every run."""

import gc
import sys
from types import ModuleType

import pytest
from streamlit import config
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session

from dashboard import process

THEMES = {
    "theme.light": {"primaryColor": "#1f5fd0", "chartCategoricalColors": ["#1f5fd0", "#2fa595"]},
    "theme.dark": {"primaryColor": None},
}


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


def test_the_theme_is_looked_up_once_and_sent_as_it_was(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    monkeypatch.setattr(config, "get_options_for_section", lambda name: asked.append(name) or THEMES[name])
    plain = [CustomThemeConfig() for _ in THEMES]
    for message, section in zip(plain, THEMES, strict=True):
        app_session._populate_theme_msg(message, section)
    for name in ("_populate_config_msg", "_populate_theme_msg"):
        monkeypatch.setattr(app_session, name, getattr(app_session, name))  # as before in the end
    process.keep_settings()

    for _ in range(2):
        found = CustomThemeConfig()
        app_session._populate_theme_msg(found.light, "theme.light")
        app_session._populate_theme_msg(found.dark, "theme.dark")
        assert found.light == plain[0] and not found.HasField("dark")
    assert asked == [*THEMES, *THEMES]
