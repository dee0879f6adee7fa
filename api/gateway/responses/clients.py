"""Programs that speak OpenAI's Responses."""

from api.gateway.clients import AGENT, FRAMEWORK, Asking, Client, in_shell, literal


def _codex(a: Asking) -> str:
    user = f', http_headers={{"x-aimm-user"="{a.user}"}}' if a.user else ""
    ours = f'name="AI Model Manager", base_url="{a.server}/v1", env_key="AIMM_KEY", wire_api="responses"{user}'
    return f"""export AIMM_KEY={a.key}
codex exec --skip-git-repo-check -m {in_shell(a.request.model)} -c model_provider=aimm \\
  -c 'model_providers.aimm={{{ours}}}' {in_shell(a.request.prompt)}"""


def _ai_sdk(a: Asking) -> str:
    user = f', headers: {{ "x-aimm-user": "{a.user}" }}' if a.user else ""
    return f"""import {{ createOpenAI }} from "@ai-sdk/openai";
import {{ generateText }} from "ai";

const ours = createOpenAI({{ baseURL: "{a.server}/v1", apiKey: "{a.key}"{user} }});
const {{ text }} = await generateText({{
  model: ours({literal(a.request.model)}),
  prompt: {literal(a.request.prompt)},
}});
console.log(text);"""


def _agents(a: Asking) -> str:
    user = f', default_headers={{"x-aimm-user": "{a.user}"}}' if a.user else ""
    return f"""from agents import Agent, Runner, set_default_openai_client, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)  # traces would go to OpenAI
set_default_openai_client(AsyncOpenAI(base_url="{a.server}/v1", api_key="{a.key}"{user}))
agent = Agent(name="Assistant", model={literal(a.request.model)})
print(Runner.run_sync(agent, {literal(a.request.prompt)}).final_output)"""


CLIENTS = (
    Client("Codex", "bash", _codex, is_whole=False, kind=AGENT),
    Client("AI SDK", "javascript", _ai_sdk, is_whole=False, kind=FRAMEWORK),
    Client("Agents SDK", "python", _agents, is_whole=False, kind=FRAMEWORK),
)
