"""promptfoo's command line: one evaluation with one provider a case, and what its result file says.

promptfoo does not stream, and leaves a tool's result to whoever writes the next prompt: here a prompt with a call in it.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from scenario import BASE_URL, CONVERSATION, KEY, LIMITS, MODEL, RESPONSE_FORMAT, TOOL, UNKNOWN_MODEL, S, report, user

FOLDER = Path(sys.argv[5])
CALL = {
    "id": "call_7",
    "type": "function",
    "function": {"name": "get_weather", "arguments": json.dumps({"city": "Paris"})},
}
AFTER = [
    user(S.one_city),
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_7", "content": json.dumps(S.weather)},
]
# Label -> (messages, settings, model).
CASES: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "conversation": (CONVERSATION, LIMITS, MODEL),
    "one": ([user(S.one_city)], {"tools": [TOOL]}, MODEL),
    "after one": (AFTER, {"tools": [TOOL]}, MODEL),
    "json": ([user(S.json)], {"response_format": RESPONSE_FORMAT}, MODEL),
    "rate limit": ([user(S.overloaded)], {}, MODEL),
    "too long": ([user(S.too_long)], {}, MODEL),
    "unknown model": ([user(S.hello)], {}, UNKNOWN_MODEL),  # the last: promptfoo gives up at a 404
}
ERRORS = ("unknown model", "rate limit", "too long")
QUIET = {
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
    "PROMPTFOO_DISABLE_ADAPTIVE_SCHEDULER": "1",
    "PROMPTFOO_DISABLE_SHARING": "1",
    "CI": "1",
}


def configuration() -> dict[str, Any]:
    prompts = [{"label": label, "raw": json.dumps(messages)} for label, (messages, _, _) in CASES.items()]
    reached = {"apiBaseUrl": BASE_URL, "apiKey": KEY, "maxRetries": 0}
    providers = [
        {"id": f"openai:chat:{model}", "label": label, "prompts": [label], "config": {**reached, **settings}}
        for label, (_, settings, model) in CASES.items()
    ]
    return {"prompts": prompts, "providers": providers, "tests": [{"vars": {}}]}


def evaluated() -> dict[str, Any]:
    """Label -> result."""
    with tempfile.TemporaryDirectory(prefix="aimm-promptfoo-") as name:
        folder = Path(name)
        (folder / "promptfooconfig.json").write_text(json.dumps(configuration()), encoding="utf-8")
        command = [
            FOLDER / "node_modules" / ".bin" / "promptfoo",
            "eval",
            "-c",
            "promptfooconfig.json",
            "-o",
            "out.json",
        ]
        command += ["--no-cache", "--no-write", "--no-table", "--no-progress-bar", "-j", "1"]
        environ = os.environ | QUIET | {"PROMPTFOO_CONFIG_DIR": str(folder / "home")}
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=240)
        if not (folder / "out.json").exists():
            raise RuntimeError(f"promptfoo wrote no results: {(done.stdout + done.stderr)[-2000:]}")
        results = json.loads((folder / "out.json").read_text(encoding="utf-8"))["results"]["results"]
        return {result["provider"]["label"]: result for result in results}


def seen(result: dict[str, Any]) -> dict[str, Any]:
    response = result["response"]
    output = response["output"]
    if isinstance(output, list):
        output = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in output]
    usage = {name: value for name, value in response["tokenUsage"].items() if name != "assertions"}
    return {"output": output, "finish": response.get("finishReason"), "usage": usage}


def failed(result: dict[str, Any]) -> dict[str, Any]:
    text = result.get("error") or ""
    code = re.search(r'code"?: ?"?(\w+)', text)
    http = result["response"]["metadata"]["http"]
    found = {"status": http["status"], "code": code and code[1], "retry-after": http["headers"].get("retry-after")}
    return found | {"kind": result["response"]["metadata"].get("rateLimitKind")}


RESULTS = evaluated()
report(
    conversation=lambda: seen(RESULTS["conversation"]),
    tools=lambda: {label: seen(RESULTS[label]) for label in ("one", "after one")},
    json=lambda: seen(RESULTS["json"]),
    errors=lambda: {label: failed(RESULTS[label]) for label in ERRORS},
)
