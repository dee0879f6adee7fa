"""What every Python client is put through, and how a client's findings reach the benchmark: as JSON on the last line.

This and the `run_*.py` beside it run in the client's own virtual environment: the standard library and the client only.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

S: Any = SimpleNamespace(**json.loads((Path(__file__).parent / "scenario.json").read_text(encoding="utf-8")))
BASE_URL, KEY, MODEL, UNKNOWN_MODEL = sys.argv[1:5]
TIMEOUT_S = 20.0
TOOL = {"type": "function", "function": S.tool}
RESPONSE_FORMAT = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": S.schema}}
CONVERSATION = [
    {"role": "system", "content": S.system},
    *({"role": role, "content": text} for role, text in S.turns),
]
LIMITS = {"temperature": S.temperature, "max_tokens": S.max_tokens, "stop": S.stop}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def report(**features: Callable[[], Any]) -> None:
    """Run the features one by one; one that cannot be run says why under "failed"."""
    print(json.dumps({name: _tried(run) for name, run in features.items()}))


def failures(ask: Callable[[str, str], Any], describe: Callable[[Exception], Any]) -> dict[str, Any]:
    """What the client raises for an unknown model, a rate limit and a prompt that is too long."""
    cases = {
        "unknown model": (UNKNOWN_MODEL, S.hello),
        "rate limit": (MODEL, S.overloaded),
        "too long": (MODEL, S.too_long),
    }
    found: dict[str, Any] = {}
    for name, (model, text) in cases.items():
        try:
            found[name] = {"failed": f"no error, but {ask(model, text)}"}
        except Exception as error:  # noqa: BLE001 - which one it is, is the question
            found[name] = {"class": type(error).__name__, **describe(error)}
    return found


def _tried(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except Exception as error:  # noqa: BLE001 - any error of a client is a finding
        return {"failed": f"{type(error).__name__}: {error}"}
