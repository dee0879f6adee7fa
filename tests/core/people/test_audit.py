"""The audit: every change notes who, from where, when, before and after; what is refused is noted and not done."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from core import Forbidden, ModelManager, Target
from core.acting import acting_as
from core.domain.people.actor import Actor
from core.domain.people.entry import AuditEntry, Wanted
from core.monitoring.alerts.rule_file import read_rule
from core.storage.columns import metadata
from core.storage.people.watched import OPEN, WATCHED

ANNA = Actor(name="Anna", role="admin", door="page", address="10.0.0.7", id="u_1")
EDITOR = Actor(name="Ed", role="editor", door="api", id="u_2")
VERA = Actor(name="Vera", role="viewer", door="page", id="u_3")


def entries(mm: ModelManager, **wanted: object) -> list[AuditEntry]:
    return mm.audit.page(Wanted(**wanted))[0]  # type: ignore[arg-type]


def test_each_table_is_watched_or_open():
    names = set(metadata.tables)

    assert {*WATCHED, *OPEN} == names
    assert not set(WATCHED) & OPEN


def test_a_change_is_noted_with_who_from_where_before_and_after(mm: ModelManager):
    with acting_as(ANNA):
        budget = mm.budgets.create("team-a", "50", action="stop").budget
        mm.budgets.change(budget.id, limit_usd="80")
        mm.budgets.raise_once(budget.id, "20", reason="launch")
        mm.budgets.delete(budget.id)

    deleted, raised, changed, created = entries(mm)
    assert {(e.actor, e.actor_id, e.role, e.door, e.address, e.kind, e.subject) for e in entries(mm)} == {
        ("Anna", "u_1", "admin", "page", "10.0.0.7", "budget", "team-a")
    }
    assert created.before is None and created.after is not None and created.after["limit_usd"] == "50"
    assert (changed.before, changed.after) == ({"limit_usd": "50"}, {"limit_usd": "80"})
    assert changed.text == "Anna raised the budget 'team-a' from $50 to $80"
    assert raised.text == "Anna raised the budget 'team-a' from $80 to $100 (launch)"
    assert deleted.after is None and deleted.before is not None and deleted.before["action"] == "stop"


def test_what_a_role_may_not_do_is_refused_noted_and_not_done(mm: ModelManager):
    with acting_as(ANNA):
        budget = mm.budgets.create("team-a", "50").budget

    with acting_as(VERA), pytest.raises(Forbidden, match="Vera is a viewer and may not change budgets"):
        mm.budgets.raise_once(budget.id, "500", reason="please")
    with acting_as(EDITOR), pytest.raises(Forbidden, match="needs the role admin"):
        mm.keys.create("mine")
    with acting_as(VERA), pytest.raises(Forbidden):
        mm.aliases.set("smart", Target(model="sim-fast"))

    assert mm.budgets.status(budget.id).limit_usd == Decimal(50)
    assert mm.keys.all() == [] and mm.aliases.all() == []
    alias, key, raised = entries(mm, outcome="refused")
    assert [each.text for each in (alias, key, raised)] == [
        "Vera (viewer) was refused to set the alias 'smart'",
        "Ed (editor) was refused to create the key 'mine'",
        "Vera (viewer) was refused to raise the budget 'team-a'",
    ]
    assert raised.after == {"limit_usd": "550"}


def test_an_editor_resumes_a_comparison_and_a_viewer_does_not(with_gemini: ModelManager):
    mm = with_gemini
    with acting_as(EDITOR):
        capped = mm.comparisons.start("Why?", ["sim-fast", "gemini-2.5-flash"], cap_usd=Decimal("0.000001"))
        assert len(mm.comparisons.wait(capped).candidates) == 2
        with acting_as(VERA), pytest.raises(Forbidden, match="needs the role editor"):
            mm.comparisons.resume(capped)
        assert mm.comparisons.resume(capped) >= 1
        mm.comparisons.wait(capped)

    assert [each.action for each in entries(mm, who="Ed")] == ["comparison resumed"]


def test_a_service_that_notes_nothing_is_noted_all_the_same(mm: ModelManager):
    with acting_as(EDITOR):
        mm.aliases.set("smart", Target(model="sim-fast"))
        mm.aliases.set("smart", Target(model="sim-careful"))
        mm.aliases.remove("smart")

    removed, pointed, made = entries(mm, kinds=("alias",))
    assert (removed.action, removed.after) == ("alias deleted", None)
    assert pointed.before is not None and pointed.before["target"]["model"] == "sim-fast"
    assert pointed.after is not None and pointed.after["target"]["model"] == "sim-careful"
    assert made.before is None and made.actor == "Ed"


def test_no_secret_is_in_an_entry(mm: ModelManager):
    with acting_as(ANNA):
        key, secret = mm.keys.create("ci", tags=("team:a",))
        mm.keys.change(key.id, rpm=10)
        mm.keys.revoke(key.id)
        mm.budgets.create(f"for {secret}", "5")
        mm.alert_rules.put(read_rule({"kind": "error_rate", "above": "5%"}, "e"))
        for reason in ("Bearer s3cr3t", "to https://x.example/?key=s3cr3t", "https://x.example/h?a=1&token=s3cr3t"):
            mm.alert_rules.silence("e", timedelta(hours=1), reason)
        mm.alert_rules.silence("e", timedelta(hours=1), "https://hooks.slack.com/services/T1/B1/s3cr3t")
        mm.alert_rules.silence("e", timedelta(hours=1), "https://me:s3cr3t@x.example/")

    assert len(entries(mm, kinds=("silence",))) == 5  # none is damaged by what was taken out
    text = b"".join(mm.audit.export(Wanted(), "jsonl")).decode()
    assert secret not in text and "s3cr3t" not in text and "digest" not in text
    revoked, changed, created = entries(mm, kinds=("key",))
    assert (changed.before, changed.after) == ({"rpm": None}, {"rpm": 10})
    assert created.after is not None and created.after["hint"] == key.hint
    assert list(revoked.after or {}) == ["revoked_at"]


def test_the_use_of_a_key_is_no_change(mm: ModelManager):
    _, secret = mm.keys.create("ci")
    mm.keys.find(secret)
    mm.keys.flush(1)

    assert [each.action for each in entries(mm)] == ["key created"]


def test_entries_come_in_pages_and_by_filter(mm: ModelManager):
    for number in range(5):
        with acting_as(ANNA if number % 2 else EDITOR):
            mm.aliases.set(f"a{number}", Target(model="sim-fast"))

    first, more = mm.audit.page(Wanted(), 2)
    second, more_still = mm.audit.page(Wanted(), 2, more)
    third, end = mm.audit.page(Wanted(), 2, more_still)
    assert [each.subject for each in (*first, *second, *third)] == ["a4", "a3", "a2", "a1", "a0"]
    assert end is None
    assert [each.subject for each in entries(mm, who="u_1")] == ["a3", "a1"]
    assert [each.subject for each in entries(mm, who="Ed", since=second[0].created_at)] == ["a4", "a2"]
    assert [each.subject for each in entries(mm, until=second[1].created_at)] == ["a0"]
    assert {"alias", "budget", "key"} <= set(mm.audit.kinds())


def test_a_file_holds_all_entries_and_no_formula(mm: ModelManager):
    with acting_as(ANNA):
        for name in ("=1+1", "＝1+1"):
            mm.budgets.create(name, "5")

    lines = b"".join(mm.audit.export(Wanted(), "csv")).decode().splitlines()
    _, entry = [json.loads(line) for line in b"".join(mm.audit.export(Wanted(), "jsonl")).decode().splitlines()]
    assert len(lines) == 3 and ",'＝1+1," in lines[1] and ",'=1+1," in lines[2]
    assert entry["subject"] == "=1+1" and entry["after"]["limit_usd"] == "5"
