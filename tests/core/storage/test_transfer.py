"""Whole databases: backups and copies are equal to the row, under traffic and after any end; nothing is lost or replaced unasked."""

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, create_engine, select, text

from core.cli.__main__ import main
from core.config import Settings
from core.domain.generation import Generation
from core.errors import AimmError, Conflict, DatabaseUnavailable, InvalidRequest
from core.storage.calls.generations import to_body, to_row
from core.storage.calls.record import log_rows
from core.storage.engine.database import HEAD, Database, to_url
from core.storage.engine.writer import Writer
from core.storage.transfer import changes, snapshot, source
from core.storage.transfer.backup import look_at
from core.storage.transfer.service import Transfers
from core.storage.transfer.tables import all_tables
from core.storage.transfer.target import Target
from tests.builders import a_generation
from tests.conftest import Open, fresh
from tests.core.storage.test_storage import at_revision


def quiet(_sentence: str) -> None: ...


def everything(url: str) -> dict[str, list[Any]]:
    """Each row of each table."""
    engine = create_engine(to_url(url))
    with engine.connect() as connection:
        found = {table.name: sorted(map(repr, connection.execute(select(table)).all())) for table in all_tables()}
    engine.dispose()
    return found


def declared(url: str) -> list[Any]:
    """The indexes and references of a PostgreSQL database."""
    engine = create_engine(to_url(url))
    with engine.connect() as connection:
        indexes = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'copy_state'"
        references = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'"
        found = [sorted(map(repr, connection.execute(text(each)).all())) for each in (indexes, references)]
    engine.dispose()
    return found[0] + found[1]


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def recorded(database: Database, *calls: str | Generation) -> None:
    with closing(Writer(database)) as writer:
        for call in calls:
            g = a_generation(call) if isinstance(call, str) else call
            writer.record_together(log_rows, to_row(g), to_body(g, "full")).result()


@pytest.fixture
def filled_url(sqlite_url: str) -> str:
    """A database with calls and with rows that refer to others."""
    with closing(Database(sqlite_url)) as database:
        recorded(database, *(f"g{n}" for n in range(40)))
        with database.write() as connection:
            for statement in (
                "INSERT INTO experiments (id, name, unit, salt, status, created_at) VALUES ('e1', 'e', 'u', 's', 'running', 1)",
                "INSERT INTO experiment_phases VALUES ('e1', 1, 1, NULL)",
                "INSERT INTO prompts VALUES ('p', 1)",
                "INSERT INTO prompt_labels VALUES ('p', 'live', 1)",
                "INSERT INTO team_prices VALUES ('t1', '{}', 1)",
            ):
                connection.execute(text(statement))
    return sqlite_url


@contextmanager
def traffic(url: str) -> Iterator[list[str]]:
    """Calls recorded one after the other all the while; yields those that are on the disk."""
    done: list[str] = []
    ends = threading.Event()

    def run() -> None:
        with closing(Database(url)) as database, closing(Writer(database)) as writer:
            while not ends.is_set():
                g = a_generation(f"t{len(done)}")
                writer.record_together(log_rows, to_row(g), to_body(g, "full")).result()
                done.append(g.id)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done
    finally:
        ends.set()
        thread.join(20)


# Backup and restore -------------------------------------------------------------------------------------------------


def test_a_live_backup_has_every_call_recorded_before_it_began_and_is_restored_to_the_other_kind(
    database_url: str, tmp_path: Path, request: pytest.FixtureRequest
):
    with traffic(database_url) as done:
        while len(done) < 20:
            threading.Event().wait(0.01)
        before = list(done)
        made = Transfers(database_url, quiet).back_up(str(tmp_path / "backup"))
    (tmp_path / "new").mkdir()
    other = f"sqlite:///{tmp_path}/new/aimm.db"
    if database_url.startswith("sqlite"):
        other = request.getfixturevalue("postgres_url")

    Transfers(other, quiet).restore(str(tmp_path / "backup"), force=False)

    assert made.version == HEAD and made.contents.rows["generations"] >= len(before)
    assert (tmp_path / "backup").stat().st_mode & 0o077 == 0
    kept, restored = everything(f"sqlite:///{tmp_path}/backup"), everything(other)
    assert [row for row in restored.pop("audit") if "database restored" in row]
    assert restored == {name: rows for name, rows in kept.items() if name != "audit"}
    with closing(Database(other)) as database:
        assert set(before) <= {row[0] for row in database.rows(text("SELECT id FROM generations"))}


