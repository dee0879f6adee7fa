"""A key with which a team's own programs ask us."""

from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Literal, get_args

from core.domain.people.actor import Role, least

Scope = Literal["call", "read", "admin"]
SCOPES: tuple[str, ...] = get_args(Scope)
LOGIN_LIFE_S = 30 * 86_400  # of a login by password


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key and what it may do. Nobody but its holder knows its text.

    hint: Its beginning and end.
    scopes: call = ask models, record outcomes; read = see metrics, costs, logs; admin = change things too.
    models: Patterns such as `gpt-4o*` of the models, aliases and `exp:NAME` it may ask; empty = all.
    rpm, tpm, max_parallel: Requests a minute, tokens a minute (input and output), and calls at the same time.
    user_rpm, user_tpm, user_max_parallel: The same of each of its users. None = no limit.
    log_content: full, metadata or none; None = as the server does.
    shares_cache: Whether it shares cached responses with other keys that do so too.
    last_used_at: To about a minute.
    owner: The id of the person it belongs to; empty = nobody's. It may do no more than they, and stops when they are
        disabled.
    team: The team that its calls are charged to; empty = none.
    owner_name, owner_role, has_lost_owner: What is known of the owner.
    """

    id: str
    name: str
    hint: str
    scopes: tuple[str, ...] = ("call",)
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    rpm: int | None = None
    user_rpm: int | None = None
    tpm: int | None = None
    user_tpm: int | None = None
    max_parallel: int | None = None
    user_max_parallel: int | None = None
    log_content: str | None = None
    shares_cache: bool = False
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    owner: str = ""
    team: str = ""
    owner_name: str = ""
    owner_role: Role | None = None
    has_lost_owner: bool = False

    def may(self, scope: str) -> bool:
        """An admin may do everything, and who may call may not read what others asked."""
        return scope in self.scopes or "admin" in self.scopes

    @property
    def role(self) -> Role:
        """The role that its scopes come to, and no more than its owner's: `call` may run and record, `admin` all."""
        own: Role = "admin" if "admin" in self.scopes else "editor" if "call" in self.scopes else "viewer"
        return own if self.owner_role is None else least(own, self.owner_role)

    @property
    def keeps_text(self) -> bool:
        """True if texts of its calls may be kept, where the server keeps any."""
        return self.log_content in (None, "full")

    def may_ask(self, model: str) -> bool:
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)

    def is_valid_at(self, now: datetime) -> bool:
        is_held = self.revoked_at is None and not self.has_lost_owner
        return is_held and (self.expires_at is None or now < self.expires_at)
