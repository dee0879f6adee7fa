"""Real programs, unmodified, by address and key, at the gateway: agents and SDKs on each wire, with models of each vendor.

Each goes through one session: write a file, read it, write another one, say so. A row is right if both files hold what
the model wrote, the last text came, nothing was asked of a vendor that it refuses, and the log's cost is the vendor's
published price times what it counted. Programs are installed on first use into --folder by npm and uv.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from common import NO_VENDOR, answers, free_port, print_table, temporary_folder, url_of, wait_until
from programs.tap import Tap
from programs.vendor import FIRST, LAST, SAID, SECOND, TEXT, Gemini, Session, Vendor

from api.gateway.clients import Asking, Client
from api.gateway.registry import clients
from core import Message, Request
from tests.fakes import gemini as gemini_fake
from tests.fakes import vendors as vendor_fake

SCRIPTS = Path(__file__).parent / "programs"
LIMIT_S = 240
PROMPT = f"Write {FIRST}, read it, then write {SECOND}."
MODELS = {"GPT": "gpt-4o", "Claude": "claude-sonnet-4-5", "Gemini": "gemini-2.5-flash"}
# US dollars for a million tokens in and out, as the vendors publish them.
PRICES = {
    "gpt-4o": ("2.50", "10"), "claude-sonnet-4-5": ("3", "15"), "gemini-2.5-flash": ("0.30", "2.50"),
    "gemini-2.5-flash-lite": ("0.10", "0.40"), "gemini-2.5-pro": ("1.25", "10"), "claude-haiku-4-5-20251001": ("1", "5"),
}  # fmt: skip
IN, OUT = 10, 5  # what the fakes count for each request
PACKAGES = {
    "claude-code": ["@anthropic-ai/claude-code"],
    "codex": ["@openai/codex"],
    "gemini-cli": ["@google/gemini-cli"],
    "opencode": ["opencode-ai"],
    "js": ["@anthropic-ai/sdk", "openai", "ai@6", "@ai-sdk/openai@3", "@ai-sdk/anthropic@3", "@ai-sdk/google@3", "@openai/agents", "zod"],
    "aider": ["aider-chat"],
    "python": [
        "anthropic", "openai", "openai-agents", "pydantic-ai-slim[openai,anthropic,google]", "google-genai", "langchain-openai",
        "langchain-anthropic", "langchain-google-genai", "llm", "llm-anthropic", "llm-gemini",
    ],
}  # fmt: skip
NEEDS = {
    "claude-code": ("Claude Code",), "codex": ("Codex",), "gemini-cli": ("Gemini CLI",), "opencode": ("opencode",),
    "aider": ("aider",), "js": ("OpenAI JavaScript", "AI SDK"),
    "python": ("OpenAI Python", "Anthropic Python", "Google Gen AI", "LangChain", "Agents SDK"),
}  # fmt: skip
QUESTION = "Why is the sky blue?"
NPM = ("claude-code", "codex", "gemini-cli", "opencode", "js")


@dataclass(frozen=True)
class Run:
    """One session. programs: the folder of the installed programs; folder: the one to work in; home: the program's."""

    programs: Path
    folder: Path
    home: Path
    base: str
    key: str
    model: str


@dataclass(frozen=True)
class Bench:
    programs: Path
    session: Session
    tap: Tap
    port: int
    key: str


Command = tuple[list[str | Path], dict[str, str]]


@dataclass(frozen=True)
class Program:
    name: str
    wire: str
    package: str
    command: Callable[[Run], Command]


def claude_code(run: Run) -> Command:
    binary = run.programs / "claude-code/node_modules/.bin/claude"
    names = ("ANTHROPIC_DEFAULT_HAIKU_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL")
    environ = {"ANTHROPIC_BASE_URL": run.base, "ANTHROPIC_AUTH_TOKEN": run.key, **dict.fromkeys(names, run.model)}
    return [binary, "--model", run.model, "-p", PROMPT, "--allowedTools", "Write", "Read"], environ


