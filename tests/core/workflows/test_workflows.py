"""Workflows: written, checked, run, killed, resumed."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from core import Conflict, InvalidRequest, ModelManager, NotFound, Origin, TooLarge
from core.config import MAX_PROMPT_BYTES, Settings
from core.domain.generation import Parameters
from core.domain.workflow import Condition, Step, Workflow
from core.formats import yaml_text
from core.formats.yaml_text import typed
from core.prompts.template import TemplateError
from core.storage.schema import workflow_runs
from core.workflows import editing, spec
from core.workflows.rewriting import rewritten
from core.workflows.template import references, render
from tests.fakes import gemini as wire
from tests.fakes.gemini import FakeGemini, Reply

FLASH = "gemini-2.5-flash"
BUILT_IN = ["analysis", "content_generation", "extract_json", "route", "translation"]


def workflow(*steps: Step, **fields: object) -> Workflow:
    return Workflow(name="mine", steps=steps, **fields)  # type: ignore[arg-type]


# Templates


def test_a_template_is_filled_with_inputs_and_outputs():
    text = render("{{input}} / {{ input.lang }} / {{steps.a-1.output}}", {"": "x", "lang": "fr"}, {"a-1": "y"})

    assert text == "x / fr / y"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ('{{"{{"}}name{{"}}"}}', "{{name}}"),
        ('{{ "{{input}}" }} is {{input}}', "{{input}} is x"),
        ('{{"}}"}}{{"{{"}}', "}}{{"),
        ('{{""}}', ""),
        ('{{"two\nlines {"}}', "two\nlines {"),
    ],
)
def test_braces_can_be_written_as_text(template: str, text: str):
    assert render(template, {"": "x"}, {}) == text


def test_braces_inside_values_stay_text():
    assert render("{{input}}", {"": "{{input}} {{steps.a.output}} }}"}, {}) == "{{input}} {{steps.a.output}} }}"


@pytest.mark.parametrize(
    "text",
    [
        "{{input",
        "{{ }}",
        "{{secret}}",
        "{{steps.a}}",
        "{{input.a.b}}",
        "a }} b",
        "{{{{input}}}}",
        "{{import os}}",
        "{{" * 500_000,
        '{{"a' * 200_000,
    ],
)
def test_stray_braces_and_unknown_forms_are_named_with_their_place(text: str):
    with pytest.raises(TemplateError, match="line 1, column"):
        references(text)


@pytest.mark.parametrize(
    "text", ['{"a": {"b": 1}}', "no braces", "{single}", 'Answer like {"x": {"y": {}}} for {{input}}']
)
def test_json_in_a_prompt_is_no_mistake(text: str):
    references(text)


@given(st.text(max_size=200))
def test_any_template_is_either_filled_or_refused(text: str):
    with contextlib.suppress(TemplateError):
        render(text, {"": "value"}, {})


# Specs

names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
UGLY = ["yes", "1.10", "1e3", "0o17", "~", "", " ", "\n", " a ", "\n a\n\n", "a\t", "- a", "# a", "a: b", "'", '"', "<<", "=", "|", "*a", "!a", "%", "@", "\u2028", "\x85", "\r\n", "\ufeff", "e\u0301", "🙂"]  # fmt: skip
texts = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30) | st.sampled_from(UGLY), max_size=4
).map("".join)
visible = texts.filter(lambda t: bool(t.strip()))
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
steps = st.builds(
    Step,
    name=names,
    prompt=visible,
    model=st.none() | st.just("sim-fast"),
    system=st.none() | visible,
    parameters=st.builds(
        Parameters,
        temperature=st.none() | st.floats(0, 2),
        max_tokens=st.none() | st.integers(1, 99),
        stop=st.none() | st.lists(visible, min_size=1, max_size=2).map(tuple),
        json_schema=st.none() | st.dictionaries(texts, plain_values, max_size=2),
    ),
    check=st.sampled_from(["none", "not_empty", "json"]),
    attempts=st.integers(1, 5),
    on_failure=st.sampled_from(["stop", "skip", "default"]),
    default=st.none() | texts,
    when=st.none() | st.builds(Condition, step=names, contains=texts, negate=st.booleans()),
    approval=st.booleans(),
)


workflows = st.builds(
    Workflow,
    name=names,
    description=texts,
    inputs=st.dictionaries(names, texts, max_size=2),
    steps=st.lists(steps, min_size=1, max_size=2).map(tuple),
)


@given(workflows)
@settings(max_examples=60, deadline=None)
def test_yaml_is_the_same_object(given_workflow: Workflow):
    assert spec.from_yaml(spec.to_yaml(given_workflow)) == given_workflow


WRITTEN = """# The team's
name: reply   # as the bot's
inputs:
  language: 'English'  # default

