"""Programs that speak Gemini's wire."""

from api.gateway.clients import AGENT, Asking, Client, in_shell, literal, python_call


def _python(a: Asking) -> str:
    config = {name: value for name, value in a.body.items() if name not in ("contents", "generationConfig")}
    config |= a.body.get("generationConfig", {})
    asked = {"model": a.request.model, "contents": a.body["contents"], **({"config": config} if config else {})}
    options = {"base_url": f"{a.server}/gemini", **({"headers": {"x-aimm-user": a.user}} if a.user else {})}
    return f"""from google import genai

client = genai.Client(api_key="{a.key}", http_options={literal(options)})
answer = {python_call("client.models.generate_content", asked)}
print(answer.text)"""


def _gemini_cli(a: Asking) -> str:
    user = f'\nexport GEMINI_CLI_CUSTOM_HEADERS="x-aimm-user: {a.user}"' if a.user else ""
    return f"""mkdir -p ~/.gemini  # it wants to be told once that there is a key
[ -e ~/.gemini/settings.json ] ||
  echo '{{"security": {{"auth": {{"selectedType": "gemini-api-key"}}}}}}' > ~/.gemini/settings.json
export GOOGLE_GEMINI_BASE_URL={a.server}/gemini
export GEMINI_API_KEY={a.key}{user}
gemini -m {in_shell(a.request.model)} -p {in_shell(a.request.prompt)}"""


CLIENTS = (
    Client("Google Gen AI", "python", _python),
    Client("Gemini CLI", "bash", _gemini_cli, is_whole=False, kind=AGENT),
)
