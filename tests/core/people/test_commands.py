"""`aimm`: each command that changes something leaves an entry of who typed it, and none is forgotten here."""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core import ModelManager, acting
from core.acting import acting_as
from core.cli import __main__ as cli
from core.domain.people.actor import Actor
from core.domain.people.entry import Wanted
from tests.conftest import Open, fresh

# They look, ask models (each call is in the log with who asked), serve, or record outcomes, which are rows themselves.
OTHERS = set(
    "ask models worker run logs export check serve dashboard audit doctor sessions-list sessions-show prompts-list"
    " prompts-show prompts-diff prompts-pull datasets-list datasets-show datasets-export eval-show eval-list eval-diff"
    " eval-export prices-unpriced prices-list prices-diff experiments-list experiments-record experiments-verify"
    " keys-list teams-list users-list comparisons-list comparisons-show comparisons-win-rates workflows-list workflows-show workflows-runs"
    " retention-show retention-due retention-run retention-shrink db-backup db-restore db-copy db-upgrade db-version vendors-list"
    " vendors-test vendors-new-key vendors-reencrypt alerts-list alerts-export alerts-test".split()
)
# They need a vendor, a key of encryption, calls without a price, a user with calls, or a run that broke.
ELSEWHERE = set(
    "vendors-add vendors-rotate vendors-change vendors-remove comparisons-resume prices-update prices-apply alerts-apply"
    " forget".split()
)
PASSWORD = "correct horse battery"


def leaves(parser: argparse.ArgumentParser, before: tuple[str, ...] = ()) -> Iterator[str]:
    groups = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not groups:
        yield "-".join(before)
    for group in groups:
        for name, part in group.choices.items():
            yield from leaves(part, (*before, name))


def written(folder: Path) -> list[tuple[str, ...]]:
    """Commands that write, in an order in which each has what it needs."""
    (folder / "faq.csv").write_text("q,expected\na,b\n")
    (folder / "hello.yaml").write_text("messages:\n- {role: user, content: 'Hello {{q}}'}\n")
    (folder / "eval.yaml").write_text("name: v\ndataset: faq\nprompts: [hello@1]\nmodels: [sim-fast]\n")
    (folder / "config.yaml").write_text("budgets:\n- {name: from file, limit_usd: 5}\n")
    file = {name: str(folder / f"{name}") for name in ("faq.csv", "hello.yaml", "eval.yaml", "config.yaml")}
    return [
        ("apply", file["config.yaml"]),
        ("prompts", "push", file["hello.yaml"]),
        ("prompts", "label", "hello@1", "live"),
        ("datasets", "import", file["faq.csv"]),
        ("eval", "run", file["eval.yaml"], "--yes"),
        ("eval", "resume", "RUN"),
        ("eval", "bless", "RUN", "--as", "best"),
        ("prices", "set", "openai", "m", "--input", "1", "--output", "2"),
        ("keys", "create", "ci"),
        ("teams", "set", "red", "--rpm", "5"),
        ("keys", "revoke", "ci"),
        ("users", "add", "ada", "--role", "admin"),
        ("users", "add", "bob"),
        ("users", "change", "bob", "--role", "editor"),
        ("users", "password", "bob"),
        ("users", "disable", "bob"),
        ("users", "enable", "bob"),
        ("retention", "set", "all", "--texts", "30d"),
        ("retention", "drop", "all"),
        ("alerts", "silence", "from file", "--for", "1h"),
        ("alerts", "unsilence", "from file"),
        ("demo", "--remove"),
    ]


def test_each_command_that_writes_leaves_an_entry(
    open_manager: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    mm = open_manager(fresh(tmp_path))
    parser, silent, done, run_id = cli._parser(), [], set(), ""
    for words in written(tmp_path):
        args = parser.parse_args([run_id if word == "RUN" else word for word in words])
        before = n_entries(mm)
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        with acting_as(Actor(name="cli:ann", door="cli")):
            args.run(mm, args)
        told = capsys.readouterr().err
        run_id = next((word for word in told.split() if word.startswith("ev_")), run_id)
        silent += [words] if n_entries(mm) == before else []
        done.add("-".join(word for word in words[:2] if "-".join(words[:2]) in set(leaves(parser))) or words[0])

    assert silent == []
    new = set(leaves(parser)) - done - OTHERS - ELSEWHERE
    assert new == set(), "Run it in `written` if it changes something, else name it in OTHERS."


def n_entries(mm: ModelManager) -> int:
    return len(mm.audit.page(Wanted(who="cli:ann"), 200)[0])


def test_a_command_is_its_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("DATABASE_URL", fresh(tmp_path))
    who: list[Any] = []
    monkeypatch.setattr("core.cli.records._workflows", lambda *_: who.append(acting.current()))

    assert cli.main(["workflows", "list"]) == 0

    assert [(actor.name, actor.door, actor.role) for actor in who] == [
        (f"cli:{acting.user_of_system()}", "cli", "admin")
    ]
