"""Documents are true: their commands run as they stand, what they show is what comes, decisions have one form."""

import json
import re
import shlex
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from core import errors
from core.cli.__main__ import main
from core.pricing.team import rows_from_yaml
from core.workflows import spec
from tests.conftest import ROOT, running_server

API, COSTS, README, WORKFLOWS = (
    (ROOT / name).read_text("utf-8") for name in ("docs/api.md", "docs/costs.md", "README.md", "docs/workflows.md")
)
_ID = re.compile(r"\b([cegkorv])_[0-9a-f]{2,}…?")


def blocks(text: str, language: str) -> list[tuple[str, str]]:
    """Each block of a language, and the JSON block that follows it at once, if any."""
    found = re.finditer(rf"```{language}\n(.*?)```\n(?:```json\n(.*?)```)?", text, re.DOTALL)
    return [(match[1], match[2] or "") for match in found]


def requests(text: str) -> Iterator[tuple[str, str]]:
    """Each curl command, and the answer shown below it: its comment lines or the JSON block."""
    for block, answer in blocks(text, "bash"):
        commands = re.findall(r"^(curl .*)\n((?:#.*\n)*)", block, re.MULTILINE)
        for at, (command, comment) in enumerate(commands):
            yield command, comment or (answer if at == len(commands) - 1 else "")


def ask(command: str, names: dict[str, str]) -> str:
    """Send what a curl command sends, and give the answer's text. Fails on any status above 299."""
    for name, value in names.items():
        command = command.replace(f"${name}", value)
    words = shlex.split(command, comments=True)[1:]
    headers, body, method, url = {}, None, None, ""
    while words:
        word = words.pop(0)
        if word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = words.pop(0).encode()
        elif word == "-X":
            method = words.pop(0)
        else:
            url = word if word.startswith("http") else f"http://{word}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=60) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{command} gave {error.code}: {error.read().decode()}") from None


def names_in(text: str) -> set[str]:
    return set(re.findall(r'"(\w+)":', text))


def with_ids(command: str, seen: dict[str, str]) -> str:
    """A command with the newest id of each kind in place of the one that it shows."""
    return _ID.sub(lambda match: seen.get(match[1], match[0]), command)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("documents")
    with running_server(folder, AIMM_SIMULATED_SPEED="0", AIMM_LOG_FORMAT="json") as address:
        yield address
    # Whatever Streamlit, uvicorn and we wrote of all that: one JSON object a line.
    told = [json.loads(line) for path in folder.glob("server-*.log") for line in path.read_text("utf-8").splitlines()]
    assert {"call", "request", f"AI Model Manager answers at {address}"} <= {line["message"] for line in told}


def test_each_request_of_the_documents_is_answered_as_they_show(server: str):
    names = {"B": f"{server}/api", "J": "Content-Type: application/json"}
    seen: dict[str, str] = {}
    found = [*requests(README), *requests(API)]
    assert len(found) > 20
    for command, shown in found:
        command = command.replace("localhost:8501", server.removeprefix("http://")).replace("$E", "e_660f")
        answer = ask(with_ids(command, seen), names)

        seen |= {match[1]: match[0] for match in re.finditer(r"\b([cegkorv])_[0-9a-f]{8,}", answer)}
        assert names_in(shown) <= names_in(answer), command


def test_each_command_of_the_documents_runs(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv("AIMM_SIMULATED_SPEED", "0")
    monkeypatch.setenv("AIMM_DEFAULT_MODEL", "sim-fast")
    text = "\n".join(
        block for page in (README, API, COSTS) for language in ("bash", "sh") for block, _ in blocks(page, language)
    )
    commands = re.findall(r"^aimm .*", text.replace("\\\n", " "), re.MULTILINE) + re.findall(r"`(aimm [^`]*)`", README)
    commands = [c for c in commands if not re.match(r"aimm (serve|dashboard|--help)", c) and not re.search("NAME|…", c)]

    for command in commands:
        assert main(shlex.split(command, comments=True)[1:]) == 0, f"{command}: {capsys.readouterr().err}"
    assert len(commands) > 10


def test_each_program_of_the_documents_runs(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIMM_SIMULATED_SPEED", "0")
    monkeypatch.setenv("OLLAMA_HOST", "")
    programs = [block for page in (README, API, COSTS) for block, _ in blocks(page, "python")]
    for program in programs:
        program = program.replace("http://localhost:8501", server)
        exec(re.sub(r"claude-sonnet-4-5|gpt-4o", "sim-fast", program), {})  # noqa: S102 - what a reader would type
    assert len(programs) == 4


def test_yaml_of_the_documents_is_taken():
    prices, workflow = (yaml_blocks[0][0] for yaml_blocks in (blocks(COSTS, "yaml"), blocks(WORKFLOWS, "yaml")))

    assert rows_from_yaml(prices)
    assert spec.from_yaml(workflow).name == "reply"
    for page in (ROOT / "docs").glob("*.md"):
        for block, _ in blocks(page.read_text("utf-8"), "yaml"):
            yaml.safe_load(block)


def test_links_between_documents_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} leads to {target}"


def test_paths_named_in_documents_exist():
    pattern = re.compile(r"`((?:core|api|dashboard|tests|benchmarks|docs)/[\w/.-]*)`")
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for path in pattern.findall(page.read_text("utf-8")):
            if not re.search("NAME|NNNN|FEATURE|…", path):
                assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_decisions_are_numbered_dated_and_in_one_form():
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    for number, page in enumerate(pages, 1):
        text = page.read_text("utf-8")

        assert page.name.startswith(f"{number:04}-")
        assert re.match(rf"# {number:04} \S.*\n\n\d{{4}}-\d\d-\d\d\n", text), page.name
        parts = re.findall(r"^\*\*(.+?)\.\*\*", text, re.MULTILINE)
        wanted = ["Context", "Choice", "Price", "What would reverse it"]
        assert [part for part in parts if part in wanted] == wanted, page.name


def test_json_of_the_documents_holds_no_secret_and_can_be_read():
    for block in re.findall(r"```json\n(.*?)```", API, re.DOTALL):
        if "…" not in block:
            json.loads(block)


def test_the_tree_of_errors_is_the_one_drawn():
    tree = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## Errors")[2].partition("\n## ")[0]
    drawn: list[type] = []
    for rule, name in re.findall(r"^    ([│├└─ ]*)([A-Z]\w+)", tree, re.MULTILINE):
        depth, error = len(rule) // 4, getattr(errors, name)
        drawn[depth:] = [error]

        assert depth == 0 or error.__base__ is drawn[depth - 1], name
    names = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.AimmError)
    }
    assert names == set(re.findall(r"[A-Z][a-z]\w+", tree)) & set(vars(errors)) - {"Upstream"}


def test_the_layers_are_those_that_are_checked():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")

    assert "".join(f"    {layer}\n" for layer in layers) in (ROOT / "docs" / "architecture.md").read_text("utf-8")
