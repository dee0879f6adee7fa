"""The pages of prompts and datasets, and how other pages fill them."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from core import Origin
from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.prompt import PromptContent, PromptMessage
from core.domain.experiment import Target
from dashboard import process
from tests.pages import answered, ask, button, is_broken, show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


def content(text: str, system: str = "Be kind.", model: str = "sim-fast") -> PromptContent:
    return PromptContent(messages=(PromptMessage("system", system), PromptMessage("user", text)), model=model)


def codes(app: AppTest) -> str:
    return "\n".join(str(each.value) for each in app.code)


@pytest.fixture
def with_prompt(app: AppTest) -> AppTest:
    prompts = process.manager().prompts
    prompts.save("greet", content("Greet {{who}}."), note="first", author="ann@example.com")
    prompts.save("greet", content("Greet {{who}} <b>twice</b>."))
    prompts.move_label("greet", "live", 1)
    prompts.move_label("greet", "live", 2)
    return app


def test_empty_pages_say_how_they_are_filled(app: AppTest):
    show(app, "library/prompts")
    assert "No prompts yet" in texts(app) and "aimm prompts push" in texts(app)
    show(app, "library/datasets")
    assert "No datasets yet" in texts(app)


def test_a_prompt_is_opened_compared_and_turned_back(with_prompt: AppTest):
    app = show(with_prompt, "library/prompts")
    assert app.dataframe[0].value["live"].iloc[0].startswith("version 2 since ")
    app.query_params["prompt"] = "greet"
    app.run()
    assert (
        "Version 2" in texts(app)
        and "Greet {{who}} <b>twice</b>." in codes(app)
        and "Variables: who" in texts(app).replace("\\", "")
    )

    app.selectbox(key="prompt_diff_greet").select("greet@1").run()
    assert "-  content: Greet {{who}}." in codes(app) and "+  content: Greet {{who}} <b>twice</b>." in codes(app)
    button(app, "Back to 1").click().run()
    assert process.manager().prompts.get("greet").number == 1
    app.query_params["prompt"] = "greet@1"
    app.run()
    app.selectbox(key="label_of_greet@1").select("staging")
    button(app, "Point at version 1").click().run()
    assert process.manager().prompts.get("greet@staging").number == 1
    app.query_params["prompt"] = "gret"
    app.run()
    assert "There is no prompt 'gret'" in texts(app).replace("\\", "")


def test_an_edited_prompt_is_a_new_version(with_prompt: AppTest):
    app, prompts = with_prompt, process.manager().prompts
    app.query_params |= {"prompt": "greet", "prompt_edit": "greet@2"}
    show(app, "library/prompts")
    app.text_area(key="prompt_edit_greet@2_user").input("Greet {{who}} and {{whom").run()
    assert "a stray {{" in texts(app).replace("\\", "") and button(app, "Save version").disabled

    app.text_area(key="prompt_edit_greet@2_user").input("Greet {{who}} and {{whom}}.").run()
    button(app, "Save version").click().run()
    assert (prompts.get("greet@3").content.text, prompts.get("greet").number) == (
        "[system]\nBe kind.\n\n[user]\nGreet {{who}} and {{whom}}.", 2,
    )  # fmt: skip
    assert "prompt_edit" not in app.query_params and app.query_params["prompt"] == "greet@3"


def test_a_prompt_is_written_anew_by_fields_or_as_yaml(app: AppTest):
    app.query_params["prompt_edit"] = "new"
    show(app, "library/prompts")
    app.text_input(key="prompt_edit_new_name").input("no name!")
    app.text_area(key="prompt_edit_new_user").input("Hi {{a}}").run()
    button(app, "Save version").click().run()
    assert "is no name for a prompt" in texts(app).replace("\\", "")

    app.button_group(key="prompt_edit_new_way").set_value("YAML").run()
    text = "system: S\nprompt: U {{a}}\nparameters: {temperature: 0.5}\n"
    app.text_area(key="prompt_edit_new_yaml").input(text).run()
    app.text_input(key="prompt_edit_new_name").input("written").run()
    button(app, "Save version").click().run()
    assert process.manager().prompts.get("written").content.parameters.temperature == 0.5


def test_a_prompt_is_deleted_unless_it_is_used(with_prompt: AppTest):
    app, prompts = with_prompt, process.manager().prompts
    prompts.uses.append(lambda name: ["the alias fast"])
    app.query_params["prompt"] = "greet"
    show(app, "library/prompts")
    button(app, "Delete this prompt").click().run()
    assert "the alias fast" in texts(app)
    prompts.uses.clear()
    button(app, "Delete this prompt").click().run()
    assert prompts.all() == [] and not is_broken(app)


def test_pasted_text_is_seen_mapped_and_imported(app: AppTest):
    process.manager().datasets.save("cases", [DatasetRow(variables={"question": "Old?"})])
    app.query_params["import"] = "new"
    show(app, "library/datasets")
    app.button_group(key="import_way").set_value("Pasted text").run()
    app.text_area(key="import_text").input("question;answer\nWhy?;Because\nx;y;z\n").run()

    assert "1 row, read as a table, separated by semicolons" in texts(app) and "1 bad row" in texts(app)
    assert [frame.value.columns.tolist() for frame in app.dataframe][-1][:3] == ["row", "question", "answer"]
    assert app.button(key="import_go").disabled
    app.toggle(key="import_skip").set_value(True)
    app.selectbox(key="import_name").select("cases").run()
    app.toggle(key="import_adds").set_value(True).run()
    app.button(key="import_go").click().run()

    version = process.manager().datasets.get("cases")
    assert (version.number, version.n_rows, version.note) == (2, 2, "1 bad row was left out: line 3.")
    assert app.query_params["dataset"] == "cases@2" and "import" not in app.query_params


def test_a_dataset_shows_its_rows_warnings_and_versions(app: AppTest):
    datasets = process.manager().datasets
    datasets.save("cases", [DatasetRow(variables={"Row": f"=1+{n}", "expected": "v"}) for n in range(150)])
    datasets.add("cases", [DatasetRow(messages=({"role": "user", "content": "Hi"},), expected={"a": 1}, tags=("t",))])
    show(app, "library/datasets")
    assert app.dataframe[0].value["rows"].tolist() == [151]

    app.query_params["dataset"] = "cases"
    app.run()
    assert "150 of 151 rows state neither" in texts(app) and not is_broken(app)
    assert len(app.dataframe[0].value) == 100 and len(app.dataframe[1].value) == 2
    app.query_params["dataset"] = "cases@1"
    app.run()
    assert re.search(r"Version 1 · \*\*150\*\* rows", texts(app))
    button(app, "Delete this dataset").click().run()
    assert datasets.all() == []


def test_a_prompt_is_tried_in_the_playground(with_prompt: AppTest):
    app = with_prompt
    app.query_params["prompt"] = "greet@1"
    show(app, "playground")
    app.text_area(key="play_var_greet_who").input("{{Ann}}")
    answered(button(app, "Ask").click().run())

    [call] = process.manager().log.latest()
    found = process.manager().log.get(call.id)
    assert (found.prompt_version, found.system, found.messages[0].text) == ("greet@1", "Be kind.", "Greet {{Ann}}.")
    assert found.request_model == "sim-fast" and not is_broken(app)


def test_a_chat_becomes_a_prompt_and_a_row(app: AppTest):
    process.manager().datasets.save("chats", [DatasetRow(variables={"q": "a"})])
    show(app, "playground")
    app.text_area(key="play_system").input("Be brief.").run()
    ask(app, "What is {{topic}}?")
    app.text_input(key="play_save_name").input("ask-topic").run()
    button(app, "Save version").click().run()

    version = process.manager().prompts.get("ask-topic")
    assert version.content.messages == (
        PromptMessage("system", "Be brief."),
        PromptMessage("user", "What is {{topic}}?"),
    )
    assert "Saved as ask" in texts(app)
    app.button(key="play_rows_add").click().run()
    row = process.manager().datasets.rows("chats")[-1]
    assert [turn["role"] for turn in row.messages] == ["system", "user"] and row.expected is None


def test_calls_of_the_log_become_rows(with_prompt: AppTest):
    app, mm = with_prompt, process.manager()
    mm.datasets.save("real", [DatasetRow(variables={"q": "a"}, expected="b")])
    for who in ("Ann", "Bob"):
        mm.generate("", Origin(source="api", variables={"who": who}), model="prompt:greet@1")
    mm.generate("Other", model="sim-fast")
    app.query_params["log_prompt"] = "greet@1"
    show(app, "log")
    assert len(app.dataframe[0].value) == 2
    app.toggle(key="log_rows_expects").set_value(True)
    app.button(key="log_rows_add").click().run()
    rows = mm.datasets.rows("real", start=1)
    assert {row.messages[-1]["content"] for row in rows} == {"Greet Ann.", "Greet Bob."} and all(
        row.expected for row in rows
    )

    app.query_params["call"] = mm.log.latest(prompt="greet")[0].id
    app.run()
    assert not is_broken(app)


def test_an_alias_shows_what_it_stood_for(with_prompt: AppTest):
    aliases = process.manager().aliases
    aliases.set("fast", Target(model="sim-fast"), "first")
    aliases.set("fast", Target(model="sim-careful", prompt_version="prompt:greet@live"), run_id="e1")
    app = show(with_prompt, "models")

    now, before = (frame.value for frame in app.dataframe[-2:])
    assert now[["alias", "model", "prompt", "run"]].values.tolist() == [
        ["fast", "sim-careful", "prompt:greet@live", "e1"]
    ]
    assert before[["model", "note"]].values.tolist() == [["sim-fast", "first"]]
