"""Programs that the kit is for: they are asked where a machine has them."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import IS_CI, ROOT

KIT = ROOT / "deploy"


def tool(name: str) -> str:
    """The path of a program; CI has all of them, elsewhere what needs a missing one is skipped."""
    found = shutil.which(name, path=f"{Path(shutil.which('python') or '/').parent}:/usr/local/bin:/usr/bin:/usr/sbin")
    if found is None:
        if IS_CI:
            raise AssertionError(f"{name} is missing; .ci/run installs it.")
        pytest.skip(f"no {name} on this machine")
    return found


def run(*command: str) -> str:
    """What a program said; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def running(
    command: list[str], folder: Path, is_up: Callable[[], bool], wait: Callable[[Callable[[], bool], float], bool]
) -> Iterator[int]:
    """A program that serves, by its process id, stopped at the end."""
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)
    try:
        assert wait(lambda: process.poll() is not None or is_up(), 20) and process.poll() is None, (
            folder / "said"
        ).read_text()
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)