steps:
- name: a
  # what is asked
  prompt: |
    One

    {{input}}

  check: none
  parameters: {temperature: 0.20}  # cold
- name: "b"
  prompt: {{steps.a.output}}
  model:  # of the run
  when:
    step: a
    contains: no  # polite
# the end
""".replace("prompt: {{steps.a.output}}", "prompt: '{{steps.a.output}}'")


def changed(at: int, **fields: object) -> Callable[[Workflow], Workflow]:
    return lambda old: replace(old, steps=(*old.steps[:at], replace(old.steps[at], **fields), *old.steps[at + 1 :]))


@pytest.mark.parametrize(
    ("change", "was", "becomes"),
    [
        (lambda old: old, "", ""),
        (lambda old: replace(old, name="mine"), "reply ", "mine "),
        (lambda old: replace(old, inputs={"language": "It's"}), "'English'", "'It''s'"),
        (lambda old: replace(old, inputs={}), "inputs:\n  language: 'English'  # default\n", ""),
        (changed(0, prompt="Two\n\nlines\n"), "    One\n\n    {{input}}\n", "    Two\n\n    lines\n"),
        (changed(0, prompt="Two\n\n\n"), "|\n    One\n\n    {{input}}\n\n", "|+\n    Two\n\n\n"),
        (changed(0, check="json"), "check: none", "check: json"),
        (changed(0, attempts=2), "# cold\n", "# cold\n  attempts: 2\n"),
        (changed(0, parameters=Parameters(temperature=0.7)), "0.20", "0.7"),
        (changed(0, parameters=Parameters()), "  parameters: {temperature: 0.20}  # cold\n", ""),
        (changed(1, prompt="a: b"), "'{{steps.a.output}}'", "'a: b'"),
        (changed(1, model="sim-fast"), "model:  #", "model: sim-fast  #"),
        (changed(1, name='"'), '"b"', '"\\""'),
        (changed(1, when=Condition(step="a", contains="x", negate=True)), "contains: no ", "not_contains: x "),
        (changed(1, when=None), "  when:\n    step: a\n    contains: no  # polite\n", ""),
        (lambda old: replace(old, steps=old.steps[:1]), WRITTEN[WRITTEN.index('- name: "b"') : -len("# the end\n")], ""),
        (lambda old: replace(old, steps=(*old.steps, Step(name="c", prompt="x\ny"))), "# polite\n", "# polite\n- name: c\n  prompt: |-\n    x\n    y\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_change_leaves_the_rest_as_it_was_written(change, was: str, becomes: str, end: str):
    text = WRITTEN.replace("\n", end)
    new = change(spec.from_yaml(text))

    assert rewritten(text, new) == WRITTEN.replace(was, becomes, 1).replace("\n", end)


@given(workflows, workflows, st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_change_means_what_it_says(old: Workflow, new: Workflow, is_flow: bool):
    text = json.dumps(spec.to_dict(old)) if is_flow else spec.to_yaml(old)

    assert spec.from_yaml(rewritten(text, new)) == new


def test_a_new_name_is_followed_where_it_is_meant_and_nowhere_else():
    a, b = Step(name="set", prompt="set {{input}}"), Step(name="set1", prompt="{{ steps.set.output }} {{steps.set1.output}} steps.set.output")  # fmt: skip
    given = workflow(a, b)

    renamed = editing.with_step(given, 0, replace(a, name="new"))
    assert [step.prompt for step in renamed.steps] == ["set {{input}}", "{{ steps.new.output }} {{steps.set1.output}} steps.set.output"]  # fmt: skip
    assert editing.with_step(given, 0, replace(a, name="set1")).steps[1] == b  # a name that is taken means the other


def test_steps_that_are_moved_keep_what_their_author_wrote():
    text = (
        "name: x\nsteps:\n  - name: a   # first\n    prompt: 'p'\n  # about b\n"
        '  - {name: b, prompt: "q"}\n  - name: c\n    prompt: |\n      r\n# end\n'
    )
    read = spec.from_yaml(text)
    a, b, c = read.steps
    new = Step(name="d", prompt="s")

    assert rewritten(text, replace(read, steps=(b, new, a, c))) == (
        'name: x\nsteps:\n  # about b\n  - {name: b, prompt: "q"}\n  - name: d\n    prompt: s\n'
        "  - name: a   # first\n    prompt: 'p'\n  - name: c\n    prompt: |\n      r\n# end\n"
    )


def test_what_stands_behind_an_alias_is_changed_in_one_place():
    text = "name: x\nsteps:\n- &s {name: a, prompt: &p 'Say {{input}}'}\n- {name: b, prompt: *p}\n"

    new = changed(1, prompt="c")(spec.from_yaml(text))

    assert [step.prompt for step in spec.from_yaml(rewritten(text, new)).steps] == ["Say {{input}}", "c"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_built_in_ones_are_without_problems(mm_without_key: ModelManager, name: str):
    built_in = mm_without_key.workflows.get(name)

    assert mm_without_key.workflows.definitions.problems(built_in) == []


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (workflow(Step(name="a", prompt="{{input.lang}}")), "no input 'lang'"),
        (workflow(Step(name="a", prompt="{{steps.b.output}}")), "no step 'b'"),
        (workflow(Step(name="a", prompt="{{steps.a.output}}")), "circle"),
        (workflow(Step(name="a", prompt="{{steps.b.output}}"), Step(name="b", prompt="{{steps.a.output}}")), "circle"),
        (workflow(Step(name="a", prompt="x"), Step(name="a", prompt="y")), "two steps"),
        (workflow(Step(name="a", prompt="x", model="nope-99")), "no model 'nope-99'"),
        (workflow(Step(name="a", prompt="x {{input")), "stray"),
        (workflow(Step(name="a b", prompt="x")), "step's name"),
        (workflow(Step(name="a" * 61, prompt="x")), "at most 60"),
        (
            workflow(*(Step(name=f"a{n}", prompt=f"{{{{steps.a{n + 1}.output}}}}") for n in range(20_000))),
            "20,000 steps",
        ),
        (workflow(Step(name="a", prompt="x", on_failure="fallback")), "fallback_model"),
        (workflow(Step(name="a", prompt="x", on_failure="default")), "`default` must give"),
        (workflow(Step(name="a", prompt="x\0")), "cannot be kept"),
        (workflow(Step(name="a", prompt="x", when=Condition(step="z", contains="y"))), "'z'"),
    ],
)
def test_what_is_wrong_is_said_in_words(mm_without_key: ModelManager, broken: Workflow, words: str):
    assert any(words in str(problem) for problem in mm_without_key.workflows.definitions.problems(broken))
    with pytest.raises(InvalidRequest, match="cannot run"):
        mm_without_key.workflows.start(broken, "x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a",
        "name: x",
        "name: x\nsteps: []",
        "name: x\nsteps: [1]",
        "a: [",
        "name: x\nsteps: [{name: a, prompt: b, colour: red}]",
        "name: x\nsteps: [{name: a, prompt: b, attempts: many}]",
    ],
)
def test_yaml_that_is_no_workflow_is_refused(text: str):
    with pytest.raises(InvalidRequest):
        spec.from_yaml(text)


STEP = "name: x\nsteps:\n- name: a\n  prompt: b\n"
BOMB = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{STEP}  prompt: c\n", r"line 5: 'prompt' is there twice, first in line 4"),
        (f"{STEP}  'prompt': c\n", r"line 5: 'prompt' is there twice"),
        (f"{STEP}  <<: {{check: json}}\n", r"line 5: step a: << is not known"),
        (f"{STEP}  attempts: {'9' * 5000}\n", r"line 5: .*5,000 digits"),
        (f"{STEP}  attempts: 1_0\n", r"line 5: .*attempts == '1_0'"),
        (f"{STEP}  attempts: '2'\n", r"line 5: .*attempts == '2'"),
        (f"{STEP}  attempts: yes\n", r"line 5: .*attempts == 'yes'"),
        (f"{STEP}  parameters: {{max_tokens: 12:30}}\n", r"line 5: .*max_tokens == '12:30'"),
        (f"{STEP}  parameters: {{temperature: .inf}}\n", r"line 5: .*temperature == '.inf'"),
        (f"{STEP}  parameters: {{temperature: 1e999}}\n", r"line 5: .*larger"),
        (f"{STEP}  check: on\n", r"line 5: .*check == 'on'"),
        (f"{STEP}  default: [a]\n", r"line 5: .*`default` is a text"),
        (f"{STEP}\tcheck: json\n", r"line 5, column 1: a tab cannot indent"),
        (f"{STEP}  parameters: {{stop: [[a]]}}\n", r"line 5: .*stop == \[\['a'\]\]"),
        (f"{STEP}  system: Say: hi\n", r"line 5, column 14: .*needs quotes"),
        (f"{STEP}  system: `x`\n", r"line 5, column 11: .*needs quotes"),
        (f"{STEP}---\n{STEP}", r"line 5: a second document"),
        (f"{STEP}  model: !env MODEL\n", r"line 5: the tag !env"),
        (f"{STEP}  model: !!python/object/apply:os.getcwd []\n", r"line 5: the tag"),
        (f"{STEP}  model: !!timestamp 2026-02-30\n", r"line 5: the tag"),
        (f"{STEP}  model: *unknown\n", r"line 5: \*unknown"),
        (f"{STEP}  parameters: &p {{json_schema: *p}}\n", r"line 5: \*p"),
        (f'{STEP}  system: "\\0"\n', r"line 5: .*cannot be kept"),
        (f'{STEP}  system: "\\U00110000"\n', "not YAML"),
        (f"{STEP}  system: a\x1bb\n", r"line 5: the character U\+001B"),
        ("name: x\nsteps:\n- name: a\n  prompt: {{input}}\n", r"line 4: a key is no text; .*quotes"),
        (f"l0: &l0 [x]\n{BOMB}", "aliases written out"),
        (f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 20)}]", "line 2: .*aliases written out"),
        ("[" * 100_000, "line 1: nested too deeply"),
        ("a: " * 100_000, "line 1"),
        ("x" * 2_000_000, "at most 1,000,000"),
        (b"name: caf\xe9\n", "line 1: the text is not UTF-8"),
        ("name: x".encode("utf-16"), "line 1: the text is not UTF-8"),
    ],
)
def test_what_is_wrong_in_a_yaml_is_said_with_its_line(text: str | bytes, words: str):
    with pytest.raises(InvalidRequest, match=words) as refused:
        spec.from_yaml(text)

    assert len(refused.value.message) < 500


@pytest.mark.parametrize(
    "written",
    "yes no on off y N true False null ~ 1.10 12:30 010 0o17 0x1F 1_000 1e3 .inf .nan -0 +1 2026-11-28 2026-02-30 = << 1:30:00 2026-11-28T10:00:00Z".split(),
)
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_text_is_what_its_author_wrote(written: str, quote: str):
    text = f"{quote}{written}{quote}"
    read = spec.from_yaml(
        f"name: x\ndescription: is {written}\ninputs: {{{text}: {text}}}\nsteps:\n"
        f"- {{name: a, prompt: is {written}, default: {text}, parameters: {{stop: [{text}]}},"
        f" when: {{step: b, contains: {text}}}}}"
    )

    [step] = read.steps
    assert step.when and (step.when.contains, step.default, step.parameters.stop) == (written, written, (written,))
    assert read.inputs == {written: written}
    assert (read.description, step.prompt) == (f"is {written}", f"is {written}")
    assert step.when.holds(f"The answer is {written}.") and not step.when.holds("###")


@pytest.mark.parametrize(("written", "said"), [("STRASSE", "Straße"), ("ja", "JA."), ("Ä", "a\u0308"), ("σ", "ΟΣ")])
def test_a_condition_does_not_mind_how_letters_are_written(written: str, said: str):
    assert Condition(step="a", contains=written).holds(said)
    assert not Condition(step="a", contains=written, negate=True).holds(said)


def test_values_of_a_schema_are_those_of_yaml_1_2():
    schema = "{enum: [yes, 010, 1.5, '2', null, 0x1F, 1e3], additionalProperties: false, title: 2026-11-28}"

    [step] = spec.from_yaml(f"{STEP}  parameters: {{json_schema: {schema}, temperature: 1, stop: END}}").steps

    enum = ["yes", 10, 1.5, "2", None, 31, 1000.0]
    assert step.parameters.json_schema == {"enum": enum, "additionalProperties": False, "title": "2026-11-28"}
    assert (step.parameters.temperature, step.parameters.stop) == (1, ("END",))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a\tb", "a\tb"),
        ("\ta  # c\t", "a"),
        ("a\t# c\n\t\n\t# c", "a"),
        ("a\n    b\t\n    c", "a b c"),
        ("a\u2028b\x85c\u2029", "a\u2028b\x85c\u2029"),
        ("|\n    a\u2028b\n    \tc\n", "a\u2028b\n\tc\n"),
        ("{\n\t'a':\t[\n\t1]}", {"a": [1]}),
    ],
)
def test_tabs_and_line_ends_of_yaml_1_1_are_those_of_1_2(written: str, read: object):
    found = typed(yaml_text.read(f"a: 1\nb: {written}\nc: 2\n"))

    assert found == {"a": 1, "b": read, "c": 2}


def test_what_is_left_empty_has_its_default():
    [step] = spec.from_yaml(f"{STEP}  attempts:\n  check: ~\n  on_failure: null\n  model:\n").steps

    assert step == Step(name="a", prompt="b")


def test_an_anchor_is_taken_where_it_is_used():
    read = spec.from_yaml("name: x\nsteps:\n- {name: a, prompt: &p 'Say {{input}}'}\n- {name: b, prompt: *p}")

    assert [step.prompt for step in read.steps] == ["Say {{input}}"] * 2


def test_steps_run_after_what_they_use_however_they_are_listed():
    listed = workflow(Step(name="b", prompt="{{steps.a.output}}"), Step(name="a", prompt="{{input}}"))

    assert [step.name for step in spec.order(listed)] == ["a", "b"]


# Runs


@pytest.fixture
def mm_without_key(open_manager, sqlite_url: str) -> ModelManager:
    opened: ModelManager = open_manager(sqlite_url)
    return opened


def test_a_run_keeps_every_step_with_its_cost(mm: ModelManager):
    run = mm.workflows.wait(mm.workflows.start("translation", "Good morning", inputs={"target_language": "German"}), 60)

    assert (run.status, [step.status for step in run.steps]) == ("succeeded", ["succeeded"] * 3)
    assert run.final_output == run.steps[-1].output != ""
    assert "German" in run.steps[0].prompt
    calls = mm.log.by_ref(run.id)
    assert run.total_cost_usd == sum(call.cost_usd for call in calls if call.cost_usd is not None)
    assert run.total_tokens == sum(call.usage.total_tokens for call in calls)


def test_a_branch_that_does_not_hold_is_skipped(mm_without_key: ModelManager):
    run = mm_without_key.workflows.wait(mm_without_key.workflows.start("route", "What is two and two?"), 60)

    assert {step.step: step.status for step in run.steps} == {
        "classify": "succeeded",
        "answer_easy": "succeeded",
        "answer_hard": "skipped",
    }


def test_a_failed_run_keeps_what_it_has_and_resumes_without_paying_again(
    open_manager, sqlite_url: str, gemini: FakeGemini
):
    mm = open_manager(sqlite_url, gemini)
    gemini.next(wire.answer("First."), wire.error(400, "INVALID_ARGUMENT", "No."))
    run_id = mm.workflows.start("content_generation", "The sea", model="gemini-2.5-flash")
    failed = mm.workflows.wait(run_id, 60)
    assert (failed.status, [step.status for step in failed.steps]) == ("failed", ["succeeded", "failed", "waiting"])
    assert "No." in failed.error

    gemini.next(wire.answer("Second."), wire.answer("Third."))
    mm.workflows.resume(run_id)
    run = mm.workflows.wait(run_id, 60)

    assert (run.status, run.final_output) == ("succeeded", "Third.")
    assert len(gemini.requests) == 4  # the first step was asked once
    assert run.saved_usd == run.steps[0].cost_usd
    assert "First." in gemini.requests[2]["body"]["contents"][0]["parts"][0]["text"]


def test_a_step_waits_for_approval(mm_without_key: ModelManager):
    service = mm_without_key.workflows
    asked = workflow(Step(name="a", prompt="{{input}}", model="sim-fast"), Step(name="b", prompt="Go on: {{steps.a.output}}", model="sim-fast", approval=True))  # fmt: skip

    run = service.wait(run_id := service.start(asked, "x"))
    assert (run.status, run.awaits and run.awaits.step) == ("paused", "b")
    assert run.awaits and run.awaits.prompt.startswith("Go on: ")
    service.cancel(run_id)
    assert "Not approved" in service.run(run_id).error
    service.resume(run_id)  # what was refused is not let through by taking the run up
    run = service.wait(run_id)
    assert (run.status, run.saved_usd) == ("paused", run.steps[0].cost_usd)

    service.resume(run_id)
    run = service.wait(run_id)
    assert (run.status, run.awaits, run.n_starts) == ("succeeded", None, 3)
    assert run.saved_usd == run.steps[0].cost_usd  # to be let through is as planned, and saves nothing


def test_json_that_is_none_goes_back_with_the_reason(open_manager, sqlite_url: str, gemini: FakeGemini):
    mm = open_manager(sqlite_url, gemini)
    gemini.next(wire.answer("Sure! Here it is."), wire.answer('```json\n{"title": "x"}\n```'), wire.answer("Done."))

    run = mm.workflows.wait(mm.workflows.start("extract_json", "A text", model="gemini-2.5-flash"), 60)

    assert (run.status, run.steps[0].n_attempts) == ("succeeded", 2)
    assert "not JSON" in gemini.requests[1]["body"]["contents"][0]["parts"][0]["text"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("skip", ("succeeded", "skipped")),
        ("stop", ("failed", "failed")),
        ("fallback", ("succeeded", "succeeded")),
        ("default", ("succeeded", "succeeded")),
    ],
)
def test_a_failing_step_does_what_its_policy_says(mm_without_key: ModelManager, policy, expected):
    fragile = workflow(
        Step(
            name="a",
            prompt="[[fail:block]] {{input}}",
            model="sim-fast",
            on_failure=policy,
            fallback_model="sim-balanced",
            default=" none\n",
        ),
        Step(name="b", prompt="hello {{steps.a.output}}", model="sim-fast"),
    )
    if policy == "fallback":  # the fallback gets the same prompt, so let only the first attempt fail
        fragile = workflow(
            Step(
                name="a",
                prompt="[[fail:block:0]] {{input}}",
                model="sim-fast",
                check="json",
                on_failure=policy,
                fallback_model="sim-balanced",
            ),
            Step(name="b", prompt="hello {{input}}", model="sim-fast"),
        )
        expected = ("failed", "failed")  # neither model writes JSON here: the fallback was asked, and failed as well

    run = mm_without_key.workflows.wait(mm_without_key.workflows.start(fragile, "x"), 60)

    assert (run.status, run.steps[0].status) == expected
    if policy == "fallback":
        assert run.steps[0].model == "sim-balanced"
    if policy == "default":
        assert (run.steps[0].output, run.steps[1].prompt) == (" none\n", "hello  none\n")
        assert run.steps[0].error


def test_a_vendor_that_failed_is_asked_the_same_again(mm_without_key: ModelManager):
    """Only a check's reason is sent back: the model has not seen what became of another call."""
    asked = workflow(Step(name="a", prompt="[[fail:block]] {{input}}", model="sim-fast", attempts=2))

    [step] = mm_without_key.workflows.wait(mm_without_key.workflows.start(asked, "x"), 60).steps

    assert (step.status, step.n_attempts, step.prompt) == ("failed", 2, "[[fail:block]] x")


