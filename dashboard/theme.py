"""The theme that the reader looks at, and the style sheet: what the theme's settings cannot say.

Selectors are keys of our own containers and Streamlit's test ids.
"""

import streamlit as st

from dashboard.charts.colours import INKS, Ink, Mode

_LINE = "color-mix(in srgb, currentColor 16%, transparent)"
_VEIL = "color-mix(in srgb, currentColor 5%, transparent)"
CSS = f"""<style>
[data-testid="stMainBlockContainer"] {{padding-left: 2.5rem; padding-right: 2.5rem;}}
[data-testid="stMetricValue"], .aimm-numbers {{font-variant-numeric: tabular-nums;}}
/* A chart's plot is as wide as its container, and its axis stands outside of it. */
[class*="st-key-plots_"] {{padding-right: 54px;}}
.st-key-head h1 {{padding: 0;}}
.aimm-title {{font-weight: 600; font-size: 13px; line-height: 1.4;}}
.aimm-muted {{opacity: .75; font-size: .86rem;}}
.aimm-dot {{display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 6px;}}
.aimm-score {{width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums;}}
.aimm-score th {{font-weight: 500; opacity: .75; text-align: left; padding: 6px 10px; white-space: nowrap;
  border-bottom: 1px solid {_LINE}; font-size: .86rem;}}
.aimm-score td {{padding: 9px 10px; border-bottom: 1px solid {_LINE}; vertical-align: middle; white-space: nowrap;}}
.aimm-score .n {{text-align: right;}}
.aimm-pill {{display: inline-block; padding: 1px 8px; border-radius: 99px; font-size: .82rem; font-weight: 500;}}
.aimm-interval {{position: relative; width: 300px; height: 22px;}} .aimm-interval * {{position: absolute;}}
.aimm-interval u {{left: 50%; top: 0; bottom: 0; width: 1px; background: currentColor; opacity: .3;}}
.aimm-interval s {{top: 7px; height: 8px; border-radius: 4px; opacity: .35;}}
.aimm-interval b {{top: 6px; width: 10px; height: 10px; margin-left: -5px; border-radius: 50%;}}
.aimm-turn {{background: {_VEIL};}}
@media (max-width: 640px) {{
  [data-testid="stMainBlockContainer"] {{padding-left: 1rem; padding-right: 1rem;}}
}}
</style>"""


def apply() -> None:
    st.html(CSS)


def mode() -> Mode:
    """Light or dark; Streamlit does not know it in the very first run of a session, and then runs again."""
    return "dark" if st.context.theme.type == "dark" else "light"


def ink() -> Ink:
    return INKS[mode()]