def test_restoring_over_records_needs_force_and_keeps_them(database_url: str, tmp_path: Path):
    with closing(Database(database_url)) as database:
        recorded(database, "g1")
    Transfers(database_url, quiet).back_up(str(tmp_path / "backup"))
    with closing(Database(database_url)) as database:
        recorded(database, "g2")
    told: list[str] = []

    with pytest.raises(Conflict, match="holds records"):
        Transfers(database_url, told.append).restore(str(tmp_path / "backup"), force=False)
    Transfers(database_url, told.append).restore(str(tmp_path / "backup"), force=True)

    with closing(Database(database_url)) as database:
        assert database.rows(text("SELECT id FROM generations")) == [("g1",)]
        if database.is_sqlite:
            [old] = tmp_path.glob("aimm.db.before-restore-*")
            with closing(sqlite3.connect(old)) as connection:
                assert connection.execute("SELECT count(*) FROM generations").fetchone() == (2,)
            assert str(old) in told[0]
        else:
            schema = database.value(text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'public_before%'"))
            assert database.value(text(f"SELECT count(*) FROM {schema}.generations")) == 2  # noqa: S608


def test_a_database_in_use_is_not_replaced(open_manager: Open, database_url: str, tmp_path: Path):
    mm = open_manager(database_url)
    Transfers(database_url, quiet).back_up(str(tmp_path / "backup"))

    with pytest.raises(Conflict, match="use"):
        Transfers(database_url, quiet).restore(str(tmp_path / "backup"), force=True)

    assert mm.generate("Hello", model="sim-fast").text


def test_a_run_that_was_under_way_in_a_backup_is_taken_up_from_its_rows(tmp_path: Path, open_manager: Open):
    url = fresh(tmp_path)
    Path(f"{path_of(url)}.engine").write_bytes(b"")
    with closing(sqlite3.connect(f"{path_of(url)}.engine")) as connection:
        connection.execute("CREATE TABLE state (v)")
    Transfers(url, quiet).back_up(str(tmp_path / "backup"))
    Path(f"{path_of(url)}.engine").write_bytes(b"newer than the rows that come")
    Transfers(url, quiet).restore(str(tmp_path / "backup"), force=True)

    with closing(sqlite3.connect(f"{path_of(url)}.engine")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("state",)]
    [old] = tmp_path.glob("aimm.db.before-restore-*.engine")
    assert old.read_bytes() == b"newer than the rows that come"


def truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def emptied(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DELETE FROM generations")
        connection.commit()


def of_version(number: str) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (number,))
            connection.commit()

    return change


def of_another(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE places (name)")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (truncated, "damaged|malformed"),
        (emptied, "not as it was made: rows of generations: 1 and 0"),
        (of_version("9999"), "of a newer version"),
        (of_another, "has not the tables"),
        (of_version("bf29a5ff90ea"), "has not the tables"),
        (lambda file: file.write_text("a letter" * 500), "no SQLite database"),
        (lambda file: file.write_bytes(b""), "has not the tables"),
        (lambda file: file.unlink(), "is no file"),
    ],
)
def test_what_is_no_whole_backup_is_refused_and_changes_nothing(
    tmp_path: Path, spoil: Callable[[Path], None], words: str
):
    url = fresh(tmp_path)
    with closing(Database(url)) as database:
        recorded(database, "g1")
    Transfers(url, quiet).back_up(str(tmp_path / "backup"))
    before = everything(url)
    spoil(tmp_path / "backup")

    with pytest.raises(AimmError, match=words):
        Transfers(url, quiet).restore(str(tmp_path / "backup"), force=True)

    assert everything(url) == before
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob("*.restoring"))


def test_a_damaged_database_is_replaced_and_kept(tmp_path: Path):
    url = fresh(tmp_path)
    Transfers(url, quiet).back_up(str(tmp_path / "backup"))
    path_of(url).write_text("not a database any more " * 200)

    with pytest.raises(Conflict, match="holds records"):
        Transfers(url, quiet).restore(str(tmp_path / "backup"), force=False)
    Transfers(url, quiet).restore(str(tmp_path / "backup"), force=True)

    Database(url).close()
    [old] = tmp_path.glob("aimm.db.before-restore-*")
    assert old.read_text().startswith("not a database")


