"""The session of a call, an index that answers filters of the log by itself, and one of the words of texts."""

import re
import unicodedata

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import add, text

revision = "0028"
down_revision = "0027"
BATCH = 1000
_FILTERED = (
    "created_at", "latency_us", "cost_nano_usd", "status", "source", "provider", "request_model", "error_class",
    "key_id", "user_id", "tags", "ref_name", "prompt_version",
)  # fmt: skip
_PUNCTUATION = "".join(chr(code) for code in range(1, 128) if not chr(code).isalnum())


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    add("generations", text("session_id", default=""))
    has_session = sa.text("session_id <> ''")
    op.drop_index("ix_generations_created", "generations")  # ix_generations_log begins with the same
    op.create_index(
        "ix_generations_session_id_created", "generations", ["session_id", "created_at"],
        sqlite_where=has_session, postgresql_where=has_session,
    )  # fmt: skip
    _split_words()
    if is_sqlite:
        op.create_index("ix_generations_log", "generations", list(_FILTERED))
        _index_words_on_sqlite()
    else:
        # Without texts of any length: an entry has at most 2,700 bytes there.
        included = [name for name in _FILTERED[1:] if name not in ("user_id", "ref_name", "prompt_version")]
        op.create_index("ix_generations_log", "generations", ["created_at"], postgresql_include=included)
        signs = _PUNCTUATION.replace("'", "''").replace("\\", "\\\\")
        words = f"translate(left(search_text, 250000), E'{signs}', repeat(' ', {len(_PUNCTUATION)}))"
        op.get_bind().exec_driver_sql(
            "CREATE INDEX ix_generation_bodies_words ON generation_bodies USING gin"
            f" (array_to_tsvector(array_remove(string_to_array({words}, ' '), '')))".replace("%", "%%")
        )


def _split_words() -> None:
    """Set apart the words that are written without spaces, and part what is too long to be one."""
    connection, after = op.get_bind(), ""
    read = sa.text(
        "SELECT generation_id, search_text FROM generation_bodies WHERE generation_id > :after"
        f" AND search_text IS NOT NULL ORDER BY generation_id LIMIT {BATCH}"
    )
    write = sa.text("UPDATE generation_bodies SET search_text = :found WHERE generation_id = :id")
    while rows := connection.execute(read, {"after": after}).all():
        changed = [{"id": id_, "found": split} for id_, old in rows if (split := _split(old)) != old]
        if changed:
            connection.execute(write, changed)
        after = rows[-1][0]


_LONG = re.compile(r"([0-9a-z\x80-\U0010ffff]{100})(?=[0-9a-z\x80-\U0010ffff])")
_ALONE = re.compile(r"[^\x00-\x7f\w]|[\u2e80-\U0010ffff]")


def _split(old: str) -> str:
    if not old.isascii():
        old = _ALONE.sub(r" \g<0> ", unicodedata.normalize("NFC", old))
    return _LONG.sub(r"\1 ", old)


def _index_words_on_sqlite() -> None:
    # Without a copy of the texts; `ascii` parts words as `search_words` does. Whoever deletes or changes a text, by
    # whatever way, takes it out of the index.
    op.execute(
        "CREATE VIRTUAL TABLE call_words USING fts5"
        "(search_text, content='generation_bodies', detail=none, columnsize=0, tokenize='ascii')"
    )
    op.execute("INSERT INTO call_words (call_words) VALUES ('rebuild')")
    put = "INSERT INTO call_words (rowid, search_text) VALUES (new.rowid, new.search_text);"
    take = (
        "INSERT INTO call_words (call_words, rowid, search_text) SELECT 'delete', old.rowid, old.search_text"
        " WHERE old.search_text IS NOT NULL;"
    )
    body = "generation_bodies"
    op.execute(f"CREATE TRIGGER call_words_put AFTER INSERT ON {body} WHEN new.search_text IS NOT NULL BEGIN {put} END")
    op.execute(f"CREATE TRIGGER call_words_take AFTER DELETE ON {body} BEGIN {take} END")
    put_again = put.replace(
        "VALUES (new.rowid, new.search_text)", "SELECT new.rowid, new.search_text WHERE new.search_text IS NOT NULL"
    )
    op.execute(f"CREATE TRIGGER call_words_change AFTER UPDATE OF search_text ON {body} BEGIN {take} {put_again} END")
