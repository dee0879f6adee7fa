"""At which addresses a server may listen: beyond this machine, only with a key and, for the pages, a login."""

from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from core import clock
from core.errors import InvalidRequest

if TYPE_CHECKING:
    from core.manager import ModelManager

_KEY = "make a key: aimm keys create NAME"
_LOGIN = (
    "set AIMM_DASHBOARD_PASSWORD, make a person (aimm users add NAME --role admin), or set up [auth] in"
    " .streamlit/secrets.toml"
)


@lru_cache(maxsize=256)
def is_loopback(address: str) -> bool:
    """True if only this machine can reach an address; an empty one stands for all, and a name may stand for any."""
    host = address.strip().lower().removeprefix("[").removesuffix("]").removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):  # browsers and resolvers never ask the network for these
        return True
    try:
        ip = ip_address(host)
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def check_binding(mm: "ModelManager", address: str, *, has_dashboard: bool, has_login: bool) -> None:
    """Refuse to listen where strangers could come in. has_login: People log in to the pages by st.login.

    Raises:
        InvalidRequest: The address is not a loopback one (or a key is required there too), and there is no valid key,
            or there are pages without a login.
    """
    if is_loopback(address) and not mm.settings.require_key:
        return
    now = clock.now()
    missing = [] if any(key.is_valid_at(now) for key in mm.keys.all()) else [_KEY]
    if has_dashboard and not (has_login or mm.settings.dashboard_password or mm.people.have_passwords()):
        missing.append(_LOGIN)
    if missing:
        where = "AIMM_REQUIRE_KEY is set" if is_loopback(address) else f"{address or 'every address'} is open to others"
        raise InvalidRequest(
            f"The server does not start: {where}, and whoever gets in can spend. First {'; and '.join(missing)}.",
            hint="To be reached from this machine only, listen on localhost.",
        )
