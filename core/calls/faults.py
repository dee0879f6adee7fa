"""Errors of calls by what they say: whose fault one is, whether it may be billed, and who else may answer. Pure."""

import re

from core.domain.generation import FinishReason
from core.errors import (
    AimmError,
    AuthenticationError,
    CircuitOpen,
    ContextTooLong,
    ModelNotFound,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    Upstream,
)

# What a server answers that is down or overloaded, whatever it was asked; a 504 may come of the request's size.
_DOWN = (502, 503, 529)
_UNREADABLE = re.compile(r"invalid_encrypted_content|thought.?signature.*(not valid|invalid)|invalid.*signature", re.I)


def failure_of(finish_reason: FinishReason | None, reason: str | None, *, has_output: bool) -> AimmError | None:
    """The error of an answer that its vendor ended in order and that is none: nothing said, a tool not called."""
    if finish_reason != "error" and (finish_reason != "other" or has_output):
        return None
    error = ProviderError(f"The model's answer ended as {reason}.", hint="Try again, or take another model.")
    error.is_retryable = False  # it is charged for, so whether to ask again is the caller's choice
    error.upstream = Upstream(200, (reason or "").partition(":")[0], message=error.message)
    return error


def is_billable(error: AimmError | None) -> bool:
    """Tell whether an attempt that ended so, without any count, may be billed: it was begun, and then broke."""
    return isinstance(error, ProviderError) and not isinstance(error, ProviderUnavailable)


def is_fault(error: AimmError) -> bool:
    """Tell whether an error is the vendor's: never one that says what was wrong with the request, its key or its size,
    that comes of what the model wrote."""
    is_refusal = error.upstream is not None and (error.upstream.status == 200 or 400 <= error.upstream.status < 500)
    return isinstance(error, ProviderError) and not isinstance(error, CircuitOpen) and not is_refusal


def is_down(error: AimmError) -> bool:
    """Tell whether any other request would have failed too."""
    if error.upstream is not None:
        return error.upstream.status in _DOWN
    return error.code == "provider_unavailable"


def is_of_deployment(error: AimmError) -> bool:
    """Tell whether an error is of one deployment's quota, key, money or models, whoever asks."""
    return isinstance(error, RateLimited | AuthenticationError | ModelNotFound) or _is_unpaid(error)


def is_lasting(error: AimmError) -> bool:
    """Tell whether people must do something before it passes."""
    is_spent = isinstance(error, RateLimited) and not error.is_retryable
    return is_spent or isinstance(error, AuthenticationError | ModelNotFound) or _is_unpaid(error)


def _is_unpaid(error: AimmError) -> bool:
    """Tell whether the account has no money, which some vendors call a bad request."""
    upstream = error.upstream
    if upstream is None:
        return False
    return upstream.status == 402 or (
        upstream.status == 400 and "credit balance is too low" in upstream.message.lower()
    )


def is_unreadable(error: AimmError) -> bool:
    """Tell whether a request holds encrypted reasoning that was made at another deployment, by the vendor's words."""
    said = error.upstream
    return said is not None and said.status == 400 and _UNREADABLE.search(f"{said.code} {said.message}") is not None


def may_move(error: AimmError) -> bool:
    """Tell whether another deployment of the same model may answer what this one did not."""
    if isinstance(error, ProviderError) and not isinstance(error, ProviderUnavailable) and not error.is_retryable:
        return error.upstream is None  # else an answer came, which is charged for
    return isinstance(error, ProviderError | ContextTooLong) or is_of_deployment(error) or is_unreadable(error)
