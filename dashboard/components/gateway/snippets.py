"""Code that reaches this server by the clients people have: the address, a key and a model put in."""

import streamlit as st

from core.formats import strict_json as json
from dashboard import address
from dashboard.frames import gateway

PROMPT = "Why is the sky blue?"
USER = "u_42"
CLIENTS = ("curl", "OpenAI Python", "OpenAI JavaScript", "Google Gen AI", "LangChain", "promptfoo")


def show(server: str, *, needs_key: bool) -> None:
    help_text = "Models, aliases, and exp:NAME for a running experiment, which assigns each user to a variant."
    names = gateway.names_to_ask()
    address.check("gateway_client", CLIENTS, "client")
    address.check("gateway_model", names, "model")
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        client = st.segmented_control(
            "Client", CLIENTS, default="curl", key="gateway_client", bind="query-params", required=True
        )
        model = st.selectbox("Model", names, key="gateway_model", bind="query-params", help=help_text, width=260)
    key = "aimm_…" if needs_key else "none"
    language, text = snippet(client or "curl", server, model, key)
    st.code(text, language=language)
    if not needs_key:
        st.caption(
            "No key is needed on this machine; clients that insist on one can send anything. Calls with one of the keys"
            " below count towards that key and its limits."
        )
    with st.expander("Outcomes, cache, fallbacks", icon=":material/tune:"):
        outcomes, cache, fallbacks = st.tabs(["Outcomes", "Cache", "Fallbacks"])
        outcomes.caption(
            "Report the outcome of an experiment's answer by an id from its headers: `x-aimm-request-id` or"
            " `x-aimm-assignment`."
        )
        outcomes.code(feedback(server, key), language="bash")
        cache.caption(
            "The same request within this many seconds gets the cached response, at no cost. Each key has a cache of"
            " its own unless it shares it."
        )
        cache.code(curl(server, model, key, "x-aimm-cache: 3600"), language="bash")
        fallbacks.caption(
            "Models to try, in this order, if the first one fails or is down. The headers `x-aimm-model` and"
            " `x-aimm-fallback` say which one answered."
        )
        fallbacks.code(curl(server, model, key, "x-aimm-fallbacks: model-b, model-c"), language="bash")


def snippet(client: str, address: str, model: str, key: str) -> tuple[str, str]:
    """Language and text."""
    user = USER if model.startswith("exp:") else None
    if client == "curl":
        return "bash", curl(address, model, key)
    if client == "OpenAI JavaScript":
        return "javascript", _javascript(address, model, key, user)
    if client == "Google Gen AI":
        return "python", _google(address, model, key, user)
    if client == "LangChain":
        return "python", _langchain(address, model, key, user)
    if client == "promptfoo":
        return "yaml", _promptfoo(address, model, key, user)
    return "python", _openai(address, model, key, user)


def curl(address: str, model: str, key: str, header: str = "") -> str:
    body: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": PROMPT}]}
    if model.startswith("exp:"):
        body["user"] = USER
    return _post(f"{address}/v1/chat/completions", body, key, header)


def feedback(address: str, key: str) -> str:
    by_call = {"generation_id": "g_…", "success": True, "rating": 5, "text": "solved at once"}
    by_unit = {"assignment_id": "a_…", "success": False, "number": 12.5}
    return "\n\n".join(_post(f"{address}/v1/feedback", body, key) for body in (by_call, by_unit))


def _post(url: str, body: dict[str, object], key: str, header: str = "") -> str:
    lines = [f"curl {url}", "-H 'Content-Type: application/json'"]
    lines += [f"-H 'Authorization: Bearer {key}'"] if key != "none" else []
    lines += [f"-H '{header}'"] if header else []
    text = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return " \\\n  ".join([*lines, f"-d '{text}'"])


def _openai(address: str, model: str, key: str, user: str | None) -> str:
    who = f'    user="{user}",\n' if user else ""
    return f"""from openai import OpenAI

client = OpenAI(base_url="{address}/v1", api_key="{key}")
answer = client.chat.completions.create(
    model={json.dumps(model, ensure_ascii=False)},
    messages=[{{"role": "user", "content": "{PROMPT}"}}],
{who})
print(answer.choices[0].message.content)"""


def _javascript(address: str, model: str, key: str, user: str | None) -> str:
    who = f'  user: "{user}",\n' if user else ""
    return f"""import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{address}/v1", apiKey: "{key}" }});
const answer = await client.chat.completions.create({{
  model: {json.dumps(model, ensure_ascii=False)},
  messages: [{{ role: "user", content: "{PROMPT}" }}],
{who}}});
console.log(answer.choices[0].message.content);"""


def _google(address: str, model: str, key: str, user: str | None) -> str:
    who = f', "headers": {{"x-aimm-user": "{user}"}}' if user else ""
    return f"""from google import genai

client = genai.Client(api_key="{key}", http_options={{"base_url": "{address}/gemini"{who}}})
answer = client.models.generate_content(model={json.dumps(model, ensure_ascii=False)}, contents="{PROMPT}")
print(answer.text)"""


def _langchain(address: str, model: str, key: str, user: str | None) -> str:
    who = f', model_kwargs={{"user": "{user}"}}' if user else ""
    return f"""from langchain_openai import ChatOpenAI

model = ChatOpenAI(base_url="{address}/v1", api_key="{key}", model={json.dumps(model, ensure_ascii=False)}{who})
print(model.invoke("{PROMPT}").content)"""


def _promptfoo(address: str, model: str, key: str, user: str | None) -> str:
    who = f"\n      passthrough: {{user: {user}}}" if user else ""
    return f"""# promptfooconfig.yaml
prompts:
  - "{{{{question}}}}"
providers:
  - id: {json.dumps(f"openai:chat:{model}", ensure_ascii=False)}
    config:
      apiBaseUrl: {address}/v1
      apiKey: {key}{who}
tests:
  - vars: {{question: "{PROMPT}"}}"""
