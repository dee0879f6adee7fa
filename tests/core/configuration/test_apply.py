"""A file of configuration is brought about once, says what it would do, and takes away only what it brought."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from core import AimmError, Conflict, InvalidRequest, ModelManager
from core.cli.__main__ import main
from core.configuration.service import Applied, Difference
from tests.conftest import Open

FILE = """
users:
  Vera:
  Anna: {role: admin, team: search}
teams:
  search: {rpm: 600, max_parallel: 20}
keys:
  - {name: ci, scopes: [call], models: [sim-*], tags: team-a, rpm: 60, owner: Anna, team: search}
  - name: boss
    scopes: [admin]
budgets:
  team-a: {limit_usd: 50, scope: "tag:team-a", action: stop}
  ci: {limit_usd: "12.50", period: week, scope: "key:ci", thresholds: [0.5, 1]}
aliases:
  helper: {model: sim-fast, system: Be brief., parameters: {temperature: 0.2}, fallbacks: sim-careful}
prices:
  - {provider: openai, model: gpt-4o, input: 2.50, output: "10", effective_from: 2026-01-01}
retention:
  all: {texts: 30d, calls: 400d}
  key:ci: {texts: 7d}
vendors:
  azure-eu: {kind: azure, url: https://my.openai.azure.com, models: {gpt-4o: prod-4o}, key_env: AZURE_KEY, priority: 2}
alerts:
  failures: {kind: error_rate, above: 5%, over: 15m}
experiments:
  cheaper:
    variants: [sim-fast, {model: sim-careful, weight: 3, name: careful}]
    guardrails: [{metric: error_rate, margin: 0.02}]
"""


def apply(mm: ModelManager, text: str, source: str = "config.yaml") -> list[Applied]:
    return list(mm.configuration.apply(mm.configuration.read(text), source))


def differences(mm: ModelManager, text: str, source: str = "config.yaml") -> list[Difference]:
    return mm.configuration.differences(mm.configuration.read(text), source)


@pytest.fixture
def mm(open_manager: Open, database_url: str, monkeypatch: pytest.MonkeyPatch) -> ModelManager:
    """With a key to encrypt vendors' keys with, and the one of the file's deployment."""
    monkeypatch.setenv("AZURE_KEY", "azure-0123456789abcdef")
    return open_manager(database_url, encryption_keys=(Fernet.generate_key().decode(),))


def test_a_file_is_brought_about_once_and_written_again_as_it_is(mm: ModelManager):
    planned = differences(mm, FILE)
    done = apply(mm, FILE)

    assert [each.difference for each in done] == planned
    assert {each.kind for each in planned} == {"add"} and len(planned) == 14
    [secret] = [each.told for each in done if each.difference.name == "ci" and each.told]
    assert mm.keys.find(secret).models == ("sim-*",)
    assert {each.budget.scope for each in mm.budgets.statuses()} == {"tag:team-a", f"key:{mm.keys.find(secret).id}"}
    assert mm.aliases.get("helper").target.fallbacks == ("sim-careful",)
    assert apply(mm, FILE) == differences(mm, FILE) == []

    assert {(each.name, each.role, each.team) for each in mm.people.all()} == {
        ("Anna", "admin", "search"), ("Vera", "viewer", "")
    }  # fmt: skip
    assert mm.keys.named("ci").owner_name == "Anna"
    assert [(team.name, team.rpm, team.tpm, team.max_parallel) for team in mm.teams.all()] == [
        ("search", 600, None, 20)
    ]
    written = mm.configuration.export()
    assert apply(mm, written) == []
    assert secret not in written and "azure-0123456789abcdef" not in written
    assert mm.deployments.get("azure-eu").deployment.hint == "…cdef"
    mm.keys.change(mm.keys.named("ci").id, rpm=5)
    assert [each.text for each in differences(mm, FILE)] == ["~ keys ci  rpm: 5 → 60"]


def test_what_a_file_loses_is_taken_away_and_what_others_made_is_not(mm: ModelManager):
    mm.budgets.create("by hand", 5)
    apply(mm, FILE)
    apply(mm, "budgets: {other: {limit_usd: 1}}", "other.yaml")

    less = FILE.replace("  - name: boss\n    scopes: [admin]\n", "").replace("limit_usd: 50", "limit_usd: 80")
    assert [each.text for each in differences(mm, less)] == ["~ budgets team-a  limit_usd: 50 → 80", "- keys boss"]
    apply(mm, less)
    assert mm.keys.all()[0].revoked_at is not None or mm.keys.named("ci")
    with pytest.raises(AimmError):
        mm.keys.named("boss")
    with pytest.raises(Conflict, match=r"line 1: budgets other is managed by other\.yaml"):
        differences(mm, "budgets: {other: {limit_usd: 2}}")

    [kept] = differences(mm, f"{less}\n".replace("budgets:", "budgets:\n  by hand: {limit_usd: 5}"))
    assert (kept.kind, kept.name) == ("keep", "by hand")
    apply(mm, FILE.replace("  Vera:\n", "").replace("Anna: {role: admin, team: search}", "Anna: {role: admin}"))
    apply(mm, FILE.replace("  Vera:\n", "  Carl: {role: admin}\n").replace("Anna: {role: admin", "Anna: {role: viewer"))
    apply(mm, FILE.replace("  Vera:\n", "").replace("Anna: {role: admin, team: search}", "Anna: {role: admin}"))
    assert {(each.name, each.role, each.is_active) for each in mm.people.all()} == {
        ("Anna", "admin", True), ("Vera", "viewer", False), ("Carl", "admin", False)
    }  # fmt: skip
    apply(mm, FILE)
    apply(mm, "users: {Anna: {role: admin}}")
    assert {each.budget.name for each in mm.budgets.statuses()} == {"by hand", "other"}
    assert mm.configuration.managed("budgets") == {"other": "other.yaml"}
    assert [each.status for each in mm.experiments.all()] == ["stopped"]


def test_an_experiment_that_runs_is_not_changed(mm: ModelManager):
    apply(mm, FILE)
    with pytest.raises(Conflict, match=r"experiments cheaper cannot be changed: .*another name"):
        apply(mm, FILE.replace("weight: 3", "weight: 4").replace("limit_usd: 50", "limit_usd: 1"))
    assert {each.budget.name: each.budget.limit_usd for each in mm.budgets.statuses()}["team-a"] == 50


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("keys:\n  - {name: a}\nbudgts: {}", "line 3: there is no section 'budgts'; did you mean budgets?"),
        ("keys:\n  - name: x\n    scops: [call]", "line 2: keys x: there is no field 'scops'; did you mean scopes?"),
        ("keys: [{name: x, rpm: -1}]", "keys x: rpm == -1"),
        ("keys: [{name: x, expires_at: tomorrow}]", "keys x: .*tomorrow"),
        ("keys: [{name: a}, {name: a}]", "keys 'a' is there twice"),
        ("keys: [{scopes: [call]}]", "one of keys has no name"),
        ("vendors: {a: {kind: azur, url: https://x.example}}", "vendors a: kind == 'azur'"),
        (
            "vendors: {a: {kind: azure, url: https://x.example, key: abc}}",
            "there is no field 'key'; did you mean key_env?",
        ),
        ("alerts: {r: {kind: error_rate, abov: 5%}}", "alerts r: .*abov"),
        ("teams: {red: {rpm: 0}}", "teams red: rpm == 0"),
        ("teams: {red: {}}", "teams red: a team needs one or more of"),
        ("teams: {red blue: {rpm: 5}}", "teams red blue: team == 'red blue'"),
        ("keys: all", "keys holds a list of things"),
        ("budgets: {x: {limit_usd: much}}", "budgets x: limit_usd =="),
        ("budgets: {x: {period: day}}", "budgets x: a budget needs limit_usd"),
        ("aliases: {a: {modle: sim-fast}}", "did you mean model?"),
        ("prices: [{provider: openai, model: gpt-4o}]", "line 1: prices: The row says nothing"),
        (
            "prices: [{provider: openai, model: a, request_per_1000: 1}, {provider: openai, model: A, discount_percent: 2}]",
            "there twice",
        ),
        ("retention: {all: {texts: 30}}", "retention all: texts == '30'"),
        ("experiments: {e: {variants: [sim-fast, nope]}}", "experiments e: There is no model 'nope'"),
        ("- keys", "holds no sections"),
    ],
)
def test_what_is_wrong_is_named_by_its_line_before_anything_is_done(mm: ModelManager, text: str, says: str):
    with pytest.raises(InvalidRequest, match=says):
        apply(mm, text)
    assert (mm.keys.all(), mm.budgets.statuses(), mm.configuration.managed("keys")) == ([], [], {})


def test_what_could_not_be_brought_about_is_refused_before_anything_is_done(mm: ModelManager):
    """Each comes after a key that could be made: it is not, and neither by a dry run nor for good a traceback comes."""
    refused = {
        "budgets: {b: {limit_usd: nan}}": "limit_usd == nan, must be between",
        "budgets: {b: {limit_usd: 5, refuses_unpriced: yes}}": "refuses_unpriced == 'yes', must be true or false",
        "budgets: {b: {limit_usd: 5, action: downgrade, downgrade_to: nope}}": "no model 'nope'",
        "budgets: {b: {limit_usd: 5, scope: 'deployment:nope'}}": "fits no call",
        "aliases: {h: {model: nope}}": "no such model",
        "aliases: {h: {model: [sim-fast]}}": "model == .*must be a text",
        "aliases: {h: {model: sim-fast, system: 5}}": "system == '5', must be a text; in quotes",
        "aliases: {'a b': {model: sim-fast}}": "needs a name of letters",
        "aliases: {h: {model: sim-fast, parameters: []}}": "parameters == .*must be fields",
        "users: {A: {role: viewer}}": "one must be an admin",
        "users: {'a b': {role: admin}}": "name == 'a b'",
        "retention: {all: {texts: 400d, calls: 30d}}": "longer than calls",
        "retention: {all: }": "Say how long",
        "retention: {'tag: eu': {texts: 7d}}": "scope == 'tag: eu'",
        "retention: {'key:nope': {texts: 7d}}": "no key 'nope'",
        "vendors: {d: {kind: openai}}": "key_env must name",
        "vendors: {d: {kind: openai, key_env: AZURE_KEY, is_enabled: no}}": "is_enabled == 'no', must be true or false",
        "experiments: {x: {variants: [sim-fast, {model: sim-careful, weight: 0.5}]}}": "weight == '0.5', must be a whole",
        "experiments: {x: {variants: [sim-fast, {model: sim-careful, is_shadow: yes}]}}": "is_shadow == 'yes'",
        "alerts: {~: {kind: error_rate, above: 5%}}": "one of alerts has no name",
        'budgets: {"a\\e[31m": {limit_usd: -5}}': r"budgets 'a\\x1b\[31m': limit_usd",
        "budgets: [{name: [b], limit_usd: 5}]": "is no name",
        "": "",
    }
    for text, says in refused.items():
        with pytest.raises(InvalidRequest, match=says or "no person 'Nobody'"):
            differences(mm, f"keys: {{ci: {{{'' if says else 'owner: Nobody'}}}}}\n{text}")
    with pytest.raises(InvalidRequest, match="after now"):
        differences(mm, "keys: {ci: {expires_at: 2001-01-01}}")
    with pytest.raises(InvalidRequest, match="is empty"):  # a template that failed takes nothing away
        differences(mm, "# nothing\n")


def test_what_comes_with_the_same_file_may_be_named_in_it_and_names_have_no_blanks_around_them(mm: ModelManager):
    text = """
users: {Vera: , Anna: {role: admin}}
keys: {' ci ': {owner: Vera, team: red}}
budgets:
  team: {limit_usd: "0.1234567891", scope: "team:red"}
  eu: {limit_usd: 5, scope: "deployment:eu"}
aliases: {h: {model: sim-fast}, gpt: {model: eu/gpt-4o}}
retention: {"key:ci": {texts: 7d}}
vendors: {eu: {kind: openai, key_env: AZURE_KEY}}
experiments: {x: {variants: [sim-careful, h]}}
prices:
  - {provider: openai, model: m, input: 1, output: 2, effective_from: "2026-01-01T02:00:00+02:00"}
"""
    assert len(apply(mm, text)) == 11
    assert [each.text for each in differences(mm, text)] == []
    assert differences(mm, mm.configuration.export()) == []
    with pytest.raises(InvalidRequest, match="is there twice"):
        differences(mm, f"{text}  - {{provider: openai, model: m, input: 1, output: 3, effective_from: 2026-01-01}}")


def test_the_commands_say_what_they_do(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    file = tmp_path / "config.yaml"
    file.write_text("keys: [{name: ci}]\nbudgets: {ci: {limit_usd: 5, scope: 'key:ci'}}\n")

    assert main(["apply", str(file), "--dry-run"]) == 0
    assert capsys.readouterr().out == "+ keys ci\n+ budgets ci  limit_usd: 5, scope: key:ci\n"
    assert main(["apply", str(file)]) == 0
    assert "(shown this once)" in capsys.readouterr().out
    assert main(["apply", str(file)]) == 0
    assert capsys.readouterr().out == "No change.\n"
    assert main(["export", "config"]) == 0
    assert "scope: key:ci" in capsys.readouterr().out
    file.write_text("budgets: {ci: {limit_usd: 5, scope: 'key:nobody'}}")
    assert main(["apply", str(file)]) == 1
    assert "line 1: budgets ci: scope == 'key:nobody' fits no call: There is no key 'nobody'" in capsys.readouterr().err
