"""Prompts: templates that only put values in, versions by content, and labels with their history."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import Conflict, InvalidRequest, ModelManager, NotFound
from core.domain.evaluation.prompt import PromptContent, PromptMessage
from core.domain.generation import Message, Parameters
from core.domain.message import Tool
from core.prompts.rendering import messages_of, request_of, variables_of
from core.prompts.template import TemplateError, render, variables
from tests.conftest import Open


def content(*texts: str, system: str = "", **others: object) -> PromptContent:
    turns = [PromptMessage("system", system)] if system else []
    roles = ("user", "assistant")
    turns += [PromptMessage(roles[n % 2], text) for n, text in enumerate(texts)]
    return PromptContent(messages=tuple(turns), **others)  # type: ignore[arg-type]


# Templates


def test_variables_are_named_once_in_their_order():
    assert variables('{{ b }} {{a.x-1}} {{b}} {{"{{c}}"}} {"json": {"d": 1}}') == ("b", "a.x-1")


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("{{q}}", {"q": "{{env.HOME}} {{other}} {% x %}"}, "{{env.HOME}} {{other}} {% x %}"),
        ("{{ a }}-{{a}}", {"a": 1.5}, "1.5-1.5"),
        ("{{o}} {{l}} {{n}} {{t}}", {"o": {"ä": [1]}, "l": ["x"], "n": None, "t": True}, '{"ä":[1]} ["x"] null true'),
        ("{{user.name}} {{items.1}}", {"user": {"name": "Ann"}, "items": ["x", "y"]}, "Ann y"),
        ("{{user.name}}", {"user.name": "whole", "user": {"name": "part"}}, "whole"),
        ('{{"{{"}}x{{"}}"}}', {}, "{{x}}"),
        (
            '{"book": "Tea",\n"author": {"name": "{{n}}"}}',
            {"n": "Alex"},
            '{"book": "Tea",\n"author": {"name": "Alex"}}',
        ),
        ('Answer as {"a": ""}\n---\n{single} $x {% raw %}', {}, 'Answer as {"a": ""}\n---\n{single} $x {% raw %}'),
    ],
)
def test_values_are_put_in_once_and_as_they_are(template: str, values: dict[str, object], text: str):
    assert render(template, values) == text


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("a\n {{#if x}}", r"line 2, column 2: \{\{#if x\}\} is not a variable"),
        ("{{a b}}", "not a variable"),
        ("{{", "a stray {{"),
        ("x}}", "a stray }}"),
        ("{{q}} {{who}}", "'who' has no value; given are q"),
        ("{{q.deep}}", "'q.deep' has no value"),
    ],
)
def test_what_cannot_be_filled_is_named(template: str, says: str):
    with pytest.raises(TemplateError, match=says):
        render(template, {"q": "x"})


@given(st.text())
def test_any_text_is_put_in_unchanged(text: str):
    assert render("<{{x}}|{{x}}>", {"x": text, text: "never"}) == f"<{text}|{text}>"


# The request of a version


def test_a_version_makes_a_request(mm: ModelManager):
    made = content(
        "Hello {{name}}", "Hi!", "{{question}}", system="You are {{role}}.", model="sim-fast",
        parameters=Parameters(temperature=0.5, max_tokens=10), tools=(Tool(name="look_up"),),
    )  # fmt: skip
    version = mm.prompts.save("support", made)

    request = request_of(
        version,
        {"name": "Ann", "question": "Why?", "role": "terse"},
        parameters=Parameters(temperature=0),
        messages=messages_of([{"role": "assistant", "content": [{"type": "text", "text": "More"}]}]),
    )

    assert request.model == "sim-fast" and request.system == "You are terse."
    assert [(turn.role, turn.text) for turn in request.messages] == [
        ("user", "Hello Ann"), ("model", "Hi!"), ("user", "Why?"), ("model", "More"),
    ]  # fmt: skip
    assert request.parameters == Parameters(temperature=0, max_tokens=10) and request.tools == made.tools
    assert request_of(version, {"name": "", "question": "", "role": ""}, model="other").model == "other"
    assert variables_of(made) == ("role", "name", "question")


def test_a_system_prompt_alone_needs_a_turn_of_the_caller(mm: ModelManager):
    version = mm.prompts.save("rules", content(system="Be brief."))

    with pytest.raises(InvalidRequest, match="rules@1 has no turn"):
        request_of(version, {}, model="m")
    with pytest.raises(InvalidRequest, match="names no model"):
        request_of(version, {}, messages=[Message("user", "x")])
    with pytest.raises(InvalidRequest, match="message 1: role == 'tool'"):
        messages_of([{"role": "tool", "content": "x"}])


# Versions and labels


def test_the_same_content_is_the_same_version(mm: ModelManager):
    first = mm.prompts.save("p", content("a", parameters=Parameters(json_schema={"b": 1, "a": 2})), note="one")
    second = mm.prompts.save("p", content("b"))
    again = mm.prompts.save("p", content("a", parameters=Parameters(json_schema={"a": 2, "b": 1})), note="two")

    assert (first.number, second.number, again) == (1, 2, first)
    assert mm.prompts.get("p") == second and mm.prompts.get("p@1").note == "one"
    assert [version.number for version in mm.prompts.versions("p")] == [2, 1]
    assert [(each.name, each.n_versions, each.newest) for each in mm.prompts.all()] == [("p", 2, second)]


def test_a_label_moves_and_comes_back(mm: ModelManager):
    for text in ("a", "b"):
        mm.prompts.save("p", content(text))
    mm.prompts.move_label("p", "live", 1, author="Ann")
    assert mm.prompts.get("p").number == 1

    moved = mm.prompts.move_label("p", "live", 2, author="Bob", run_id="r1")
    assert (moved.number, moved.was, moved.run_id) == (2, 1, "r1")
    assert mm.prompts.get("p").labels == ("live",) and mm.prompts.get("p@live").number == 2

    assert mm.prompts.undo_label("p", "live").number == 1
    assert mm.prompts.get("p@live").number == 1
    assert [(move.was, move.number, move.author) for move in mm.prompts.label_moves("p")] == [
        (2, 1, ""), (1, 2, "Bob"), (None, 1, "Ann"),
    ]  # fmt: skip
    assert mm.prompts.all()[0].labels == {"live": 1}


def test_a_label_that_was_new_is_taken_away_again(mm: ModelManager):
    mm.prompts.save("p", content("a"))
    mm.prompts.move_label("p", "staging", 1)

    assert mm.prompts.undo_label("p", "staging").number is None
    with pytest.raises(NotFound, match="no label 'staging'"):
        mm.prompts.get("p@staging")
    with pytest.raises(NotFound, match="no label 'other'"):
        mm.prompts.undo_label("p", "other")


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("suport", "no prompt 'suport'.*Did you mean support"),
        ("support@7", "no version 7; the newest is 1"),
        ("support@99999999999999999999", "no version 9999"),
        ("support@prod", "no label 'prod'.*It has live"),
        ("", "no prompt ''"),
    ],
)
def test_what_is_not_there_is_told_with_close_names(mm: ModelManager, ref: str, says: str):
    mm.prompts.save("support", content("a"))
    mm.prompts.move_label("support", "live", 1)

    with pytest.raises(NotFound) as error:
        mm.prompts.get(ref)

    assert re.search(says, error.value.text)


@pytest.mark.parametrize(
    ("name", "made", "says"),
    [
        ("a b", content("x"), "no name for a prompt"),
        ("", content("x"), "no name for a prompt"),
        ("a@1", content("x"), "no name for a prompt"),
        ("p", content(" "), "needs a turn"),
        ("p", content(), "needs a turn"),
        ("p", content("{{a"), "a stray {{"),
        ("p", content("x\x00"), "NUL"),
        ("p", content("x" * 1_000_001), "at most 1,000,000"),
        ("p", content("x", parameters=Parameters(temperature=9)), "temperature == 9"),
        ("p", PromptContent(messages=(PromptMessage("tool", "x"),)), "role == 'tool'"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_asked_is_not_saved(mm: ModelManager, name: str, made: PromptContent, says: str):
    with pytest.raises(InvalidRequest, match=says):
        mm.prompts.save(name, made)
    assert mm.prompts.all() == []


def test_a_number_is_no_label_and_a_used_prompt_stays(mm: ModelManager):
    mm.prompts.save("p", content("x"))
    with pytest.raises(InvalidRequest, match="a number behind the @"):
        mm.prompts.move_label("p", "7", 1)
    with pytest.raises(NotFound):
        mm.prompts.move_label("p", "live", 2)

    mm.prompts.uses.append(lambda name: ["the alias fast"] if name == "p" else [])
    with pytest.raises(Conflict, match="the alias fast"):
        mm.prompts.delete("p")
    mm.prompts.uses.pop()
    mm.prompts.delete("p")

    assert mm.prompts.all() == [] and mm.prompts.label_moves("p") == []
    assert mm.prompts.save("p", content("y")).number == 1


def test_two_people_who_save_at_once_get_two_versions(open_manager: Open, database_url: str):
    managers = [open_manager(database_url, takes_up=False) for _ in range(2)]

    with ThreadPoolExecutor(2) as pool:
        for n in range(20):
            saved = pool.map(lambda at, n=n: managers[at].prompts.save("p", content(f"{n}-{at}")).number, (0, 1))
            assert sorted(saved) == [2 * n + 1, 2 * n + 2]
        both = pool.map(lambda mm: mm.prompts.save("p", content("same")).number, managers)
        assert list(both) == [41, 41]
