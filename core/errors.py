"""One tree of errors, by who can act on them: the caller, the owner of the account, or time."""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

_SECRET = re.compile(
    r"AIza[\w-]{10,}|sk-[\w-]{10,}|aimm_[\w-]{20,}|(?<=[?&]key=)[^&\s]+|(?<=[?&]token=)[^&\s]+|(?<=Bearer )\S+"
    r"|(?<=hooks\.slack\.com/)[\w/-]+|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"
)
_known_secrets: set[str] = set()


def register_secret(secret: str | None) -> None:
    """Make `redact` remove this text wherever it shows."""
    if secret and len(secret) >= 6:
        _known_secrets.add(secret)


def redact(text: str) -> str:
    """The text without keys: those in use, and what looks like one."""
    for secret in _known_secrets:
        text = text.replace(secret, "[key]")
    return _SECRET.sub("[key]", text)


class Upstream(NamedTuple):
    """A vendor's own account of an error: HTTP status, code, type, parameter and words; free of keys.

    headers: Those that tell when to ask again.
    """

    status: int
    code: str = ""
    type: str = ""
    param: str = ""
    message: str = ""
    headers: Mapping[str, str] = MappingProxyType({})


class AimmError(Exception):
    """An error that this project raises, with a message for people; free of keys.

    code: The name that HTTP answers and log rows carry.
    hint: What to do about it.
    generation_id: The logged call, if there was one.
    spent_before_usd: What models cost that were asked before the one that failed; None = not known.
    upstream: The vendor's own account of it, if it gave one.
    is_of_deployment: Another deployment of the model may be asked at once; nobody was so far.
    """

    code = "error"
    is_retryable = False

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(redact(message))
        self.hint = hint
        self.retry_after_s = retry_after_s
        self.generation_id: str | None = None
        self.spent_before_usd: Decimal | None = Decimal(0)
        self.upstream: Upstream | None = None
        self.is_of_deployment = False

    @property
    def message(self) -> str:
        return str(self.args[0])

    @property
    def text(self) -> str:
        """Message and hint as whole sentences: a vendor's words often end without a full stop."""
        if not self.hint:
            return self.message
        end = "" if self.message.rstrip().endswith((".", "!", "?", "…", ":")) else "."
        return f"{self.message.rstrip()}{end} {self.hint}"


class InvalidRequest(AimmError):
    """The caller asked for something that cannot be; asking again will not help. param: The field that is wrong."""

    code = "invalid_request"

    def __init__(self, message: str, *, hint: str = "", param: str = "") -> None:
        super().__init__(message, hint=hint)
        self.param = param


class TooLarge(InvalidRequest):
    """The request is longer than this server or the model takes."""

    code = "too_large"


class NotFound(AimmError):
    """There is nothing of this name or id."""

    code = "not_found"


class ModelNotFound(NotFound):
    """No vendor that is set up has a model of this name."""

    code = "model_not_found"


class Conflict(AimmError):
    """The thing is not in a state in which this can be done."""

    code = "conflict"


class Undecryptable(AimmError):
    """A secret is on record and cannot be read with the keys that there are."""

    code = "undecryptable"


class DatabaseUnavailable(AimmError):
    """The records cannot be read or written just now; what was asked has not been done."""

    code = "database_unavailable"


class DamagedRecord(AimmError):
    """A record is there and cannot be read."""

    code = "damaged_record"


class AuthenticationError(AimmError):
    """A key, a vendor's or one of ours, is missing, wrong, or not allowed to do this."""

    code = "authentication"


class Forbidden(AimmError):
    """The caller is known, and may not do this."""

    code = "forbidden"


class ContextTooLong(AimmError):
    """The prompt and the longest answer together exceed what the model can hold."""

    code = "context_too_long"


class Blocked(AimmError):
    """The vendor refused the prompt or the answer; `category` is its reason."""

    code = "blocked"

    def __init__(self, message: str, *, category: str) -> None:
        super().__init__(message, hint="Rephrase the prompt; the vendor's safety rules stopped it.")
        self.category = category


class BudgetExceeded(AimmError):
    """A budget has no room for the call. `reason`: spent, reserved (by calls under way) or unpriced."""

    code = "budget_exceeded"

    def __init__(
        self, message: str, *, budget: str, resets_at: str, reason: str = "spent", retry_after_s: float | None = None
    ) -> None:
        ways = {
            "spent": f"The budget resets at {resets_at}; it can be raised once on the Budgets page.",
            "reserved": "Try again when they have ended, or set a smaller max_tokens.",
            "unpriced": "Set a price on the Models & prices page, or let the budget admit unpriced models.",
        }
        super().__init__(
            message,
            hint=f"{ways[reason]} Free and simulated models keep working.",
            retry_after_s=retry_after_s,
        )
        self.budget = budget
        self.resets_at = resets_at
        self.reason = reason


class CapReached(AimmError):
    """The call could cost more than its run may still spend; nothing was sent."""

    code = "cap_reached"

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="Raise the cap and go on; what is done stays.")


class RateLimited(AimmError):
    """A quota is used up for now.

    quota: Its name, where the vendor said it. limit: Of our own, the kind and the number.
    """

    code = "rate_limited"
    is_retryable = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        quota: str = "",
        limit: tuple[str, int] | None = None,
    ) -> None:
        wait = f"Try again in {math.ceil(retry_after_s)} s." if retry_after_s is not None else "Try again later."
        super().__init__(message, hint=wait, retry_after_s=retry_after_s)
        self.quota = quota
        self.limit = limit


class Overloaded(RateLimited):
    """Too much is asked of this server at once."""

    code = "overloaded"
    is_retryable = False


class ProviderError(AimmError):
    """The vendor answered something that cannot be understood, or nothing at all."""

    code = "provider_error"
    is_retryable = True


class Interrupted(ProviderError):
    """The process that made the call ended before the answer came; what it cost can only be estimated."""

    code = "interrupted"


class ProviderUnavailable(ProviderError):
    """The vendor cannot be reached, or says that it is out of order."""

    code = "provider_unavailable"


class CircuitOpen(ProviderUnavailable):
    """The vendor has failed so often that it is not asked for a while."""

    code = "circuit_open"
    is_retryable = False

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        hint = f"Try again in {math.ceil(retry_after_s)} s, or name a fallback."
        super().__init__(message, hint=hint, retry_after_s=retry_after_s)


class ProviderTimeout(ProviderError):
    """The vendor did not answer within the time that the call had."""

    code = "provider_timeout"
    is_retryable = False
