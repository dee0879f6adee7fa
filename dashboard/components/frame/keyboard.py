"""Shortcuts of the whole dashboard, and the window that shows all of them."""

import streamlit as st

# `?` and the pages by their number: Streamlit's own shortcuts know no punctuation, and on a Mac Alt changes the digit.
# Never while somebody types: on some keyboards Alt and a digit is a sign, such as # in Britain.
SCRIPT = """
if (!window.aimmKeys) {
  window.aimmKeys = true;
  document.addEventListener("keydown", (event) => {
    const at = event.composedPath()[0];
    const isTyping = event.isComposing || at.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName);
    if (isTyping || event.repeat) return;
    const digit = /^Digit([1-9])$/.exec(event.code);
    let found = null;
    if (event.key === "?") found = document.querySelector(".st-key-shortcuts button");
    else if (event.altKey && !event.ctrlKey && !event.metaKey && !event.getModifierState("AltGraph") && digit)
      found = document.querySelectorAll("[data-testid=stSidebarNavLink]")[digit[1] - 1];
    if (found) { event.preventDefault(); found.click(); }
  });
}
"""
KEYS = {
    "Everywhere": {"Alt + 1 … 9": "The pages, in the order of the navigation", "?": "This list", "Esc": "Close"},
    "Log": {"J, K": "The next call, the one before"},
    "Playground": {"Enter": "Send", "Shift + Enter": "A new line", "Esc": "Stop"},
    "Compare": {"Ctrl + Enter": "Compare", "1 … 8": "Vote for an answer", "0": "Tie", "9": "All bad"},
    "Workflows": {"Ctrl + Enter in the input": "Run", "J, K": "The next step, the one before"},
}


def listen() -> None:
    st.html(f"<script>{SCRIPT}</script>", unsafe_allow_javascript=True)
    if st.sidebar.button("Shortcuts", icon=":material/keyboard:", key="shortcuts", type="tertiary", help="Or press ?"):
        _window()


@st.dialog("Keyboard shortcuts")
def _window() -> None:
    for title, keys in KEYS.items():
        st.markdown(f"**{title}**")
        st.markdown("\n".join(f"- `{key}` {text}" for key, text in keys.items()))
