"""Chromium walks the pages as a user would, and fails on any exception box or console error."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.conftest import ROOT, running_server
from tests.fakes import gemini as wire
from tests.fakes.gemini import KEY, FakeGemini
from tests.pages import open_browser, walking

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

pytestmark = pytest.mark.browser
sync_api = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> "Iterator[BrowserContext]":
    """One browser: its pages need not load and compile the client anew."""
    with open_browser(chromium_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server without a key."""
    with running_server(tmp_path_factory.mktemp("browser")) as running:
        yield running


def test_a_first_time_user_gets_an_answer_without_a_key(browser: "BrowserContext", address: str):
    with walking(browser, address) as walker:
        walker.sees("Use a real model")
        walker.open("Playground")
        walker.page.get_by_test_id("stChatInputTextArea").fill("Why is the sky blue?")
        walker.page.keyboard.press("Enter")
        walker.sees("In short")
        walker.sees("simulated")
        walker.page.locator("[class*=st-key-receipt_] button").first.click()
        walker.sees("First token")


def test_a_workflow_fills_in_step_by_step(browser: "BrowserContext", address: str):
    with walking(browser, address) as walker:
        walker.open("Workflows")
        walker.page.get_by_role("button", name="Run", exact=True).click()
        walker.sees("succeeded")
        walker.page.locator("[data-testid=stVegaLiteChart]").first.wait_for()


def test_models_answer_side_by_side_and_a_vote_counts(browser: "BrowserContext", address: str):
    with walking(browser, address) as walker:
        walker.open("Compare")
        walker.page.keyboard.press("Control+Enter")
        walker.sees("Winner by rule")
        walker.page.get_by_role("button", name="All bad").wait_for()
        walker.settle()
        walker.page.keyboard.press("2")
        walker.sees("Another key changes it")


def test_an_evaluation_runs_is_stopped_and_opens_again(browser: "BrowserContext", address: str):
    cases = "\n".join(["question,__expected", *(f"Why is number {at} odd?,contains:e" for at in range(400))])
    httpx2.post(f"{address}/api/datasets/odd", json={"text": cases, "filename": "odd.csv"}).raise_for_status()
    with walking(browser, address) as walker:
        walker.page.goto(f"{address}/compare?evaluation=new")
        walker.sees("400 answers: expected")
        run = walker.page.get_by_role("button", name="Run", exact=False).last
        run.dblclick()
        walker.page.get_by_role("button", name="Stop").click()
        walker.sees("Stopped")
        walker.page.wait_for_url("**evaluation=ev_**")
        walker.page.reload()
        walker.sees("Stopped")
        walker.page.locator("[data-testid=stDataFrame]").first.click(position={"x": 90, "y": 52})
        walker.page.get_by_role("dialog").get_by_text("Item").first.wait_for()
        walker.page.keyboard.press("j")
        walker.page.keyboard.press("Escape")
        walker.settle()
        walker.button("All evaluations")
        walker.page.locator("[data-testid=stDataFrame]").first.wait_for()
    found = httpx2.get(f"{address}/api/evaluations").json()["evaluations"]
    assert [each["status"] for each in found] == ["stopped"]  # the second click began none


GRID = "[data-testid=stDataFrame] canvas [role=grid]"


def test_a_request_appears_by_itself_and_opens(browser: "BrowserContext", address: str):
    with walking(browser, address) as walker:
        ask(address, "The first of them")
        walker.open("Gateway")
        walker.page.wait_for_selector(f"{GRID}[aria-rowcount]", state="attached")
        n = int(walker.page.locator(GRID).first.get_attribute("aria-rowcount") or 0)
        ask(address, "Does it show by itself?")
        walker.page.locator(f"{GRID}[aria-rowcount='{n + 1}']").wait_for(state="attached", timeout=60_000)
        walker.settle()

        walker.page.locator("[data-testid=stDataFrame]").first.click(position={"x": 20, "y": 52})
        walker.page.get_by_role("tab", name="Prompt").click()
        walker.page.get_by_role("dialog").get_by_text("Does it show by itself?").wait_for()


