"""Programs that speak the OpenAI wire."""

from api.gateway.clients import AGENT, FRAMEWORK, Asking, Client, in_shell, literal, post, python_call
from core.formats import strict_json as json


def _body(a: Asking) -> dict[str, object]:
    return {**a.body, **({"user": a.user} if a.user else {})}


def _curl(a: Asking) -> str:
    return post(f"{a.server}/v1/chat/completions", _body(a), a.key, a.headers)


def _python(a: Asking) -> str:
    body = _body(a)
    ours = {name: body.pop(name) for name in ("thinking_budget",) if name in body}  # the client knows no such argument
    asked = python_call("client.chat.completions.create", body | ({"extra_body": ours} if ours else {}))
    return f"""from openai import OpenAI

client = OpenAI(base_url="{a.server}/v1", api_key="{a.key}")
answer = {asked}
print(answer.choices[0].message.content)"""


def _javascript(a: Asking) -> str:
    user = f'  user: "{a.user}",\n' if a.user else ""
    return f"""import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{a.server}/v1", apiKey: "{a.key}" }});
const answer = await client.chat.completions.create({{
  model: {_quoted(a.request.model)},
  messages: [{{ role: "user", content: {_quoted(a.request.prompt)} }}],
{user}}});
console.log(answer.choices[0].message.content);"""


def _langchain(a: Asking) -> str:
    user = f", model_kwargs={literal({'user': a.user})}" if a.user else ""
    return f"""from langchain_openai import ChatOpenAI

model = ChatOpenAI(base_url="{a.server}/v1", api_key="{a.key}", model={literal(a.request.model)}{user})
print(model.invoke({literal(a.request.prompt)}).content)"""


def _promptfoo(a: Asking) -> str:
    user = f"\n      passthrough: {{user: {a.user}}}" if a.user else ""
    return f"""# promptfooconfig.yaml
prompts:
  - "{{{{question}}}}"
providers:
  - id: {_quoted(f"openai:chat:{a.request.model}")}
    config:
      apiBaseUrl: {a.server}/v1
      apiKey: {a.key}{user}
tests:
  - vars: {{question: {_quoted(a.request.prompt)}}}"""


def _opencode(a: Asking) -> str:
    options = {"baseURL": f"{a.server}/v1", "apiKey": a.key, **({"headers": {"x-aimm-user": a.user}} if a.user else {})}
    ours = {"npm": "@ai-sdk/openai-compatible", "name": "AI Model Manager", "options": options}
    chosen = {"model": f"aimm/{a.request.model}", "provider": {"aimm": {**ours, "models": {a.request.model: {}}}}}
    return f"// opencode.json\n{json.dumps(chosen, ensure_ascii=False, indent=2)}"


def _aider(a: Asking) -> str:
    return f"""export OPENAI_API_BASE={a.server}/v1
export OPENAI_API_KEY={a.key}
aider --model {in_shell(f"openai/{a.request.model}")} --message {in_shell(a.request.prompt)}"""


def _quoted(text: str) -> str:
    """A text in JavaScript and YAML."""
    return json.dumps(text, ensure_ascii=False)


CLIENTS = (
    Client("curl", "bash", _curl),
    Client("OpenAI Python", "python", _python),
    Client("OpenAI JavaScript", "javascript", _javascript, is_whole=False),
    Client("LangChain", "python", _langchain, is_whole=False, kind=FRAMEWORK),
    Client("promptfoo", "yaml", _promptfoo, is_whole=False, kind=FRAMEWORK),
    Client("opencode", "json", _opencode, is_whole=False, kind=AGENT),
    Client("aider", "bash", _aider, is_whole=False, kind=AGENT),
)
