"""Runs real, unmodified clients against the gateway: what they see must be what they see at the vendor itself.

Each client goes through a conversation, a stream, tool calls, an answer by JSON schema and three errors, once directly
at a fake vendor and once through `aimm serve`, with nothing changed but base URL and key. Models of other vendors must
look like the wire's own. Clients are installed on first use into ~/.cache/aimm-benchmarks/clients.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.vendor import KEY, MODELS, Vendor
from common import NO_VENDOR, answers, free_port, print_table, temporary_folder, url_of, wait_until

SCRIPTS = Path(__file__).parent / "clients"
CACHE = Path.home() / ".cache" / "aimm-benchmarks" / "clients"
FEATURES = ("conversation", "stream", "tools", "json", "errors")
ANY_KEY = "none"
LIMIT_S = 300
CLEAN = NO_VENDOR | {"OPENAI_BASE_URL": "", "LANGSMITH_TRACING": "false", "NO_PROXY": "127.0.0.1", "PYTHONPATH": ""}
Findings = dict[str, Any]


@dataclass(frozen=True)
class Client:
    """package: What npm or pip installs; the benchmark's own environment has the others.

    vendor: Whose model the gateway is asked for. It is compared with the wire's own.
    """

    name: str
    script: str
    package: str = ""
    wire: str = "openai"
    vendor: str = "openai"

    @property
    def is_foreign(self) -> bool:
        return self.vendor != self.wire

    @property
    def folder(self) -> Path:
        return CACHE / self.name.split()[0].lower()

    @property
    def is_npm(self) -> bool:
        return self.name in ("openai JavaScript", "promptfoo")


CLIENTS = (
    Client("openai Python", "run_openai.py"),
    Client("openai JavaScript", "run_openai.mjs", "openai@7"),
    Client("LangChain", "run_langchain.py", "langchain-openai>=1,<2"),
    Client("litellm", "run_litellm.py", "litellm>=1,<2"),
    Client("promptfoo", "run_promptfoo.py", "promptfoo"),
    Client("google-genai", "run_gemini.py", wire="gemini", vendor="gemini"),
    Client("openai Python, Claude", "run_openai.py", vendor="anthropic"),
    Client("openai Python, Gemini", "run_openai.py", vendor="gemini"),
    Client("google-genai, GPT", "run_gemini.py", wire="gemini", vendor="openai"),
    Client("google-genai, Claude", "run_gemini.py", wire="gemini", vendor="anthropic"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="clients whose name contains this")
    parser.add_argument("--direct", action="store_true", help="print what they see at the vendor, and stop")
    chosen = parser.parse_args()
    clients = [client for client in CLIENTS if chosen.only.lower() in client.name.lower()]
    rows: list[list[str]] = []
    notes: list[str] = []
    with closing(Vendor()) as vendor:
        direct = seen_directly(clients, vendor.url)
        if chosen.direct:
            print(json.dumps(direct, ensure_ascii=False, indent=1))
            return
        with gateway(vendor.url) as address:
            for client in clients:
                row, found = compared(client, direct[client.script], address)
                rows.append(row)
                notes += found
    print_table("Through the gateway, compared with the vendor itself", ("client", *FEATURES), rows)
    print("\n" + "\n".join(notes) if notes else "\nNothing differs.")
    sys.exit(1 if notes else 0)


def seen_directly(clients: list[Client], address: str) -> dict[str, Findings]:
    """Script -> what its client sees at the vendor."""
    found: dict[str, Findings] = {}
    for client in clients:
        if client.script not in found:
            base = f"{address}/v1" if client.wire == "openai" else address
            found[client.script] = run(client, base, KEY, MODELS[client.wire], "no-such-model")
    return found


def compared(client: Client, direct: Findings, address: str) -> tuple[list[str], list[str]]:
    """A row of the table, and what differs in words."""
    base = f"{address}/v1" if client.wire == "openai" else f"{address}/gemini"
    model = MODELS[client.vendor]
    # A name of the foreign vendor's kind is handed on to it, so that its own refusal is seen.
    unknown = f"{model.split('-')[0]}-no-such-model" if client.is_foreign else "no-such-model"
    ours = run(client, base, ANY_KEY, model, unknown) if "failed" not in direct else direct
    row, notes = [client.name], []
    for feature in FEATURES:
        differences = list(different(client, direct, ours, feature))
        is_offered = feature in direct or "failed" in direct
        row.append(("DIFFERS" if differences else "same") if is_offered else "–")
        notes += [f"{client.name}, {feature}: {difference}" for difference in differences]
    return row, notes


def different(client: Client, direct: Findings, ours: Findings, feature: str) -> Iterator[str]:
    for findings, side in ((direct, "vendor"), (ours, "gateway")):
        if "failed" in findings:
            yield f"the client could not be run ({side}): {findings['failed']}"
            return
    expected, got = dict(flat(direct.get(feature))), dict(flat(ours.get(feature)))
    if "failed" in got and "failed" not in expected:
        yield f"failed at the gateway: {got['failed']}"
        return
    for place in sorted(expected | got):
        # Only Gemini signs its calls, and only it must see the signatures again.
        if client.is_foreign and "signed" in place:
            continue
        if place.endswith("failed") and place in expected:
            yield f"{place} at the vendor: {expected[place]}"
        elif expected.get(place, "nothing") != got.get(place, "nothing"):
            yield f"{place}: vendor {expected.get(place, 'nothing')!r}, gateway {got.get(place, 'nothing')!r}"


def flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Each leaf of a tree of objects with its place; lists are leaves."""
    if not isinstance(value, dict):
        yield place, value
        return
    for name, inner in value.items():
        yield from flat(inner, f"{place}.{name}".strip("."))


