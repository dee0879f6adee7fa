"""Answers are shown as they are, and nothing in them is fetched from elsewhere: the text, and what Chromium makes of it."""

import html
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard import answer_html
from dashboard.formatting import plain
from tests.conftest import ROOT, free_port

CODE = "st.button(':material/home:')  # -> $x :smile:\n\n<b>"
# What a model wrote, and what the reader sees of it (None: the same, letter by letter).
SEEN: list[tuple[str, str | None]] = [
    ("It costs $5 and $10, or $PATH and $name$.", None),
    (r"\(x_1\) is \( y \), \[ stray", None),
    (":red[x] :blue-background[y] :small[z] :red-badge[b] :color[x]{foreground=\"red\"} :help[?]", None),
    (":material/home: :material_home: :smile: :streamlit: :+1: a:b:c 12:30:45 ::video :::note", None),
    ("a -> b <- c <-> d -- e >= f <= g ~= h\n->\n--flag --", None),
    ("**->** *--*", "-> --"),
    ("roses are red\nviolets are blue\n  indented\n    more\n\nnew", None),
    ("a    b", None),
    ("<b>bold</b> <!-- c --> <img src=http://out.test/a.png> <script>alert(1)</script>", None),
    ("<style>@import url(http://out.test/9.css)</style><p style=\"background:url(http://out.test/10.png)\">x", None),
    ("#123 and #tag\n2*3*4 = 24, snake_case_x ~f~", None),
    ("See http://out.test/a_b_c?x=1&copy=2#f. and www.out.test and a@b.test", None),
    ("[ok](https://out.test/x) [js](javascript:alert(1)) [rel](/settings) [a](#x) [ftp](ftp://out.test/)",
     "ok [js](javascript:alert(1)) [rel](/settings) [a](#x) [ftp](ftp://out.test/)"),
    ("![pic](http://out.test/1.png) ![](http://out.test/4.svg \"t\") ![angle](<http://out.test/2 2.png>)", "picture pic · out.test picture · out.test picture angle · out.test"),
    ("![ref][r] ![r] <http://out.test/5.png>\n\n[r]: http://out.test/6.png\n[src]: http://out.test/7.png",
     "picture ref · out.test picture r · out.test http://out.test/5.png\n\n[src]: http://out.test/7.png"),
    ("[![in](http://out.test/3.png)](http://out.test/l) ![d](data:image/png;base64,iVBORw0KGgo=)",
     "picture in · out.test picture d · inside the text"),
    ("A note[^1].\n\n[^1]: The note.", None),
    ("| a | b |\n|:--|--:|\n| $5 | `x\\|y` |\n| :smile: | -> |", "a\tb\n$5\tx|y\n:smile:\t->"),
    (f"```python\n{CODE}\n```", CODE),
    (f"```\n{CODE}", CODE),
    ("````md\n```py\nx = ':material/home:'\n```\n````\nafter", "```py\nx = ':material/home:'\n```\n\nafter"),
    ("```mermaid\nflowchart LR\n a --> b\n```", "flowchart LR\n a --> b"),
    ("- a\n  ```py\n  $x -> :smile:\n  ```\n- b", "a\n$x -> :smile:\nb"),
    ("`$x` ``a`b`` `:material/home:` ` -> ` `:smile:` `<b>`", "$x a`b :material/home: -> :smile: <b>"),
    ('{"b": [1, {"c": 1e5}], "a": "x: {$1", "a": []}', '{\n  "b": [\n    1,\n    {\n      "c": 1e5\n    }\n  ],\n  "a": "x: {$1",\n  "a": []\n}'),
    (r"\* \_ \$5 C:\Users\n 1\. x", r"* _ $5 C:\Users\n 1. x"),
    ("- a\n- b\n  - c\n1. x\n\n3) three\n- [ ] todo", "a\nb\nc\nx\nthree\n[ ] todo"),
    ("> a\n> > b -> $5\n\n> c", "a\n\nb -> $5\n\nc"),
    ("مرحبا بالعالم: $5 -> :smile:\nשלום", None),
    ("x" * 400, None),
    ("prices: $$ to $$$", None),
    (r"\] and \(x_1*y_2*z\) and \[ and **a** $$b_1 \\ c_1$$", r"\] and \(x_1*y_2*z\) and \[ and a $$b_1 \\ c_1$$"),
    ("Call __init__ of __main__.py, __bold text__", "Call __init__ of __main__.py, bold text"),
    (r"$$\rule{99em}{99em}$$ \[\kern-9em x\] $$a\\[-9em]b$$ $$\hspace{-9em}x$$ $$x\raisebox{9em}{y}$$", None),
    ("$$\\includegraphics{http://out.test/8.png}$$", "\\includegraphics\n\\includegraphics"),
]  # fmt: skip
UNSEEN = str.maketrans({"\xa0": " ", "\u2068": "", "\u2069": ""})
MATH = "$$\\frac{a}{b}$$ and \\[x^2\\]\n\n$$\nx\n= y\n$$\n\n\\[\nz^2\n\\]"

PAGE = """
import sys

sys.path.insert(0, {root!r})
import streamlit as st
from dashboard import formatting, theme
from dashboard.components import answer
from tests.dashboard.test_answers import MATH, SEEN

theme.apply()
for at, (text, _) in enumerate(SEEN):
    with st.container(key=f"answer{{at}}"):
        answer.show(st, text)
    with st.container(key=f"streamed{{at}}"):
        answer.show(st, text, streams=True)
    with st.container(key=f"verbatim{{at}}"):
        answer.verbatim(st, text)
    with st.container(key=f"plain{{at}}"):
        st.markdown(formatting.plain(text))
with st.container(key="math"):
    answer.show(st, MATH)
st.button(formatting.plain("![x](http://out.test/b.png) :smile: -> 1. a"), key="label")
"""


