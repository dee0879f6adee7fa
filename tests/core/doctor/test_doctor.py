"""`aimm doctor` names what is wrong and what to do, touches nothing, and fails only where something does not work."""

import fcntl
import json
import os
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from core.cli.__main__ import main
from core.doctor import machine
from core.doctor.finding import Finding
from core.storage.engine.database import Database, to_url
from tests.builders import a_generation
from tests.conftest import free_port
from tests.core.storage.test_transfer import path_of, recorded
from tests.fakes.gemini import KEY, FakeGemini

Run = Callable[..., tuple[int, list[Finding]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command in a folder of its own, without a vendor's key."""
    monkeypatch.chdir(tmp_path)
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OLLAMA_HOST", "")

    def do(*words: str, **environ: str) -> tuple[int, list[Finding]]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = main(["doctor", "--json", "--port", str(free_port()), *words])
        return code, [Finding(**found) for found in json.loads(capsys.readouterr().out)["findings"]]

    return do


def worst(found: list[Finding]) -> list[Finding]:
    return [each for each in found if each.level in ("warning", "fault")]


def test_a_sound_installation_has_no_fault_and_is_left_as_it_is(
    run: Run, database_url: str, capsys: pytest.CaptureFixture[str]
):
    with closing(Database(database_url)) as database:
        recorded(database, "g1")

    code, found = run("--deep", DATABASE_URL=database_url)

    assert (code, worst(found)) == (0, [])
    assert {"python", "sqlite", "libraries", "disk", "clock", "port", "database", "vendors", "prices", "sums"} <= {
        each.area for each in found
    }


def test_without_a_database_none_is_made(run: Run, tmp_path: Path):
    code, found = run(DATABASE_URL=f"sqlite:///{tmp_path}/data/aimm.db")

    assert code == 0 and "the first start makes it" in str(found)
    assert not (tmp_path / "data").exists()


def spoilt(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(20_000)
        file.write(os.urandom(30_000))


def of_version(number: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (number,))
            connection.commit()

    return change


def readable(path: Path) -> None:
    path.chmod(0o644)


def from_the_future(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE generations SET created_at = 2000000000000000")
        connection.commit()


@pytest.mark.parametrize(
    ("spoil", "level", "words"),
    [
        (spoilt, "fault", "damaged"),
        (lambda path: path.write_text("a letter" * 900), "fault", "no SQLite database"),
        (of_version("9999"), "fault", "newer version (9999)"),
        (of_version("bf29a5ff90ea"), "fault", "tables of another program"),  # Alembic's, of another program
        (of_version("copying"), "fault", "A copy into it is not finished"),
        (of_version("0028"), "warning", "of version 0028"),
        (readable, "warning", "Others may read"),
        (from_the_future, "fault", "which is still to come"),
    ],
)
def test_a_fault_of_the_database_is_named_with_what_to_do(
    run: Run, sqlite_url: str, spoil: Callable[[Path], None], level: str, words: str
):
    with closing(Database(sqlite_url)) as database:
        recorded(database, "g1")
    spoil(path_of(sqlite_url))
    before = path_of(sqlite_url).read_bytes()

    code, found = run(DATABASE_URL=sqlite_url)

    assert [each for each in worst(found) if each.level == level and words in each.found and each.todo], found
    assert code == (level == "fault")
    assert path_of(sqlite_url).read_bytes() == before


def test_settings_that_cannot_hold_are_told_and_the_rest_is_looked_at(run: Run, sqlite_url: str, tmp_path: Path):
    (tmp_path / ".env").write_text("AIMM_DEFAULT_MODELL=x\n")
    (tmp_path / ".env").chmod(0o644)
    _, misspelt = run(DATABASE_URL=sqlite_url)
    code, weak = run(AIMM_DASHBOARD_PASSWORD="password1234")

    assert [each.found for each in worst(misspelt) if "did you mean AIMM_DEFAULT_MODEL?" in each.found]
    assert [each.found for each in worst(misspelt) if "Others may read" in each.found and ".env" in each.found]
    assert code == 1
    assert [each.area for each in worst(weak)] == ["settings"]
    assert "can be guessed" in worst(weak)[0].found and "password1234" not in str(weak)
    assert [each for each in weak if each.area == "database" and each.level == "ok"]


def test_an_address_that_does_not_answer_is_named_without_its_password(run: Run):
    code, found = run(DATABASE_URL="postgresql://ada:hunter22@127.0.0.1:1/aimm")

    assert code == 1
    assert "hunter22" not in str(found)
    assert [each for each in worst(found) if each.area == "database" and "refused" in each.found]


def test_locks_copies_and_little_room_are_told(
    run: Run, sqlite_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    file = path_of(sqlite_url)
    folder = Path(f"{file}.processes")
    folder.mkdir()
    (folder / "p1-1").touch()
    (folder / "p2-2").touch()
    run(DATABASE_URL=sqlite_url)
    with closing(Database(sqlite_url)), open(folder / "p1-1") as alive, open(f"{file}.engine.lock", "w") as engine:
        for lock in (alive, engine):
            fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["db", "copy", "--to", postgres_url, "--once"]) == 3
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 0, 300_000_000))
        _, found = run(DATABASE_URL=sqlite_url)

    told = [each.found for each in found]
    assert any(f"Runs are executed by process {os.getpid()}" in each and "1 process with" in each for each in told)
    assert any("1 process died" in each for each in told)
    assert any("300 MB are free" in each for each in told)
    assert any("A copy was begun" in each for each in told)
    assert main(["db", "copy", "--abandon"]) == 0
    assert not [each for each in run()[1] if "A copy was begun" in each.found]


def test_a_database_that_was_copied_and_is_still_used_is_told(run: Run, sqlite_url: str, postgres_url: str):
    run(DATABASE_URL=sqlite_url)
    assert main(["db", "copy", "--to", postgres_url, "--no-check"]) == 0
    assert [each for each in worst(run()[1]) if each.level == "fault" and "was copied to" in each.found]
    assert main(["db", "copy", "--abandon"]) == 0
    assert not worst(run()[1])
    with closing(Database(sqlite_url)) as database:
        recorded(database, "g1")
    engine = create_engine(to_url(sqlite_url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE audit SET created_at = 1"))  # before the call
    engine.dispose()

    assert [each for each in worst(run()[1]) if "are not there" in each.found]
    assert not worst(run(DATABASE_URL=postgres_url)[1])


def test_a_port_is_free_ours_or_anothers(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert machine.port(other.getsockname()[1]).level == "warning"
    assert machine.port(free_port()).level == "ok"
    assert machine.port(99_999).level == machine.port(0).level == "fault"


def test_a_folder_is_not_to_be_closed_to_its_users(run: Run, tmp_path: Path):
    """`chmod 600 /tmp` would be what ends the machine."""
    tmp_path.chmod(0o755)

    found = run(DATABASE_URL=f"sqlite:///{tmp_path}")[1]

    assert not [each for each in found if "chmod" in each.todo] and any("is no file" in each.found for each in found)


def test_keys_are_tried_online_and_never_shown(run: Run, sqlite_url: str, gemini: FakeGemini):
    given: dict[str, Any] = {"DATABASE_URL": sqlite_url, "GOOGLE_GEMINI_BASE_URL": gemini.url}
    code, right = run("--online", **given, GEMINI_API_KEY=KEY)
    wrong_code, wrong = run("--online", **given, GEMINI_API_KEY="AIzaWrong0123456789012345678901234567")

    assert code == 0 and [each for each in right if each.area == "vendors" and each.level == "ok"]
    assert wrong_code == 1 and [each for each in worst(wrong) if each.area == "vendors"]
    assert KEY not in str(right) and "AIzaWrong" not in str(wrong)


def test_a_clock_that_differs_from_a_vendors_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as vendor:
        threading.Thread(target=vendor.serve_forever).start()
        monkeypatch.setattr(machine, "time", SimpleNamespace(time=lambda: time.time() - 3600))

        [found] = list(machine.clock(tmp_path / "missing", {"gemini": f"http://127.0.0.1:{vendor.server_port}"}, {}))
        vendor.shutdown()

    assert found.level == "fault" and "behind gemini" in found.found


def test_calls_without_a_price_are_told(run: Run, sqlite_url: str):
    with closing(Database(sqlite_url)) as database:
        recorded(database, a_generation("g1", cost_usd=None, cost_status="unknown", request_model="new"))

    _, found = run(DATABASE_URL=sqlite_url)

    assert [each.todo for each in worst(found) if "gemini/new: 1 calls have no known cost" in each.found]
