"""Answers of the Responses API to which later requests may refer: a conversation goes on by its last answer's id."""

from collections.abc import Mapping, Sequence
from typing import Any

from core import clock
from core.domain.message import Conversation
from core.errors import InvalidRequest, NotFound
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.gateway.stored_responses import StoredResponse, StoredResponseStore

KEPT_S = 30 * 86_400
LONGEST = 1000  # answers that a conversation is followed back through

Item = dict[str, Any]


class UnknownResponse(InvalidRequest):
    """There is no such answer, or none of this key, or its texts are not kept."""

    code = "previous_response_not_found"


class StoredResponses:
    def __init__(self, database: Database, writer: Writer) -> None:
        self._store = StoredResponseStore(database)
        self._writer = writer

    def conversation(self, given: Sequence[Item], previous_id: str, key_id: str) -> Conversation:
        """The items that a request means: those of the answers before, and what it names by id.

        Raises:
            UnknownResponse: The answer before is another key's.
        """
        holders: set[str] = set()
        self._check(previous_id, key_id)
        before: list[Item] | None = self._before(previous_id, key_id, holders) if previous_id else []
        items = None if before is None else self._resolved([*before, *given], key_id, holders)
        refers = bool(previous_id) or any(item.get("type") == "item_reference" for item in given)
        return Conversation(items, holders.pop() if len(holders) == 1 else "", refers)

    def _check(self, response_id: str, key_id: str) -> None:
        """Refuse what is another key's, or unknown here to who has a key: its vendor knows no keys of ours.

        Raises:
            UnknownResponse
        """
        stored = self._store.find(response_id) if response_id else None
        if (stored is None and response_id and key_id) or (stored is not None and stored.key_id != key_id):
            raise UnknownResponse(f"There is no response or item {response_id[:80]!r}.")

    def _before(self, response_id: str, key_id: str, holders: set[str]) -> list[Item] | None:
        """The items up to an answer, which is among them; None = they are not here."""
        found: list[list[Item]] = []
        while response_id:
            stored = self._store.find(response_id)
            if stored is None or stored.key_id != key_id or stored.content is None or len(found) > LONGEST:
                return None
            holders.add(stored.provider)
            found.append([*stored.content["input"], *stored.content["response"].get("output", ())])
            response_id = stored.previous_id
        return [item for items in reversed(found) for item in items]

    def _resolved(self, items: Sequence[Item], key_id: str, holders: set[str]) -> list[Item] | None:
        """Items with those that are named by their id alone; None = one of them is not here. Raises: UnknownResponse"""
        named = {str(item.get("id")): is_needed for item in items if (is_needed := _lacks(item)) is not None}
        known: dict[str, Item] = {}
        places = self._store.of_items(named)
        for item_id, is_needed in named.items():
            if is_needed and (item_id in places or key_id):
                self._check(places.get(item_id, item_id), key_id)
        for response_id in {*places.values()}:
            stored = self._store.find(response_id)
            if stored is not None and stored.content is not None and stored.key_id == key_id:
                holders.add(stored.provider)
                known |= {item["id"]: item for item in stored.content["response"].get("output", ()) if "id" in item}
        if any(is_needed and item_id not in known for item_id, is_needed in named.items()):
            return None
        return [known.get(str(item.get("id")), item) if _lacks(item) is not None else item for item in items]

    def keep(
        self,
        response: Mapping[str, Any],
        given: Sequence[Item],
        key_id: str,
        provider: str,
        *,
        previous_id: str = "",
        full: bool,
    ) -> None:
        """Keep an answer. given: The items that were new in its request, after `previous_id`. full: With its texts."""
        output = [item for item in response.get("output") or () if isinstance(item, dict)]
        ids = [item["id"] for item in output if isinstance(item.get("id"), str)]
        content = {"input": [dict(item) for item in given], "response": dict(response)} if full else None
        stored = StoredResponse(
            id=str(response["id"]),
            key_id=key_id,
            provider=provider,
            previous_id=previous_id,
            created_at=clock.now_us(),
            content=content,
        )
        self._writer.run(lambda connection: StoredResponseStore.put(connection, stored, ids))

    def find(self, response_id: str, key_id: str) -> StoredResponse:
        """Raises: NotFound: There is none, or it is another key's."""
        stored = self._store.find(response_id)
        if stored is None or stored.key_id != key_id:
            raise NotFound(f"There is no response {response_id[:80]!r}.")
        return stored

    def get(self, response_id: str, key_id: str) -> StoredResponse:
        """An answer with its texts. Raises: NotFound; UnknownResponse: They are not kept."""
        stored = self.find(response_id, key_id)
        if stored.content is None:
            raise UnknownResponse(
                f"The texts of {response_id[:80]!r} are not kept.",
                hint="AIMM_LOG_CONTENT=full keeps them, for 30 days.",
            )
        return stored

    def input_items(self, response_id: str, key_id: str) -> list[Item]:
        """The items that an answer was given to, those before it included. Raises: NotFound, UnknownResponse"""
        stored = self.get(response_id, key_id)
        given = (stored.content or {})["input"]
        return self.conversation(given, stored.previous_id, key_id).items or list(given)

    def delete(self, response_id: str, key_id: str) -> None:
        """Forget the texts of an answer; its id stays taken. Raises: NotFound"""
        self.find(response_id, key_id)
        self._writer.run(lambda connection: StoredResponseStore.delete(connection, response_id))

    def forget_old(self) -> None:
        """Delete what is older than it is kept."""
        before_us = clock.now_us() - KEPT_S * 1_000_000
        if self._store.has_older(before_us):
            self._writer.run(lambda connection: StoredResponseStore.delete_older(connection, before_us))


def _lacks(item: Item) -> bool | None:
    """True of an item that is named by its id alone; False of a thought whose signature is missing; None of others."""
    if item.get("type") == "item_reference":
        return True
    is_bare = item.get("type") == "reasoning" and isinstance(item.get("id"), str) and not item.get("encrypted_content")
    return False if is_bare else None
