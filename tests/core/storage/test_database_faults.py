"""A database that cannot be used: one clear sentence everywhere, nobody is asked meanwhile, and it goes on when it is back."""

import logging
import os
import re
import shutil
import socket
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from core import DatabaseUnavailable, InvalidRequest, ModelManager
from core.cli.__main__ import main
from core.storage.engine import database
from core.storage.engine import database as database_module
from core.storage.engine.database import Database, to_url
from core.storage.engine.presence import Presence
from tests.builders import running_gateway
from tests.conftest import Open, free_port, new_database

# At the start -------------------------------------------------------------------------------------------------------


def newer(url: str) -> str:
    Database(url).close()
    engine = create_engine(to_url(url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    return url


def written(name: str, raw: bytes) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        (folder / name).write_bytes(raw)
        return f"sqlite:///{folder / name}"

    return write


def foreign(*statements: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        with closing(sqlite3.connect(folder / "places.db")) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        return f"sqlite:///{folder}/places.db"

    return make


def dangling(folder: Path) -> str:
    (folder / "link.db").symlink_to(folder / "nowhere" / "aimm.db")
    return f"sqlite:///{folder}/link.db"


@contextmanager
def refusing_postgres() -> Iterator[int]:
    """A server that asks for a password and refuses whichever comes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def message(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("!i", len(body) + 4) + body

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    while struct.unpack("!ii", connection.recv(4096)[:8])[1] in (80877103, 80877104):  # TLS, GSS
                        connection.sendall(b"N")
                    connection.sendall(message(b"R", struct.pack("!i", 3)))
                    connection.recv(4096)
                    words = b'SFATAL\0VFATAL\0C28P01\0Mauthentication failed for user "ada"\0\0'
                    connection.sendall(message(b"E", words))

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


VERSION = "CREATE TABLE alembic_version (version_num TEXT)"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: newer(f"sqlite:///{folder}/aimm.db"), "is of a newer version (9999) than this program"),
        (written("notes.txt", b"These are my notes. " * 400), "its file is no SQLite database"),
        (foreign("CREATE TABLE places (name TEXT)"), "holds tables of another program"),
        (foreign(VERSION, "INSERT INTO alembic_version VALUES ('cc1f77228345')"), "holds tables of another program"),
        (foreign(VERSION, "CREATE TABLE experiments (name TEXT)"), "holds tables of another program"),
        (
            foreign("CREATE TABLE alembic_version (version_num)", "INSERT INTO alembic_version VALUES (9)"),
            "another program",
        ),
        (dangling, "its file cannot be made: No such file or directory"),
        (lambda folder: f"sqlite:///{folder}", "its file cannot be opened"),
        (lambda folder: written("file", b"")(folder) + "/aimm.db", "its file cannot be made: Not a directory"),
        (lambda folder: "sqlite:////proc/nothing/aimm.db", "its file cannot be made"),
        (lambda folder: "postgresql://ada:hunter2hunter2@no-such-host.invalid/db", "no-such-host.invalid"),
        (lambda folder: f"postgresql://ada:hunter2hunter2@127.0.0.1:{free_port()}/db", "Connection refused"),
        (
            lambda folder: f"postgresql://127.0.0.1:{free_port()}/db?user=a&password=hunter2hunter2",
            "Connection refused",
        ),
        (lambda folder: "postgresql://127.0.0.1:9/db?color=red", 'invalid connection option "color"'),
    ],
)
def test_a_database_that_cannot_be_opened_is_told_in_one_sentence(
    make: Callable[[Path], str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    url = make(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", url)

    assert main(["models"]) == 1

    told = capsys.readouterr()
    assert words in told.err and told.out == ""
    assert len(told.err.strip().splitlines()) == 1 and "Traceback" not in told.err and "sqlalche" not in told.err
    assert "hunter2" not in told.err
    with pytest.raises(DatabaseUnavailable):
        Database(url)
    assert all(path.read_bytes() == raw for path, raw in before.items())


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("sqlite+aiosqlite:///x.db", "only a path"),
        ("sqlite:///file:x.db?mode=memory&uri=true", "only a path"),
        ("sqlite://host/x.db", "only a path"),
        ("sqlite:////", "names no file"),
        ("sqlite://", "names no file"),
        ("postgresql://host:port/db", "is not an address"),
        ("postgresql://[::1/db", "is not an address"),
        ("postgresql://ada:p@hunter2@host/db", "must be written %40"),
        ("mysql://host/db", "sqlite and postgresql are supported"),
        ("aimm.db", "is not an address"),
    ],
)
def test_an_address_of_no_database_is_refused(address: str, words: str):
    with pytest.raises(InvalidRequest, match=words) as refused:
        Database(address)
    assert "hunter2" not in refused.value.text


def test_a_database_of_another_program_on_the_same_server_is_told(postgres_server: str):
    url = new_database(postgres_server)
    engine = create_engine(to_url(url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE experiments (name TEXT)"))
    engine.dispose()

    with pytest.raises(DatabaseUnavailable, match="holds tables of another program"):
        Database(url)


def test_a_folder_that_may_only_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Database(f"sqlite:///{tmp_path}/aimm.db").close()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # who runs as root may write everywhere

    with pytest.raises(DatabaseUnavailable, match="its folder is read-only"):
        Database(f"sqlite:///{tmp_path}/aimm.db")


def test_a_wrong_password_and_a_newer_postgresql_are_told_too(postgres_url: str):
    with refusing_postgres() as port, pytest.raises(DatabaseUnavailable) as found:
        Database(f"postgresql://ada:hunter2hunter2@127.0.0.1:{port}/db")
    assert 'authentication failed for user "ada"' in found.value.text
    assert "hunter2" not in found.value.text and "\n" not in found.value.text

    newer(postgres_url)
    with pytest.raises(DatabaseUnavailable, match="newer version"):
        Database(postgres_url)


# While it runs ------------------------------------------------------------------------------------------------------


def delete(folder: Path, _mm: ModelManager) -> Callable[[], None]:
    for path in folder.glob("aimm.db*"):
        if path.is_file():
            path.rename(folder / f"kept-{path.name}")

    def back() -> None:
        for path in folder.glob("kept-*"):
            path.rename(folder / path.name.removeprefix("kept-"))

    return back


def replace_by_another(folder: Path, mm: ModelManager) -> Callable[[], None]:
    back = delete(folder, mm)
    (folder / "aimm.db").write_bytes(b"no database at all " * 100)
    return back


def delete_the_log(folder: Path, _mm: ModelManager) -> Callable[[], None]:
    (folder / "aimm.db-wal").rename(folder / "kept")
    return lambda: (folder / "kept").rename(folder / "aimm.db-wal") and None


def replace_beside_its_log(folder: Path, mm: ModelManager) -> Callable[[], None]:
    """A backup is put in its place, and the log of the other one is left lying there."""
    (folder / "aimm.db").rename(folder / "kept")
    shutil.copy(folder / "kept", folder / "aimm.db")
    return lambda: (folder / "kept").rename(folder / "aimm.db") and None


def pragma(mm: ModelManager, name: str, value: int) -> None:
    """Of the connection that the writer keeps; it is idle while nothing is asked."""
    kept = mm.database._kept
    assert kept is not None
    kept[1].connection.driver_connection.execute(f"PRAGMA {name} = {value}")  # type: ignore[union-attr]


def fill_the_disk(_folder: Path, mm: ModelManager) -> Callable[[], None]:
    pragma(mm, "max_page_count", 1)  # no less than it has
    with pytest.raises(DatabaseUnavailable, match="the disk is full"):
        mm.generate("long " * 20_000, model="sim-fast")
    return lambda: pragma(mm, "max_page_count", 1_000_000)


def make_read_only(_folder: Path, mm: ModelManager) -> Callable[[], None]:
    pragma(mm, "query_only", 1)
    return lambda: pragma(mm, "query_only", 0)


def lock(folder: Path, _mm: ModelManager) -> Callable[[], None]:
    other = sqlite3.connect(folder / "aimm.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other.close


def stop_postgres(_folder: Path, mm: ModelManager) -> Callable[[], None]:
    return stopped(mm.database)


def stopped(database: Database) -> Callable[[], None]:
    """For this database's clients a server that does not let them in is one that is down."""
    name = str(database.url.database)

    def as_owner(*statements: str) -> None:
        engine = create_engine(database.url.set(database="postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    as_owner(
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'",  # noqa: S608 - our own
    )
    return lambda: as_owner(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


FAULTS = {
    "deleted": (delete, "its file was deleted or moved away"),
    "replaced": (replace_by_another, "another file stands in its place"),
    "replaced beside its log": (replace_beside_its_log, "another file stands in its place"),
    "without its log": (delete_the_log, "the -wal file beside it"),
    "full": (fill_the_disk, "the disk is full"),
    "read-only": (make_read_only, "its file or folder is read-only"),
    "locked": (lock, "another program holds it locked"),
    "stopped": (stop_postgres, "is not currently accepting connections"),
}
ASKED = {
    "/api/generate": {"prompt": "Hi", "model": "gemini-2.5-flash"},
    "/v1/chat/completions": {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hi"}]},
    "/gemini/v1beta/models/gemini-2.5-flash:generateContent": {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}]
    },
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_database_that_fails_while_it_runs_is_told_and_nobody_is_asked(
    fault: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 100)
    begin, why = FAULTS[fault]
    url = str(request.getfixturevalue("postgres_url")) if fault == "stopped" else f"sqlite:///{tmp_path}/aimm.db"
    with caplog.at_level(logging.WARNING), running_gateway(url) as running:
        assert running.post("/v1/chat/completions", ASKED["/v1/chat/completions"]).status == 200
        assert running.get("/readyz").json == {"ready": True}
        n_before = len(running.rows())
        end = begin(tmp_path, running.mm)
        answers = [running.post(path, body) for _ in range(3) for path, body in ASKED.items()]
        n_asked = len(running.gemini.requests)
        later = [running.post(path, body) for path, body in ASKED.items()]

        for path, heard in zip([*ASKED] * 4, answers + later, strict=True):
            body = heard.json["error"] if path.startswith(("/v1", "/gemini")) else heard.json
            assert heard.status == 503, (path, heard.body)
            assert body["message" if path.startswith(("/v1", "/gemini")) else "error"].startswith(
                f"The database cannot be used: {why}" if fault != "stopped" else "The database cannot be used: "
            )
            assert body["code"] == (503 if path.startswith("/gemini") else "database_unavailable")
        assert n_asked == len(running.gemini.requests) <= 2  # whom it befell in mid call was asked
        assert running.get("/readyz").json == {"ready": False} and running.get("/healthz").status == 200
        told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert sum("cannot be used" in line and why in line for line in told) == 1, told
        assert len(told) == 1, told

        end()

        assert running.get("/readyz").json == {"ready": True}
        assert running.post("/v1/chat/completions", ASKED["/v1/chat/completions"]).status == 200
        # And nothing of what could not be recorded; what was asked before a lock was known is, when that is gone.
        assert len(running.rows()) == n_before + 1 + (n_asked - 1 if fault == "locked" else 0)
        assert running.books_agree()
        assert caplog.records[-1].getMessage().endswith("can be used again")


@pytest.mark.parametrize(
    ("setting", "statement", "words"),
    [
        ("SET LOCAL statement_timeout = 50", "SELECT pg_sleep(1)", "due to statement timeout"),
        ("SET TRANSACTION READ ONLY", "DELETE FROM feedback", "it is read-only for this user"),
        ("SET LOCAL lock_timeout = 50", "DELETE FROM cached_responses", "due to lock timeout"),
    ],
)
def test_what_a_server_refuses_is_told(setting: str, statement: str, words: str, postgres_url: str):
    with closing(Database(postgres_url)) as database, database.write() as other:
        other.execute(text("LOCK TABLE cached_responses"))
        with pytest.raises(DatabaseUnavailable, match=words), database.write() as connection:
            connection.execute(text(setting))
            connection.execute(text(statement))


def test_a_process_is_alive_after_its_server_was_started_anew(open_manager: Open, postgres_url: str):
    with closing(Database(postgres_url)) as one, closing(Database(postgres_url)) as two:
        presence, other = Presence(one), Presence(two)
        token = presence.announce()

        stopped(one)()
        presence.renew()

        assert other.is_alive(token)
        presence.close()
        assert not other.is_alive(token)


def test_the_newest_migration_is_the_one_that_starts_ask_for():
    versions = Path(database.__file__).parent / "migrations" / "versions"

    texts = "".join(path.read_text() for path in versions.glob("[0-9]*.py"))
    revisions, before = (
        re.findall(rf'^{name} = "(\d+)"', texts, re.MULTILINE) for name in ("revision", "down_revision")
    )

    assert set(revisions) - set(before) == {database.HEAD}


def test_a_backup_that_is_put_back_is_used_at_once(open_manager: Open, tmp_path: Path):
    file, backup = tmp_path / "aimm.db", tmp_path / "backup.db"
    mm = open_manager(f"sqlite:///{file}")
    kept = mm.generate("Before.", model="sim-fast")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    mm.generate("After.", model="sim-fast")

    for path in tmp_path.glob("aimm.db*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(DatabaseUnavailable, match="deleted or moved"):
        mm.generate("Into nothing.", model="sim-fast")
    assert not mm.is_ready()
    shutil.copy(backup, file)

    after = mm.generate("Again.", model="sim-fast")
    assert [g.id for g in mm.log.latest()] == [after.id, kept.id]
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM generations").fetchone() == (2,)
