"""What is kept of a user's answers beside their calls goes with the user, and others' stay."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from core import clock
from core.storage.batches.files import CHUNK_BYTES
from core.storage.batches.schema import batch_lines, batches, file_chunks, stored_files
from core.storage.schema import generations
from tests.builders import HELLO, Running, running_gateway
from tests.conftest import fresh


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Running]:
    with running_gateway(fresh(tmp_path)) as found:
        yield found


def test_answers_that_are_kept_elsewhere_are_forgotten_with_their_user(served: Running):
    mm = served.mm
    _, secret = mm.keys.create("ci")
    client = served.client(secret)
    made = {user: client.responses.create(model="sim-fast", input="Hello", user=user) for user in ("ada", "bob")}
    for user in ("ada", "bob"):
        told = {"Idempotency-Key": user, "x-aimm-cache": "3600"}
        client.chat.completions.create(model="sim-fast", messages=HELLO, user=user, extra_headers=told)
    call_id = mm.database.value(select(generations.c.id).where(generations.c.user_id == "ada").limit(1))
    sent = [b'{"custom_id":"a","body":"ada\'s"}', b'{"custom_id":"b","body":"bob\'s"}']
    line = b'{"id":"r","custom_id":"a","response":{"status_code":200,"body":"what ada was told, in many words"}}\n'
    now = clock.now_us()
    with mm.database.write() as link:
        file = {"id": "file-1", "key_id": "", "purpose": "batch", "filename": "f", "n_bytes": 60, "is_whole": 1}
        link.execute(insert(stored_files).values(**file, created_at=now, expires_at=now * 2))
        first = CHUNK_BYTES - 10  # the line lies in two chunks
        whole = b"x" * first + b"\n".join(sent)
        for at in (0, 1):
            part = whole[at * CHUNK_BYTES :][:CHUNK_BYTES]
            link.execute(insert(file_chunks).values(file_id="file-1", position=at, bytes=part))
        batch = {"id": "b1", "input_file_id": "file-1", "endpoint": "e", "status": "ended", "phase": "p", "output_s": 1}
        link.execute(insert(batches).values(**batch, created_at=now, expires_at=now * 2))
        row = {"batch_id": "b1", "line": 1, "custom_id": "a", "offset": first, "n_bytes": len(sent[0]), "state": "ok"}
        link.execute(insert(batch_lines).values(**row, generation_id=call_id, result=line))

    assert mm.forgetting.forget("ada").n_calls == 2

    with pytest.raises(Exception, match="not kept"):
        client.responses.retrieve(made["ada"].id)
    assert client.responses.retrieve(made["bob"].id).output_text == made["bob"].output_text
    again = {"Idempotency-Key": "ada", "x-aimm-cache": "3600"}
    with pytest.raises(Exception, match="answered and charged"):
        client.chat.completions.create(model="sim-fast", messages=HELLO, user="ada", extra_headers=again)
    again["Idempotency-Key"] = "bob"
    ask = client.chat.completions.with_raw_response.create
    assert ask(model="sim-fast", messages=HELLO, user="bob", extra_headers=again).headers["idempotent-replayed"]
    found = b"".join(
        mm.database.rows(select(file_chunks.c.bytes).order_by(file_chunks.c.position))[n][0] for n in (0, 1)
    )
    assert found[first:] == b" " * len(sent[0]) + b"\n" + sent[1] and len(found) == len(whole)
    result = mm.database.value(select(batch_lines.c.result))
    assert len(result) == len(line) and b"what ada" not in result and b'"custom_id":"a","response":null' in result