@pytest.mark.parametrize(
    "unreadable",
    [
        workflow(),
        workflow(Step(name="a", prompt=" ")),
        workflow(Step(name="a", prompt="x", parameters=Parameters(stop=("x",) * 17))),
        workflow(Step(name="a", prompt="x", attempts=11)),
    ],
)
def test_what_could_not_be_read_again_is_not_begun(mm_without_key: ModelManager, unreadable: Workflow):
    with pytest.raises(InvalidRequest):
        mm_without_key.workflows.start(unreadable, "x")
    with pytest.raises(InvalidRequest, match="q == 5, must be a text"):
        mm_without_key.workflows.start("analysis", "x", inputs={"q": 5})  # type: ignore[dict-item]

    assert mm_without_key.workflows.job.unfinished() == []


def test_a_damaged_run_ends_and_keeps_no_other_waiting(mm_without_key: ModelManager):
    service = mm_without_key.workflows
    row = {"id": "r_1", "workflow_name": "x", "spec": "[", "inputs": "{}", "source": "python", "key_id": "", "status": "queued", "n_starts": 0, "created_at": 1}  # fmt: skip
    with mm_without_key.database.write() as connection:
        connection.execute(insert(workflow_runs).values(**row))

    assert service.job.claim("r_1", "p1-1") is None
    assert service.job.unfinished() == []


