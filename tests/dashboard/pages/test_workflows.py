"""The page Workflows: a workflow is edited and loses nothing, runs, and is watched."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st_
from streamlit.testing.v1 import AppTest

from core.domain.workflow import WorkflowRun
from core.storage.workflows import WorkflowStore
from core.workflows import spec
from dashboard import process
from dashboard.components.workflows import fields
from tests.conftest import ROOT
from tests.pages import button, is_broken, show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


def look(app: AppTest, view: str, **address: str) -> AppTest:
    """The page in one of its views."""
    for name, value in address.items():
        app.query_params[name] = value
    app.query_params["flow_view"] = view
    return show(app, "workflows")


def switch(app: AppTest, view: str) -> None:
    app.segmented_control(key="flow_view").set_value(view).run()
    assert not is_broken(app)


def run_it(app: AppTest) -> WorkflowRun:
    """Click Run, and see the page when the run is over."""
    button(app, "Run").click().run()
    service = process.manager().workflows
    run = service.wait(service.runs()[0].id)
    app.run()
    assert not is_broken(app)
    return run


def test_a_workflow_runs_from_its_form(app: AppTest):
    show(app, "workflows")
    run = run_it(app)

    assert run.status == "succeeded"
    assert app.query_params["run"] in (run.id, [run.id])
    steps, runs = (frame.value for frame in app.dataframe)
    assert list(steps["status"]) == ["succeeded"] * 3
    assert list(runs["status"]) == ["Succeeded"]


def field(app: AppTest, kind: str, name: str) -> Any:
    """A field of the open step, or of the workflow."""
    return next(each for each in getattr(app, kind) if each.key and re.fullmatch(rf"f\d+_{name}", each.key))


def text_of(app: AppTest) -> str:
    return str(app.session_state["flow_text"])


def test_a_broken_workflow_is_named_where_it_is_broken_and_cannot_run(app: AppTest):
    look(app, "YAML", flow_name="route")
    yaml = app.text_area(key="flow_yaml")
    yaml.input(yaml.value.replace("{{input}}", "{{input", 1)).run()
    assert "stray" in texts(app)

    switch(app, "Edit")
    assert ["stray" in error.value for error in app.error] == [True]
    switch(app, "Run")
    assert button(app, "Run").disabled
    assert "Unsaved changes" in texts(app)


def test_steps_are_moved_added_doubled_taken_out_and_brought_back(app: AppTest):
    look(app, "Edit", flow_name="content_generation")
    names = lambda: [step.name for step in spec.from_yaml(text_of(app)).steps]  # noqa: E731
    click = lambda key: next(b for b in app.button if b.key and b.key.endswith(key)).click().run()  # noqa: E731

    click("_s0_move_down")
    assert names() == ["improve", "generate", "format"]
    click("_s1_duplicate")
    click("_s0_insert_a_step_before")
    assert names() == ["step_5", "improve", "generate", "generate_2", "format"]
    assert app.query_params["step"] in ("step_5", ["step_5"])  # what is new is open
    click("_s1_remove")
    assert names() == ["step_5", "generate", "generate_2", "format"]
    assert "there is no step 'improve'" in texts(app).replace("\\", "")
    for _ in range(4):
        click("flow_undo_last")
    assert names() == ["generate", "improve", "format"]
    assert "Unsaved changes" not in texts(app)


def test_a_renamed_step_keeps_its_name_wherever_it_is_used(app: AppTest):
    look(app, "Edit", flow_name="route", step="classify")
    field(app, "text_input", "s0_name").input("judge").run()

    assert [step.when and step.when.step for step in spec.from_yaml(text_of(app)).steps] == [None, "judge", "judge"]
    assert app.query_params["step"] in ("judge", ["judge"])
    app.switch_page("pages/settings.py").run()
    app.switch_page("pages/workflows.py").run()
    assert "judge" in text_of(app)


UGLY_WORKFLOW = """\
# kept as it is
name: ugly
inputs: {a: " outer ", b: "two\\nlines\\n", c: '"quoted"', d: yes, e: "", f: "\\x85"}   # and this
steps:
- name: one
  prompt: "  {{input.b}} {{input}} \\n\\n"
  system: "two\\n lines "
  parameters: {temperature: 1, json_schema: {enum: [yes, 1e3]}, stop: END}
  on_failure: default
  default: " none\\n"
- name: two
  prompt: '{{"{{"}}x{{"}}"}} {{steps.one.output}}'
  model: sim-fast
  when: {step: one, contains: " 1.10\\n"}
