"""A file that a caller keeps here."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of a caller. batch_id, part: Of which batch it holds the lines that are `ok` or `failed`, else empty."""

    id: str
    key_id: str
    purpose: str
    filename: str
    n_bytes: int
    created_at: datetime
    expires_at: datetime
    batch_id: str = ""
    part: str = ""