def run(client: Client, base: str, key: str, model: str, unknown_model: str) -> Findings:
    """What a client saw: feature -> findings; "failed" where it could not be installed or run."""
    try:
        program = installed(client)
        command = [*program, SCRIPTS / client.script, base, key, model, unknown_model, client.folder]
        done = subprocess.run(
            command, env=os.environ | CLEAN, cwd=SCRIPTS, capture_output=True, text=True, timeout=LIMIT_S
        )
        if done.returncode:
            return {"failed": f"exit code {done.returncode}: {done.stderr[-600:]}"}
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        return {"failed": f"{type(error).__name__}: {str(error)[-600:]}"}


def installed(client: Client) -> list[Path | str]:
    """The program that runs its script; the client is installed first if it is not there."""
    folder = client.folder
    python = sys.executable if client.is_npm or not client.package else str(folder / "bin" / "python")
    program: list[Path | str] = ["node" if client.script.endswith(".mjs") else python]
    mark = folder / "installed.txt"
    if not client.package or (mark.exists() and mark.read_text() == client.package):
        return program
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if client.is_npm:
        (folder / "package.json").write_text('{"private": true}')
        steps = [["npm", "install", "--no-audit", "--no-fund", client.package]]
    else:
        steps = [[sys.executable, "-m", "venv", "."], ["bin/python", "-m", "pip", "install", "-q", client.package]]
    for step in steps:
        done = subprocess.run(step, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"{client.package} cannot be installed: {done.stderr[-500:]}")
    mark.write_text(client.package)
    return program


@contextmanager
def gateway(vendor: str) -> Iterator[str]:
    """`aimm serve` with the fake as all of its vendors. Its deadline is shorter than the fake's Retry-After, which it
    therefore hands on instead of waiting itself."""
    port = free_port()
    with temporary_folder() as folder, (folder / "serve.log").open("wb") as log:
        reached = {
            "DATABASE_URL": url_of(folder / "aimm.db"),
            "AIMM_CALL_TIMEOUT_S": "5",
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"{vendor}/v1",
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": vendor,
            "GEMINI_API_KEY": KEY,
            "GOOGLE_GEMINI_BASE_URL": vendor,
        }
        command = [Path(sys.executable).with_name("aimm"), "serve", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, cwd=folder, env=os.environ | CLEAN | reached, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: answers(f"{address}/health") or process.poll() is not None, 60, "no answer")
            if process.poll() is not None:
                sys.exit(f"aimm serve ended: {(folder / 'serve.log').read_text()[-2000:]}")
            yield address
        finally:
            process.terminate()
            process.wait(20)


if __name__ == "__main__":
    main()
