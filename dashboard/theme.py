"""The theme that the reader looks at, and the style sheet: what the theme's settings cannot say.

Selectors are keys of our own containers and Streamlit's test ids.
"""

import streamlit as st

from dashboard.charts.colours import INKS, Ink, Mode

_LINE = "color-mix(in srgb, currentColor 16%, transparent)"
_VEIL = "color-mix(in srgb, currentColor 5%, transparent)"
CSS = """<style>
[data-testid="stMainBlockContainer"] {padding-left: 2.5rem; padding-right: 2.5rem;}
[data-testid="stMetricValue"], .aimm-numbers {font-variant-numeric: tabular-nums;}
/* A chart's plot is as wide as its container, and its axis stands outside of it. */
[class*="st-key-plots_"] {padding-right: 54px;}
.st-key-head h1 {padding: 0;}
.aimm-title {font-weight: 600; font-size: 13px; line-height: 1.4;}
.aimm-dot {display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 6px;}
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] {padding-left: 1rem; padding-right: 1rem;}
}
</style>"""


def apply() -> None:
    st.html(CSS)


def mode() -> Mode:
    """Light or dark; Streamlit does not know it in the very first run of a session, and then runs again."""
    return "dark" if st.context.theme.type == "dark" else "light"


def ink() -> Ink:
    return INKS[mode()]