@pytest.mark.parametrize(
    ("text", "error"), [("", InvalidRequest), ("  ", InvalidRequest), ("x" * 10_000_000, TooLarge)]
)
def test_an_input_that_cannot_be_used_gets_a_clear_answer(mm_without_key: ModelManager, text: str, error):
    assert len(text) < MAX_PROMPT_BYTES or error is TooLarge
    with pytest.raises(error):
        mm_without_key.workflows.start("analysis", text)
    assert mm_without_key.workflows.runs() == []


def test_a_run_can_be_stopped_and_taken_up_again(sqlite_url: str):
    with ModelManager.open(Settings(database_url=sqlite_url)) as mm:
        run_id = mm.workflows.start("content_generation", "The sea", model="sim-careful")
        while mm.workflows.run(run_id).steps[0].status != "running":
            time.sleep(0.01)
        mm.workflows.cancel(run_id)
        assert mm.workflows.wait(run_id, 30).status == "cancelled"
        with pytest.raises(Conflict):
            mm.workflows.cancel(run_id)

        mm.workflows.resume(run_id)

        assert mm.workflows.wait(run_id, 60).status == "succeeded"


def test_a_saved_workflow_covers_the_built_in_one_and_can_be_removed(mm_without_key: ModelManager):
    service = mm_without_key.workflows
    service.save(Workflow(name="analysis", steps=(Step(name="only", prompt="{{input}}"),)))
    assert len(service.get("analysis").steps) == 1

    service.remove("analysis")

    assert len(service.get("analysis").steps) == 3
    with pytest.raises(NotFound):
        service.remove("analysis")


