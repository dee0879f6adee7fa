"""What requests hold. Pydantic lives at the wire only."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from core.domain.text import is_storable

Text = Annotated[str, Field(max_length=8 * 1024 * 1024)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


def _is_storable(value: Any) -> bool:
    """Whether every text in a value can be kept: keys, and fields that nobody asked for, included."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, str) and not is_storable(part):
            return False
        if isinstance(part, dict):
            left += [*part.keys(), *part.values()]
        elif isinstance(part, list):
            left += part
    return True


class _Body(BaseModel):
    model_config = ConfigDict(protected_namespaces=(), extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _only_storable(cls, value: Any) -> Any:
        if not _is_storable(value):
            raise ValueError("a text holds a NUL or half a surrogate pair, which no model and no database takes")
        return value


class Generate(_Body):
    prompt: Text
    model: Name | None = None
    system: Text | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    seed: int | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None
    service_tier: str | None = None
    json_schema: dict[str, Any] | None = None
    user: str = Field(default="", max_length=500, description="Who asks; for spend and budgets by user.")
    tags: list[str] = Field(default_factory=list, max_length=10, description="For spend and budgets by tag.")
    max_cost_usd: float | None = Field(default=None, gt=0, description="A cap on this call; it is kept by max_tokens.")


class RunWorkflow(_Body):
    template: Name
    input: Text
    model: Name | None = None
    inputs: dict[str, str] = Field(default_factory=dict, description="Named inputs, such as target_language.")
    max_cost_usd: float | None = Field(
        default=None, gt=0, description="A cap: the run pauses before it would cost more."
    )


class Compare(_Body):
    models: list[Name]
    prompt: Text
    system: Text | None = None


class VariantBody(_Body):
    model: Name
    name: str = Field(default="", max_length=200)
    system: Text | None = None
    weight: int = Field(default=1, ge=0, le=1_000_000)
    parameters: dict[str, Any] = Field(default_factory=dict)


class CreateExperiment(_Body):
    name: Name
    hypothesis: str = Field(default="", max_length=2000)
    unit: str = Field(default="user", max_length=40)
    variant_a: Name | VariantBody | None = None
    variant_b: Name | VariantBody | None = None
    variants: list[Name | VariantBody] | None = None


class TestExperiment(_Body):
    user_id: Annotated[str, Field(min_length=1, max_length=500)]
    prompt: Text


class Outcome(_Body):
    variant: Annotated[str, Field(min_length=1, max_length=300)]
    success: StrictBool
    rating: float | None = Field(default=None, ge=1, le=5)
    user_id: str | None = Field(default=None, max_length=500)
    generation_id: str | None = Field(default=None, max_length=60)


class Record(_Body):
    variant: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    success: StrictBool | None = None
    rating: float | None = Field(default=None, ge=1, le=5)
    user_id: str | None = Field(default=None, max_length=500)
    generation_id: str | None = Field(default=None, max_length=60)
    results: list[Outcome] | None = Field(default=None, max_length=10_000)


class PriceRow(_Body):
    """A price row of the team's own; US dollars per million tokens. See docs/costs.md."""

    model_config = ConfigDict(protected_namespaces=(), extra="allow")

    provider: Name
    model: Name


class Reprice(_Body):
    provider: Name
    model: Name
    since: str | None = Field(default=None, max_length=40)
    until: str | None = Field(default=None, max_length=40)
    only_unpriced: bool = True
    apply: bool = Field(default=False, description="False: a preview only.")


class RaiseBudget(_Body):
    extra_usd: float = Field(gt=0, le=1e9, allow_inf_nan=False)
    reason: Annotated[str, Field(min_length=1, max_length=500)]
    expires_at: str | None = Field(
        default=None, max_length=40, description="ISO 8601; by default the end of the period."
    )


class CreateBudget(_Body):
    name: Annotated[str, Field(min_length=1, max_length=80)]
    limit_usd: float = Field(gt=0, le=1e9, allow_inf_nan=False)
    period: Literal["day", "week", "month", "rolling"] = "month"
    rolling_hours: int = Field(default=0, ge=0, description="For period=rolling: the last so many hours.")
    timezone: str = Field(default="UTC", max_length=60)
    scope: str = Field(default="all", max_length=520, description="all, or provider:, model:, key:, tag:, user: NAME")
    action: Literal["notify", "downgrade", "stop"] = "notify"
    downgrade_to: str = Field(default="", max_length=200)
    thresholds: list[float] = Field(default_factory=lambda: [0.5, 0.8, 1.0], max_length=10)
    forecast_thresholds: list[float] = Field(default_factory=list, max_length=10)
    refuses_unpriced: bool = False
