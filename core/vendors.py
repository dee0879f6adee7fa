"""The vendors of models, and the ways to ask them: one entry says all that is particular to each. Pure data.

A vendor that speaks a wire which is known needs nothing else; one with a wire of its own has a builder in
`core/providers/builders.py`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorSpec:
    """One vendor.

    name: In records, prices and `name/model`.
    label: For people.
    wire: The wire that it speaks.
    url: Its base address, where none is set.
    url_variable: The environment variable of another base address.
    key_variables: Environment variables of its key; the first that is set counts.
    prefixes: Beginnings of names that are its models' before any list is read.
    aliases: Other words for it before a model's name.
    catalogue: The vendor in the price catalogue; None = it has no prices there.
    telemetry: The provider in OpenTelemetry's conventions, where it differs from the name.
    is_local: It runs on machines of one's own: it needs no key, costs nothing, and need not be there.
    """

    name: str
    label: str
    wire: str
    url: str
    url_variable: str
    key_variables: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    catalogue: str | None = None
    telemetry: str = ""
    is_local: bool = False


VENDORS = {
    spec.name: spec
    for spec in (
        VendorSpec(
            name="gemini",
            label="Gemini",
            wire="gemini",
            url="https://generativelanguage.googleapis.com",
            url_variable="GOOGLE_GEMINI_BASE_URL",
            key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            prefixes=("gemini-", "gemma-", "learnlm-"),
            aliases=("google",),
            catalogue="google",
            telemetry="gcp.gemini",
        ),
        VendorSpec(
            name="openai",
            label="OpenAI",
            wire="openai",
            url="https://api.openai.com/v1",
            url_variable="OPENAI_BASE_URL",
            key_variables=("OPENAI_API_KEY",),
            prefixes=(
                "gpt-",
                "chatgpt-",
                "o1",
                "o3",
                "o4",
                "text-embedding-",
                "tts-",
                "whisper-",
                "dall-e-",
                "omni-moderation-",
                "text-moderation-",
                "davinci-",
                "babbage-",
            ),
            catalogue="openai",
        ),
        VendorSpec(
            name="anthropic",
            label="Anthropic",
            wire="anthropic",
            url="https://api.anthropic.com",
            url_variable="ANTHROPIC_BASE_URL",
            key_variables=("ANTHROPIC_API_KEY",),
            prefixes=("claude-",),
            catalogue="anthropic",
        ),
        VendorSpec(
            name="ollama",
            label="Ollama",
            wire="openai",
            url="http://127.0.0.1:11434",
            url_variable="OLLAMA_HOST",
            is_local=True,
        ),
    )
}


def named(name: str) -> VendorSpec | None:
    """The vendor that is meant by a word before a model's name, such as `google`."""
    return VENDORS.get(name) or next((spec for spec in VENDORS.values() if name in spec.aliases), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentKind:
    """One way to ask a vendor's models.

    name: In records.
    label: For people.
    vendor: Whose models it answers, where nothing else is said; empty = a vendor of the deployment's own name.
    wire: The wire that it speaks.
    url: Its base address, where none is given; `{region}` and `{project}` stand for what is given beside it.
    example: An address as it may look, where one must be given.
    key: What its key is, in words.
    """

    name: str
    label: str
    vendor: str
    wire: str
    url: str = ""
    example: str = ""
    key: str = "API key"


DEPLOYMENT_KINDS = {
    kind.name: kind
    for kind in (
        *(
            DeploymentKind(name=spec.name, label=spec.label, vendor=spec.name, wire=spec.wire, url=spec.url)
            for spec in VENDORS.values()
            if not spec.is_local
        ),
        DeploymentKind(
            name="server",
            label="Server of OpenAI's API",
            vendor="",
            wire="openai",
            example="https://llm.example.com/v1",
        ),
        DeploymentKind(
            name="azure",
            label="Azure OpenAI",
            vendor="openai",
            wire="openai",
            example="https://my-resource.openai.azure.com",
        ),
        DeploymentKind(
            name="bedrock",
            label="Amazon Bedrock",
            vendor="bedrock",
            wire="openai",
            url="https://bedrock-runtime.{region}.amazonaws.com/openai/v1",
            key="Bedrock API key",
        ),
        DeploymentKind(
            name="vertex",
            label="Vertex AI",
            vendor="gemini",
            wire="gemini",
            url="https://{region}-aiplatform.googleapis.com/v1/projects/{project}/locations/{region}/publishers/google",
            key="API key, or the JSON of a service account's key",
        ),
    )
}
