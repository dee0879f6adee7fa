"""Monitoring: its numbers, and the way from each to its calls."""

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import process
from tests.pages import show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


def test_monitoring_shows_what_was_called(app_with_gemini: AppTest):
    process.manager().generate("Hi", model="gemini-unpriced-1")
    st.cache_data.clear()
    show(app_with_gemini, "monitoring")

    assert next(m.value for m in app_with_gemini.metric if m.label == "Calls") == "1"
    assert next(m.value for m in app_with_gemini.metric if m.label == "Cost") == "unknown"
    assert "without a price" in texts(app_with_gemini)
