"""Passwords of people: hashed by argon2, and looked up in the same time whether there is such a person or not."""

import threading
from typing import Any

from core.environment import MIN_PASSWORD, is_weak
from core.errors import AimmError, InvalidRequest

MAX_CHARACTERS = 1000
# Each takes 64 MiB while it is computed: strangers who try many at once must not take the server's memory.
_slots = threading.Semaphore(2)
# Of nobody's password: what is typed with a name that is not here is held against this, for as long.
_NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$Q3hOawtXGGczS8hPK9Apaw$6Ack9RC+3x3kuULWm1S876sUNfcfVBRnAnjuNOuIrqY"


def hashed(password: str) -> str:
    """The hash that is kept of a new password.

    Raises:
        InvalidRequest: It can be guessed, or is too long.
    """
    if is_weak(password) or len(password) > MAX_CHARACTERS:
        raise InvalidRequest(
            f"The password can be guessed: it must have {MIN_PASSWORD} to {MAX_CHARACTERS:,} characters, and be more"
            " than a common word, a row of keys or a repetition."
        )
    with _slots:
        return str(_hasher().hash(password))


def fits(password: str, kept: str | None) -> bool:
    """True if this is the password that the hash was made of. None = there is nobody, which takes as long."""
    from argon2.exceptions import InvalidHashError, VerificationError

    given = password[:MAX_CHARACTERS].encode("utf-8", "replace")
    with _slots:
        try:
            found = bool(_hasher().verify(kept or _NOBODYS, given))
        except (VerificationError, InvalidHashError):
            return False
    return found and kept is not None


def _hasher() -> Any:
    try:
        import argon2  # at the first password: most servers have none
    except ImportError:
        raise AimmError("argon2-cffi is not installed.", hint="pip install argon2-cffi") from None
    return argon2.PasswordHasher()
