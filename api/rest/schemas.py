"""The bodies of requests. Pydantic lives here only."""

from decimal import Decimal
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from api.body import MAX_BODY_BYTES
from core.formats.strict_json import problem_of

Text = Annotated[str, Field(max_length=MAX_BODY_BYTES)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Body(BaseModel):
    model_config = ConfigDict(protected_namespaces=(), extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _only_storable(cls, value: Any) -> Any:
        if problem := problem_of(value):
            raise ValueError(problem)
        return value

    @model_validator(mode="before")
    @classmethod
    def _lists_of_one(cls, value: Any) -> Any:
        """A text or number where a list is meant is a list of one."""
        if not isinstance(value, dict):
            return value
        lists = {
            n
            for n, f in cls.model_fields.items()
            if list in (get_origin(a) for a in (f.annotation, *get_args(f.annotation)))
        }
        return {n: [v] if n in lists and isinstance(v, str | int | float) else v for n, v in value.items()}


class Generate(Body):
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
    json_object: bool | None = None
    stop: list[str] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    user: str = Field(default="", max_length=500, description="Who asks; for spend and budgets by user.")
    session: str = Field(default="", max_length=200, description="The conversation or run that it is counted to.")
    tags: list[str] = Field(default_factory=list, max_length=10, description="For spend and budgets by tag.")
    max_cost_usd: float | None = Field(default=None, gt=0, description="A cap on this call; it is kept by max_tokens.")
    variables: dict[str, Any] = Field(default_factory=dict, description="Of a prompt, where `model` is prompt:NAME.")

    def request(self) -> dict[str, Any]:
        """The part of it that asks the model."""
        return self.model_dump(exclude={"user", "session", "tags", "max_cost_usd", "variables"}, exclude_none=True)


class RunWorkflow(Body):
    template: Name
    input: Text
    model: Name | None = None
    inputs: dict[str, str] = Field(default_factory=dict, description="Named inputs, such as target_language.")
    max_cost_usd: float | None = Field(
        default=None, gt=0, description="A cap: the run pauses before it would cost more."
    )


class Compare(Body):
    models: list[Name]
    prompt: Text
    system: Text | None = None


class CastVote(Body):
    choice: Literal["a", "b", "tie", "both_bad", "skip"]
    pair: tuple[int, int] = Field(default=(0, 1), description="The positions of the answers a and b.")


class Resume(Body):
    max_cost_usd: float | None = Field(
        default=None, gt=0, description="A cap: of a comparison on the answers asked for now, of a run on the whole."
    )

    @property
    def cap_usd(self) -> Decimal | None:
        return None if self.max_cost_usd is None else Decimal(str(self.max_cost_usd))


NO_NEW_CAP = Resume()


class ResumeComparison(Resume):
    positions: tuple[int, ...] | None = Field(
        default=None, description="The answers to ask for again, failed ones too. By default those that are missing."
    )


ALL_MISSING = ResumeComparison()


class VariantBody(Body):
    model: Name | Literal[""] = Field(
        default="", description="A model or an alias; of a workflow, for steps that name none."
    )
    workflow: str = Field(default="", max_length=200, description="A workflow that answers instead of one call.")
    name: str = Field(default="", max_length=200)
    system: Text | None = None
    weight: int = Field(default=1, ge=0, le=1_000_000)
    parameters: dict[str, Any] = Field(default_factory=dict)
    prompt_version: str = Field(
        default="", max_length=200, description="Its name, or prompt:NAME@LABEL instead of `system`."
    )
    is_shadow: bool = Field(default=False, description="Answers silently beside the assigned variant.")


class GuardrailBody(Body):
    metric: Literal["error_rate", "latency_p95", "cost"]
    margin: float = Field(
        gt=0, le=100, description="error_rate: points (0.01 = one); else a share of the control's value."
    )


CacheSeconds = Annotated[int, Field(ge=1, le=2_592_000, description="How long a response may be cached.")]
Metric = Literal["success", "rating", "number", "cost_per_success", "latency_p95", "error_rate", "cost"]


class CreateExperiment(Body):
    name: Name
    hypothesis: str = Field(default="", max_length=2000, description="One sentence; one is made up if it is missing.")
    unit: str = Field(default="user", max_length=40, description="user, session or request")
    variant_a: Name | VariantBody | None = None
    variant_b: Name | VariantBody | None = None
    variants: list[Name | VariantBody] | None = None
    primary: Metric = "success"
    larger_is_better: bool = Field(default=True, description="Of the metric `number`.")
    secondary: list[Metric] = Field(default_factory=list, max_length=6)
    guardrails: list[GuardrailBody] = Field(default_factory=list, max_length=3)
    rule: Literal["superior", "not_worse_and_cheaper"] = "superior"
    margin: float = Field(default=0.0, ge=0, le=1e9)
    smallest_effect: float | None = Field(default=None, gt=0, le=1e9)
    audience: float = Field(default=1.0, gt=0, le=1)
    internal_units: list[str] = Field(default_factory=list, max_length=100)
    allocation: Literal["fixed", "thompson"] = "fixed"
    confidence_level: float = Field(default=0.95, ge=0.5, le=0.999)
    tuned_for: int = Field(default=1000, ge=100, le=10_000_000)
    window_days: int = Field(default=7, ge=0, le=365)
    max_days: int = Field(default=90, ge=1, le=3650)
    cache_s: CacheSeconds | None = None


class ChangeExperiment(Body):
    """Other weights, or other variants: either opens a new phase."""

    weights: list[Annotated[int, Field(ge=0, le=1_000_000)]] | None = Field(default=None, max_length=10)
    variants: list[Name | VariantBody] | None = None


VariantName = Annotated[str, Field(min_length=1, max_length=300)]


class TestExperiment(Body):
    user_id: Annotated[str, Field(min_length=1, max_length=500)]
    prompt: Text
    variant: VariantName | None = Field(default=None, description="Forced: it is served and not counted.")


class Assign(Body):
    user_id: Annotated[str, Field(min_length=1, max_length=500, description="The unit: a user, session or request.")]
    variant: VariantName | None = Field(default=None, description="Forced: it is served and not counted.")


class Outcome(Body):
    variant: VariantName | None = None
    success: StrictBool | None = None
    rating: float | None = Field(default=None, ge=1, le=5)
    number: float | None = Field(default=None, allow_inf_nan=False)
    text: str = Field(default="", max_length=20_000)
    user_id: str | None = Field(default=None, max_length=500)
    generation_id: str | None = Field(default=None, max_length=60)
    assignment_id: str | None = Field(default=None, max_length=60)


class Record(Outcome):
    results: list[Outcome] | None = Field(default=None, max_length=10_000)


class Decide(Body):
    """Stop with a decision. variant: what is shipped; nothing = none."""

    variant: VariantName | None = None
    why: str = Field(default="", max_length=2000)


class Promote(Body):
    variant: VariantName | None = Field(default=None, description="By default the winner.")
    alias: Annotated[str, Field(min_length=1, max_length=80)]


class SetAlias(Body):
    model: Name
    system: Text | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    prompt_version: str = Field(
        default="", max_length=200, description="Its name, or prompt:NAME@LABEL instead of `system`."
    )
    fallbacks: list[Name] = Field(default_factory=list, max_length=5, description="Models that answer where it fails.")
    cache_s: CacheSeconds | None = None
    note: str = Field(default="", max_length=500)
    author: str = Field(default="", max_length=200)
    run_id: str = Field(default="", max_length=80, description="The evaluation that justifies it.")


class PriceRow(Body):
    """A price row of the team's own; US dollars per million tokens. See docs/costs.md."""

    model_config = ConfigDict(protected_namespaces=(), extra="allow")

    provider: Name
    model: Name


class Reprice(Body):
    provider: Name
    model: Name
    since: str | None = Field(default=None, max_length=40)
    until: str | None = Field(default=None, max_length=40)
    only_unpriced: bool = True
    apply: bool = Field(default=False, description="False: a preview only.")


Scopes = list[Literal["call", "read", "admin"]]
LogContent = Literal["full", "metadata", "none"]
Rate = Annotated[int, Field(ge=1, le=1_000_000)]
Tokens = Annotated[int, Field(ge=1, le=1_000_000_000)]


class KeyBudget(Body):
    """A budget of the key's own, which stops it."""

    model_config = ConfigDict(extra="forbid")

    limit_usd: float = Field(gt=0, le=1e9, allow_inf_nan=False)
    period: Literal["day", "week", "month"] = "month"


class ChangeKey(Body):
    """The fields of a key that change; the rest stays. null takes a limit away."""

    model_config = ConfigDict(extra="forbid")  # a key with a misspelt limit would have none

    name: Annotated[str, Field(min_length=1, max_length=80)] = ""
    scopes: Scopes = Field(default_factory=list, min_length=1)
    models: list[Name] = Field(default_factory=list, max_length=50, description="Patterns such as gpt-4o*; none = all.")
    tags: list[str] = Field(default_factory=list, max_length=10, description="Put on each of its calls.")
    rpm: Rate | None = Field(default=None, description="Requests a minute.")
    user_rpm: Rate | None = Field(default=None, description="Requests a minute of each of its users.")
    tpm: Tokens | None = Field(default=None, description="Tokens a minute, input and output.")
    user_tpm: Tokens | None = Field(default=None, description="Tokens a minute of each of its users.")
    max_parallel: Rate | None = Field(default=None, description="Calls at the same time.")
    user_max_parallel: Rate | None = Field(default=None, description="Calls at the same time of each of its users.")
    log_content: LogContent | None = Field(default=None, description="What is kept of texts; by default as the server.")
    shares_cache: bool = Field(default=False, description="Shares cached responses with other keys that do so.")
    expires_at: str | None = Field(default=None, max_length=40, description="ISO 8601; by default never.")
    owner: str = Field(default="", max_length=200, description="A person's name or id; empty = nobody's.")
    team: str = Field(default="", max_length=60, description="The team that its calls are charged to.")


class TeamLimits(Body):
    """The limits of all keys and people of a team together."""

    model_config = ConfigDict(extra="forbid")  # a misspelt limit would be none

    rpm: Rate | None = Field(default=None, description="Requests a minute.")
    tpm: Tokens | None = Field(default=None, description="Tokens a minute, input and output.")
    max_parallel: Rate | None = Field(default=None, description="Calls at the same time.")


class CreateKey(ChangeKey):
    name: Annotated[str, Field(min_length=1, max_length=80)]
    scopes: Scopes = Field(default=["call"], min_length=1)
    budget: KeyBudget | None = None


class RaiseBudget(Body):
    extra_usd: float = Field(gt=0, le=1e9, allow_inf_nan=False)
    reason: Annotated[str, Field(min_length=1, max_length=500)]
    expires_at: str | None = Field(
        default=None, max_length=40, description="ISO 8601; by default the end of the period."
    )


class CreateBudget(Body):
    model_config = ConfigDict(extra="forbid")  # a limit with a misspelt field would not be the limit that was meant

    name: Annotated[str, Field(min_length=1, max_length=80)]
    limit_usd: float = Field(gt=0, le=1e9, allow_inf_nan=False)
    period: Literal["day", "week", "month", "rolling"] = "month"
    rolling_hours: int = Field(default=0, ge=0, description="For period=rolling: the last so many hours.")
    timezone: str | None = Field(
        default=None, max_length=60, description="Such as Europe/Berlin; by default AIMM_TIME_ZONE."
    )
    scope: str = Field(
        default="all", max_length=520, description="all, or provider:, model:, key:, team:, tag:, user: NAME"
    )
    action: Literal["notify", "downgrade", "stop"] = "notify"
    downgrade_to: str = Field(default="", max_length=200)
    thresholds: list[float] = Field(default_factory=lambda: [0.5, 0.8, 1.0], max_length=10)
    forecast_thresholds: list[float] = Field(default_factory=list, max_length=10)
    refuses_unpriced: bool = False


class ChangeBudget(Body):
    """The fields of a budget that change; the rest stays."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    limit_usd: float | None = Field(default=None, gt=0, le=1e9, allow_inf_nan=False)
    period: Literal["day", "week", "month", "rolling"] | None = None
    rolling_hours: int | None = Field(default=None, ge=0)
    timezone: str | None = Field(default=None, max_length=60)
    scope: str | None = Field(default=None, max_length=520)
    action: Literal["notify", "downgrade", "stop"] | None = None
    downgrade_to: str | None = Field(default=None, max_length=200)
    thresholds: list[float] | None = Field(default=None, max_length=10)
    forecast_thresholds: list[float] | None = Field(default=None, max_length=10)
    refuses_unpriced: bool | None = None