def test_workflows_are_found_wherever_the_program_is_started(
    mm_without_key: ModelManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The built-in ones come with the package; files of the team's own lie beside its database."""
    monkeypatch.chdir(tmp_path)
    assert sorted(mm_without_key.workflows.all()) == BUILT_IN

    (tmp_path / "data/workflows").mkdir(parents=True)
    (tmp_path / "data/workflows/ours.yaml").write_text("name: ours\nsteps:\n  - name: only\n    prompt: '{{input}}'\n")

    assert sorted(mm_without_key.workflows.all()) == sorted([*BUILT_IN, "ours"])


CHILD = """
import os, sys, time
from core import ModelManager
from core.config import Settings
mm = ModelManager.open(Settings(database_url=sys.argv[1]))
run_id = mm.workflows.start("content_generation", "The sea in winter", model="sim-careful")
while True:
    live = mm.workflows.live(run_id)
    if mm.workflows.run(run_id).steps[1].status == "running" and live and live.text:
        os.kill(os.getpid(), 9)
    time.sleep(0.005)
"""


def test_a_run_killed_in_its_second_step_resumes_by_itself(open_manager, database_url: str, tmp_path: Path):
    subprocess.run([sys.executable, "-c", CHILD, database_url], timeout=60, check=False)

    mm = open_manager(database_url)
    [run] = mm.workflows.runs()
    run = mm.workflows.wait(run.id, 60)

    assert [step.status for step in run.steps] == ["succeeded"] * 3
    assert [call.ref_part for call in mm.log.by_ref(run.id)] == ["generate", "improve", "format"]


def test_an_orderly_end_in_mid_run_is_taken_up_by_the_next_process(sqlite_url: str, open_manager):
    with ModelManager.open(Settings(database_url=sqlite_url)) as first:
        run_id = first.workflows.start("content_generation", "The sea", model="sim-careful")
        while first.workflows.run(run_id).steps[1].status != "running":
            time.sleep(0.01)

    second = open_manager(sqlite_url)

    assert second.workflows.wait(run_id, 60).status == "succeeded"


def test_runs_go_on_where_the_engines_file_was_deleted(sqlite_url: str, caplog: pytest.LogCaptureFixture):
    with ModelManager.open(Settings(database_url=sqlite_url)) as mm:
        run_id = mm.workflows.start("content_generation", "The sea", model="sim-careful")
        while mm.workflows.run(run_id).steps[1].status != "running":
            time.sleep(0.01)
        for end in ("", "-wal", "-shm"):
            Path(f"{mm.database.url.database}.engine{end}").unlink()

        later = mm.workflows.start("translation", "The sea", model="sim-fast")

        assert [mm.workflows.wait(each, 60).status for each in (run_id, later)] == ["succeeded"] * 2
        assert [call.ref_part for call in mm.log.by_ref(run_id)].count("generate") == 1  # what was paid for stays
    [told] = [record.getMessage() for record in caplog.records if record.name.startswith("core")]
    assert "aimm.db.engine was deleted or moved away" in told


OTHER = """
import sys
from core import ModelManager
from core.config import Settings
with ModelManager.open(Settings(database_url=sys.argv[1])) as mm:
    print(mm.workflows.wait(mm.workflows.start("analysis", "A text about the sea"), 60).status)
"""


def test_a_second_process_leaves_its_run_to_the_one_that_executes(open_manager, sqlite_url: str):
    mm = open_manager(sqlite_url)
    mm.runs.launch()

    done = subprocess.run(
        [sys.executable, "-c", OTHER, sqlite_url], capture_output=True, text=True, timeout=90, check=False
    )

    assert done.stdout.strip() == "succeeded", done.stderr


@pytest.mark.parametrize("policy", ["fallback", "skip", "default"])
def test_a_stopped_run_asks_nothing_more(open_manager, sqlite_url: str, gemini: FakeGemini, policy):
    mm = open_manager(sqlite_url, gemini)
    events = [wire.event(f"word{n} ", usage=wire.usage()) for n in range(100)]
    gemini.next(Reply(events=events, pause_s=0.05))
    stubborn = Workflow(
        name="stubborn",
        steps=(Step(name="a", prompt="{{input}}", model=FLASH, check="json", attempts=5, on_failure=policy, fallback_model=FLASH, default="x"),),
    )  # fmt: skip
    run_id = mm.workflows.start(stubborn, "Hi")
    while not ((view := mm.workflows.live(run_id)) and view.text):
        time.sleep(0.01)

    mm.workflows.cancel(run_id)
    mm.workflows.wait(run_id, 10)
    time.sleep(0.3)
    run = mm.workflows.run(run_id)

    assert (run.status, run.steps[0].status) == ("cancelled", "failed")  # resuming asks the step again
    assert len(gemini.requests) == 1


@pytest.mark.parametrize(
    "parameters",
    ["{temperature: hot}", "{max_tokens: 1.5}", "{temperature: true}", "{thinking_level: huge}", "{json_schema: [1]}"],
)
def test_a_parameter_of_the_wrong_kind_is_refused_where_it_is_written(parameters: str):
    with pytest.raises(InvalidRequest, match="must be"):
        spec.from_yaml(f"name: x\nsteps:\n- {{name: a, prompt: b, parameters: {parameters}}}")


def test_an_unexpected_fault_ends_a_run_instead_of_leaving_it_running(open_manager, sqlite_url: str, monkeypatch):
    mm = open_manager(sqlite_url)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(mm.calls, "submit", broken)
    run = mm.workflows.wait(mm.workflows.start("analysis", "x"), 20)

    assert run.status == "failed"
    assert "RuntimeError" in run.error


def test_a_run_of_a_revoked_key_asks_no_further_step(mm_without_key: ModelManager):
    mm = mm_without_key
    key, _ = mm.keys.create("ci")
    mm.keys.revoke(key.id)  # between the start of the run and its first step
    run = mm.workflows.wait(mm.workflows.start("route", "Hello", origin=Origin(source="api", key=key)), 60)

    assert run.status == "failed" and "no longer valid" in run.error
    assert mm.log.by_ref(run.id) == []


def test_a_step_is_held_to_checks_and_tried_again_with_what_was_wrong(mm: ModelManager):
    text = """
name: gated
steps:
  - name: tell
    prompt: "Tell of {{input}}."
    attempts: 2
    checks:
      - {type: contains, value: e}
      - {type: contains, value: "never in it: {{input}}"}
"""
    flow = spec.from_yaml(text)
    assert spec.from_yaml(spec.to_yaml(flow)) == flow
    run = mm.workflows.wait(mm.workflows.start(flow, "the sea", model="sim-fast"))

    assert (run.status, run.steps[0].n_attempts) == ("failed", 2)
    assert "contains: " in run.error
    assert "never in it: the sea" in run.error
    wrong = spec.from_yaml(text.replace("type: contains, value: e", "type: containz, value: e"))
    with pytest.raises(InvalidRequest, match="contains"):
        mm.workflows.start(wrong, "the sea", model="sim-fast")
