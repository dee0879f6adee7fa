"""The login to the pages, by password or identity provider, asked for before anything of Streamlit is reached."""

import asyncio
import hmac
import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st
from starlette.requests import HTTPConnection
from streamlit.auth_util import get_cookie_with_chunks
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from core import InvalidRequest
from core.domain.people.actor import Actor, Role
from core.domain.people.person import Person
from core.formats import strict_json as json
from core.listen_policy import is_loopback
from dashboard.process import manager

COOKIE = "aimm_login"
LOCAL = "local"
WRONG = "That is not the password."
FREE_TRIES, LONGEST_WAIT_S = 5, 60.0
FREE_IN_ALL = 200  # wrong tries of all addresses together; of these, one a second is forgotten
KEPT_ADDRESSES = 10_000
_LAST = 1e11  # seconds: later moments are none
# Where anybody may have an account, with an address that nobody has looked at.
_ANYBODYS = re.compile(r"//accounts\.google\.com/|//login\.microsoftonline\.com/(common|organizations|consumers)/")


class Visitor(NamedTuple):
    """One who may look at pages; without people, an admin."""

    name: str
    role: Role = "admin"
    id: str = ""
    team: str = ""


class Tries:
    """Wrong passwords by address: from the fifth in a row on, each is followed by a longer wait.

    Who has many addresses, or makes them up in X-Forwarded-For, may still try one a second. A browser that has logged
    in before is counted by itself: whoever tries wrong ones behind the same proxy keeps it waiting for nothing.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()  # how many in a row, and until when to wait
        self._in_all = 0.0, now()  # wrong tries of all that are not forgotten, and when that was
        self._browsers: OrderedDict[str, None] = OrderedDict()  # that have logged in
        self._lock = threading.Lock()

    def refusal(self, address: str, given: str, password: str, browser: str = "") -> str:
        """The reason why a password does not let in; empty = it does. browser: the id that it was given, if it was."""
        return self.refused(address, lambda: is_same(given, password), browser)

    def refused(self, address: str, is_right: Callable[[], bool], browser: str = "") -> str:
        """The same of whatever was typed; it is looked at outside the lock, as a person's password takes long."""
        is_known = browser in self._browsers
        who = browser if is_known else _network(address)
        if problem := self._counted(who, is_known=is_known):
            return problem
        if not is_right():
            return WRONG
        with self._lock:
            self._wrong.pop(who, None)
            self._in_all = max(0.0, self._in_all[0] - 1), self._in_all[1]
            if browser:
                self._browsers[browser] = None
            if len(self._browsers) > KEPT_ADDRESSES:
                self._browsers.popitem(last=False)
        return ""

    def _counted(self, who: str, *, is_known: bool) -> str:
        """Count a try as wrong before it is looked at: many at once are no way around. Or say how long to wait."""
        with self._lock:
            now = self._now()
            self._in_all = max(0.0, self._in_all[0] - (now - self._in_all[1])), now
            n_wrong, until = self._wrong.pop(who, (0, 0.0))
            wait_s = max(until - now, 0.0 if is_known else self._in_all[0] - FREE_IN_ALL)
            if wait_s > 0:
                self._wrong[who] = n_wrong, until
                return f"Too many wrong tries. Try again in {math.ceil(wait_s)} s."
            n_wrong += 1
            self._in_all = self._in_all[0] + 1, now
            wait_s = min(LONGEST_WAIT_S, 2.0 ** (n_wrong - FREE_TRIES)) if n_wrong >= FREE_TRIES else 0.0
            self._wrong[who] = n_wrong, self._now() + wait_s
            while len(self._wrong) > KEPT_ADDRESSES:
                self._wrong.popitem(last=False)
        return ""


def is_same(given: str, password: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), password.encode())


def _network(address: str) -> str:
    """The one whom an address stands for: of IPv6, anybody has a whole /64."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))
    return str(ip)


def providers() -> list[str]:
    """Identity providers of [auth] in Streamlit's secrets; `default` is one without a name. Empty = none is usable."""
    if not st.secrets.load_if_toml_exists() or find_spec("authlib") is None:
        return []
    section = st.secrets.get("auth") or {}
    named = [name for name, value in section.items() if hasattr(value, "items") and "client_id" in value]
    return (["default"] if "client_id" in section else []) + named


def check_secrets() -> None:
    """Refuse secrets that would leave the pages open where a login was meant.

    Raises:
        InvalidRequest
    """
    files = [path for path in st.get_option("secrets.files") if Path(path).exists()]
    if files and not st.secrets.load_if_toml_exists():
        raise InvalidRequest(
            f"{files[-1]} cannot be read as TOML.", hint="Mend it, or take it away; [auth] may stand in it."
        )
    if files and "auth" in st.secrets and not providers():
        raise InvalidRequest(
            "[auth] of Streamlit's secrets lets nobody log in: it needs a client_id, and Authlib must be installed.",
            hint="pip install 'streamlit[auth]', or take [auth] away.",
        )