def test_a_backup_needs_a_free_name_a_folder_and_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    url = fresh(tmp_path)
    (tmp_path / "taken").write_text("mine")
    transfers = Transfers(url, quiet)

    with pytest.raises(Conflict, match="is there already"):
        transfers.back_up(str(tmp_path / "taken"))
    with pytest.raises(InvalidRequest, match="is no folder"):
        transfers.back_up(str(tmp_path / "missing" / "backup"))
    with pytest.raises(InvalidRequest, match="There is no database"):
        Transfers(f"sqlite:///{tmp_path}/none.db", quiet).back_up(str(tmp_path / "backup"))
    with pytest.raises(InvalidRequest, match="is the database itself"):
        transfers.restore(str(path_of(url)), force=True)
    with pytest.raises(InvalidRequest, match="is a folder"):
        Transfers(f"sqlite:///{tmp_path}", quiet).restore(str(path_of(url)), force=True)
    assert not tmp_path.with_name(f"{tmp_path.name}.engine.lock").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1000, 900, 100))
    with pytest.raises(DatabaseUnavailable, match=r"too little room .* are needed, 100 B are free"):
        transfers.back_up(str(tmp_path / "backup"))

    assert (tmp_path / "taken").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aimm.db", "taken"]


# Before an upgrade --------------------------------------------------------------------------------------------------


def test_a_file_is_kept_before_its_tables_are_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    url = f"sqlite:///{tmp_path}/aimm.db"
    at_revision(url, "0027", lambda _: None)
    for day in range(1, 6):
        shutil.copy(path_of(url), tmp_path / f"aimm.db.version-0026-2026010{day}T000000")
    (tmp_path / "aimm.db.version-of-mine").write_text("mine")
    assert "0027" in Transfers(url, quiet).version()[0]
    monkeypatch.setattr(snapshot.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1000, 900, 100))

    with pytest.raises(DatabaseUnavailable, match=r"not brought up to date.*too little room") as refused:
        Database(url)
    assert "--without-backup" in refused.value.hint
    assert "0027" in Transfers(url, quiet).version()[0]
    monkeypatch.undo()
    Database(url).close()

    kept = sorted(path.name for path in tmp_path.glob("aimm.db.version-*"))
    assert (
        len(kept) == 4 and kept[0] == "aimm.db.version-0026-20260104T000000" and kept[-1] == "aimm.db.version-of-mine"
    )
    with closing(sqlite3.connect(tmp_path / kept[2])) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0027",)
    assert Transfers(url, quiet).version() == (f"This program: {HEAD}. The database: {HEAD}.", True)


def test_an_old_backup_is_restored_and_brought_up_to_date(tmp_path: Path, postgres_url: str):
    at_revision(f"sqlite:///{tmp_path}/old.db", "0026", lambda _: None)
    (tmp_path / "new").mkdir()

    for url in (f"sqlite:///{tmp_path}/new/aimm.db", postgres_url):
        assert Transfers(url, quiet).restore(str(tmp_path / "old.db"), force=False).version == "0026"
        with closing(Database(url)) as database:
            assert database.value(text("SELECT version_num FROM alembic_version")) == HEAD
    assert look_at(tmp_path / "old.db").version == "0026"


# Copy ---------------------------------------------------------------------------------------------------------------


class Ended(Exception):
    """As if the process ended here."""