def codex(run: Run) -> Command:
    (run.home / ".codex").mkdir(parents=True)
    (run.home / ".codex/config.toml").write_text(
        f'model_provider = "aimm"\n[model_providers.aimm]\nname = "AI Model Manager"\nbase_url = "{run.base}/v1"\n'
        'env_key = "AIMM_KEY"\nwire_api = "responses"\n'
    )
    options = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", run.model, PROMPT]
    return [run.programs / "codex/node_modules/.bin/codex", *options], {"AIMM_KEY": run.key}


def codex_built_in(run: Run) -> Command:
    """Its own provider with another address, which it first tries as a WebSocket."""
    (run.home / ".codex").mkdir(parents=True)
    (run.home / ".codex/config.toml").write_text(f'openai_base_url = "{run.base}/v1"\n')
    (run.home / ".codex/auth.json").write_text(json.dumps({"OPENAI_API_KEY": run.key, "auth_mode": "apikey"}))
    options = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", run.model, PROMPT]
    return [run.programs / "codex/node_modules/.bin/codex", *options], {"OPENAI_API_KEY": run.key}


def gemini_cli(run: Run) -> Command:
    settings = run.home / ".gemini"
    settings.mkdir(parents=True)
    chosen = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": False}}
    (settings / "settings.json").write_text(json.dumps(chosen))
    binary = run.programs / "gemini-cli/node_modules/.bin/gemini"
    environ = {"GEMINI_API_KEY": run.key, "GOOGLE_GEMINI_BASE_URL": f"{run.base}/gemini"}
    return [binary, "-m", run.model, "-p", PROMPT, "--yolo", "--skip-trust"], environ


def opencode(vendor: str, package: str, *, key: str = "") -> Callable[[Run], Command]:
    def command(run: Run) -> Command:
        base = f"{run.base}/gemini/v1beta" if vendor == "google" else f"{run.base}/v1"
        provider = {"options": {"baseURL": base, "apiKey": run.key}, "models": {run.model: {}}}
        if package:
            provider |= {"npm": package, "name": "AI Model Manager"}
        model = f"{vendor}/{run.model}"
        chosen = {
            "provider": {vendor: provider},
            "small_model": model,
            "permission": "allow",
            "share": "disabled",
            "autoupdate": False,
        }
        (run.folder / "opencode.json").write_text(json.dumps(chosen))
        binary = run.programs / "opencode/node_modules/.bin/opencode"
        return [binary, "run", "-m", model, PROMPT], {"OPENCODE_DISABLE_MODELS_FETCH": "1"}

    return command


def aider(vendor: str) -> Callable[[Run], Command]:
    def command(run: Run) -> Command:
        quiet = "--yes-always --no-git --no-check-update --no-show-model-warnings --analytics-disable --no-pretty --edit-format diff"
        environ = {
            "OPENAI_API_BASE": f"{run.base}/v1", "OPENAI_API_KEY": run.key,
            "ANTHROPIC_API_BASE": run.base, "ANTHROPIC_API_KEY": run.key,
        }  # fmt: skip
        # Its own library looks at a known name first, and sends another vendor's elsewhere unless that is named too.
        owner = {"gpt-4o": "openai/", "gemini-2.5-flash": "gemini/"}.get(run.model, "") if vendor == "anthropic" else ""
        options = ["--model", f"{vendor}/{owner}{run.model}", "--message", PROMPT, *quiet.split()]
        return [run.programs / "aider/bin/aider", *options], environ

    return command


def llm(run: Run) -> Command:
    user = run.home / "llm"
    user.mkdir(parents=True)
    known = {
        "model_id": "ours",
        "model_name": run.model,
        "api_base": f"{run.base}/v1",
        "supports_tools": True,
        "api_key_name": "ours",
    }
    (user / "extra-openai-models.yaml").write_text(json.dumps([known]))
    (user / "keys.json").write_text(json.dumps({"ours": run.key}))
    tools = (
        "from pathlib import Path\n"
        "def write_file(path: str, content: str) -> str:\n"
        "    '''Write a file.'''\n"
        "    Path(path).write_text(content)\n"
        "    return 'written'\n"
        "def read_file(path: str) -> str:\n"
        "    '''Read a file.'''\n"
        "    return Path(path).read_text()\n"
    )
    (run.home / "tools.py").write_text(tools)
    options = ["-m", "ours", "--functions", run.home / "tools.py", PROMPT]
    return [run.programs / "python/bin/llm", *options], {"LLM_USER_PATH": str(user)}


