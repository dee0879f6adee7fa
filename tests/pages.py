"""Pages as the server shows them: by Streamlit's AppTest, and by a browser that walks them."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block
from streamlit.testing.v1.local_script_runner import LocalScriptRunner

from core import ModelManager
from dashboard import failure, process
from tests.conftest import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_PAGES = ROOT / "dashboard" / "pages"
# Each AppTest would read the metadata of all that is installed: 0.15 s.
manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)
PAGES = tuple(sorted(str(path.relative_to(_PAGES).with_suffix("")) for path in _PAGES.rglob("[!_]*.py")))


class NavigationPages(PagesManager):
    """AppTest forgets before each run that st.navigation rules the pages; the server does not (see dashboard/app.py)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        PagesManager.uses_pages_directory = False
        super().__init__(*args, **kwargs)


class ServedRunner(LocalScriptRunner):
    """AppTest's runner does not know the server's way with errors."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._on_script_error = failure.show


def page_app(manager: ModelManager) -> Iterator[AppTest]:
    """The dashboard over a manager."""
    st.cache_data.clear()
    process.use(manager)
    yield AppTest.from_file(str(ROOT / "dashboard" / "shell.py"), default_timeout=120)
    process.use(None)
    st.cache_data.clear()


def show(app: AppTest, page: str) -> AppTest:
    if page == "home":
        app.run()
    else:
        app.switch_page(f"pages/{page}.py").run()
    assert not is_broken(app), f"{page}: {texts(app)}"
    return app


def is_broken(app: AppTest) -> bool:
    """Whether any part of the page ended in an error that nobody expected."""
    return bool(app.exception) or "could not be shown" in texts(app)


def texts(app: AppTest) -> str:
    parts = [*app.markdown, *app.caption, *app.info, *app.warning, *app.error, *app.success, *app.title, *app.subheader]
    return "\n".join([*(str(part.value) for part in parts), *(str(each.proto.body) for each in app.html)])


def ask(app: AppTest, prompt: str) -> AppTest:
    """Send a prompt on the Playground, and see the page with the answer."""
    return answered(app.chat_input(key="play_prompt").set_value(prompt).run())


def answered(app: AppTest) -> AppTest:
    """The Playground once the call in its address has ended."""
    given = app.query_params["conversation"]
    call_id = (given if isinstance(given, str) else given[0]).partition(":")[0]
    calls = process.manager().calls
    for call in (calls.running(call_id), *calls.under_way(call_id)):
        if call is not None:
            call.done.exception(30)
    return app.run()


def button(app: AppTest, label: str) -> Any:
    return next(b for b in app.button if label in b.label)


def live(app: AppTest) -> dict[str, Any]:
    """The buttons that can be clicked, by key: not switched off, nor inside a popover that is."""
    found: dict[str, Any] = {}

    def look(node: Any) -> None:
        if isinstance(node, Block):
            if not (node.type == "popover" and node.proto.popover.disabled):
                for child in node.children.values():
                    look(child)
        elif node.type in ("button", "menu_button") and not node.proto.disabled:
            found[node.key or node.label] = node

    look(app._tree)
    return found


def each_page(app: AppTest) -> Iterator[str]:
    """All pages one after the other in one process, each drawn without a fault."""
    for page in PAGES:
        show(app, page)
        yield page


class Walker:
    """A browser page over a running server; `complaints` holds what must not be."""

    def __init__(self, page: "Page", address: str) -> None:
        self.page = page
        self.address = address
        self.complaints: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)
        page.goto(address)
        self.settle()

    def _heard(self, message: "ConsoleMessage") -> None:
        # Opened at a page's own address, Streamlit's client looks for its endpoints below it first.
        url = message.location.get("url", "")
        if message.type == "error" and "/_stcore/" not in url:
            self.complaints.append(f"{message.text} {url}")

    def _asked(self, request: "Request") -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.complaints.append(f"fetched from elsewhere: {request.url}")

    def settle(self) -> None:
        self.page.wait_for_selector("h1", timeout=60_000)
        # Not by wait_for_function, which evaluates a text in the page: its policy forbids that.
        still = self.page.locator("[data-testid=stApp][data-test-script-state=notRunning]")
        still.wait_for(state="attached", timeout=60_000)

    def open(self, name: str) -> None:
        self.page.locator("[data-testid=stSidebarNavLink]", has_text=name).click()
        self.page.get_by_role("heading", level=1, name=name, exact=True).wait_for(timeout=60_000)
        self.settle()

    def button(self, label: str) -> None:
        self.page.get_by_role("button", name=label).first.click()

    def sees(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for(timeout=60_000)

    def first_rows(self) -> None:
        """Select the first row of every table that is drawn."""
        tables = self.page.locator("[data-testid=stDataFrame]:visible")
        for at in range(tables.count()):
            tables.nth(at).click(position={"x": 16, "y": 52})
            self.settle()
            self.check()

    def check(self) -> None:
        boxes = self.page.locator("[data-testid=stException], [class*=st-key-failure_]").all_inner_texts()
        assert boxes + self.complaints == []


@contextmanager
def open_browser(chromium_path: str) -> Iterator["BrowserContext"]:
    """A browser whose pages share what was loaded once. No event loop runs in this thread while it is open."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield browser.new_context()
        browser.close()


@contextmanager
def walking(browser: "BrowserContext", address: str, *, width: int = 1440) -> Iterator[Walker]:
    page = browser.new_page()
    page.set_viewport_size({"width": width, "height": 1000})
    walker = Walker(page, address)
    yield walker
    walker.check()
    page.close()
