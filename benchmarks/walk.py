"""Walks all pages over 1,000,000 demo generations, with every vendor unreachable: opens the first row of every table, asks a vendor,
and prints each error box and console error that it met, with the time that each page took to be drawn.

An error of a vendor is said in words on the page; a box of Streamlit's, or the card of an error that nobody expected, is a defect.
"""

import time

from common import CHROMIUM_FLAGS, arguments, chromium, demo_database, print_table, serving
from playwright.sync_api import Browser, Page, sync_playwright

SIZE = 1_000_000
TIMEOUT_MS = 90_000
PATHS = ("playground", "workflows", "compare", "experiments", "monitoring", "log", "gateway", "models", "settings")
LOOKS = ((1440, "light"), (1440, "dark"), (390, "light"))
BOXES = "[data-testid=stException], [class*=st-key-failure_]"
NOBODY = "http://127.0.0.1:9"
UNREACHABLE = {
    "GEMINI_API_KEY": "walk-key-gemini", "GOOGLE_GEMINI_BASE_URL": NOBODY, "OPENAI_API_KEY": "walk-key-openai", "OPENAI_BASE_URL": NOBODY,
    "ANTHROPIC_API_KEY": "walk-key-anthropic", "ANTHROPIC_BASE_URL": NOBODY, "AIMM_SERVERS": f"vllm={NOBODY}/v1",
}  # fmt: skip


def main() -> None:
    cache = arguments(__doc__).cache
    with (
        sync_playwright() as playwright,
        demo_database(SIZE, cache) as database,
        serving(database, UNREACHABLE) as server,
    ):
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        rows = [row for look in LOOKS for row in walked(browser, server.address, *look)]
        browser.close()
    print_table(f"{SIZE:,} generations, no vendor reachable", ("page", "look", "tables", "drawn in ms", "met"), rows)


def walked(browser: Browser, address: str, width: int, scheme: str) -> list[tuple[str, ...]]:
    page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)  # type: ignore[arg-type]
    met: list[str] = []
    page.on("pageerror", lambda error: met.append(str(error)[:100]))
    # Streamlit's client looks for its endpoints below a page's own address first.
    page.on("console", lambda m: met.append(m.text[:100]) if m.type == "error" and "/_stcore/" not in m.location.get("url", "") else None)  # fmt: skip
    rows = []
    for path in PATHS:
        begin = time.perf_counter()
        page.goto(f"{address}/{path}")
        settle(page)
        drawn_ms = (time.perf_counter() - begin) * 1000
        tables = page.locator("[data-testid=stDataFrame]:visible")
        n_tables = tables.count()
        for at in range(n_tables):
            tables.nth(at).click(position={"x": 16, "y": 52})
            settle(page)
        if path == "playground":
            page.get_by_label("Prompt", exact=True).fill("Does anybody answer?")
            page.keyboard.press("Control+Enter")
            page.get_by_role("button", name="Retry").wait_for(timeout=TIMEOUT_MS)
        boxes = page.locator(BOXES).all_inner_texts()
        rows.append((path, f"{width} {scheme}", str(n_tables), f"{drawn_ms:.0f}", "; ".join(boxes + met) or "nothing"))
        met.clear()
    page.close()
    return rows


def settle(page: Page) -> None:
    page.wait_for_selector("h1", timeout=TIMEOUT_MS)
    still = page.locator("[data-testid=stApp][data-test-script-state=notRunning]")
    still.wait_for(state="attached", timeout=TIMEOUT_MS)


if __name__ == "__main__":
    main()