def script(name: str, package: str = "python") -> Callable[[Run], Command]:
    def command(run: Run) -> Command:
        given = [name, run.base, run.key, run.model, run.folder]
        if package == "python":
            return [run.programs / "python/bin/python", SCRIPTS / "sdks.py", *given], {}
        copy = run.programs / "js/sdks.mjs"  # its modules are looked for beside it
        shutil.copyfile(SCRIPTS / "sdks.mjs", copy)
        return ["node", copy, *given], {}

    return command


PROGRAMS = (
    Program("Claude Code", "messages", "claude-code", claude_code),
    Program("Codex", "responses", "codex", codex),
    Program("Codex, built-in provider", "responses", "codex", codex_built_in),
    Program("Gemini CLI", "gemini", "gemini-cli", gemini_cli),
    Program("opencode, anthropic", "messages", "opencode", opencode("anthropic", "")),
    Program("opencode, openai", "responses", "opencode", opencode("openai", "")),
    Program("opencode, compatible", "chat", "opencode", opencode("aimm", "@ai-sdk/openai-compatible")),
    Program("opencode, google", "gemini", "opencode", opencode("google", "")),
    Program("aider, openai", "chat", "aider", aider("openai")),
    Program("aider, anthropic", "messages", "aider", aider("anthropic")),
    Program("llm", "chat", "python", llm),
    Program("anthropic Python", "messages", "python", script("anthropic")),
    Program("openai Python, chat", "chat", "python", script("openai_chat")),
    Program("openai Python, responses", "responses", "python", script("openai_responses")),
    Program("openai Python, previous id", "responses", "python", script("openai_previous")),
    Program("google-genai Python", "gemini", "python", script("google")),
    Program("Agents SDK Python", "responses", "python", script("agents")),
    Program("pydantic-ai, chat", "chat", "python", script("pydantic_chat")),
    Program("pydantic-ai, responses", "responses", "python", script("pydantic_responses")),
    Program("pydantic-ai, anthropic", "messages", "python", script("pydantic_anthropic")),
    Program("pydantic-ai, google", "gemini", "python", script("pydantic_google")),
    Program("LangChain, openai", "chat", "python", script("langchain_chat")),
    Program("LangChain, openai responses", "responses", "python", script("langchain_responses")),
    Program("LangChain, anthropic", "messages", "python", script("langchain_anthropic")),
    Program("LangChain, google", "gemini", "python", script("langchain_google")),
    Program("anthropic JavaScript", "messages", "js", script("anthropic", "js")),
    Program("openai JavaScript, chat", "chat", "js", script("openai_chat", "js")),
    Program("openai JavaScript, responses", "responses", "js", script("openai_responses", "js")),
    Program("AI SDK, openai", "responses", "js", script("ai_openai", "js")),
    Program("AI SDK, openai chat", "chat", "js", script("ai_chat", "js")),
    Program("AI SDK, anthropic", "messages", "js", script("ai_anthropic", "js")),
    Program("AI SDK, google", "gemini", "js", script("ai_google", "js")),
    Program("Agents SDK JavaScript", "responses", "js", script("agents", "js")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where programs are installed and sessions are kept")
    parser.add_argument("--only", default="", help="programs whose name or wire contains this")
    parser.add_argument("--vendor", default="", help="one of GPT, Claude, Gemini")
    chosen = parser.parse_args()
    words = chosen.only.lower()
    programs = [each for each in PROGRAMS if words in f"{each.name} {each.wire}".lower()]
    for package in dict.fromkeys(each.package for each in programs):
        install(chosen.folder / "programs", package)
    session, rows, notes = Session(), [], []
    with (
        closing(Vendor(session)) as vendor,
        closing(Gemini(session)) as gemini,
        gateway(vendor.url, gemini.url) as port,
    ):
        at = Bench(chosen.folder / "programs", session, Tap(port), port, made_key(port))
        for program in programs:
            row = [program.name, program.wire]
            for name, model in MODELS.items():
                if chosen.vendor.lower() not in name.lower():
                    row.append("–")
                    continue
                home = (
                    chosen.folder / "sessions" / f"{program.name} {name}".replace(", ", "-").replace(" ", "-").lower()
                )
                faults = checked(program, at, home, model)
                row.append("wrong" if faults else "right")
                notes += [f"{program.name}, {name}: {fault}" for fault in faults]
                print(f"{program.name}, {name}: {'; '.join(faults) or 'right'}"[:400], flush=True)
            rows.append(row)
        shown = [(name, client, wire.name) for name, (client, wire) in clients().items() if words in name.lower()]
        snippets = []
        for name, client, wire in shown if not chosen.vendor else ():
            faults = snippet_faults(
                client, wire, at, chosen.folder / "sessions" / f"snippet {name}".replace(" ", "-").lower()
            )
            snippets.append((name, client.kind, faults or "right"))
            notes += [f"snippet {name}: {faults}"] if faults not in ("", "not run") else []
    print_table("Three calls of tools through the gateway", ("program", "wire", *MODELS), rows)
    print_table("Snippets of the page Gateway, as they stand", ("client", "kind", "a simulated model"), snippets)
    print("\n" + "\n".join(notes) if notes else "\nAll right.")
    sys.exit(1 if notes else 0)


def checked(program: Program, at: Bench, home: Path, model: str) -> list[str]:
    """The faults of one session; its traffic and words stay in its folder."""
    session, tap = at.session, at.tap
    shutil.rmtree(home, ignore_errors=True)
    folder, tap.folder = home / "work", home / "traffic"
    for each in (folder, tap.folder):
        each.mkdir(parents=True)
    session.begin(folder)
    before = costs(at.port)
    run = Run(at.programs, folder, home / "home", tap.url, at.key, model)
    run.home.mkdir()
    command, environ = program.command(run)
    clean = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    clean |= {"HOME": str(run.home), "NO_PROXY": "127.0.0.1", "CI": "1", "IS_SANDBOX": "1", "TERM": "dumb"}
    with (home / "said.txt").open("wb") as said:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=clean | environ,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=LIMIT_S,
            ).returncode
        except subprocess.TimeoutExpired:
            done = -1
    (home / "command.txt").write_text(shlex.join(map(str, command)))
    text = (home / "said.txt").read_text("utf-8", "replace")
    faults = [*session.faults]
    if done:
        faults.append(f"it ended with {done}: {text.strip()[-200:]!r}")
    if SAID not in text:
        faults.append("the last text is missing")
    for name, content in ((FIRST, TEXT), (SECOND, LAST)):
        found = (folder / name).read_text().strip() if (folder / name).exists() else None
        if found != content:
            faults.append(f"{name} holds {found!r}")
    return faults + money(session, before, costs(at.port))


def snippet_faults(client: Client, wire: str, at: Bench, home: Path) -> str:
    """The fault of a snippet that is run as the page shows it; empty = its program printed the answer."""
    shutil.rmtree(home, ignore_errors=True)
    folder = home / "work"
    folder.mkdir(parents=True)
    request = Request(model="sim-fast", messages=(Message("user", QUESTION),))
    openai = {"model": "sim-fast", "messages": [{"role": "user", "content": QUESTION}]}
    body: dict[str, Any] = (
        {"contents": [{"role": "user", "parts": [{"text": QUESTION}]}]} if wire == "gemini" else openai
    )
    code = client.code(Asking(server=at.tap.url, key=at.key, request=request, body=body))
    for package in (package for package in PACKAGES if client.name in NEEDS.get(package, ())):
        install(at.programs, package)
    options: list[str | Path] = ["bash", "-c", code]
    if client.language == "python":
        options = [at.programs / "python/bin/python", "-c", code]
    elif client.language == "javascript":
        (at.programs / "js/snippet.mjs").write_text(code)
        options = ["node", at.programs / "js/snippet.mjs"]
    elif client.name == "opencode":
        (folder / "opencode.json").write_text(code)
        options = ["opencode", "run", QUESTION]
    elif client.language != "bash":
        return "not run"  # promptfoo is in clients.py
    found = [str(at.programs / name / "node_modules/.bin") for name in NPM] + [str(at.programs / "aider/bin")]
    # What a session of these asks its user once.
    answered = {
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "AIDER_YES_ALWAYS": "1",
        "AIDER_GIT": "false",
        "AIDER_ANALYTICS": "false",
        "AIDER_PRETTY": "false",
    }
    environ = {
        "PATH": os.pathsep.join([*found, os.environ["PATH"]]),
        "HOME": str(home),
        "TERM": "dumb",
        "CI": "1",
        **answered,
    }
    before = n_answered(at.port)
    with (home / "said.txt").open("wb") as said:
        try:
            subprocess.run(
                options, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=LIMIT_S
            )
        except subprocess.TimeoutExpired:
            return "it did not end"
    text = (home / "said.txt").read_text("utf-8", "replace").strip()
    return "" if text and n_answered(at.port) > before else f"no answer: {text[-150:]!r}"


def money(session: Session, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    expected = Decimal(0)
    for model in session.asked:
        price = PRICES.get(model)
        if price is None:
            return [f"{model} was asked, whose price is not written here"]
        expected += (IN * Decimal(price[0]) + OUT * Decimal(price[1])) / 1_000_000
    found = Decimal(str(after["total_cost"])) - Decimal(str(before["total_cost"]))
    n = sum(each["total_requests"] for each in after["costs"]) - sum(each["total_requests"] for each in before["costs"])
    faults = [] if abs(found - expected) < Decimal("1e-9") else [f"the log says {found} USD, the vendor {expected}"]
    return faults + ([] if n == len(session.asked) else [f"the log has {n} calls, the vendor {len(session.asked)}"])


def costs(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/costs", timeout=60) as answer:
        return dict(json.loads(answer.read()))


def n_answered(port: int) -> float:
    """How often simulated models have answered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/metrics?simulated=true", timeout=60) as answer:
        found = json.loads(answer.read())["metrics"]
    return float(sum(each["total_requests"] * (each["success_rate"] or 0) / 100 for each in found))


def made_key(port: int) -> str:
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/api/keys", b'{"name": "programs"}', headers)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return str(json.loads(answer.read())["secret"])


def install(programs: Path, package: str) -> None:
    folder = programs / package
    folder.mkdir(parents=True, exist_ok=True)
    if package in NPM:
        if not (folder / "node_modules").exists():
            (folder / "package.json").write_text('{"private": true}')
            subprocess.run(
                ["npm", "install", "--no-audit", "--no-fund", "--silent", *PACKAGES[package]], cwd=folder, check=True
            )
    elif not (folder / "bin").exists():
        subprocess.run(["uv", "venv", "-q", "--python", "3.11", folder], check=True)
        subprocess.run(
            ["uv", "pip", "install", "-q", "--python", folder / "bin/python", *PACKAGES[package]], check=True
        )


@contextmanager
def gateway(vendor: str, gemini: str) -> Iterator[int]:
    """`aimm serve` with the fakes as its vendors."""
    port = free_port()
    with temporary_folder() as folder, (folder / "serve.log").open("wb") as log:
        reached = {
            "DATABASE_URL": url_of(folder / "aimm.db"), "OPENAI_API_KEY": vendor_fake.KEY,
            "OPENAI_BASE_URL": f"{vendor}/v1", "ANTHROPIC_API_KEY": vendor_fake.KEY, "ANTHROPIC_BASE_URL": vendor,
            "GEMINI_API_KEY": gemini_fake.KEY, "GOOGLE_GEMINI_BASE_URL": gemini,
        }  # fmt: skip
        command = [Path(sys.executable).with_name("aimm"), "serve", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, cwd=folder, env=os.environ | NO_VENDOR | reached, stdout=log, stderr=log)
        try:
            wait_until(
                lambda: answers(f"http://127.0.0.1:{port}/health") or process.poll() is not None, 60, "no answer"
            )
            if process.poll() is not None:
                sys.exit(f"aimm serve ended: {(folder / 'serve.log').read_text()[-2000:]}")
            yield port
        finally:
            process.terminate()
            process.wait(20)
            sys.stderr.write((folder / "serve.log").read_text()[-3000:])


if __name__ == "__main__":
    main()