def test_a_copy_is_gone_on_with_after_any_end_and_while_others_write(
    filled_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(source, "PIECE_ROWS", 9)
    deeds = ("load", "ended", "apply", "_make", "finish", "forget")
    real = {name: getattr(Target, name) for name in deeds}
    left = [0]

    def dying(name: str) -> Callable[..., Any]:
        def do(self: Target, *args: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Ended
            return real[name](self, *args, **named)

        return do

    for name in deeds:
        monkeypatch.setattr(Target, name, dying(name))
    with closing(Database(filled_url)) as other, closing(Writer(other)) as writer:
        changes = [
            "UPDATE generations SET note = 'changed' WHERE id IN (SELECT id FROM generations ORDER BY id LIMIT 10)",
            "DELETE FROM generations WHERE id IN (SELECT id FROM generations ORDER BY id DESC LIMIT 5)",
            "UPDATE team_prices SET id = 't2'",
            "DELETE FROM experiments",
            "INSERT INTO logins VALUES ('l1', 1, 2)",
        ]
        report, n = None, 0
        while report is None:
            left[0], n = 1 + 9 * n, n + 1
            if changes:
                change = text(changes.pop())
                writer.run(lambda connection, change=change: connection.execute(change))
                recorded(other, f"new{n}")
            try:
                report = Transfers(filled_url, quiet).copy(postgres_url, waits=False)
                if report is None:  # all is there; only we are still here
                    writer.close()
                    other.close()
                    left[0] = 3
            except Ended:
                if n == 3:
                    with pytest.raises(DatabaseUnavailable, match="is not finished"):
                        Database(postgres_url)

    assert n > 5
    assert everything(postgres_url) == everything(filled_url)
    with closing(sqlite3.connect(path_of(filled_url))) as connection:
        assert not connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'copy_%'").fetchall()
    with pytest.raises(DatabaseUnavailable, match="was copied into another one"):  # nobody goes on with it by mistake
        Database(filled_url)
    Transfers(filled_url, quiet).abandon()
    with pytest.raises(Conflict, match="holds records"):
        Transfers(filled_url, quiet).copy(postgres_url, waits=False)
    with closing(sqlite3.connect(path_of(filled_url))) as connection:
        assert not connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'copy_%'").fetchall()


def test_a_copy_that_ended_between_what_it_writes_on_both_sides_is_finished(
    sqlite_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    with closing(Database(sqlite_url)) as database:
        recorded(database, "g1")

    def end(_connection: sqlite3.Connection) -> None:
        raise Ended

    with monkeypatch.context() as patched, pytest.raises(Ended):
        patched.setattr(changes, "unwatch", end)
        Transfers(sqlite_url, quiet).copy(postgres_url, waits=False)
    with closing(Database(postgres_url)) as database:  # a server may begin at once
        recorded(database, "g2")

    assert Transfers(sqlite_url, quiet).copy(postgres_url, waits=False) is not None
    with pytest.raises(DatabaseUnavailable, match="was copied"):
        Database(sqlite_url)
    with closing(Database(postgres_url)) as database:
        assert database.value(text("SELECT count(*) FROM generations")) == 2


def test_a_row_that_comes_again_while_it_is_copied_is_there_once(
    sqlite_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    with closing(Database(sqlite_url)) as database:
        recorded(database, "g1", "g2", "g3")
        monkeypatch.setattr(source, "PIECE_ROWS", 1)
        real = Target.load

        def load(self: Target, table: Table, rows: Any, place: int | None) -> None:
            real(self, table, rows, place)
            if table.name == "call_tags" or rows[0][0] != "g1" or table.name != "generations":
                return
            with database.write() as connection:  # it gets a place behind those that are still to come
                connection.execute(text("CREATE TEMP TABLE again AS SELECT * FROM generations WHERE id = 'g1'"))
                connection.execute(text("DELETE FROM generations WHERE id = 'g1'"))
                connection.execute(text("INSERT INTO generations SELECT * FROM again"))
                connection.execute(text("UPDATE generations SET note = 'again' WHERE id = 'g1'"))
            database.close()

        monkeypatch.setattr(Target, "load", load)
        assert Transfers(sqlite_url, quiet).copy(postgres_url, waits=False) is not None

    assert everything(postgres_url) == everything(sqlite_url)


def test_a_copy_of_a_server_is_equal_too(filled_url: str, postgres_url: str, tmp_path: Path):
    before = declared(postgres_url)
    Transfers(filled_url, quiet).copy(postgres_url, waits=False)
    assert declared(postgres_url) == before and len(before) > 80

    report = Transfers(postgres_url, quiet).copy(f"sqlite:///{tmp_path}/back.db", waits=False)

    assert report is not None and report.contents.rows["generations"] == 40
    assert everything(f"sqlite:///{tmp_path}/back.db") == everything(postgres_url)
    with closing(Database(f"sqlite:///{tmp_path}/back.db")) as database:
        assert database.value(text("SELECT count(*) FROM sqlite_master WHERE name LIKE 'ix_%'")) > 40


def test_texts_that_postgresql_does_not_take_are_replaced_and_told(sqlite_url: str, postgres_url: str):
    with closing(Database(sqlite_url)) as database:
        recorded(database, "g1", "g2", "g3")
    with closing(sqlite3.connect(path_of(sqlite_url))) as connection:
        connection.execute("UPDATE generation_bodies SET text = ? WHERE generation_id = 'g1'", ("a\0b",))
        connection.execute("UPDATE generation_bodies SET text = CAST(x'61ff62' AS TEXT) WHERE generation_id = 'g2'")
        connection.execute("UPDATE generation_bodies SET text = x'6162' WHERE generation_id = 'g3'")
        connection.execute(
            "UPDATE generations SET session_id = '\\x00 \\N \\. \t', note = ? WHERE id = 'g1'", ("\U0001f600\r\n",)
        )
        connection.commit()

    report = Transfers(sqlite_url, quiet).copy(postgres_url, waits=False)

    assert report is not None and report.replaced == {"generation_bodies": 2}
    with closing(Database(postgres_url)) as database:
        texts = [row[0] for row in database.rows(text("SELECT text FROM generation_bodies ORDER BY generation_id"))]
        odd = database.rows(text("SELECT session_id, note FROM generations WHERE id = 'g1'"))
    assert texts == ["a?b", "a\ufffdb", "ab"]
    assert odd == [("\\x00 \\N \\. \t", "\U0001f600\r\n")]


def test_a_row_that_cannot_be_kept_is_named_and_the_copy_goes_on_once_it_is_mended(sqlite_url: str, postgres_url: str):
    with closing(Database(sqlite_url)) as database:
        recorded(database, "g1", "g2", "g3")

    for change, words, mended in (
        ("input_tokens = 'many'", "id 'g2', column input_tokens", "input_tokens = 10"),
        ("n_attempts = 3000000000", "id 'g2', column n_attempts", "n_attempts = 1"),
        ("id = 'g2' || hex(zeroblob(40))", "id 'g20+', column id", "id = substr(id, 1, 2)"),
    ):
        with closing(sqlite3.connect(path_of(sqlite_url))) as connection:
            connection.execute("PRAGMA ignore_check_constraints = 1")
            connection.execute(f"UPDATE generations SET {change} WHERE id = 'g2'")  # noqa: S608
            connection.commit()
        with pytest.raises(InvalidRequest, match=f"generations, {words}"):
            Transfers(sqlite_url, quiet).copy(postgres_url, waits=False)
        with closing(sqlite3.connect(path_of(sqlite_url))) as connection:
            connection.execute(f"UPDATE generations SET {mended}")  # noqa: S608
            connection.commit()

    assert Transfers(sqlite_url, quiet).copy(postgres_url, waits=False) is not None


def test_a_copy_goes_only_to_where_nothing_is(sqlite_url: str, postgres_url: str, tmp_path: Path):
    with closing(Database(postgres_url)) as database:
        recorded(database, "theirs")

    with pytest.raises(Conflict, match="holds records already"):
        Transfers(sqlite_url, quiet).copy(postgres_url, waits=False)
    with pytest.raises(InvalidRequest, match=r"^The address to copy to names 'mysql'"):
        Transfers(sqlite_url, quiet).copy("mysql://u:secret@h/x", waits=False)
    with pytest.raises(InvalidRequest, match="into itself"):
        Transfers(sqlite_url, quiet).copy(f"sqlite:///{tmp_path}/../{tmp_path.name}/aimm.db", waits=False)
    with pytest.raises(DatabaseUnavailable):
        Transfers(sqlite_url, quiet).copy("postgresql://nobody:hunter22@127.0.0.1:1/none", waits=False)
    with closing(sqlite3.connect(path_of(sqlite_url))) as connection:  # nothing is noted for a copy that never was
        assert not connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'copy_%'").fetchall()


# On the command line ------------------------------------------------------------------------------------------------


def test_the_commands_say_what_was_done_and_no_password(
    filled_url: str,
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("DATABASE_URL", filled_url)
    monkeypatch.setenv("AIMM_COPY_TO", postgres_url.replace("postgres:@", "postgres:hunter22@"))

    assert main(["db", "version"]) == 0
    assert main(["db", "backup", str(tmp_path / "b")]) == 0
    assert main(["db", "copy"]) == 0
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    assert main(["db", "upgrade"]) == 0
    assert main(["db", "restore", str(tmp_path / "b")]) == 1
    assert main(["db", "copy", "--to", "postgresql://x:hunter22@localhost:1/y"]) == 1

    said = capsys.readouterr()
    assert "hunter22" not in said.out + said.err
    assert "aimm check: the sums equal the raw rows on both sides." in said.out
    assert "Now set DATABASE_URL to the new address" in said.out
    assert "shows in the list of processes" in said.err
    assert Settings.load().copy_to not in repr(Settings.load())
