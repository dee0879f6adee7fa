"""The dashboard over a database, as its tests share it."""

import pytest

from tests.fakes.gemini import FakeGemini
from tests.pages import page_app


@pytest.fixture
def app(open_manager, sqlite_url: str):
    """The dashboard over an empty database and no key."""
    yield from page_app(open_manager(sqlite_url))


@pytest.fixture
def app_with_demo(open_manager, demo_url: str):
    yield from page_app(open_manager(demo_url))


@pytest.fixture
def app_with_gemini(open_manager, sqlite_url: str, gemini: FakeGemini):
    yield from page_app(open_manager(sqlite_url, gemini, call_timeout_s=20.0))
