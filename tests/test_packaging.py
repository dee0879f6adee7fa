"""What is installed: a wheel that works without the checkout, and a lock that agrees with the list of dependencies."""

import os
import re
import shutil
import site
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT, free_port

PACKAGES = ("core", "api", "dashboard")
LISTED = [line for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines() if line and line[0] not in "#-"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what a checkout has, elsewhere: building leaves files behind."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "requirements.txt", "README.md"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", ".", "-q", "--no-deps", "--no-build-isolation", "-w", "dist"]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    [built] = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment that has the wheel, and of this one only the dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    command = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "-q", "--no-deps", "--no-index", wheel]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))  # the checkout's own .pth is not read
    return folder


@pytest.fixture
def environ(installed: Path, tmp_path: Path) -> dict[str, str]:
    names = ("PATH", "HOME", "LANG", "TMPDIR")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return kept | {"OLLAMA_HOST": "", "AIMM_SIMULATED_SPEED": "0"}


def test_a_wheel_holds_all_that_runs_and_names_what_it_needs(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [told] = [name for name in names if name.endswith(".dist-info/METADATA")]
        text = archive.read(told).decode()
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout

    needs = [line.partition(": ")[2] for line in text.splitlines() if line.startswith("Requires-Dist: ")]
    assert {str(Requirement(line)) for line in needs if "extra ==" not in line} == {
        str(Requirement(line)) for line in LISTED
    }
    assert {name for name in tracked.split() if name not in names} == set()


def test_an_installed_program_needs_no_checkout(installed: Path, environ: dict[str, str], tmp_path: Path):
    def aimm(*arguments: str) -> str:
        command = [installed / "bin/aimm", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = subprocess.run([installed / "bin/python", "-c", "import core; print(core.__file__)"], cwd=tmp_path, capture_output=True, text=True, check=True)  # fmt: skip
    assert where.stdout.startswith(str(installed))
    assert "200 simulated generations" in aimm("demo", "--generations", "200", "--days", "12")
    assert aimm("run", "translation", "Hi", "-m", "sim-fast").strip()
    assert (tmp_path / "data/aimm.db").is_file()


@pytest.mark.parametrize(
    ("command", "path", "words"), [("serve", "/readyz", '"ready": ?true'), ("dashboard", "/", "<title>")]
)
def test_an_installed_server_serves(
    command: str, path: str, words: str, installed: Path, environ: dict[str, str], tmp_path: Path
):
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [installed / "bin/aimm", command, "--port", str(port)], cwd=tmp_path, env=environ, stdout=log, stderr=log
        )
    try:
        page = next(answers(f"http://localhost:{port}{path}", process))
        assert re.search(words, page)
        if command == "dashboard":
            assert next(answers(f"http://localhost:{port}/readyz", process))
            assert "usage statistics" not in (tmp_path / "log").read_text().lower()  # its own settings are read
    finally:
        process.terminate()
        process.wait(20)


def answers(address: str, process: "subprocess.Popen[bytes]") -> Iterator[str]:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            yield urllib.request.urlopen(address, timeout=5).read().decode()
        except OSError:
            time.sleep(0.1)


# The lock -----------------------------------------------------------------------------------------------------------


def locked() -> dict[str, tuple[Requirement, int]]:
    """Name -> (what is pinned, the number of its hashes)."""
    text = (ROOT / "requirements.lock").read_text("utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            pinned, *hashes = line.split("--hash=")
            found[canonicalize_name(Requirement(pinned).name)] = Requirement(pinned), len(hashes)
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", each) for each in hashes), line
    return found


def test_the_lock_satisfies_the_list_and_what_that_needs():
    pins = locked()

    def check(needed: Requirement, whose: str) -> None:
        pinned, _ = pins[canonicalize_name(needed.name)]
        [version] = [each.version for each in pinned.specifier]
        assert needed.specifier.contains(version, prereleases=True), f"{whose} needs {needed}, {version} is locked"

    for line in LISTED:
        check(Requirement(line), "requirements.txt")
    for name, (pinned, n_hashes) in pins.items():
        assert n_hashes > 0, name
        assert [each.operator for each in pinned.specifier] == ["=="], name
        if pinned.marker is None or pinned.marker.evaluate():
            for needs in metadata.requires(name) or ():
                needed = Requirement(needs)
                if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                    check(needed, name)


def test_the_lock_names_no_machine_and_no_index():
    text = (ROOT / "requirements.lock").read_text("utf-8")

    assert not re.search(r"https?:|file:|index-url|^-e|^--(?!hash)|/(home|root|work|tmp)/", text, re.MULTILINE)
