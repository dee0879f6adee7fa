"""Photographs every page and its views in every state, width and theme, and looks for what a glance would find.

States: an empty database, the demo data, a vendor that cannot be reached, a million calls. For each picture: text that
is cut off without dots, a page that scrolls sideways, errors in the console, requests to other hosts, the number of
nodes, and what axe finds serious or critical. Pictures and a report are kept in benchmarks/screens/.

    python -m benchmarks.screens [--states empty demo] [--pages log models] [--widths 390] [--themes dark] [--cache FOLDER]
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.common import (
    CHROMIUM_FLAGS,
    DASHBOARD,
    NO_VENDOR,
    ROOT,
    chromium,
    demo_database,
    open_manager,
    print_table,
    serving,
    temporary_folder,
)

FOLDER = ROOT / "benchmarks" / "screens"
PAGES = sorted(path.stem for path in (DASHBOARD.parent / "pages").rglob("[!_]*.py"))
# Views of pages by their address: those that every database has, and those of the demo data.
VIEWS = {
    "monitoring-spend": "monitoring?monitor_view=Spend",
    "monitoring-day": "monitoring?range=24h",
    "monitoring-reconcile": "monitoring?monitor_view=Reconcile",
    "compare-rates": "compare?compare_view=Win+rates",
    "compare-history": "compare?compare_view=History",
    "compare-dataset": "compare?compare_mode=Dataset",
    "evaluation-new": "compare?compare_mode=Dataset&evaluation=new",
    "log-breakdown": "log?log_view=Breakdown",
    "alert-new": "alerts?rule=new:",
    "person-new": "people?person=new",
    "experiment-new": "experiments?experiment=new",
    "prompt-new": "prompts?prompt_edit=new",
    "models-own": "models?prices_view=Own+prices",
    "models-unpriced": "models?prices_view=Unpriced",
    "models-recalculate": "models?prices_view=Recalculate+costs",
    "models-catalogue": "models?prices_view=Catalogue",
    "models-changes": "models?prices_view=Changes",
}
OF_DEMO = {
    "comparison": "compare?comparison=c_demo059",
    "evaluation": "compare?compare_mode=Dataset&evaluation=ev_demo05",
    "evaluation-failed": "compare?compare_mode=Dataset&evaluation=ev_demo08",
    "evaluation-suite": "compare?compare_mode=Dataset&evaluation=ev_demo09",
    "evaluation-item": "compare?compare_mode=Dataset&evaluation=ev_demo08&item=1",
    "experiment": "experiments?experiment=e_demo_cheaper",
    "prompt": "prompts?prompt=demo-triage@2",
    "dataset": "datasets?dataset=demo-tickets@1",
    "call": "log?call=g_ev_demo09.0.0",
    "log-tags": "log?log_view=Breakdown&log_by=tag&log_and=model",
    "calls-failed": "log?log_status=failed",
    "workflow-run": "workflows?run=r_demo",
    "tags": "monitoring?monitor_view=Spend&spend_by=tag",
}
ADDRESSES = {name: name for name in PAGES} | VIEWS | OF_DEMO
STATES = ("empty", "demo", "failing", "million")
WIDTHS = (390, 800, 1440)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SETTLED_MS = 2500  # charts are drawn after the script has ended
# Texts that reach out of a box that hides the rest, but for those that end in dots, and hints that their fields cut;
# tables draw their cells on a canvas.
CUT = """() => [...document.querySelectorAll('[data-testid=stMain] *, [data-testid=stSidebar] *')].filter((at) => {
  const style = getComputedStyle(at), box = at.getBoundingClientRect();
  if (box.width <= 1 || style.visibility === 'hidden' || at.closest('[role=img]')) return false;
  if (at.placeholder && !at.value && at.tagName === 'INPUT') {
    const pen = document.createElement('canvas').getContext('2d');
    pen.font = style.font;
    return pen.measureText(at.placeholder).width
      > at.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) + 1;
  }
  const own = [...at.childNodes].find((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own) return false;
  let block = at;
  while (getComputedStyle(block).display === 'inline') block = block.parentElement;
  if (getComputedStyle(block).textOverflow === 'ellipsis') return false;
  const range = document.createRange();
  range.selectNodeContents(own);
  const text = range.getBoundingClientRect();
  if (text.width <= 1) return false;
  for (let each = block; each && each.dataset.testid !== 'stMain'; each = each.parentElement) {
    const around = getComputedStyle(each), edge = each.getBoundingClientRect();
    if (['auto', 'scroll'].includes(around.overflowX) || edge.width <= 1) return false;
    if (around.overflowX !== 'visible' && (text.right > edge.right + 1 || text.left < edge.left - 1)) return true;
  }
  return false;
}).map((at) => (at.placeholder || at.textContent).trim().slice(0, 60))"""
WIDE = """() => [...document.querySelectorAll('[data-testid=stDataFrame] .dvn-scroller')]
  .filter((at) => at.scrollWidth > at.clientWidth + 1)
  .map((at) => `${at.scrollWidth - at.clientWidth} px`)"""
OUTSIDE = """() => [...document.querySelectorAll('[data-testid=stVegaLiteChart] svg text')].filter((at) => {
  const chart = at.closest('svg').getBoundingClientRect(), box = at.getBoundingClientRect();
  return at.textContent.trim() && box.width && (box.left < chart.left - 1 || box.right > chart.right + 1);
}).map((at) => at.textContent.trim().slice(0, 60))"""
# Drawn by Streamlit alone: the list of pages, and the small charts of figures.
THEIRS = [["[data-testid=stSidebarNav]"], ["[data-testid=stMetricChart]"]]
SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
NODES = "() => document.querySelectorAll('*').length"


@contextmanager
def served(state: str, cache: Path | None) -> Iterator[str]:
    """The product in a state; its address."""
    with temporary_folder() as folder:
        database, vendors = folder / "screens.db", dict(NO_VENDOR)
        if state == "million":
            with demo_database(1_000_000, cache) as large, serving(large) as server:
                yield server.address
            return
        if state == "demo":
            with open_manager(database) as mm:
                mm.demo.fill()
        if state == "failing":
            vendors |= {"GEMINI_API_KEY": "AIza" + "0" * 35, "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9"}
        with serving(database, vendors) as server:
            yield server.address


class Photographer:
    """Opens pages and notes what is wrong with them."""

    def __init__(self, browser: Browser, address: str, state: str) -> None:
        self._address, self._state = address, state
        # One a theme: its pages need not load the client anew.
        self._contexts = {scheme: browser.new_context(color_scheme=scheme) for scheme in SCHEMES}

    def take(self, name: str, width: int, scheme: Any) -> tuple[int, list[str]]:
        """The number of nodes, and the findings."""
        findings: list[str] = []
        page = self._contexts[scheme].new_page()
        page.set_viewport_size({"width": width, "height": 1000})
        page.on("pageerror", lambda error: findings.append(f"error: {error}"))
        page.on("request", lambda request: self._asked(request.url, findings))
        page.goto(f"{self._address}/{ADDRESSES[name]}")
        page.wait_for_selector("h1", timeout=60_000)
        still = page.locator("[data-testid=stApp][data-test-script-state=notRunning]")
        still.wait_for(state="attached", timeout=60_000)
        page.wait_for_timeout(SETTLED_MS)
        page.locator("[data-testid=stSkeleton]").first.wait_for(state="detached", timeout=60_000)
        still.wait_for(state="attached", timeout=60_000)
        file = FOLDER / self._state / f"{name}-{width}-{scheme}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=file)
        findings += _looked_over(page, width)
        n = int(page.evaluate(NODES))
        page.close()
        return n, findings

    def _asked(self, url: str, findings: list[str]) -> None:
        if not url.startswith((self._address, self._address.replace("http", "ws"), "data:", "blob:")):
            findings.append(f"fetched from elsewhere: {url}")


def _looked_over(page: Page, width: int) -> list[str]:
    findings = [f"cut off: {text}" for text in page.evaluate(CUT)]
    findings += [f"outside of its chart: {text}" for text in page.evaluate(OUTSIDE)]
    if width == max(WIDTHS):
        findings += [f"a table is wider than the page by {text}" for text in page.evaluate(WIDE)]
    findings += [f"scrolls sideways by {wide} px" for wide in [page.evaluate(SIDEWAYS)] if wide > 0]
    if page.locator("[data-testid=stException], [class*=st-key-failure_]").count():
        findings.append("a part could not be shown")
    if width != 800:  # neither the elements nor the colours differ from those of the other widths
        findings += [
            f"axe {found['impact']}: {found['id']} at {found['nodes'][0]['target'][0]} ({len(found['nodes'])})"
            for found in Axe().run(page, {"exclude": THEIRS}).response["violations"]
            if found["impact"] in ("serious", "critical")
        ]
    return findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", nargs="+", choices=STATES, default=STATES)
    parser.add_argument("--pages", nargs="+", choices=ADDRESSES, default=list(ADDRESSES))
    parser.add_argument("--widths", nargs="+", type=int, choices=WIDTHS, default=WIDTHS)
    parser.add_argument("--themes", nargs="+", choices=SCHEMES, default=SCHEMES)
    parser.add_argument("--cache", type=Path, help="a folder that keeps the large demo database for the next run")
    given = parser.parse_args()
    report: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        for state in given.states:
            rows = []
            with served(state, given.cache) as address:
                photographer = Photographer(browser, address, state)
                for name in given.pages:
                    if name in OF_DEMO and state not in ("demo", "million"):
                        continue
                    found = {
                        (width, scheme): photographer.take(name, width, scheme)
                        for width in given.widths
                        for scheme in given.themes
                    }
                    news = [
                        f"{state} {name} {width} {scheme}: {finding}"
                        for (width, scheme), (_, findings) in found.items()
                        for finding in findings
                    ]
                    print(f"{state} {name}", *news, sep="\n  ", flush=True)
                    report += news
                    rows.append([name, max(n for n, _ in found.values()), sum(len(each) for _, each in found.values())])
            print_table(
                f"{state}: {len(given.widths) * len(given.themes)} pictures a page",
                ("page", "most nodes", "findings"),
                rows,
            )
        browser.close()
    (FOLDER / "report.txt").write_text("\n".join(report) + "\n")
    print(f"{len(report)} findings")
    sys.exit(bool(report))


if __name__ == "__main__":
    main()
