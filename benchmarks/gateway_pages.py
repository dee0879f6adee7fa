"""Watches a server while benchmarks/gateway.py loads it: its memory, and how fast its pages answer."""

import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress

import psutil
from common import CHROMIUM_FLAGS, Server, chromium
from playwright.sync_api import sync_playwright

EVERY_S, PAGE_EVERY_S = 2.0, 10.0
TIMEOUT_MS = 60_000
IDLE = "document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'"


class Watch:
    """Threads that look until the block ends; an address that does not answer counts as the whole time-out."""

    def __init__(self, server: Server, paths: tuple[str, ...] = (), page: str | None = None) -> None:
        self.server, self.page = server, page
        self.peak_mb = 0.0
        self.ms: dict[str, list[float]] = {path: [] for path in paths} | ({f"page {page}": []} if page else {})
        self.over = threading.Event()
        looks = [self.look_at_memory, *(self.getting(path) for path in paths), *([self.look_at_page] if page else [])]
        self.threads = [threading.Thread(target=look) for look in looks]

    def __enter__(self) -> "Watch":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def look_at_memory(self) -> None:
        while not self.over.wait(0.5):
            with suppress(psutil.NoSuchProcess):
                self.peak_mb = max(self.peak_mb, self.server.rss_mb())

    def getting(self, path: str) -> Callable[[], None]:
        def look() -> None:
            while not self.over.wait(EVERY_S):
                begin = time.perf_counter()
                with urllib.request.urlopen(f"http://127.0.0.1:{self.server.port}{path}", timeout=60) as response:
                    response.read()
                self.ms[path].append((time.perf_counter() - begin) * 1000)

        return look

    def look_at_page(self) -> None:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
            while not self.over.wait(PAGE_EVERY_S):
                page = browser.new_page(viewport={"width": 1440, "height": 1000}, bypass_csp=True)
                begin = time.perf_counter()
                page.goto(f"http://127.0.0.1:{self.server.port}{self.page}", timeout=TIMEOUT_MS)
                page.wait_for_selector("h1:has-text('Monitoring')", timeout=TIMEOUT_MS)
                page.wait_for_function(IDLE, timeout=TIMEOUT_MS)
                self.ms[f"page {self.page}"].append((time.perf_counter() - begin) * 1000)
                page.close()
            browser.close()
