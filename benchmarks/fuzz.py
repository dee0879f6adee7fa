"""Every address with values that nobody would send: `python benchmarks/fuzz.py --cases 10000`; exit 1 on any failure.

Schemathesis makes requests out of the document at /openapi.json and holds the answers against it. It lives in an environment
of its own in ~/.cache/aimm-benchmarks. The server is a real one over an empty database, with simulated models only.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import NO_VENDOR, ROOT, Server, answers, free_port, temporary_folder, url_of, wait_until
from fuzz_values import fuzz

PLACE = Path.home() / ".cache" / "aimm-benchmarks" / "schemathesis"
VERSION = "schemathesis>=4.32,<5"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
MODELS = ["sim-fast", "sim-balanced", "exp:fuzz", "fuzz"]
_GENERATED = re.compile(r"(\d[\d,]*) generated")
# A run of a workflow, or all of a comparison, may fail over what it was asked: that is an answer. A fault here is not.
CONFIG = """\
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", "502"]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="at least so many requests")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--values", type=int, default=1_000_000, help="of each address, at most so many with one bad value"
    )
    parser.add_argument("--database", default="", help="the address of an empty database; by default SQLite in a file")
    parser.add_argument("--only", help="a regular expression of paths, for schemathesis alone")
    parser.add_argument("--phases", default="examples,coverage,fuzzing,stateful")
    args = parser.parse_args()
    tool = installed()
    only = ["--include-path-regex", args.only] if args.only else []
    sent, failed, began = 0, False, time.monotonic()
    with temporary_folder() as folder, served(folder, args.database) as server:
        known = seeded(server.address)
        path = folder / "openapi.json"
        document = helped(ask(server.address, "GET", "/openapi.json"), known)
        path.write_text(json.dumps(document))
        (folder / "schemathesis.toml").write_text(CONFIG)
        n_operations = sum(len(each) for each in document["paths"].values())
        each, seed = -(-args.cases // n_operations), args.seed
        while sent < args.cases and not failed:
            n, is_clean = run(
                [
                    str(tool),
                    "run",
                    str(path),
                    "--url",
                    f"http://127.0.0.1:{server.port}",
                    "--max-examples",
                    str(each),
                    "--seed",
                    str(seed),
                    "--phases",
                    args.phases,
                    *only,
                ],
                folder,
            )
            sent, seed, failed = sent + n, seed + 1, failed or not is_clean or n == 0
        wrong: list[str] = []
        n_values = (
            0
            if args.only or not args.values
            else fuzz(server.port, seeded(server.address, "again"), wrong.append, args.values)
        )
        print(*(f"! {each}" for each in wrong), sep="\n")
        failed = failed or bool(wrong)
        if server.process.poll() is not None or not answers(server.address + "/healthz"):
            failed = True
            print("! The server has ended.")
        log = server.log.read_text()
    faults = sorted(set(re.findall(r"failed unexpectedly: (\w+)", log)))
    if "Traceback" in log or faults:
        failed = True
        print(f"! The server's log has faults: {', '.join(faults)}\n{log[:8000]}")
    took_s = time.monotonic() - began
    print(
        f"\n{sent:,} requests by schemathesis to {n_operations} operations and {n_values:,} with one bad value, in {took_s:.0f} s"
    )
    print("FAILED" if failed else "No failure.")
    return 1 if failed else 0


def installed() -> Path:
    """Schemathesis's command, installed if it is not there."""
    tool = PLACE / "bin" / "schemathesis"
    if not tool.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PLACE)], check=True)
        subprocess.run([str(PLACE / "bin" / "pip"), "install", "-q", VERSION], check=True)
    return tool


@contextmanager
def served(folder: Path, database: str) -> Iterator[Server]:
    port, path = free_port(), folder / "server.log"
    environ = os.environ | NO_VENDOR | {
        "DATABASE_URL": database or url_of(folder / "fuzz.db"), "AIMM_SIMULATED_SPEED": "0", "AIMM_CALL_TIMEOUT_S": "2",
        "AIMM_PRICES_FILE": str(folder / "prices.yaml"), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    with path.open("wb") as log:
        command = [sys.executable, "-m", "api", "--port", str(port)]
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT)
        server = Server(process, port, path)
        try:
            wait_until(lambda: process.poll() is not None or answers(server.address + "/readyz"), 60, "no answer")
            yield server
        finally:
            server.stop()


def ask(address: str, method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def seeded(address: str, name: str = "fuzz") -> dict[str, list[str]]:
    """One of each thing, so that requests get beyond «there is no such thing»: name of a parameter -> values."""
    arms = {"variant_a": "sim-fast", "variant_b": "sim-balanced"}
    experiments = [ask(address, "POST", "/api/experiment", {"name": each, **arms})["experiment_id"] for each in (name, f"{name}2")]  # fmt: skip
    budget = ask(address, "POST", "/api/budgets", {"name": name, "limit_usd": 1})["budget"]["id"]
    key = ask(address, "POST", "/api/keys", {"name": name})["key"]["id"]
    price = {"provider": "openai", "model": name, "input": 1, "output": 2}
    row = ask(address, "POST", "/api/prices", price)["row"]["id"]
    ask(address, "PUT", "/api/aliases/fuzz", {"model": "sim-fast"})
    answer = ask(address, "POST", f"/api/experiment/{experiments[0]}/test", {"user_id": "u", "prompt": "Hi"})
    return {
        "experiment_id": experiments,
        "budget_id": [budget],
        "key_id": [key],
        "row_id": [row],
        "name": ["fuzz"],
        "model": MODELS,
        "models": MODELS,
        "variant_a": MODELS,
        "variant_b": MODELS,
        "template": ["translation", "analysis"],
        "generation_id": [answer["generation_id"]],
        "assignment_id": [answer["assignment_id"]],
        "variant": ["variant_a", "variant_b"],
        "provider": ["openai", "simulated"],
        "timezone": ["UTC", "Asia/Kathmandu"],
    }


def helped(document: Any, known: dict[str, list[str]]) -> Any:
    """The document with values that exist beside what it allows, where there are any."""

    def better(name: str, schema: Any) -> Any:
        if name == "models" and isinstance(schema, dict) and "items" in schema:
            return {**schema, "items": better("model", schema["items"])}
        return {"anyOf": [{"enum": known[name]}, schema]} if name in known else walk(schema)

    def walk(part: Any) -> Any:
        if isinstance(part, list):
            return [walk(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "in" in part and "schema" in part:
            return {**part, "schema": better(part["name"], part["schema"])}
        return {
            name: {each: better(each, schema) for each, schema in value.items()}
            if name == "properties"
            else walk(value)
            for name, value in part.items()
        }

    # Answers stay as they are: they are what is judged.
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["parameters"] = walk(operation.get("parameters", []))
            operation |= {"requestBody": walk(operation["requestBody"])} if "requestBody" in operation else {}
    document["components"] = walk(document["components"])
    return document


def run(command: list[str], folder: Path) -> tuple[int, bool]:
    """(how many requests were sent, whether all was well)."""
    command += [
        "--checks", CHECKS, "--workers", "2", "--continue-on-failure", "--no-color", "--no-shrink", "--warnings", "off",
        "--suppress-health-check", "all", "--request-timeout", "30", "--generation-database", "none",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr, sep="\n", flush=True)
    found = [int(number.replace(",", "")) for number in _GENERATED.findall(done.stdout)]
    return max(found, default=0), done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
