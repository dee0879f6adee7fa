"""The headless engine: models, calls, costs, workflows, comparisons, experiments and their records."""

from typing import TYPE_CHECKING, Any

from core.errors import (
    AimmError,
    AuthenticationError,
    Blocked,
    BudgetExceeded,
    CapReached,
    Conflict,
    ContextTooLong,
    DatabaseUnavailable,
    Forbidden,
    InvalidRequest,
    ModelNotFound,
    NotFound,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    TooLarge,
)

if TYPE_CHECKING:
    from core.manager import ModelManager

__all__ = [
    "AimmError",
    "AuthenticationError",
    "Blocked",
    "BudgetExceeded",
    "CapReached",
    "Conflict",
    "ContextTooLong",
    "DatabaseUnavailable",
    "Forbidden",
    "InvalidRequest",
    "ModelManager",
    "ModelNotFound",
    "NotFound",
    "Overloaded",
    "ProviderError",
    "ProviderTimeout",
    "ProviderUnavailable",
    "RateLimited",
    "TooLarge",
]


def __getattr__(name: str) -> Any:
    """The manager, with all that it builds, is loaded when it is first asked for: errors and nouns alone cost nothing."""
    if name == "ModelManager":
        from core.manager import ModelManager

        return ModelManager
    raise AttributeError(f"module 'core' has no attribute {name!r}")
