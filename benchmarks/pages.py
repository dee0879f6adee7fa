"""Measures how fast pages come up in Chromium: the first one after a start, Monitoring, a simulated answer.

(a) From the start of the process to the first page drawn, against an empty one-line Streamlit page. (b) From the
click on Monitoring to all its charts drawn, in a new tab and again in the same one. (c) In the Playground, from Ctrl+Enter to the first
text of a simulated model on the screen, beside the time that the model itself took for its first token.
"""

import statistics
import time
from pathlib import Path

from common import (
    CHROMIUM_FLAGS,
    DASHBOARD,
    ROOT,
    arguments,
    chromium,
    demo_database,
    open_manager,
    print_table,
    serving,
    started_server,
    summary,
    temporary_folder,
)
from playwright.sync_api import Browser, Page, sync_playwright

N_STARTS, N_RUNS = 3, 5
SIZES = (10_000, 1_000_000)
N_CHARTS = 6
TIMEOUT_MS = 60_000
CHARTS = "[data-testid=stVegaLiteChart] :is(canvas, svg)"
IDLE = "document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'"
# Both clocks run in the page, so that the driver's own delays do not count.
WATCH_CHARTS = """(n) => new Promise((resolve) => {
    const link = [...document.querySelectorAll('[data-testid=stSidebarNavLink]')]
        .find((each) => each.innerText.trim().endsWith('Monitoring'));
    const begin = performance.now();
    link.click();
    const look = () => {
        const drawn = document.querySelectorAll('CHARTS').length;
        drawn >= n ? resolve(performance.now() - begin) : requestAnimationFrame(look);
    };
    look();
})""".replace("CHARTS", CHARTS)
WATCH_ANSWER = """() => {
    const answers = () => [...document.querySelectorAll('[data-testid=stChatMessage]')].slice(window.nBefore);
    window.nBefore = document.querySelectorAll('[data-testid=stChatMessage]').length;
    window.firstText = null;
    window.addEventListener('keydown', (event) => {
        if (!event.ctrlKey || event.key !== 'Enter') return;
        const begin = performance.now();
        const look = () => {
            // The streaming answer ends with a cursor; "waiting for the first token" has none.
            const has = answers().some((message) => message.innerText.includes('▌'));
            has ? (window.firstText = performance.now() - begin) : requestAnimationFrame(look);
        };
        look();
    }, { capture: true, once: false });
}"""


def main() -> None:
    cache = arguments(__doc__).cache
    with sync_playwright() as playwright, temporary_folder() as folder:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        print_starts(browser, folder)
        rows = [row for size in SIZES for row in monitoring_rows(browser, size, cache)]
        seen, ttft = playground_ms(browser, folder / "playground.db")
        browser.close()
    rows += [("Playground, sim-fast: Ctrl+Enter to first text", *summary(seen))]
    rows += [("  of that, the model's own time to first token", *summary(ttft))]
    rows += [("  added by the dashboard", *summary([a - b for a, b in zip(seen, ttft, strict=True)]))]
    print_table(f"In Chromium, {N_RUNS} runs, ms", ("", "median", "min", "max"), rows)


def print_starts(browser: Browser, folder: Path) -> None:
    empty = folder / "empty.py"
    empty.write_text('import streamlit as st\n\nst.title("x")\n')
    ours, theirs = [], []
    for run in range(N_STARTS):  # in turn, so that a busy moment of the machine meets both
        theirs.append(start_ms(browser, None, empty, folder, "/_stcore/health"))
        ours.append(start_ms(browser, folder / f"start-{run}.db", DASHBOARD, ROOT, "/health"))
    rows = [("dashboard, empty database", *summary(ours)), ('empty page, st.title("x")', *summary(theirs))]
    difference = statistics.median(ours) - statistics.median(theirs)
    rows += [("difference of the medians", f"{difference:.0f}", "", "")]
    head = ("", "median", "min", "max")
    print_table(f"Process start to first page drawn, {N_STARTS} runs, ms", head, rows)


def start_ms(browser: Browser, database: Path | None, script: Path, cwd: Path, health: str) -> float:
    begin = time.perf_counter()
    with started_server(database, script, cwd) as server:
        server.wait_for(health)
        page = browser.new_page(bypass_csp=True)
        page.goto(server.address)
        page.wait_for_selector("h1", timeout=TIMEOUT_MS)
        page.wait_for_function(IDLE, timeout=TIMEOUT_MS)
        elapsed = (time.perf_counter() - begin) * 1000
        page.close()
    return elapsed


def monitoring_rows(browser: Browser, size: int, cache: Path | None) -> list[tuple[str, ...]]:
    first, again = [], []
    with demo_database(size, cache) as database, serving(database) as server:
        time.sleep(5)  # the workflow engine loads 3 s after the start
        for _ in range(N_RUNS):
            page = opened(browser, server.address)
            first.append(float(page.evaluate(WATCH_CHARTS, N_CHARTS)))
            page.locator("[data-testid=stSidebarNavLink]", has_text="Playground").click()
            page.wait_for_selector(CHARTS, state="detached", timeout=TIMEOUT_MS)
            page.wait_for_function(IDLE, timeout=TIMEOUT_MS)
            again.append(float(page.evaluate(WATCH_CHARTS, N_CHARTS)))
            page.close()
    name = f"Monitoring, {size:,} generations: click to all charts"
    return [(f"{name}, new tab", *summary(first)), (f"{name}, again", *summary(again))]


def playground_ms(browser: Browser, database: Path) -> tuple[list[float], list[float]]:
    """What the user saw, and the model's own share of it, call by call."""
    seen = []
    with serving(database) as server:
        time.sleep(5)
        page = opened(browser, server.address)
        for run in range(N_RUNS + 1):  # the first is the warm-up
            page.get_by_label("Prompt", exact=True).fill(f"Why is the sky blue, seen from harbour number {run}?")
            page.evaluate(WATCH_ANSWER)
            page.keyboard.press("Control+Enter")
            page.wait_for_function("window.firstText !== null", timeout=TIMEOUT_MS)
            seen.append(float(page.evaluate("window.firstText")))
            page.wait_for_function(f"!document.body.innerText.includes('▌') && {IDLE}", timeout=TIMEOUT_MS)
        page.close()
    with open_manager(database) as mm:
        ttft = [(g.ttft_s or 0.0) * 1000 for g in reversed(mm.log.latest(limit=N_RUNS + 1))]
    assert len(ttft) == len(seen)
    return seen[1:], ttft[1:]


def opened(browser: Browser, address: str) -> Page:
    page = browser.new_page(viewport={"width": 1440, "height": 1000}, bypass_csp=True)
    page.goto(address)
    page.wait_for_selector("h1", timeout=TIMEOUT_MS)
    page.wait_for_function(IDLE, timeout=TIMEOUT_MS)
    return page


if __name__ == "__main__":
    main()
