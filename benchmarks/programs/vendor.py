"""The vendors of `programs.py`: fakes that lead an agent through three calls of tools, whatever its tools are called.

Write a file, read it, write another one, say so. What was read must have come back before it goes on. Each request is
counted as 10 tokens in and 5 out, so what a session costs can be told without the gateway.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fakes import gemini, responses, vendors

FIRST, SECOND = "first.txt", "second.txt"
TEXT, LAST = "alpha-7f3a", "beta-91c4"
SAID = "All three steps are done."
EDITS = f"""Done.

{FIRST}
```
<<<<<<< SEARCH
=======
{TEXT}
>>>>>>> REPLACE
```

{SECOND}
```
<<<<<<< SEARCH
=======
{LAST}
>>>>>>> REPLACE
```

{SAID}
"""
_WRITERS = ("Write", "write_file", "write")
_READERS = ("Read", "read_file", "read")
_SHELLS = ("exec_command", "shell_command", "shell", "bash")
_COUNTED = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
_PATHS = ("file_path", "filePath", "absolute_path", "path")


class Turn(NamedTuple):
    """A request as any wire tells it. tools: Name -> schema of its arguments."""

    model: str
    tools: dict[str, dict[str, Any]]
    results: list[str]
    text: str


class Session:
    """The script, for one folder at a time. asked: The model of each request; faults: what was not as it must be."""

    def __init__(self) -> None:
        self.folder = Path()
        self.asked: list[str] = []
        self.faults: list[str] = []

    def begin(self, folder: Path) -> None:
        self.folder, self.asked, self.faults = folder, [], []

    def next(self, turn: Turn) -> "tuple[str, str, str] | str":
        """A call of a tool, (id, name, arguments), or a text."""
        self.asked.append(turn.model)
        if "SEARCH/REPLACE" in turn.text:
            return EDITS
        if not turn.tools:
            return '{"title": "Two files", "text": "Two files"}'
        step = len(turn.results)
        if step >= 2 and TEXT not in turn.results[1]:
            self.faults.append(f"what was read did not come back: {turn.results[1][:200]!r}")
        if step >= 3:
            return SAID
        call = self._call(turn.tools, step)
        if isinstance(call, str):
            self.faults.append(call)
        return call if isinstance(call, str) else (f"call_{step}", call[0], json.dumps(call[1]))

    def _call(self, tools: dict[str, dict[str, Any]], step: int) -> tuple[str, dict[str, Any]] | str:
        name, text = (FIRST, TEXT) if step < 2 else (SECOND, LAST)
        path, is_read = str(self.folder / name), step == 1
        for tool in _READERS if is_read else _WRITERS:
            if tool in tools:
                properties = tools[tool].get("properties") or {}
                place = next((each for each in _PATHS if each in properties), "path")
                return tool, {place: path} if is_read else {place: path, "content": text}
        command = f"cat {path}" if is_read else f"printf %s {text} > {path}"
        for tool in _SHELLS:
            if tool in tools:
                place = "cmd" if tool == "exec_command" else "command"
                return tool, {place: ["bash", "-c", command] if tool == "shell" else command}
        return f"there is no tool to write with: {sorted(tools)[:30]}"


def of_chat(body: dict[str, Any]) -> Turn:
    tools = {
        tool["function"]["name"]: tool["function"].get("parameters") or {}
        for tool in body.get("tools") or ()
        if "function" in tool
    }
    results = [_text(message["content"]) for message in body["messages"] if message["role"] == "tool"]
    return Turn(body["model"], tools, results, _text(body["messages"]))


def of_messages(body: dict[str, Any]) -> Turn:
    tools = {tool["name"]: tool.get("input_schema") or {} for tool in body.get("tools") or ()}
    blocks = [
        block for message in body["messages"] if isinstance(message["content"], list) for block in message["content"]
    ]
    results = [_text(block.get("content")) for block in blocks if block["type"] == "tool_result"]
    return Turn(body["model"], tools, results, _text([body.get("system"), body["messages"]]))


def of_responses(body: dict[str, Any]) -> Turn:
    tools = {
        tool["name"]: tool.get("parameters") or {} for tool in body.get("tools") or () if tool["type"] == "function"
    }
    items = body["input"] if isinstance(body["input"], list) else []
    results = [_text(item["output"]) for item in items if item.get("type") == "function_call_output"]
    return Turn(body["model"], tools, results, _text([body.get("instructions"), items]))


def of_gemini(path: str, body: dict[str, Any]) -> Turn:
    tools: dict[str, dict[str, Any]] = {}
    for tool in body.get("tools") or ():
        for each in tool.get("functionDeclarations") or ():
            tools[each["name"]] = each.get("parametersJsonSchema") or each.get("parameters") or {}
    parts = [part for content in body["contents"] for part in content.get("parts") or ()]
    results = [_text(part["functionResponse"].get("response")) for part in parts if "functionResponse" in part]
    model = path.rpartition("/")[2].partition(":")[0]
    return Turn(model, tools, results, _text([body.get("systemInstruction"), body["contents"]]))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Vendor(vendors.FakeVendor):
    """OpenAI and Anthropic."""

    def __init__(self, session: Session) -> None:
        super().__init__(("gpt-4o", "claude-sonnet-4-5"))
        self._kept: dict[str, list[Any]] = {}  # response -> its conversation
        self._session = session

    def take(self, path: str, body: dict[str, Any]) -> vendors.Reply:
        if path.endswith("/messages"):
            made = self._session.next(of_messages(body))
            return (
                vendors.anthropic_answer(made)
                if isinstance(made, str)
                else vendors.anthropic_tools(made, text="On it.")
            )
        if path.endswith("/responses"):
            given = body["input"] if isinstance(body["input"], list) else []
            items = [*self._kept.get(body.get("previous_response_id") or "", ()), *given]
            made = self._session.next(of_responses({**body, "input": items}))
            item = responses.text_item(made) if isinstance(made, str) else responses.call_item(*made)
            reply = responses.response_answer(item)
            response_id = responses.as_response(reply.events)["id"]
            self._kept[response_id] = [*items, item]
            self.stored |= {response_id, item["id"]}
            return reply
        made = self._session.next(of_chat(body))
        if isinstance(made, str):
            return vendors.openai_answer(made)
        reply = vendors.openai_tools(made, usage=_COUNTED)
        reply.events[0][1]["choices"][0]["delta"] |= {"role": "assistant", "content": None}
        return reply


class Gemini(gemini.FakeGemini):
    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def take(self, path: str = "", body: dict[str, Any] | None = None) -> gemini.Reply:
        if "enerateContent" not in path:
            return super().take(path, body)
        made = self._session.next(of_gemini(path, body or {}))
        if isinstance(made, str):
            return gemini.answer(made)
        return gemini.Reply(events=[gemini.tool_event((made[1], json.loads(made[2]), "c2lnbmF0dXJl"))])
