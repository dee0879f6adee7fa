"""Bodies about deployments. A key in them shows in no message."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, SecretStr, StrictBool

from api.rest.schemas import Body

Text = Annotated[str, Field(max_length=500)]
Secret = Annotated[SecretStr, Field(max_length=20_000)]
_RENAMED = {"rest_seconds": "rest_s", "private": "is_private", "enabled": "is_enabled"}


class ChangeDeployment(Body):
    model_config = ConfigDict(extra="forbid")  # a misspelt weight would be another one than was meant

    url: Text | None = None
    api_version: Text | None = Field(default=None, description="Of Azure's dated addresses, such as 2024-10-21.")
    models: dict[Text, Text] | None = Field(
        default=None, description="Model -> its name there; none = all of its vendor's by their own names."
    )
    weight: int | None = Field(default=None, description="Its share of the calls among those of its priority.")
    priority: int | None = Field(default=None, description="The lowest number is asked first.")
    rest_seconds: int | None = Field(default=None, description="Its shortest rest once it is limited or down.")
    private: StrictBool | None = Field(default=None, description="Allow an address of a private network.")
    enabled: StrictBool | None = None
    key: Secret | None = Field(default=None, description="Another key, as another address needs it.")

    def fields(self) -> dict[str, Any]:
        """The fields of the deployment that are said, without its key."""
        said = self.model_dump(exclude={"name", "kind", "key", "test"}, exclude_none=True)
        return {_RENAMED.get(name, name): value for name, value in said.items()}


class AddDeployment(ChangeDeployment):
    name: Text
    kind: Text
    key: Secret = SecretStr("")
    vendor: Text | None = Field(default=None, description="Whose models it answers, where its kind leaves that open.")
    region: Text | None = None
    project: Text | None = None
    test: StrictBool = Field(default=True, description="Try it before it is kept.")


class RotateKey(Body):
    key: Secret
    test: StrictBool = Field(default=True, description="Try the key before it is used.")