def test_a_key_ends_with_the_second_click(browser: "BrowserContext", address: str):
    made = httpx2.post(f"{address}/api/keys", json={"name": "browser"}).json()
    key, secret = made["key"], {"x-api-key": made["secret"]}
    with walking(browser, address) as walker:
        walker.open("Gateway")
        walker.sees("Click a key to see its limits")
        told = walker.page.get_by_text("stops working within a second")
        for _ in range(5):  # a canvas may be drawn and not take clicks yet
            with contextlib.suppress(sync_api.TimeoutError):
                table = walker.page.locator(".st-key-gateway_keys [data-testid=stDataFrame]")
                table.click(position={"x": 60, "y": 60}, timeout=2_000)
                told.wait_for(timeout=6_000)
                break
        told.click()
        assert httpx2.get(f"{address}/v1/models", headers=secret).status_code == 200

        walker.page.get_by_role("button", name="Revoke browser").click()
        walker.sees("Show 1 revoked")

    assert httpx2.get(f"{address}/v1/models", headers=secret).status_code == 401
    assert key["valid"]


def ask(address: str, prompt: str) -> None:
    body = {"model": "sim-fast", "prompt": prompt}
    httpx2.post(f"{address}/api/generate", json=body, timeout=60).raise_for_status()


def test_demo_data_come_with_one_click(browser: "BrowserContext", address: str):
    with walking(browser, address) as walker:
        walker.button("Load demo data")
        walker.sees("Demo data on")
        walker.open("Monitoring")
        walker.page.get_by_role("heading", name="By", exact=True).wait_for(timeout=60_000)
        walker.page.locator("[data-testid=stVegaLiteChart] :is(svg, canvas).marks").nth(1).wait_for()
        walker.page.get_by_role("radio", name="7d").click()
        walker.settle()
        walker.open("Budgets")
        walker.page.go_back()
        walker.page.wait_for_url("**/monitoring?range=7d")
        walker.open("Experiments")
        walker.page.locator("[data-testid=stDataFrame]").first.click(position={"x": 300, "y": 52})
        walker.sees("worse ← 0 → better")
        walker.button("More")
        walker.button("Simulate 1,000 users")
        walker.settle()
        walker.sees("worse ← 0 → better")


def test_every_page_stands_narrow_wide_light_and_dark(browser: "BrowserContext", address: str):
    with walking(browser, address, width=800) as walker:
        for path in sorted(path.stem for path in (ROOT / "dashboard" / "pages").rglob("[!_]*.py")):
            walker.page.goto(f"{address}/{path}")
            walker.settle()
            walker.first_rows()
            for width, scheme in ((1440, "dark"), (800, "light")):
                walker.page.set_viewport_size({"width": width, "height": 1000})
                walker.page.emulate_media(color_scheme=scheme)
                walker.settle()
                walker.check()
                overflow = walker.page.evaluate(
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                )
                assert overflow <= 0, (path, width)


def test_a_user_with_a_key_sees_real_costs_stops_and_reads_clear_errors(
    browser: "BrowserContext", tmp_path: Path, gemini: FakeGemini
):
    environ = {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": gemini.url, "AIMM_CALL_TIMEOUT_S": "30"}
    with running_server(tmp_path, **environ) as address, walking(browser, address) as walker:
        walker.open("Playground")
        gemini.next(wire.answer("Because of Rayleigh scattering.", prompt=1000, candidates=100))
        walker.page.get_by_test_id("stChatInputTextArea").fill("Why is the sky blue?")
        walker.page.keyboard.press("Enter")
        walker.sees("Rayleigh")
        walker.sees("$0.0024")  # 1000 at 1.50 and 100 at 9.00 dollars per million
        walker.settle()

        gemini.next(replace(wire.answer("A long story of the sea and the harbour."), pause_s=20.0))
        walker.page.get_by_test_id("stChatInputTextArea").fill("And the sea?")
        walker.page.keyboard.press("Enter")
        walker.sees("A long")
        walker.page.locator(".st-key-play_stop button").click()
        walker.sees("stopped")
        walker.settle()

        gemini.next(wire.error(503, "UNAVAILABLE", "The model is overloaded."), wire.rate_limited(77))
        walker.page.get_by_test_id("stChatInputTextArea").fill("And at night?")
        walker.page.keyboard.press("Enter")
        walker.sees("Try again in 77 s")
        assert KEY not in walker.page.content()

        walker.open("Log")
        walker.open("Monitoring")
        walker.sees("First token p50")
