"""The bodies of requests about prompts and datasets."""

from typing import Annotated, Any, Literal

from pydantic import Field

from api.rest.schemas import Body, Text

Remark = Annotated[str, Field(default="", max_length=2000)]


class SavePrompt(Body):
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
