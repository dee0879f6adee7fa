"""The bodies of requests about prompts, datasets and evaluations."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.rest.schemas import Body, Text

Remark = Annotated[str, Field(default="", max_length=2000)]


class SavePrompt(Body):
    model_config = ConfigDict(protected_namespaces=(), extra="forbid")  # what is misspelt would be in no version

    messages: list[dict[str, Any]] = Field(default_factory=list, description="Turns with role and content.")
    system: Text | None = Field(default=None, description="Instead of a turn of the system.")
    prompt: Text | None = Field(default=None, description="Instead of a turn of the user.")
    model: str | None = Field(default=None, max_length=200)
    parameters: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    note: Remark
    author: Remark


class MoveLabel(Body):
    number: int = Field(ge=1, le=10**9, description="The version that it is to point at.")
    author: Remark
    run_id: str = Field(default="", max_length=80, description="The evaluation that justifies it.")


class DatasetFile(Body):
    text: Text = Field(description="The file: CSV, JSONL, JSON or YAML.")
    format: Literal["csv", "jsonl", "json", "yaml"] | None = Field(default=None, description="By default what it is.")
    filename: str = Field(default="", max_length=200)
    mapping: dict[str, str] | None = Field(default=None, description="By column: variable, expected, tags, metadata …")


class ImportDataset(DatasetFile):
    skip_bad: bool = Field(default=False, description="Leave bad rows out; the version's note counts and names them.")
    adds: bool = Field(default=False, description="Put the rows at the end of the newest version.")
    note: Remark
    author: Remark


class BeginEvaluation(Body):
    """The keys of an evaluation's file; see docs/evaluation.md."""

    model_config = ConfigDict(protected_namespaces=(), extra="allow")
    name: str | None = Field(default=None, max_length=200)
    dataset: str = Field(min_length=1, max_length=200, description="A dataset, or a version of one (`faq@3`).")
    prompts: list[str] | None = Field(default=None, max_length=26, description="Versions or labels (`support@live`).")
    models: list[str] | None = Field(default=None, max_length=26)
    contestants: list[dict[str, Any]] | None = Field(default=None, max_length=26)
    parameters: dict[str, Any] | None = None
    repeat: int | None = None
    checks: list[dict[str, Any]] | None = Field(default=None, max_length=200)
    threshold: float | None = None
    spending_limit_usd: float | None = Field(default=None, gt=0)
    concurrency: int | None = None
    reuse_days: float | None = Field(default=None, ge=0, le=3650)
    gate: dict[str, Any] | None = None


class ResumeEvaluation(Body):
    spending_limit_usd: float | None = Field(
        default=None, gt=0, description="Of the whole run, what it spent included."
    )
    errors: bool = Field(default=True, description="Ask those that failed too.")


SAME_LIMIT = ResumeEvaluation()


class GradeAnew(Body):
    checks: list[dict[str, Any]] | None = Field(default=None, max_length=200, description="In place of the run's own.")
    threshold: float | None = None


class Judge(Body):
    against: str = Field(default="", max_length=100, description="A baseline or a run in place of the gate's own.")


class Bless(Body):
    run_id: str = Field(min_length=1, max_length=80)
