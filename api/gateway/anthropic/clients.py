"""Programs that speak Anthropic's wire."""

from api.gateway.clients import AGENT, Asking, Client, in_shell, literal


def _python(a: Asking) -> str:
    user = f"\n    metadata={literal({'user_id': a.user})}," if a.user else ""
    return f"""from anthropic import Anthropic

client = Anthropic(base_url="{a.server}", api_key="{a.key}")
answer = client.messages.create(
    model={literal(a.request.model)}, max_tokens=1024,{user}
    messages=[{{"role": "user", "content": {literal(a.request.prompt)}}}],
)
print("".join(block.text for block in answer.content if block.type == "text"))"""


def _claude_code(a: Asking) -> str:
    user = f'\nexport ANTHROPIC_CUSTOM_HEADERS="x-aimm-user: {a.user}"' if a.user else ""
    return f"""export ANTHROPIC_BASE_URL={a.server}
export ANTHROPIC_AUTH_TOKEN={a.key}{user}
claude --model {in_shell(a.request.model)} -p {in_shell(a.request.prompt)}"""


CLIENTS = (
    Client("Anthropic Python", "python", _python, is_whole=False),
    Client("Claude Code", "bash", _claude_code, is_whole=False, kind=AGENT),
)
