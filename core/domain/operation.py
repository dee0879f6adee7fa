"""Operations: what a vendor is asked to do, and where on OpenAI's wire that is asked."""

from collections.abc import AsyncIterator
from typing import Literal, Protocol

Operation = Literal[
    "chat", "embeddings", "text_completion", "image_generation", "image_edit", "image_variation",
    "speech", "transcription", "translation", "moderation",
]  # fmt: skip
# Each but chat and embeddings by its address: they are handed on to vendors of that wire, and to no other.
ADDRESSES: dict[str, Operation] = {
    "/completions": "text_completion", "/moderations": "moderation", "/audio/speech": "speech",
    "/audio/transcriptions": "transcription", "/audio/translations": "translation",
    "/images/generations": "image_generation", "/images/edits": "image_edit", "/images/variations": "image_variation",
}  # fmt: skip
ADDRESS_OF = {operation: address for address, operation in ADDRESSES.items()}
OPENAI_OPERATIONS: frozenset[Operation] = frozenset({"chat", "embeddings", *ADDRESS_OF})
# Answered in text of a length that the caller may limit.
WRITING: frozenset[Operation] = frozenset({"chat", "text_completion"})
MAKING_PICTURES: frozenset[Operation] = frozenset({"image_generation", "image_edit", "image_variation"})
HEARING: frozenset[Operation] = frozenset({"transcription", "translation"})


class Upload(Protocol):
    """A form as it came, which may be large: it is read where it lies.

    content_type: With its boundary.
    """

    content_type: str

    def n_bytes(self, model: str) -> int:
        """Bytes that `chunks` gives."""
        ...

    def chunks(self, model: str) -> AsyncIterator[bytes]:
        """The form with the name of the model that really answers; can be read again and again."""
        ...
