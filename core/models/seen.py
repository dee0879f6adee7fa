"""The order in which models were first seen: what gives a model a colour gives it for good."""

from collections.abc import Iterable

from core.storage import seen_models
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.seen_models import Name


class SeenModels:
    """Each vendor's models, numbered in the order of first sight; kept in the database."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self._places: dict[Name, int] = {}

    def places(self, models: Iterable[Name]) -> dict[Name, int]:
        """The place from 0 of each (vendor, model) among its vendor's; new ones are added in the order given."""
        wanted = list(dict.fromkeys(models))
        if not self._places.keys() >= set(wanted):
            self._places = seen_models.read(self._database)
            if new := [each for each in wanted if each not in self._places]:
                self._writer.run(lambda connection: seen_models.add(connection, new))
                self._places = seen_models.read(self._database)
        return {each: self._places[each] for each in wanted}
