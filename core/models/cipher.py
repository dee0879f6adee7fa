"""Secrets as they lie in the database: encrypted with a key that is not there."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.config import Settings
from core.errors import InvalidRequest, Undecryptable, register_secret
from core.formats import strict_json as json
from core.storage.engine.database import Database

DEFAULT_FILE = "aimm.key"
HOW = "Make one with: aimm vendors new-key, and set AIMM_ENCRYPTION_KEY or AIMM_ENCRYPTION_KEY_FILE."


class Cipher:
    """Encrypts with the first of its keys and reads with any of them, so that keys can be changed one after the other.

    keys: Those of the environment; none = those of the file.
    file: Its lines are keys; it is read anew for each use, as it may have been changed.
    """

    def __init__(self, keys: Sequence[str], file: Path) -> None:
        self._keys = tuple(keys)
        self.file = file

    @classmethod
    def of(cls, settings: Settings, database: Database) -> "Cipher":
        """As the settings say; where they say nothing, with a file beside the database's."""
        folder = Path(database.url.database or "").parent if database.is_sqlite else Path("data")
        return cls(settings.encryption_keys, settings.encryption_key_file or folder / DEFAULT_FILE)

    @property
    def is_set(self) -> bool:
        """True where there is a key, or a file that should hold one."""
        return bool(self._keys) or self.file.exists()

    @property
    def source(self) -> str:
        """The place that its keys come from, for people; empty = there is none."""
        return "AIMM_ENCRYPTION_KEY" if self._keys else str(self.file) if self.is_set else ""

    def encrypt(self, secret: str, place: str) -> str:
        """Raises: InvalidRequest: There is no key to do so."""
        made: bytes = self._open().encrypt(json.encoded({"secret": secret, "place": place}))
        return made.decode("ascii")

    def decrypt(self, token: str, place: str) -> str:
        """The secret that was encrypted for a place.

        Raises:
            Undecryptable: No key opens it, or it was made for another place.
            InvalidRequest: There is no key, or one that cannot be read.
        """
        from cryptography.fernet import InvalidToken

        try:
            held = json.loads(self._open().decrypt(token.encode("ascii", "replace")))
            secret, meant = str(held["secret"]), str(held["place"])
        except InvalidToken:
            raise Undecryptable(
                f"it was encrypted with another key than {self.source} holds.",
                hint="Put the former key behind a comma after the new one, or set the vendor's key again.",
            ) from None
        except (ValueError, TypeError, KeyError):
            raise Undecryptable("what was encrypted is no vendor's key.") from None
        register_secret(secret)
        if meant != place:
            raise Undecryptable(
                "it was set for another name or address, and no key goes anywhere else.", hint="Set the key again."
            )
        return secret

    def make_file(self) -> None:
        """Write a new key to the file, which only its owner can read. Raises: InvalidRequest: It cannot be written."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(new_key() + "\n")
        except FileExistsError:
            return  # another process was quicker
        except OSError as error:
            raise InvalidRequest(f"{self.file} cannot be written ({type(error).__name__}).", hint=HOW) from None

    def _open(self) -> Any:
        from cryptography.fernet import Fernet, MultiFernet

        keys = self._keys or self._of_file()
        if not keys:
            raise InvalidRequest("There is no key to encrypt vendors' keys with.", hint=HOW)
        try:
            return MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise InvalidRequest(
                f"{self.source} must hold keys of 44 letters, digits, - and _, ending with =.", hint=HOW
            ) from None

    def _of_file(self) -> list[str]:
        try:
            mode = self.file.stat().st_mode
            text = self.file.read_text("ascii")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"{self.file} cannot be read ({type(error).__name__}).") from None
        if os.name == "posix" and mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise InvalidRequest(
                f"{self.file} is open to others (mode {stat.S_IMODE(mode):04o}), so it is not used.",
                hint=f"Close it with: chmod 600 {self.file}",
            )
        return keys_in(text)


def keys_in(text: str) -> list[str]:
    """Keys separated by commas, blanks or lines; they are kept out of all texts from now on."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found = [part.strip("'\"") for part in " ".join(lines).replace(",", " ").split()]
    for key in found:
        register_secret(key)
    return found


def new_key() -> str:
    from cryptography.fernet import Fernet

    made: str = Fernet.generate_key().decode("ascii")
    return made
