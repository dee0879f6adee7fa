"""The sections of people who log in with a password (those of an identity provider come from there), and of teams."""

import secrets
from dataclasses import dataclass

from core.configuration.document import Entry, check_fields
from core.configuration.kinds import check_kinds
from core.configuration.section import Coming, Plain, Section
from core.domain.people.actor import Role
from core.domain.people.team import Team
from core.errors import InvalidRequest
from core.people import teams
from core.people.service import PeopleService, checked_name, checked_role, checked_team


@dataclass(frozen=True, slots=True)
class User:
    """A person as a file describes them. id: Empty = they are not there yet."""

    role: Role
    team: str
    id: str = ""
    is_active: bool = True


class Users(Section[User]):
    """A new one gets a password that is shown once; one that the file holds no more is disabled, and can come back."""

    name = "users"

    def __init__(self, service: PeopleService) -> None:
        self._service = service

    def current(self) -> dict[str, User]:
        return {name: user for name, user in self._known().items() if user.is_active}

    def _known(self) -> dict[str, User]:
        return {
            person.name: User(person.role, person.team, person.id, person.is_active)
            for person in self._service.all()
            if person.password is not None
        }

    def wanted(self, entry: Entry) -> User:
        check_fields(entry, ("role", "team"))
        check_kinds(entry.fields, User)
        checked_name(entry.name)
        return User(checked_role(entry.fields.get("role") or "viewer"), checked_team(entry.fields.get("team") or ""))

    def shown(self, thing: User) -> Plain:
        return {"role": thing.role, "team": thing.team}

    def usual(self) -> Plain:
        return {"role": "viewer", "team": ""}

    def check(self, name: str, old: User | None, thing: User, coming: Coming) -> None:
        admins = (*self._service.all(), *coming[self.name].values())
        if not any(each.role == "admin" and each.is_active for each in admins):
            raise InvalidRequest("one must be an admin: nobody could make another one")

    def rank(self, thing: User) -> int:
        """Admins come first: the first person must be one."""
        return thing.role != "admin"

    def add(self, name: str, thing: User) -> str:
        if (old := self._known().get(name)) is not None:
            self._service.enable(old.id)
            self.change(name, old, thing)
            return ""
        password = secrets.token_urlsafe(15)
        self._service.add(name, password, role=thing.role, team=thing.team)
        return f"password {password}"

    def change(self, name: str, old: User, thing: User) -> None:
        self._service.change(old.id, role=thing.role, team=thing.team)

    def remove(self, name: str, old: User) -> None:
        self._service.disable(old.id)


class Teams(Section[Team]):
    """Limits of teams; one that the file holds no more has none."""

    name = "teams"
    _FIELDS = ("rpm", "tpm", "max_parallel")

    def __init__(self, service: teams.TeamService) -> None:
        self._service = service

    def current(self) -> dict[str, Team]:
        return {team.name: team for team in self._service.all() if team.has_limits}

    def wanted(self, entry: Entry) -> Team:
        check_fields(entry, self._FIELDS)
        team = teams.checked(entry.name, **entry.fields)
        if not team.has_limits:
            raise InvalidRequest(f"a team needs one or more of {', '.join(self._FIELDS)}")
        return team

    def shown(self, thing: Team) -> Plain:
        return {name: getattr(thing, name) for name in self._FIELDS}

    def usual(self) -> Plain:
        return dict.fromkeys(self._FIELDS)

    def add(self, name: str, thing: Team) -> str:
        self._service.set(name, **self.shown(thing))
        return ""

    def change(self, name: str, old: Team, thing: Team) -> None:
        self.add(name, thing)

    def remove(self, name: str, old: Team) -> None:
        self._service.set(name)
