"""The theme that the reader looks at, and the style sheet: what the theme's settings cannot say.

Selectors are keys of our own containers and Streamlit's test ids.
"""

import streamlit as st

from dashboard.charts.colours import INKS, Ink, Mode

_LINE = "color-mix(in srgb, currentColor 16%, transparent)"
_VEIL = "color-mix(in srgb, currentColor 5%, transparent)"
CSS = """<style>
[data-testid="stMainBlockContainer"] {padding-left: 2.5rem; padding-right: 2.5rem;}
/* Small and muted texts, links among them, and what stands on the main button, can be read in both themes. */
[data-testid="stCaptionContainer"] {opacity: 1; color: color-mix(in srgb, currentColor 75%, transparent);}
[data-testid^="stBaseButton-primary"]:not(:disabled), [data-testid="stMultiSelectTagsContainer"] [data-tag],
[data-testid="stMultiSelectTagsContainer"] [data-tag] button {color: light-dark(#ffffff, #0f141b);}
[data-testid^="stBaseButton"] kbd {opacity: 0.85;}
:is(a, button):focus-visible {outline: 2px solid light-dark(#1f5fd0, #79a8ff) !important; outline-offset: 1px;}
/* A link to a page is a sentence, which breaks. */
[data-testid="stMain"] [data-testid="stPageLink"] :is(a, span, p, div) {
  white-space: normal; overflow: visible; height: auto; line-height: 1.45;}
[data-testid="stMetricValue"] {font-variant-numeric: tabular-nums;}
/* A chart's plot is as wide as its container, and its axis stands outside of it. */
[class*="st-key-plots_"] {padding-right: 54px;}
[class*="st-key-plots_named_"] {padding-right: 128px;}
/* Its tools stand above it, where they cover no legend. */
[class*="st-key-plots_"] [data-testid="stElementToolbar"] {top: -42px; right: -54px;}
/* A table's tools stand below it: above they would cover what can be clicked there. */
[data-testid="stDataFrame"] > [data-testid="stElementToolbar"] {
  top: auto !important; bottom: -38px;}
/* A tile is a link: it lies over all of the tile but the help. */
[class*="st-key-tile_"] {position: relative;}
[class*="st-key-tile_"] [data-testid="stElementContainer"]:has(a), [class*="st-key-tile_"] [data-testid="stPageLink"],
[class*="st-key-tile_"] a {position: absolute; inset: 0; width: 100% !important; height: 100%; margin: 0;}
[class*="st-key-tile_"] a p {opacity: 0;}
[class*="st-key-tile_"] [data-testid="stTooltipIcon"] {position: relative; z-index: 2;}
.st-key-head h1 {padding: 0;}
/* Code can be read in both themes, inside a sentence too. */
[data-testid="stMarkdownContainer"] :not(pre) > code {font-size: 0.875em;}
[data-testid="stCode"] .token:is(.string, .char, .attr-value) {color: light-dark(#1a7f4b, #4cc38a);}
[data-testid="stCode"] .token:is(.variable, .property, .attr-name, .number) {color: light-dark(#9c5d00, #f0b429);}
[data-testid="stCode"] .token:is(.function, .class-name, .selector, .keyword, .tag) {
  color: light-dark(#1f5fd0, #79a8ff);}
.aimm-title {font-weight: 600; font-size: 13px; line-height: 1.4;}
.aimm-dot {display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 6px;}
/* A table with intervals; narrow ones show a row as a card. */
.aimm-wide {container-type: inline-size;}
.aimm-table {width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums;}
.aimm-table th, .aimm-table td {padding: 8px 10px; text-align: left; border-bottom: 1px solid LINE;}
.aimm-table th {font-weight: 400; font-size: 12px; opacity: 0.75;}
.aimm-table .aimm-number {text-align: right; overflow-wrap: anywhere;}
.aimm-table td.aimm-number {white-space: nowrap;}
.aimm-table .aimm-scale {text-align: center; min-width: 200px; width: 30%;}
.aimm-settings {table-layout: fixed;}
.aimm-settings td {overflow-wrap: anywhere;}
.aimm-note {font-size: 12px; opacity: 0.75; white-space: nowrap;}
.aimm-pill {display: inline-block; padding: 1px 9px; border-radius: 10px; font-size: 12px; white-space: nowrap;
  color: color-mix(in srgb, var(--tone) 65%, currentColor);
  background: color-mix(in srgb, var(--tone) 14%, transparent);}
.aimm-interval {position: relative; height: 22px;}
.aimm-interval i, .aimm-interval b, .aimm-interval u {position: absolute;}
.aimm-interval i {left: 50%; top: 0; bottom: 0; border-left: 1px solid LINE;}
.aimm-interval b {top: 7px; height: 8px; border-radius: 4px;
  background: color-mix(in srgb, var(--tone) 38%, transparent);}
.aimm-interval u {top: 6px; width: 10px; height: 10px; margin-left: -5px; border-radius: 5px; background: var(--tone);}
.aimm-interval .aimm-open-left {border-top-left-radius: 0; border-bottom-left-radius: 0;}
.aimm-interval .aimm-open-right {border-top-right-radius: 0; border-bottom-right-radius: 0;}
.aimm-pale {opacity: 0.5;}
/* A model's answer, and what a person wrote. */
.aimm-answer, .aimm-verbatim {font-size: 1rem; line-height: 1.55; max-width: 820px; overflow-wrap: anywhere;}
.aimm-verbatim, .aimm-answer :is(p, th, td, h3, h4, h5, h6) {white-space: pre-wrap;}
.aimm-answer > * {margin: 0 0 0.75rem;}
.aimm-answer > :last-child {margin-bottom: 0;}
.aimm-answer p.aimm-tight, .aimm-answer li > p {margin: 0;}
.aimm-answer :is(ul, ol) {padding-left: 1.7rem;}
.aimm-answer :is(h3, h4, h5, h6) {font-size: 1.1rem; font-weight: 600; padding: 0; letter-spacing: 0;}
.aimm-answer blockquote {border-left: 3px solid LINE; padding-left: 12px; margin-left: 0;}
.aimm-answer blockquote p {margin: 0 0 0.4rem;}
.aimm-answer hr {border: 0; border-top: 1px solid LINE;}
.aimm-answer :is(pre, code) {font-size: 0.875em; background: VEIL; border-radius: 4px; padding: 1px 4px;
  color: inherit;}
.aimm-answer pre {padding: 8px 12px; white-space: pre-wrap;}
.aimm-answer pre code {background: none; padding: 0;}
.aimm-answer a {color: inherit; text-decoration: underline;}
.aimm-scroll {overflow-x: auto;}
.aimm-answer table {border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal;}
.aimm-answer :is(th, td) {border-bottom: 1px solid LINE; padding: 5px 12px 5px 0; text-align: left;}
.aimm-chip {display: inline-block; background: VEIL; border-radius: 4px; padding: 0 6px; font-size: 0.875em;}
/* The chat: as high as the window, what was asked at the right. */
[data-testid="stBottomBlockContainer"] {padding: 0.5rem 2.5rem 1rem;}
[data-testid="stLayoutWrapper"]:has(> .st-key-play_lane), .st-key-play_lane {
  height: max(320px, calc(100vh - 215px)) !important; flex: none;}
.st-key-side_play {max-height: max(320px, calc(100vh - 215px)); overflow-y: auto; overflow-x: hidden;}
[class*="st-key-side_"] > * {flex-shrink: 0;}
[class*="st-key-turn_bubble"] {background: VEIL; border-radius: 10px; padding: 8px 14px;}
[class*="st-key-turn_user"] {align-items: flex-end;}
[class*="st-key-turn_user"] > [data-testid="stLayoutWrapper"] {width: auto; max-width: 80%; align-self: flex-end;}
[class*="st-key-turn_actions"] button {padding: 0.2rem 0.35rem; min-height: 1.75rem;}
[class*="st-key-turn_icons"] [data-testid="stMarkdownContainer"] {
  position: absolute; width: 1px; height: 1px; overflow: hidden;}
.aimm-streams > :last-child::after {content: " ▌"; opacity: 0.6;}
@container (max-width: 660px) {
  .aimm-table, .aimm-table tbody, .aimm-table td {display: block;}
  .aimm-table thead {display: none;}
  .aimm-table tr {display: flex; flex-wrap: wrap; column-gap: 16px; padding: 8px 0; border-bottom: 1px solid LINE;}
  .aimm-table td, .aimm-table .aimm-number {border: 0; padding: 2px 0; text-align: left;}
  .aimm-table td:first-child, .aimm-table .aimm-scale {flex-basis: 100%; width: 100%;}
  .aimm-table .aimm-number::before {content: attr(data-head) " "; font-size: 12px; opacity: 0.75;}
}
/* Rows that are read like a table, with a bar in them. */
.aimm-budget {display: grid; grid-template-columns: 1.3fr 2fr 1.2fr 1.1fr 1.3fr; gap: 4px 20px; padding: 6px 0;
  overflow-wrap: anywhere; font-variant-numeric: tabular-nums;}
.aimm-budget small {display: block; opacity: .72; line-height: 1.35;}
.aimm-alone {grid-template-columns: 1fr;}
.aimm-heads {font-size: 12px; opacity: .72; padding-right: 44px;}
.aimm-ends {display: flex; justify-content: space-between;}
.aimm-bar {display: block; position: relative; height: 8px; margin: 4px 0; border-radius: 4px; overflow: hidden;
  background: color-mix(in srgb, currentColor 12%, transparent);}
.aimm-bar b {position: absolute; top: 0; bottom: 0; left: 0;}
.aimm-bar i {position: absolute; top: 0; bottom: 0; width: 2px; background: currentColor; opacity: .55;}
/* The picture of a workflow. */
.aimm-flow {container-type: inline-size;}
.aimm-graph {position: relative; display: flex; flex-wrap: wrap; gap: 8px;}
.aimm-step {box-sizing: border-box; flex: 1 1 140px; padding: 6px 10px; font-size: 12px; line-height: 1.35;
  overflow-wrap: anywhere; border: 1px solid LINE; border-left-width: 4px; border-radius: 6px; background: VEIL;}
.aimm-step b {font-size: 13px; font-weight: 600;}
.aimm-step b, .aimm-step span {display: block;}
.aimm-card .aimm-chip {margin-left: 10px;}
.aimm-card b {font-weight: 600;}
/* Read by screen readers; to the eye the icon says it. */
[class*="st-key-icon_"] button > div > [aria-hidden="true"] {display: none;}
[class*="st-key-icon_"] button p {position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);}
@media (max-width: 1100px) {
  .aimm-budget {grid-template-columns: 1fr 1fr;}
  .aimm-budget > :nth-child(2) {grid-row: 2; grid-column: 1 / -1;}
  .aimm-heads {display: none;}
}
/* The key that presses a button: not a count. */
button kbd {border: 1px solid LINE; border-bottom-width: 2px; border-radius: 4px; padding: 0 5px;}
/* Answers side by side: one scroller, or each its own; on narrow pages the page itself scrolls. */
.st-key-compare_together, .st-key-compare_apart [class*="st-key-compare_column_"] {
  max-height: max(260px, calc(100vh - 330px)); overflow-y: auto;}
.aimm-difference {white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.55;}
.aimm-difference del {color: color-mix(in srgb, currentColor 65%, transparent);}
.aimm-difference ins {text-decoration: none; border-radius: 3px; padding: 1px 2px;
  background: color-mix(in srgb, var(--tone) 22%, transparent);}
/* An item of an evaluation: what it was given, and its checks. */
.st-key-eval_contestants .aimm-table th {white-space: nowrap;}
.st-key-eval_contestants .aimm-table .aimm-scale {min-width: 120px; width: 18%;}
.aimm-given {display: flex; flex-wrap: wrap; gap: 4px 24px; overflow-wrap: anywhere;}
.aimm-given small, .aimm-checks small {font-size: 12px; opacity: 0.75;}
.aimm-checks > div {padding: 3px 0; font-size: 13px; line-height: 1.45; overflow-wrap: anywhere;}
/* Fields that stand beside each other keep a width to be read in; what stands beside a page comes below it. */
@media (max-width: 1100px) {
  [data-testid="stMain"] [data-testid="stColumn"] {min-width: min(100%, 10rem);}
}
@media (max-width: 1000px) {
  [data-testid="stHorizontalBlock"]:has(> [data-testid="stColumn"] [class*="st-key-side_"]) > [data-testid="stColumn"] {
    min-width: 100%;}
  [data-testid="stHorizontalBlock"]:has(.st-key-side_play) :is(.st-key-play_lane, :has(> .st-key-play_lane)) {
    height: max(320px, 50vh) !important;}
  .st-key-side_play {max-height: none;}
}
@media (max-width: 640px) {
  [data-testid="stMain"] [data-testid="stColumn"]:has(h3, form, [data-testid="stForm"], [data-testid="stDataFrame"],
    [data-testid="stVegaLiteChart"], [data-testid="stFileUploader"]) {min-width: 100%;}
  .st-key-compare_together, .st-key-compare_apart [class*="st-key-compare_column_"] {max-height: none;}
  [data-testid="stMainBlockContainer"] {padding-left: 1rem; padding-right: 1rem;}
  [data-testid="stBottomBlockContainer"] {padding: 0.5rem 1rem;}
}
</style>""".replace("LINE", _LINE).replace("VEIL", _VEIL)


def apply() -> None:
    # On one line: Streamlit looks through each. The scheme is for dialogs too, which stand outside of the app.
    st.html(f"<style>:root {{color-scheme: {mode()};}}</style>{CSS}".replace("\n", " "))


def mode() -> Mode:
    """Light or dark; Streamlit does not know it in the very first run of a session, and then runs again."""
    return "dark" if st.context.theme.type == "dark" else "light"


def ink() -> Ink:
    return INKS[mode()]
