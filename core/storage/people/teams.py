"""Teams' limits as rows."""

from sqlalchemy import Connection, delete, insert, select

from core.domain.people.team import Team
from core.storage.engine.damaged import readable
from core.storage.engine.database import Store
from core.storage.engine.records import from_row, to_row
from core.storage.people.schema import teams


class TeamStore(Store):
    def all(self) -> dict[str, Team]:
        rows = self._database.rows(select(teams))
        return {team.name: team for team in readable("team", rows, lambda row: from_row(Team, row))}

    @staticmethod
    def put(connection: Connection, team: Team) -> None:
        """Write a team's limits; one without any has no row."""
        connection.execute(delete(teams).where(teams.c.name == team.name))
        if team.has_limits:
            connection.execute(insert(teams).values(**to_row(teams, team)))
