"""Prompts and answers without letter case, for the search of the log."""

import json
import unicodedata
from typing import Any

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import add, text

revision = "0009"
down_revision = "0008"
BATCH = 1000


def upgrade() -> None:
    add("generation_bodies", text("search_text", optional=True))
    connection, after = op.get_bind(), ""
    read = sa.text(
        "SELECT generation_id, messages, text FROM generation_bodies WHERE generation_id > :after"
        f" AND (messages IS NOT NULL OR text IS NOT NULL) ORDER BY generation_id LIMIT {BATCH}"
    )
    write = sa.text("UPDATE generation_bodies SET search_text = :found WHERE generation_id = :id")
    while rows := connection.execute(read, {"after": after}).all():
        connection.execute(write, [{"id": id_, "found": _searched(messages, text)} for id_, messages, text in rows])
        after = rows[-1][0]


def _searched(messages: str | None, text: str | None) -> str:
    try:
        found = [each for turn in json.loads(messages or "[]") for each in _texts(turn)]
    except (ValueError, TypeError, LookupError, AttributeError):  # a damaged row is searched as it lies there
        found = [messages or ""]
    return _folded("\n".join([*found, text or ""])).replace("\x00", "")


def _texts(turn: list[Any]) -> list[str]:
    _, text, *parts = turn
    if not parts:
        return [str(text)]
    found: list[str] = []
    for part in parts[0]:
        if isinstance(part, str):
            found.append(part)
        elif "call" in part:
            found += [part["call"]["name"], part["call"]["arguments"]]
        elif "result" in part:
            found.append(part["result"]["text"])
    return found


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    small = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", small.replace("i\u0307", "i").replace("ı", "i"))
