"""The role of an account that an identity provider names, by its groups or its address. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.domain.people.actor import ROLES, Role

GROUP = "group:"
EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class RoleRules:
    """The accounts of each role: an address, `@example.com`, `group:NAME`, or `*` for whoever logs in.

    claim: The claim that holds the groups; dots lead into it (`realm_access.roles`).
    """

    admins: Sequence[str] = ()
    editors: Sequence[str] = ()
    viewers: Sequence[str] = ()
    claim: str = "groups"

    @property
    def of(self) -> Mapping[Role, Sequence[str]]:
        return {"viewer": self.viewers, "editor": self.editors, "admin": self.admins}

    @property
    def has_any(self) -> bool:
        return bool(self.admins or self.editors or self.viewers)


NO_RULES = RoleRules()


def role_of(account: Mapping[str, Any], rules: RoleRules) -> Role | None:
    """The highest role that a rule gives; None = none does, so the account is refused. Without rules all are admins."""
    if not rules.has_any:
        return "admin"
    names = {f"{GROUP}{group}" for group in groups_of(account, rules.claim)} | {EVERYBODY}
    if address := verified_address(account):
        names |= {address, f"@{address.rpartition('@')[2]}"}
    return next((role for role in reversed(ROLES) if names & set(rules.of[role])), None)


def groups_of(account: Mapping[str, Any], claim: str) -> list[str]:
    """The groups of an account: a list of names, or the one name alone; of objects, their names.

    A text is one group, whatever signs are in it: whoever may name a group could else be in two. A claim whose own
    name has dots or is an address (`https://example.com/groups`) is looked for as it is first.
    """
    found: Any = account.get(claim)
    if found is None:
        found = account
        for part in claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        found = [found]
    if isinstance(found, Mapping):  # role -> where it holds
        found = list(found)
    if not isinstance(found, Sequence):
        return []
    named = (each.get("name") if isinstance(each, Mapping) else each for each in found)
    # Keycloak writes a group with the path to it.
    return [each.strip().removeprefix("/") for each in named if isinstance(each, str) and each.strip()]


def verified_address(account: Mapping[str, Any]) -> str:
    """The address of an account in small letters; empty = it has none, or says that nobody has looked at it."""
    said = str(account.get("email_verified")).lower()  # some say it as a text, and some do not
    return str(account.get("email") or "").strip().lower() if said in ("true", "none") else ""


def name_of(account: Mapping[str, Any]) -> str:
    """The name by which an account is noted."""
    named = (account.get(claim) for claim in ("email", "preferred_username", "name", "sub"))
    return next((str(each).strip()[:200] for each in named if each), "nobody")
