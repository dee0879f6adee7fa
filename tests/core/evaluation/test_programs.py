"""Evaluations from the command line, from programs, from pytest and from CI."""

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from core import Conflict, InvalidRequest, ModelManager, evaluate
from core.cli.__main__ import main
from core.demo.evaluations import ROWS, VERSIONS
from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.run import Gate, Requirement
from core.domain.generation import Parameters
from tests.conftest import ROOT, Open
from tests.core.evaluation.made import CONTAINS, contestant, ended, plan

FILE: dict[str, Any] = {
    "name": "support",
    "dataset": "cases.csv",
    "prompts": ["tell.txt"],
    "models": ["sim-fast"],
    "checks": [{"type": "contains", "value": "e", "metric": "has e"}],
}
CSV = "topic,__expected\nthe sea,contains: e\nthe sky,icontains: E\n"


@pytest.fixture
def folder(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an evaluation, for commands that ask simulated models at once."""
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv("AIMM_SIMULATED_SPEED", "0")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cases.csv").write_text(CSV)
    (tmp_path / "tell.txt").write_text("Tell of {{topic}}.\n")
    return tmp_path


def written(folder: Path, **more: Any) -> str:
    path = folder / "support.eval.yaml"
    path.write_text(yaml.safe_dump({**FILE, **more}))
    return str(path)


def run(folder: Path, *arguments: str, **more: Any) -> int:
    return main(["eval", "run", written(folder, **more), "--yes", *arguments])


def test_a_file_runs_with_its_reports_and_says_why_it_exits(folder: Path, capsys: pytest.CaptureFixture[str]):
    code = run(folder, "--junit", "j.xml", "--json", "j.json", "--summary", "s.md")

    out = capsys.readouterr().out
    assert code == 0
    assert out.splitlines()[-1] == "All 2 answers passed their checks."
    assert [suite.get("tests") for suite in ET.fromstring((folder / "j.xml").read_text())] == ["2"]  # noqa: S314 - our own
    told = json.loads((folder / "j.json").read_text())
    assert (told["result"]["exit_code"], told["contestants"][0]["outcomes"]) == (0, {"pass": 2})
    assert "✅ support" in (folder / "s.md").read_text()
    for path in ("nowhere/j.xml", str(folder)):
        assert run(folder, "--fresh", "--junit", path) == 2
        said = capsys.readouterr()
        assert "cannot be written" in said.err and "run ev_" not in said.err  # nothing was begun


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"checks": [{"type": "equals", "value": "never"}]}, 100, "2 of 2 answers failed a check"),
        ({"gate": {"require": [{"not_below": 0.5}]}}, 0, "The gate passed"),
        ({"gate": {"require": [{"metric": "cost", "not_above": 0}]}}, 100, "is above $0"),
        ({"gate": {"against": "main", "require": [{"not_worse_than_points": 2}]}}, 1, "no baseline 'main' yet"),
        ({"spending_limit_usd": 0.000001}, 1, "did not run"),
    ],
)
def test_the_exit_code_and_its_reason(
    folder: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], code: int, words: str
):
    assert run(folder, **change) == code
    told = capsys.readouterr()
    assert words in told.out.splitlines()[-1]
    assert ("warning: There is no baseline 'main' yet" in told.err) is ("baseline" in words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"promts": ["x"]}, "no key 'promts'"),
        ({"dataset": "nothing.csv"}, "there is no file 'nothing.csv'"),
        ({"prompts": ["nobody@3"]}, "nobody"),
        ({"repeat": "three"}, "repeat == 'three'"),
        ({"checks": ["contains yes"]}, "is no check"),
        ({"checks": [{"type": "contains", "value": "{{nope}}"}]}, "no column is named nope"),
        ({"gate": {"require": [{"metrics": "pass", "not_below": 1}]}}, "no key 'metrics'"),
        ({"gate": {"require": [{"not_worse_than_points": -5}]}}, "must be 0 or more"),
        ({"gate": {"require": [{"not_below": 90}]}}, "must be 0 to 1"),
        ({"gate": {"exact": "no", "require": [{"not_below": 0.9}]}}, "gate.exact == 'no'"),
        ({"gate": {"require": [{"not_worse_than_points": 1, "strict": "no"}]}}, "strict == 'no'"),
        ({"parameters": {"temprature": 0}}, "temperature"),
        ({"models": ["sim-fast", "sim-slow"]}, "sim-slow"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_and_exits_2(
    folder: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], words: str
):
    assert run(folder, **change) == 2
    assert words in capsys.readouterr().err


def test_a_variable_that_no_row_fills_is_refused_before_anything_is_paid(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    (folder / "wrong.txt").write_text("Say {{nobody}}")
    assert run(folder, prompts=["wrong.txt"]) == 2
    assert "no column is named nobody" in capsys.readouterr().err


def test_a_bad_row_is_named_by_its_line(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "cases.csv").write_text(f"{CSV}the moon,containz: e\n")
    assert run(folder) == 2
    assert "line 4" in capsys.readouterr().err


def test_a_baseline_is_blessed_and_a_worse_prompt_is_caught(folder: Path, capsys: pytest.CaptureFixture[str]):
    rows = "".join(f"place {at},contains: place\n" for at in range(40))
    (folder / "cases.csv").write_text(f"topic,__expected\n{rows}")
    gate = {"against": "main", "require": [{"not_worse_than_points": 2}]}
    main(["eval", "run", written(folder, checks=[{"type": "word-count", "value": {"min": 1}}])])
    capsys.readouterr()
    main(["eval", "list"])
    run_id = capsys.readouterr().out.split()[0]
    assert main(["eval", "bless", run_id, "--as", "main"]) == 0

    never = [{"type": "equals", "value": "never"}]
    assert run(folder, checks=never, gate=gate) == 100
    assert "points against main" in capsys.readouterr().out.splitlines()[-1]
    assert run(folder, checks=never, gate=gate) == 100
    assert "This is try 2 of a run that failed (" in capsys.readouterr().out

    (folder / "cases.csv").write_text(f"topic,__expected\nthe moon,contains: e\n{rows.partition(chr(10))[2]}")
    run(folder)
    latest = main(["eval", "list", "-n", "1"]) or capsys.readouterr().out.splitlines()[-1].split()[0]
    main(["eval", "diff", "main", str(latest)])
    told = capsys.readouterr().out.splitlines()
    assert ("  only before item 1     place 0" in told, "  only after  item 1     the moon" in told) == (True, True)


def test_github_is_told(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    run(folder, "--github", checks=[{"type": "equals", "value": "never"}])

    assert "::error title=Evaluation::2 of 2 answers failed a check" in capsys.readouterr().out
    assert "❌ support" in (folder / "summary.md").read_text()


def test_python_checks_run_only_where_they_are_allowed(folder: Path, capsys: pytest.CaptureFixture[str]):
    checks = [{"type": "python", "value": "len(output) > 3 and context['vars']['topic'] in ('the sea', 'the sky')"}]
    assert run(folder, checks=checks) == 2
    assert "--allow-python" in capsys.readouterr().err
    assert run(folder, "--allow-python", checks=checks) == 0


def test_the_action_calls_the_command_with_what_it_was_given():
    action = yaml.safe_load((ROOT / "deploy/github-action/action.yml").read_text())
    script = action["runs"]["steps"][-1]["run"]
    fake = "aimm() { printf '%s\\n' \"$@\"; return 100; }\n"
    environ = {
        "EVALUATION_FILE": "a b.eval.yaml", "EVALUATION_AGAINST": "main", "EVALUATION_LIMIT": "", "EVALUATION_JUNIT": "j.xml",
        "GITHUB_OUTPUT": "/dev/null", "PATH": os.environ["PATH"],
    }  # fmt: skip
    done = subprocess.run(["bash", "-c", fake + script], env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 100, done.stderr
    told = ["eval", "run", "a b.eval.yaml", "--yes", "--github", "--junit", "j.xml", "--against", "main"]
    assert done.stdout.splitlines() == told


# Programs


def test_functions_are_contestants_and_checks(mm: ModelManager):
    def is_polite(answer: str, variables: dict[str, Any]) -> dict[str, Any]:
        return {"score": float("please" in answer), "reason": f"about {variables['q']}"}

    result = evaluate(
        [{"q": "a", "expected": "A"}, {"q": "b", "expected": "B please"}],
        {"upper": lambda row: row["q"].upper(), "polite": lambda row: f"{row['q'].upper()} please"},
        [{"type": "starts-with", "value": "{{expected}}"}, is_polite],
        manager=mm,
    )

    assert (result.pass_rate("upper"), result.pass_rate("polite")) == (0.0, 1.0)
    assert result.answers[1, 1, 0] == "B please"
    assert [score.reason for score in result.cells[0].scores if score.type == "python"] == ["about a"]
    with pytest.raises(InvalidRequest, match="no contestant"):
        result.pass_rate("nobody")


@pytest.mark.parametrize(
    ("says", "checked", "words"),
    [
        ("x", float("nan"), "the score nan is no number"),
        ("x", {"pass": None, "score": None}, "not true or false"),
        (None, True, "mine gave no text"),
        ({"text": "x", "cost_usd": float("nan")}, True, "which is no amount"),
        ({"text": "x", "cost_usd": "much"}, True, "which is no amount"),
    ],
)
def test_what_a_function_should_not_say_is_an_error_of_its_answer(
    mm: ModelManager, says: Any, checked: Any, words: str
):
    def mine(row: Any) -> Any:
        return says if row["q"] == "a" else "fine"

    def check(_answer: str, row: Any) -> Any:
        return checked if row["q"] == "a" else {"pass": True, "score": None}

    result = evaluate([{"q": "a"}, {"q": "b"}], {"mine": mine}, [check], manager=mm)
    assert [cell.outcome for cell in result.cells] == ["error", "pass"]
    assert (result.gate.exit_code, words in result.gate.reason) == (1, True), result.gate.reason


def test_rows_may_bring_their_turns(mm: ModelManager):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tell of the sea."}]
    result = evaluate([{"messages": turns}, {"input": turns, "ideal": "e"}], ["sim-fast"], [CONTAINS], manager=mm)
    assert result.pass_rate() == 1.0


def test_models_are_asked_a_text_with_variables(mm: ModelManager):
    result = evaluate(
        [{"topic": "the sea"}], ["sim-fast", "sim-careful"], [{"type": "contains", "value": "e"}],
        prompt="Tell of {{topic}}.", limit_usd=1, manager=mm,
    )  # fmt: skip
    assert (result.pass_rate("prompt · sim-careful"), result.gate.exit_code) == (1.0, 0)
    assert isinstance(result.run.spent_usd, Decimal)


def test_a_file_is_a_test_of_pytest(folder: Path):
    written(folder, checks=[{"type": "equals", "value": "never"}])
    (folder / "test_it.py").write_text(
        "def test_it(evaluate):\n"
        "    assert evaluate([{'q': 'x'}], {'same': lambda row: 'x'}, [{'type': 'equals', 'value': 'x'}]).gate.exit_code == 0\n"
    )
    (folder / "bad.eval.yaml").write_text("name: x\nchekcs: []\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(folder), "--rootdir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=folder)

    assert "2 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "line 2: an evaluation has no key 'chekcs'" in done.stdout and "Traceback" not in done.stdout
    assert "file.py" not in done.stdout  # no frames of ours
    assert "2 of 2 answers failed a check" in done.stdout


def test_a_worker_takes_part_in_a_run_of_another_process(open_manager: Open, postgres_url: str):
    environ = {**os.environ, "DATABASE_URL": postgres_url, "AIMM_SIMULATED_SPEED": "0"}
    worker = subprocess.Popen(
        [sys.executable, "-m", "core.cli.__main__", "worker"], env=environ, stderr=subprocess.PIPE
    )
    try:
        assert worker.stderr is not None
        assert b"working on" in worker.stderr.readline()
        mm = open_manager(postgres_url, takes_up=False)
        run_id = mm.evaluations.start(plan(mm, 440, contestant()))
        assert mm.evaluations.wait(run_id, 90).status == "finished"
        assert len({call.ref_part for call in mm.log.by_ref(run_id)}) == 440
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0


def test_a_dataset_that_a_run_needs_is_kept(mm: ModelManager):
    ended(mm, plan(mm, 2, contestant()))
    with pytest.raises(Conflict, match="the evaluation 'suite'"):
        mm.datasets.delete("cases")


@pytest.mark.parametrize(
    ("model", "exit_code", "words"), [("sim-fast", 100, "Confirmed"), ("sim-balanced", 0, "Not confirmed")]
)
def test_a_nightly_gate_asks_again_before_it_is_red(
    folder: Path, capsys: pytest.CaptureFixture[str], model: str, exit_code: int, words: str
):
    """The cheaper model is worse; the same one had bad luck with the checks of one night."""
    with ModelManager.open() as mm:
        mm.datasets.save("tickets", ROWS if model == "sim-fast" else ROWS[:20])
        for content in VERSIONS:
            mm.prompts.save("triage", content)
    right = [{"type": "equals", "value": "{{expected}}"}]
    same = {"dataset": "tickets", "prompts": ["triage@2"]}
    run(folder, **same, models=["sim-balanced"], checks=right)
    main(["eval", "list"])
    run_id = capsys.readouterr().out.splitlines()[-1].split()[0]
    main(["eval", "bless", run_id, "--as", "main"])
    gate = {"against": "main", "nightly": True, "require": [{"not_worse_than_points": 2}]}
    if model == "sim-balanced":
        right = [{"type": "equals", "value": "never"}]

    assert run(folder, **same, models=[model], checks=right, gate=gate) == exit_code
    assert capsys.readouterr().out.splitlines()[-1].startswith(words)

    with ModelManager.open() as mm:  # to look at it asks nobody, and keeps the answer
        runs, _ = mm.evaluations.page()
        assert main(["eval", "show", runs[1].id]) == exit_code
        assert capsys.readouterr().out.splitlines()[-1].startswith(words)
        assert len(mm.evaluations.page()[0]) == len(runs) == 3


def test_a_nightly_run_with_answers_missing_is_not_green_because_its_confirmation_is(mm: ModelManager):
    data = [DatasetRow(variables={"topic": f"the sea {at}"}) for at in range(12)]
    first = ended(mm, plan(mm, 0, contestant(), data=data))
    mm.evaluations.verdicts.bless(first, "main")
    gate = Gate(against="main", nightly="confirm", require=(Requirement(not_worse_than_points=2),))
    data[0] = DatasetRow(variables={"topic": "[[fail:block]]"})
    checks = ({"type": "equals", "value": "never"},)
    night = ended(mm, plan(mm, 0, contestant(), data=data, gate=gate, checks=checks))

    assert mm.evaluations.verdicts.judge(night).is_open
    found = mm.evaluations.verdicts.to_confirm(night)
    assert found is not None
    ended(mm, replace(found[0], dataset="cases@1"))
    result = mm.evaluations.verdicts.conclude(night)
    assert (result.exit_code, result.reason.startswith("Not confirmed")) == (1, True), result.reason


def test_a_confirmation_has_what_the_run_left_of_its_limit(mm: ModelManager):
    short = contestant(parameters=Parameters(max_tokens=20))
    first = ended(mm, plan(mm, 12, short))
    mm.evaluations.verdicts.bless(first, "main")
    spent = mm.evaluations.get(first).spent_usd
    gate = Gate(against="main", nightly="confirm", require=(Requirement(not_worse_than_points=2),))
    checks = ({"type": "equals", "value": "never"},)
    night = ended(mm, plan(mm, 12, short, gate=gate, checks=checks, limit_usd=spent * 3))

    result = mm.evaluations.verdicts.conclude(night)
    [again], _ = mm.evaluations.page(1)
    assert (again.status, again.plan.confirms, again.plan.limit_usd) == ("paused", night, spent * 2)
    assert again.spent_usd <= spent * 2
    assert (result.exit_code, result.is_open, mm.evaluations.get(night).judged) == (1, True, {})
    assert mm.evaluations.verdicts.conclude(night) == result, "nothing is asked again before there is more to spend"

    mm.evaluations.resume(night, limit_usd=spent * 50)
    mm.evaluations.wait(night)
    result = mm.evaluations.verdicts.conclude(night)
    again = mm.evaluations.get(again.id)
    assert (result.exit_code, result.runs, again.status) == (0, (again.id,), "finished")
    assert mm.evaluations.get(night).spent_usd + again.spent_usd <= spent * 50
    assert mm.evaluations.get(night).judged["runs"] == [again.id]


def test_to_look_at_a_run_makes_the_next_one_no_second_try(folder: Path, capsys: pytest.CaptureFixture[str]):
    """Of a run that is half done, or held against another baseline, nothing is kept."""
    (folder / "cases.csv").write_text("topic,__expected\n" + "".join(f"place {at},contains: e\n" for at in range(20)))
    with ModelManager.open() as mm:
        assert run(folder) == 0
        [first], _ = mm.evaluations.page(1)
        mm.evaluations.verdicts.bless(first.id, "main")
        assert run(folder, checks=[{"type": "equals", "value": "never"}], gate={"require": [{"not_below": 0}]}) == 0
        [second], _ = mm.evaluations.page(1)
        assert main(["eval", "show", second.id, "--against", "main"]) == 100
        assert mm.evaluations.get(second.id).judged["exit_code"] == 0
        half = mm.evaluations.start(replace(first.plan, gate=Gate(require=(Requirement(not_below=0.9),))))
        assert mm.evaluations.verdicts.keep(half).exit_code in (0, 1, 100)
        mm.evaluations.wait(half)
        assert run(folder) == 0
        assert [each.n_try for each in mm.evaluations.page()[0]] == [1, 1, 1, 1]


def test_a_run_that_a_dead_process_left_is_resumed(folder: Path, capsys: pytest.CaptureFixture[str]):
    """By another process, which takes it up by itself."""
    (folder / "cases.csv").write_text("topic,__expected\n" + "".join(f"place {at},contains: e\n" for at in range(60)))
    path = written(folder, concurrency=2)
    began = [sys.executable, "-m", "core.cli", "eval", "run", path, "--yes"]
    process = subprocess.Popen(
        began,
        env={**os.environ, "AIMM_SIMULATED_SPEED": "1", "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    run_id = next(line.split()[1] for line in process.stderr if line.startswith("run "))
    process.kill()
    process.wait()

    assert main(["eval", "resume", run_id]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "All 60 answers passed their checks."