def is_local() -> bool:
    """True if the server listens on a loopback address only; no address means all of them."""
    return is_loopback(st.get_option("server.address") or "")


def is_needed() -> bool:
    settings = manager().settings
    is_meant = settings.dashboard_password or settings.require_key or not is_local() or providers()
    return bool(is_meant or manager().people.have_passwords())


def programs_need_key() -> bool:
    return bool(not is_local() or manager().settings.require_key or manager().people.have_passwords())


async def is_in(connection: HTTPConnection) -> bool:
    """True if whoever asks is logged in."""
    token, secret = held_by(connection.cookies)
    known = manager().logins.cached(token, secret) if secret else False
    if known or (known is None and await asyncio.to_thread(manager().logins.holds, token, secret)):
        return True
    account = account_of(connection.cookies)
    address = connection.client.host if connection.client else ""
    return bool(account) and await asyncio.to_thread(_comes_in, account, address)


def visitor(cookies: Mapping[str, str]) -> Visitor | None:
    """The one who is logged in; None = nobody is. Where nobody has to, it is whoever sits at this machine."""
    if not is_needed():
        return Visitor(LOCAL)
    token, secret = held_by(cookies)
    if secret and manager().logins.holds(token, secret):
        person_id = token.partition(".")[0] if "." in token else ""
        return Visitor("shared login") if not person_id else _as_visitor(manager().people.of_id(person_id))
    account = account_of(cookies)
    return _as_visitor(person_of(account)) if account else None


def _as_visitor(person: Person | None) -> Visitor | None:
    return None if person is None else Visitor(person.name, person.role, person.id, person.team)


def held_by(cookies: Mapping[str, str]) -> tuple[str, str]:
    """The token of a login, and the secret that it was begun with: a person's, or the password that all share."""
    token = str(cookies.get(COOKIE, ""))
    person_id, is_persons, _ = token.partition(".")
    if not is_persons:
        return token, manager().settings.dashboard_password or ""
    person = manager().people.of_id(person_id)
    return token, person.password or "" if person is not None and person.is_active else ""


def actor_of(person: Person, address: str) -> Actor:
    """The actor of a login, for the audit."""
    return Actor(name=person.name, role=person.role, door="page", address=address, id=person.id, team=person.team)


def _comes_in(account: Mapping[str, Any], address: str) -> bool:
    """True if an account may come in; that it does, or may not, is noted once of each login."""
    person, audit = person_of(account), manager().audit
    if person is None:
        name = str(account.get("email") or account.get("sub") or "")
        audit.login_refused(name[:200], address, "The identity provider's account has no role here.")
        return False
    issued = account.get("iat")  # which a login's token has, and no token that is looked at again changes
    at = datetime.fromtimestamp(issued, UTC) if isinstance(issued, int | float) and 0 < issued < _LAST else None
    audit.came_in(person, actor_of(person, address), at)
    return True


def person_of(account: Mapping[str, Any]) -> Person | None:
    """The person of an identity provider's account; None = it may not come in."""
    return manager().people.of_account(account) if is_allowed(account) else None


def lets_in() -> bool:
    """True if a page may be drawn; if not, a way to the login is. Gate refuses before: this holds without it too."""
    if visitor(st.context.cookies) is not None:
        return True
    st.title("AI Model Manager")
    st.html('<a href="/login" target="_self">Log in</a>')
    return False


def log_out() -> None:
    """A link, for whoever has logged in."""
    if is_needed():
        st.html('<a href="/logout" target="_self">Log out</a>')


def account_of(cookies: Mapping[str, str]) -> dict[str, Any]:
    """The account named by an identity provider, from the cookie that Streamlit signs; empty = nobody."""
    if USER_COOKIE_NAME not in cookies or not providers():
        return {}
    secret = get_cookie_secret()

    def signed(name: str) -> bytes | None:
        value = cookies.get(name)
        return None if value is None else decode_signed_value(secret, name, value.encode("latin-1", "replace"))

    try:
        found = json.loads(get_cookie_with_chunks(signed, USER_COOKIE_NAME) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) and found.get("is_logged_in") else {}


def is_allowed(account: Mapping[str, Any]) -> bool:
    if not account:
        return False
    allowed = manager().settings.login_allowed
    is_for_anybody = _ANYBODYS.search(_metadata_address(str(account.get("provider")))) is not None
    if not allowed:
        return not is_for_anybody
    address = str(account.get("email") or "").lower()
    said = str(account.get("email_verified")).lower()  # some say it as a text, and some do not
    is_verified = said == "true" or (said == "none" and not is_for_anybody)
    return is_verified and any(address == each or (each.startswith("@") and address.endswith(each)) for each in allowed)


def _metadata_address(provider: str) -> str:
    if not st.secrets.load_if_toml_exists():
        return ""
    section = st.secrets.get("auth") or {}
    return str(section.get(provider, section).get("server_metadata_url", ""))
