"""The headless engine: models, calls, costs, workflows, comparisons, experiments and their records."""

from core.errors import (
    AimmError,
    AuthenticationError,
    Blocked,
    BudgetExceeded,
    CapReached,
    Conflict,
    ContextTooLong,
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
from core.manager import ModelManager

__all__ = [
    "AimmError",
    "AuthenticationError",
    "Blocked",
    "BudgetExceeded",
    "CapReached",
    "Conflict",
    "ContextTooLong",
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
