"""The public names of AI Model Manager: what a program imports, and what the dashboard and the API are built from.

Each is loaded from its module when it is first asked for, so that `import core` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.calls.call import Call
    from core.calls.origin import Origin
    from core.calls.view import CallView, Pipe
    from core.config import Settings
    from core.domain.alert import Alert
    from core.domain.budget import Budget, BudgetOutlook, BudgetStatus
    from core.domain.comparison import Candidate, Comparison, Criterion, Vote, WinRate
    from core.domain.experiment import Alias, Experiment, Guardrail, OutcomeInput, Target, Variant
    from core.domain.generation import Chunk, Generation, Model, Native, Parameters, Receipt, Request, Usage
    from core.domain.key import Key
    from core.domain.message import Media, Message, Tool, ToolCall, ToolResult
    from core.domain.metrics import Feedback, Metrics, MetricsRow
    from core.domain.price import Price, TeamPrice
    from core.domain.workflow import Condition, Step, StepRun, Workflow, WorkflowRun
    from core.errors import (
        AimmError,
        AuthenticationError,
        Blocked,
        BudgetExceeded,
        CapReached,
        CircuitOpen,
        Conflict,
        ContextTooLong,
        DamagedRecord,
        DatabaseUnavailable,
        Forbidden,
        Interrupted,
        InvalidRequest,
        ModelNotFound,
        NotFound,
        Overloaded,
        ProviderError,
        ProviderTimeout,
        ProviderUnavailable,
        RateLimited,
        TooLarge,
        Undecryptable,
    )
    from core.experiments.reports import ExperimentReport
    from core.keys.issuing import Allowance
    from core.manager import ModelManager
    from core.monitoring.spend import SpendOf
    from core.pricing.estimate import Estimate
    from core.program import EvaluationResult, evaluate

_NAMES_OF = {
    "core.calls.call": "Call",
    "core.calls.origin": "Origin",
    "core.calls.view": "CallView Pipe",
    "core.config": "Settings",
    "core.domain.alert": "Alert",
    "core.domain.budget": "Budget BudgetOutlook BudgetStatus",
    "core.domain.comparison": "Candidate Comparison Criterion Vote WinRate",
    "core.domain.experiment": "Alias Experiment Guardrail OutcomeInput Target Variant",
    "core.domain.generation": "Chunk Generation Model Native Parameters Receipt Request Usage",
    "core.domain.key": "Key",
    "core.domain.message": "Media Message Tool ToolCall ToolResult",
    "core.domain.metrics": "Feedback Metrics MetricsRow",
    "core.domain.price": "Price TeamPrice",
    "core.domain.workflow": "Condition Step StepRun Workflow WorkflowRun",
    "core.errors": (
        "AimmError AuthenticationError Blocked BudgetExceeded CapReached CircuitOpen Conflict ContextTooLong "
        "DamagedRecord DatabaseUnavailable Forbidden Interrupted InvalidRequest ModelNotFound NotFound Overloaded "
        "ProviderError ProviderTimeout ProviderUnavailable RateLimited TooLarge Undecryptable"
    ),
    "core.experiments.reports": "ExperimentReport",
    "core.keys.issuing": "Allowance",
    "core.monitoring.spend": "SpendOf",
    "core.manager": "ModelManager",
    "core.pricing.estimate": "Estimate",
    "core.program": "EvaluationResult evaluate",
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """A public name, loaded from its module once."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'core' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
