"""`aimm vendors`: keys come in where nobody else can see them, and go out nowhere."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.cli.__main__ import main
from tests.conftest import fresh
from tests.core.models.test_deployments import KEYS
from tests.fakes.vendors import FakeVendor


@pytest.fixture
def fake() -> Iterator[FakeVendor]:
    found = FakeVendor(key=KEYS[0])
    yield found
    found.close()


def test_a_key_is_added_listed_tested_rotated_and_removed(
    tmp_path: Path, fake: FakeVendor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    for name, value in {"DATABASE_URL": fresh(tmp_path), "OLLAMA_HOST": "", "NEXT_KEY": KEYS[1]}.items():
        monkeypatch.setenv(name, value)

    def run(*args: str, typed: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = main(["vendors", *args])
        said = capsys.readouterr()
        return code, said.out + said.err

    place = ("--kind", "server", "--url", f"{fake.url}/v1", "--private", "--model", "my-model=there")
    told = [run("add", "box", *place, "--key", KEYS[0])]
    told.append(run("add", "box", *place, "--key-env", KEYS[0]))
    told.append(run("add", "box", *place, typed="sk-that-is-wrong-0123456789"))
    assert [code for code, _ in told] == [1, 1, 1] and "Nothing was kept" in told[-1][1]
    assert fake.requests == [] and run("list")[1] == ""
    told += [run("add", "box", *place, typed=f"{KEYS[0]}\n"), run("list"), run("test", "box")]
    fake.key = KEYS[1]
    told += [run("test", "box"), run("rotate", "box", "--key-env", "NEXT_KEY"), run("test", "box")]
    told += [run("change", "box", "--weight", "7", "--off"), run("reencrypt"), run("list"), run("remove", "box")]

    assert [code for code, _ in told[3:]] == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0], told
    assert "weight 7, priority 1, models my-model, off" in told[-2][1]
    assert not any(key in text for key in KEYS for _, text in told)
    assert len(run("new-key")[1].strip()) == 44
