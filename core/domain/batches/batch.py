"""A batch: many requests in one file, answered within a day."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Phase = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]  # fmt: skip
WAY = "aimm_batch"  # in a batch's metadata
LineState = Literal["waiting", "running", "ok", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchError:
    """A fault of a batch's input. line: From 1; None = of the whole file."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch as it stands.

    status: queued, running or ended: of the engine. phase: As its caller is told.
    owner, n_starts: The process that works on it, and how often one has taken it up.
    headers: Those of the request that made it, which hold for each of its lines.
    is_brief: Its texts are kept no longer than they are needed.
    output_s: For how long its results are kept.
    vendor_model: `vendor/model` whose own batch answers it; empty = its lines are asked one by one.
    vendor_id, vendor_at: That batch's id there, and when its creation was begun.
    usage: Tokens by kind and `cost_usd` (null = not known) of all its calls, once it has ended.
    """

    id: str
    key_id: str
    input_file_id: str
    endpoint: str
    status: str
    phase: Phase
    n_starts: int
    owner: str
    created_at: datetime
    expires_at: datetime
    in_progress_at: datetime | None = None
    finalizing_at: datetime | None = None
    cancelling_at: datetime | None = None
    ended_at: datetime | None = None
    errors: tuple[BatchError, ...] = ()
    metadata: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_brief: bool = False
    output_s: int = 0
    model: str = ""
    n_total: int = 0
    n_ok: int = 0
    n_failed: int = 0
    output_file_id: str = ""
    error_file_id: str = ""
    vendor_model: str = ""
    vendor_id: str = ""
    vendor_at: datetime | None = None
    usage: Mapping[str, Any] | None = None

    @property
    def way(self) -> Literal["vendor", "paced", ""]:
        """The way that its caller wants it answered; empty = the best one."""
        said = (self.metadata or {}).get(WAY, "")
        return said if said in ("vendor", "paced") else ""  # type: ignore[return-value]  # narrowed just now

    @property
    def is_over(self) -> bool:
        return self.status == "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """A request of a batch. line: From 1. offset, n_bytes: Its place in the file. worst_nano: What it may cost."""

    line: int
    custom_id: str
    offset: int
    n_bytes: int
    start: int = 0
    n_tries: int = 0
    asked_at: datetime | None = None
    worst_nano: int = 0