@contextmanager
def page_of_answers(folder: Path) -> Iterator[str]:
    script, port = folder / "page.py", free_port()
    script.write_text(PAGE.format(root=str(ROOT)))
    options = ["--server.headless=true", "--browser.gatherUsageStats=false", f"--server.port={port}"]
    process = subprocess.Popen([sys.executable, "-m", "streamlit", "run", str(script), *options], cwd=folder)
    try:
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.browser
def test_a_reader_sees_what_was_written_and_the_browser_asks_nobody_else(chromium_path: str, tmp_path: Path):
    sync_api = pytest.importorskip("playwright.sync_api")
    asked: list[str] = []
    with page_of_answers(tmp_path) as address, sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])  # fmt: skip
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda request: asked.append(request.url))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                page.goto(address)
                page.wait_for_selector(".st-key-label", timeout=20_000)
                break
            except sync_api.Error:  # the server is not up yet
                time.sleep(0.2)
        page.wait_for_selector(".st-key-math .katex")
        page.wait_for_function("document.querySelectorAll('[data-testid=stSkeleton]').length === 0")
        shown = {key: page.locator(f".st-key-{key}").inner_text().translate(UNSEEN).strip() for at in range(len(SEEN)) for key in (f"answer{at}", f"streamed{at}", f"verbatim{at}", f"plain{at}")}  # fmt: skip
        label = page.locator(".st-key-label").inner_text()
        n_math = page.locator(".st-key-math .katex").count()
        links = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => [a.getAttribute('href'), a.rel])")
        pictures = page.locator("[data-testid=stMain] img").count()
        browser.close()

    for at, (text, seen) in enumerate(SEEN):
        assert _lines(shown[f"answer{at}"]) == _lines(text if seen is None else seen), text
        assert shown[f"streamed{at}"].removesuffix(" ▌") in (shown[f"answer{at}"], text), text
        assert shown[f"verbatim{at}"] == shown[f"plain{at}"] == text, text
    assert label == "![x](http://out.test/b.png) :smile: -> 1. a"
    assert n_math == 2
    assert [url for url in asked if "out.test" in url] == []
    assert pictures == 0
    away = [(href, rel) for href, rel in links if not href.startswith("#")]
    assert {href.partition(":")[0] for href, _ in away} == {"http", "https", "mailto"}
    assert all({"noopener", "noreferrer"} <= set(rel.split()) for _, rel in away)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.split("\n") if line.strip()]


@pytest.mark.parametrize("text", [text for text, _ in SEEN])
def test_no_answer_holds_a_picture_or_a_link_to_elsewhere_than_the_web(text: str):
    for n in range(len(text) + 1):  # as it streams in
        for part in answer_html.parts(text[:n], streams=True):
            found = re.findall(r"<(\w+)([^>]*)>", part.text) if part.kind == "html" else []
            assert {name for name, _ in found}.isdisjoint({"img", "script", "style", "b", "svg", "iframe"})
            assert all(re.match(r' href="(https?:|mailto:)', given) for name, given in found if name == "a")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("5. a\n7. b\n8. c\n10. d", ["5", "7", "8", "10"]), ("1. a\n1. b\n1. c", ["1"]), ("0. a\n\n1. b\n\n9. c", ["0", "1", "9"])],
)  # fmt: skip
def test_numbers_of_a_list_stay(text: str, numbers: list[str]):
    [part] = answer_html.parts(text)

    assert re.findall(r'<li value="(\d+)">', part.text) == numbers


@pytest.mark.parametrize("text", ["שלום", "a\u202eb", "\u2069 \u202eb", "\u2067a"])
def test_a_name_from_right_to_left_does_not_turn_what_follows_it(text: str):
    shown = plain(text)

    assert (shown[0], shown[-1]) == ("\u2068", "\u2069")
    assert not re.search("[\u2066-\u2069]", shown[1:-1])


@given(st.text(st.sampled_from("ab1 \n\t`~*_[]()<>!#$:-=|\\>.^&;\"'é🙂")))
@settings(max_examples=300, deadline=None)
def test_any_text_can_be_shown_and_keeps_its_letters(text: str):
    shown = "".join(
        re.sub("<[^>]*>", "", html.unescape(part.text) if part.kind == "html" else part.text)
        for part in answer_html.parts(text)
    )

    if not re.search(r"[`~]{3}|\]:|\]\(|\]\[|<|&", text):  # info strings, labels and links may stand elsewhere
        assert re.sub("[^abé🙂]", "", shown) == re.sub("[^abé🙂]", "", text)
    assert re.sub(r"[^abé🙂1`*]", "", plain(text).replace(":color", "")) == re.sub("[^abé🙂1`*]", "", text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 20_000,
        "\\[ a\n" * 5_000,
        "$$ a\n" * 5_001,
        ">" * 5_000,
        "  - a\n" * 3_000,
        "*a **b " * 3_000,
        "*a" * 50_000,
        "<a@b" * 20_000,
        "x" * 400_000,
    ],
)
def test_a_text_made_to_take_long_does_not(text: str):
    began = time.process_time()
    answer_html.parts(text)

    assert time.process_time() - began < 5
