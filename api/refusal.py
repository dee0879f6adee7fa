"""An error in the form of the wire that was asked."""

from api.errors import status_of
from api.gateway.exchange import dumped
from api.gateway.gemini.response import gemini_error
from api.gateway.openai.response import openai_error
from core import AimmError


def refusal(path: str, error: AimmError) -> tuple[int, bytes]:
    """(status, body) of an error, for who asked this address."""
    if f"{path}/".startswith("/v1/"):
        return openai_error(error)
    if f"{path}/".startswith("/gemini/"):
        return gemini_error(error)
    return status_of(error), dumped({"error": error.text, "code": error.code})
