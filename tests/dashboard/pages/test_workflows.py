"""The page Workflows: a workflow is edited and loses nothing, runs, and is watched."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st_
from streamlit.testing.v1 import AppTest

from core.storage.workflows import WorkflowStore
from core.workflows import spec
from dashboard import process
from dashboard.components.workflows import editor
from tests.pages import button, is_broken, show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


def test_a_workflow_runs_from_its_form(app: AppTest):
    show(app, "workflows")
    button(app, "Run").click().run()

    assert not app.exception
    [run] = process.manager().workflows.runs()
    assert run.status == "succeeded"
    assert "succeeded" in "\n".join(e.label for e in app.expander)


def test_a_broken_workflow_is_named_while_it_is_typed(app: AppTest):
    show(app, "workflows")
    yaml = app.text_area(key="flow_yaml")
    yaml.input(yaml.value.replace("{{input}}", "{{input")).run()

    assert "stray" in texts(app)
    button(app, "Run").click().run()
    assert process.manager().workflows.runs() == []


def test_what_the_form_changes_the_yaml_shows(app: AppTest):
    show(app, "workflows")
    name = next(t for t in app.text_input if t.key and t.key.endswith("_s0_name"))
    name.input("take_out").run()

    assert "take_out" in app.text_area(key="flow_yaml").value
    assert not app.exception


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
    show(app, "workflows")
    app.segmented_control(key="flow_name").set_value("ugly").run()

    assert app.text_area(key="flow_yaml").value == UGLY_WORKFLOW
    button(app, "Save").click().run()
    assert mm.workflows.definitions.texts()["ugly"] == UGLY_WORKFLOW
    app.text_area(key="flow_input").input("Hi")
    button(app, "Run").click().run()
    assert mm.workflows.runs()[0].spec.inputs == read.inputs
    assert mm.workflows.runs()[0].inputs == {**read.inputs, "": "Hi"}
    assert not app.exception

    next(t for t in app.text_input if t.key and t.key.endswith("_s1_name")).input("second").run()
    first, second = read.steps
    assert spec.from_yaml(app.text_area(key="flow_yaml").value) == replace(
        read, steps=(first, replace(second, name="second"))
    )


def test_a_saved_workflow_is_selected_at_once_and_its_name_can_go(app: AppTest):
    show(app, "workflows")
    next(t for t in app.text_input if t.key and t.key.endswith("_name")).input("mine").run()
    button(app, "Save").click().run()

    choice = app.segmented_control(key="flow_name")
    assert (choice.value, "mine" in choice.options) == ("mine", True)
    assert not app.exception
    button(app, "Delete saved version").click().run()
    assert app.segmented_control(key="flow_name").value == "analysis"
    assert not app.exception


def test_what_is_typed_into_a_workflow_is_not_lost_and_loses_nothing(app: AppTest):
    service, text = process.manager().workflows, "name: {}\nsteps:\n- name: a\n  prompt: '{}'  # kept\n"
    for name in ("one", "two"):
        service.save(text.format(name, "{{input}}"))
    show(app, "workflows")
    choose = lambda name: app.segmented_control(key="flow_name").set_value(name).run()  # noqa: E731
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


def test_what_the_form_cannot_say_stays_in_the_form(app: AppTest):
    show(app, "workflows")
    before = app.text_area(key="flow_yaml").value
    next(t for t in app.text_area if t.key and t.key.endswith("_s0_prompt")).input("").run()

    assert "`prompt` is missing" in texts(app).replace("\\", "")
    assert app.text_area(key="flow_yaml").value == before
    next(t for t in app.text_area if t.key and t.key.endswith("_s0_prompt")).input("Say {{input}}").run()
    assert "Say {{input}}" in app.text_area(key="flow_yaml").value


def test_a_saved_workflow_that_cannot_be_read_is_shown_as_such(app: AppTest):
    with process.manager().database.write() as connection:
        WorkflowStore.save(connection, "aaa", "name: aaa\nname: b", 1)
    show(app, "workflows")
    app.segmented_control(key="flow_name").set_value("aaa").run()

    assert not app.exception
    assert "is there twice" in texts(app)
    assert app.text_area(key="flow_yaml").value == "name: aaa\nname: b"


@given(st_.dictionaries(st_.from_regex("[a-z_]{1,4}", fullmatch=True), st_.text(st_.characters(codec="utf-8"))))
@settings(max_examples=60, deadline=None)
def test_inputs_are_the_same_after_they_were_lines(inputs: dict[str, str]):
    assert editor.inputs_from_lines(editor.inputs_to_lines(inputs)) == inputs
