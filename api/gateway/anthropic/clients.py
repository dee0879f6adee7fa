"""Programs that speak Anthropic's wire."""

from api.gateway.clients import Asking, Client, literal


def _python(a: Asking) -> str:
    user = f", metadata={literal({'user_id': a.user})}" if a.user else ""
    return f"""from anthropic import Anthropic

client = Anthropic(base_url="{a.server}", api_key="{a.key}")
answer = client.messages.create(
    model={literal(a.request.model)}, max_tokens=1024{user},
    messages=[{{"role": "user", "content": {literal(a.request.prompt)}}}],
)
print("".join(block.text for block in answer.content if block.type == "text"))"""


def _claude_code(a: Asking) -> str:
    return f"""export ANTHROPIC_BASE_URL={a.server}
export ANTHROPIC_AUTH_TOKEN={a.key}
export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
claude --model {a.request.model}"""


CLIENTS = (
    Client("Anthropic Python", "python", _python, is_whole=False),
    Client("Claude Code", "bash", _claude_code, is_whole=False),
)