"""


def test_a_workflow_that_is_opened_in_the_editor_is_not_changed(app: AppTest):
    mm = process.manager()
    read = mm.workflows.save(UGLY_WORKFLOW)
    look(app, "Edit", flow_name="ugly")
    for step in ("one", "two"):
        app.query_params["step"] = step
        app.run()
        assert field(app, "text_area", r"s\d_prompt").value == next(s.prompt for s in read.steps if s.name == step)
    switch(app, "YAML")
    assert app.text_area(key="flow_yaml").value == text_of(app) == UGLY_WORKFLOW
    switch(app, "Run")
    app.text_area(key="flow_input").input("Hi")
    run = run_it(app)
    assert (run.spec.inputs, run.inputs) == (read.inputs, {**read.inputs, "": "Hi"})

    switch(app, "Edit")
    app.query_params["step"] = "two"
    app.run()
    field(app, "text_input", "s1_name").input("second").run()
    first, second = read.steps
    assert spec.from_yaml(text_of(app)) == replace(read, steps=(first, replace(second, name="second")))


def test_a_saved_workflow_is_selected_at_once_and_its_name_can_go(app: AppTest):
    look(app, "Edit")
    field(app, "text_input", "name").input("mine").run()
    button(app, "Save").click().run()

    choice = app.selectbox(key="flow_name")
    assert (choice.value, "mine" in choice.options) == ("mine", True)
    button(app, "Delete saved version").click().run()
    assert app.selectbox(key="flow_name").value == "analysis"
    button(app, "New workflow").click().run()
    assert app.selectbox(key="flow_name").value == "new_workflow_1"
    assert not is_broken(app)


def test_what_is_typed_into_a_workflow_is_not_lost_and_loses_nothing(app: AppTest):
    service, text = process.manager().workflows, "name: {}\nsteps:\n- name: a\n  prompt: '{}'  # kept\n"
    for name in ("one", "two"):
        service.save(text.format(name, "{{input}}"))
    look(app, "YAML")
    choose = lambda name: app.selectbox(key="flow_name").set_value(name).run()  # noqa: E731
    yaml = lambda: app.text_area(key="flow_yaml")  # noqa: E731
    choose("one")

    service.save(text.format("one", "By others"))  # nothing was typed here: it is shown
    app.run()
    assert "By others" in yaml().value
    yaml().input(text.format("one", "Mine")).run()
    choose("two")
    choose("one")
    assert "Mine" in yaml().value

    service.save(text.format("one", "By others again"))
    app.run()
    assert "Mine" in yaml().value
    assert "saved elsewhere" in texts(app)
    service.remove("one")
    app.run()
    assert "Mine" in yaml().value
    assert "deleted elsewhere" in texts(app)

    yaml().input(text.format("two", "Mine")).run()
    assert button(app, "Save").disabled
    assert "Choose another name" in texts(app)
    yaml().input(text.format("one", "Mine")).run()
    button(app, "Save").click().run()
    assert service.definitions.texts()["one"] == text.format("one", "Mine")
    assert not is_broken(app)


def test_what_was_typed_is_there_after_a_reload_until_it_is_discarded(app: AppTest):
    def reloaded() -> AppTest:
        return look(AppTest.from_file(str(ROOT / "dashboard" / "shell.py"), default_timeout=120), "YAML", **at)

    at = {"flow_name": "route"}
    yaml = look(app, "YAML", **at).text_area(key="flow_yaml")
    yaml.input(f"{yaml.value}# mine\n").run()
    again = reloaded()
    assert text_of(again).endswith("# mine\n") and "Unsaved changes" in texts(again)

    button(again, "Discard changes").click().run()
    assert not text_of(reloaded()).endswith("# mine\n")
    button(again, "New workflow").click().run()
    at["flow_name"] = "new_workflow_1"
    assert text_of(reloaded()).startswith("name: new_workflow_1")


def test_what_the_form_cannot_say_stays_in_the_form(app: AppTest):
    look(app, "Edit", step="extract")
    before = text_of(app)
    field(app, "text_area", "s0_prompt").input("").run()

    assert "`prompt` is missing" in texts(app).replace("\\", "")
    assert text_of(app) == before
    field(app, "text_input", "s0_name").input("").run()
    assert "`name` is missing" in texts(app).replace("\\", "")  # and its card stays open
    field(app, "text_input", "s0_name").input("extract").run()
    field(app, "text_area", "s0_prompt").input("Say {{input}}").run()
    assert "Say {{input}}" in text_of(app)


def test_a_saved_workflow_that_cannot_be_read_is_shown_as_such(app: AppTest):
    with process.manager().database.write() as connection:
        WorkflowStore.save(connection, "aaa", "name: aaa\nname: b", 1)
    look(app, "YAML", flow_name="aaa")

    assert "is there twice" in texts(app)
    assert app.text_area(key="flow_yaml").value == "name: aaa\nname: b"


def test_a_run_that_waits_is_let_through_and_says_so(app: AppTest):
    step = "\n- {name: b, model: sim-fast, prompt: 'Go on: {{steps.a.output}}', approval: true}"
    process.manager().workflows.save("name: gated\nsteps:\n- {name: a, model: sim-fast, prompt: '{{input}}'}" + step)
    look(app, "Run", flow_name="gated")
    run_it(app)
    assert "waits for your approval" in texts(app)

    button(app, "Approve").click().run()
    service = process.manager().workflows
    assert service.wait(service.runs()[0].id).status == "succeeded"


def test_a_run_is_begun_anew_from_its_own_page_and_its_steps_open(app_with_demo: AppTest):
    app = look(app_with_demo, "Run", run="r_demo", step="report")
    assert "Prompt as sent" in texts(app)
    app.query_params["step"] = "nothing"
    app.run()
    assert "no step 'nothing'" in texts(app).replace("\\", "")

    button(app, "Start a new run").click().run()
    service = process.manager().workflows
    [new, old] = service.runs()
    assert service.wait(new.id).inputs == old.inputs
    assert app.query_params["run"] in (new.id, [new.id])
    assert not is_broken(app)


def test_a_first_time_user_sees_an_example_run(app: AppTest):
    show(app, "workflows")
    button(app, "Run an example").click().run()

    [run] = process.manager().workflows.runs()
    assert {step.model for step in run.spec.steps} == {"sim-fast"}


@given(st_.dictionaries(st_.from_regex("[a-z_]{1,4}", fullmatch=True), st_.text(st_.characters(codec="utf-8"))))
@settings(max_examples=60, deadline=None)
def test_inputs_are_the_same_after_they_were_lines(inputs: dict[str, str]):
    assert fields.inputs_from_lines(fields.inputs_to_lines(inputs)) == inputs
