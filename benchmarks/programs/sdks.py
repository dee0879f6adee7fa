"""A session by one library for Python: NAME BASE KEY MODEL FOLDER; prints the last text."""

import json
import sys
from pathlib import Path
from typing import Any

NAME, BASE, KEY, MODEL, FOLDER = sys.argv[1:]
PROMPT = "Write first.txt, read it, then write second.txt."
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
BOTH = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
    "required": ["path", "content"],
}
TOLD = {"write_file": ("Write a file", BOTH), "read_file": ("Read a file", SCHEMA)}


def write_file(path: str, content: str) -> str:
    """Write a file."""
    (Path(FOLDER) / Path(path).name).write_text(content)
    return "written"


def read_file(path: str) -> str:
    """Read a file."""
    return (Path(FOLDER) / Path(path).name).read_text()


def called(name: str, arguments: Any) -> str:
    given = json.loads(arguments) if isinstance(arguments, str) else arguments
    return {"write_file": write_file, "read_file": read_file}[name](**given)


def anthropic() -> str:
    from anthropic import Anthropic

    client = Anthropic(base_url=BASE, api_key=KEY)
    tools = [{"name": name, "description": told, "input_schema": schema} for name, (told, schema) in TOLD.items()]
    turns: list[Any] = [{"role": "user", "content": PROMPT}]
    while True:
        with client.messages.stream(model=MODEL, max_tokens=2000, tools=tools, messages=turns) as stream:
            answer = stream.get_final_message()
        calls = [block for block in answer.content if block.type == "tool_use"]
        if not calls:
            return answer.content[0].text
        results = [
            {"type": "tool_result", "tool_use_id": each.id, "content": called(each.name, each.input)} for each in calls
        ]
        turns += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]


def openai_chat() -> str:
    from openai import OpenAI

    client = OpenAI(base_url=f"{BASE}/v1", api_key=KEY)
    tools = [
        {"type": "function", "function": {"name": name, "description": told, "parameters": schema}}
        for name, (told, schema) in TOLD.items()
    ]
    turns: list[Any] = [{"role": "user", "content": PROMPT}]
    while True:
        with client.chat.completions.stream(model=MODEL, tools=tools, messages=turns) as stream:
            message = stream.get_final_completion().choices[0].message
        turns.append(message)
        if not message.tool_calls:
            return message.content
        turns += [
            {"role": "tool", "tool_call_id": each.id, "content": called(each.function.name, each.function.arguments)}
            for each in message.tool_calls
        ]


def openai_responses() -> str:
    from openai import OpenAI

    client = OpenAI(base_url=f"{BASE}/v1", api_key=KEY)
    tools = [
        {"type": "function", "name": name, "description": told, "parameters": schema}
        for name, (told, schema) in TOLD.items()
    ]
    items: list[Any] = [{"role": "user", "content": PROMPT}]
    while True:
        with client.responses.stream(model=MODEL, tools=tools, input=items) as stream:
            answer = stream.get_final_response()
        items += answer.output
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            return answer.output_text
        items += [
            {"type": "function_call_output", "call_id": each.call_id, "output": called(each.name, each.arguments)}
            for each in calls
        ]


def openai_previous() -> str:
    """The same with the conversation kept by the server."""
    from openai import OpenAI

    client = OpenAI(base_url=f"{BASE}/v1", api_key=KEY)
    tools = [
        {"type": "function", "name": name, "description": told, "parameters": schema}
        for name, (told, schema) in TOLD.items()
    ]
    answer = client.responses.create(model=MODEL, tools=tools, input=PROMPT)
    while calls := [item for item in answer.output if item.type == "function_call"]:
        items = [
            {"type": "function_call_output", "call_id": each.call_id, "output": called(each.name, each.arguments)}
            for each in calls
        ]
        answer = client.responses.create(model=MODEL, tools=tools, input=items, previous_response_id=answer.id)
    return answer.output_text


def agents() -> str:
    import asyncio

    from agents import Agent, Runner, function_tool, set_default_openai_client, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    set_default_openai_client(AsyncOpenAI(base_url=f"{BASE}/v1", api_key=KEY))
    agent = Agent(name="a", model=MODEL, tools=[function_tool(write_file), function_tool(read_file)])

    async def main() -> str:
        run = Runner.run_streamed(agent, PROMPT)
        async for _ in run.stream_events():
            pass
        return str(run.final_output)

    return asyncio.run(main())


def pydantic(model: Any) -> str:
    from pydantic_ai import Agent

    return str(Agent(model, tools=[write_file, read_file]).run_sync(PROMPT).output)


def pydantic_chat() -> str:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return pydantic(OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=f"{BASE}/v1", api_key=KEY)))


def pydantic_responses() -> str:
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return pydantic(OpenAIResponsesModel(MODEL, provider=OpenAIProvider(base_url=f"{BASE}/v1", api_key=KEY)))


def pydantic_anthropic() -> str:
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    return pydantic(AnthropicModel(MODEL, provider=AnthropicProvider(base_url=BASE, api_key=KEY)))


def pydantic_google() -> str:
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    return pydantic(GoogleModel(MODEL, provider=GoogleProvider(base_url=f"{BASE}/gemini", api_key=KEY)))


def langchain(model: Any) -> str:
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import tool

    bound = model.bind_tools([tool(write_file), tool(read_file)])
    turns: list[Any] = [("user", PROMPT)]
    while True:
        whole = None
        for chunk in bound.stream(turns):
            whole = chunk if whole is None else whole + chunk
        assert whole is not None
        turns.append(whole)
        if not whole.tool_calls:
            return str(whole.text)
        turns += [ToolMessage(called(each["name"], each["args"]), tool_call_id=each["id"]) for each in whole.tool_calls]


def langchain_chat() -> str:
    from langchain_openai import ChatOpenAI

    return langchain(ChatOpenAI(base_url=f"{BASE}/v1", api_key=KEY, model=MODEL))


def langchain_responses() -> str:
    from langchain_openai import ChatOpenAI

    return langchain(ChatOpenAI(base_url=f"{BASE}/v1", api_key=KEY, model=MODEL, use_responses_api=True))


def langchain_anthropic() -> str:
    from langchain_anthropic import ChatAnthropic

    return langchain(ChatAnthropic(base_url=BASE, api_key=KEY, model_name=MODEL))


def langchain_google() -> str:
    from langchain_google_genai import ChatGoogleGenerativeAI

    return langchain(ChatGoogleGenerativeAI(base_url=f"{BASE}/gemini", api_key=KEY, model=MODEL))


def google() -> str:
    from google import genai
    from google.genai import types

    client = genai.Client(api_key=KEY, http_options={"base_url": f"{BASE}/gemini"})
    config = types.GenerateContentConfig(tools=[write_file, read_file])
    return client.models.generate_content(model=MODEL, contents=PROMPT, config=config).text


print(globals()[NAME]())
