"""The vendors that are set up: tried as they are, and given another key while the process runs."""

from core import acting
from core.background import BackgroundLoop
from core.environment import to_key
from core.errors import InvalidRequest
from core.providers.base import KeyCheck
from core.providers.registry import Registry
from core.storage.engine.writer import Writer
from core.storage.people.audit import note


class VendorService:
    """Vendors with their keys; simulated models belong to none."""

    def __init__(self, registry: Registry, loop: BackgroundLoop, writer: Writer) -> None:
        self._registry = registry
        self._loop = loop
        self._writer = writer

    @property
    def names(self) -> list[str]:
        """The vendors that are set up."""
        return self._registry.names

    @property
    def given(self) -> list[str]:
        """The vendors and servers that the environment names."""
        return self._registry.given

    @property
    def has_key(self) -> bool:
        """True where Gemini has a key; its models are asked where none is named."""
        return self._registry.has("gemini")

    @property
    def list_error(self) -> str:
        """The reason why a vendor's list of models could not be read; empty when all could."""
        return self._registry.list_error

    @property
    def list_problems(self) -> dict[str, KeyCheck]:
        """The same by vendor, with the kind of what is wrong."""
        return self._registry.list_problems

    def check(self, vendor: str) -> KeyCheck:
        """Try a vendor as it is set up: its address, its key, its list of models. Raises: Forbidden."""
        acting.require("editor", "test vendors")
        return self._loop.run(self._registry.check(vendor))

    def check_key(self, key: str) -> KeyCheck:
        """Try a Gemini key without keeping it. Raises: Forbidden."""
        acting.require("editor", "test vendors")
        try:
            found = to_key(key)
        except InvalidRequest as error:
            return KeyCheck("wrong_key", error.message)
        if found is None:  # of an empty one, google-genai would take the environment's
            return KeyCheck("missing", "There is no key to try.")
        return self._loop.run(self._registry.check_key("gemini", found))

    def use_key(self, key: str) -> None:
        """Use a Gemini key from now on; it lives in this process only.

        Raises:
            InvalidRequest: It is empty, or holds what no key holds. Forbidden
        """
        found = to_key(key)
        if found is None:
            raise InvalidRequest("There is no key to use.")
        self._writer.run(lambda connection: note(connection, "vendor key used", "gemini", {"note": "in memory"}))
        self._registry.set_key("gemini", found)
