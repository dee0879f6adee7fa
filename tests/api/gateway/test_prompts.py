"""Prompts by their names over every wire: `prompt:NAME@LABEL` in the place of a model, filled from the metadata."""

import json
from typing import Any

import pytest

from core import ModelManager
from core.domain.evaluation.prompt import PromptContent, PromptMessage
from core.domain.experiment import Target, Variant
from core.domain.generation import Parameters
from core.domain.message import Tool
from core.domain.workflow import Step, Workflow
from core.errors import Conflict, InvalidRequest, NotFound
from core.workflows.spec import to_yaml
from tests.api.gateway.test_translation import sent
from tests.builders import CLAUDE, FLASH, GPT, Running

VARIABLES = {"who": "Ann", "tone": "kind"}


def content(text: str = "Greet {{who}}.", model: str = GPT, **more: Any) -> PromptContent:
    turns = PromptMessage("system", "Be {{tone}}."), PromptMessage("user", text)
    return PromptContent(messages=turns, model=model, **more)


@pytest.fixture
def greeting(served: Running) -> str:
    """The reference of a version for GPT."""
    return served.mm.prompts.save("greeting", content(parameters=Parameters(temperature=0.5, max_tokens=77))).ref


def by_chat(served: Running, name: str, variables: Any, **more: Any) -> Any:
    return served.complete({"model": f"prompt:{name}", "messages": [], "metadata": variables, **more})


def by_responses(served: Running, name: str, variables: Any, **more: Any) -> Any:
    prompt, _, version = name.partition("@")
    said = {"id": prompt, "variables": variables} | ({"version": version} if version else {})
    return served.post("/v1/responses", {"prompt": said, **more})


def by_messages(served: Running, name: str, variables: Any, **more: Any) -> Any:
    body = {"model": f"prompt:{name}", "max_tokens": 77, "messages": [], "metadata": variables, **more}
    return served.post("/v1/messages", body, {"anthropic-version": "2023-06-01"})


def by_gemini(served: Running, name: str, variables: Any, **more: Any) -> Any:
    return served.post(f"/gemini/v1beta/models/prompt:{name}:generateContent", {"labels": variables, **more})


WIRES = [by_chat, by_responses, by_messages, by_gemini]


@pytest.mark.parametrize("model", ["sim-fast", GPT, CLAUDE, FLASH])
def test_the_tokens_of_a_prompt_are_counted_on_every_wire(served: Running, model: str):
    name = served.mm.prompts.save(f"counted-{model}", content(model=model)).prompt

    def counts(variables: Any) -> list[Any]:
        by = [
            served.post(
                "/v1/messages/count_tokens", {"model": f"prompt:{name}", "messages": [], "metadata": variables}
            ),
            served.post("/v1/responses/input_tokens", {"prompt": {"id": name, "variables": variables}}),
            served.post(f"/gemini/v1beta/models/prompt:{name}:countTokens", {"labels": variables}),
        ]
        return by if model != GPT else by[:2]  # of which Gemini's wire has no count

    assert all(each.status == 200 for each in counts(VARIABLES)), [each.body for each in counts(VARIABLES)]
    for each in counts({"who": "Ann"}):
        assert (each.status, b"tone" in each.body) == (400, True), each.body
    if model in ("sim-fast", GPT):
        few, many = (
            each.json["input_tokens"] for each in (counts(VARIABLES)[0], counts({**VARIABLES, "who": "x " * 400})[0])
        )
        assert many - few > 150


@pytest.mark.parametrize("ask", WIRES)
@pytest.mark.parametrize("model", [GPT, CLAUDE, FLASH])
def test_a_prompt_is_asked_over_every_wire(served: Running, ask: Any, model: str):
    version = served.mm.prompts.save(f"to-{model}", content(model=model, parameters=Parameters(max_tokens=77)))

    answer = ask(served, f"to-{model}", VARIABLES)

    assert answer.status == 200, answer.body
    asked = json.dumps(sent(served))
    assert "Be kind." in asked and "Greet Ann." in asked and "77" in asked and "{{" not in asked
    row = served.row()
    assert (row.prompt_version, row.request_model, row.status) == (version.ref, model, "ok")
    assert row.system == "Be kind." and [turn.text for turn in row.messages] == ["Greet Ann."]


@pytest.mark.parametrize("ask", WIRES)
def test_a_variable_without_a_value_is_refused_by_its_name(served: Running, greeting: str, ask: Any):
    answer = ask(served, greeting, {"who": "Ann"})

    assert answer.status == 400 and b"'tone' has no value" in answer.body
    assert not served.vendor.requests


@pytest.mark.parametrize("ask", WIRES)
def test_a_prompt_that_is_not_there_is_not_found(served: Running, greeting: str, ask: Any):
    assert ask(served, f"{greeting.split('@')[0]}@nowhere", VARIABLES).status == 404
    if ask is not by_responses:  # there, what is not ours is OpenAI's own
        answer = ask(served, "greting", VARIABLES)
        assert answer.status == 404 and b"greeting" in answer.body


def test_the_callers_own_turns_and_parameters_come_too(served: Running, greeting: str):
    messages = [{"role": "system", "content": "Own rule."}, {"role": "user", "content": "Bob too."}]
    values = {"variables": {"who": {"a": [1]}, "tone": "{{who}}"}}

    assert by_chat(served, greeting, values, messages=messages, temperature=0).status == 200

    body = sent(served)
    assert [(turn["role"], turn["content"]) for turn in body["messages"]] == [
        ("system", "Be {{who}}.\n\nOwn rule."), ("user", 'Greet {"a":[1]}.'), ("user", "Bob too."),
    ]  # fmt: skip
    assert (body["temperature"], body["max_tokens"]) == (0, 77) and "metadata" not in body
    assert by_chat(served, greeting, {"variables": json.dumps(VARIABLES), "who": "not this"}).status == 200
    assert "Greet Ann." in json.dumps(sent(served))


def test_a_stream_of_a_prompt_is_a_stream(served: Running, greeting: str):
    chunks = served.stream(f"prompt:{greeting}", [], extra_body={"metadata": VARIABLES})

    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert served.row().prompt_version == greeting


def test_a_moved_label_answers_at_once(served: Running, greeting: str):
    name = greeting.split("@")[0]
    other = served.mm.prompts.save(name, content("Dismiss {{who}}."))
    served.mm.prompts.move_label(name, "live", 1)
    assert by_chat(served, name, VARIABLES).status == 200 and "Greet" in json.dumps(sent(served))

    served.mm.prompts.move_label(name, "live", other.number)

    assert by_chat(served, f"{name}@live", VARIABLES).status == 200 and "Dismiss" in json.dumps(sent(served))
    served.mm.prompts.undo_label(name, "live")
    assert by_chat(served, name, VARIABLES).status == 200 and "Greet" in json.dumps(sent(served))


def test_who_names_a_model_beside_a_prompt_is_answered_by_it(served: Running, greeting: str):
    assert by_responses(served, greeting, VARIABLES, model=CLAUDE).status == 200
    assert served.row().request_model == CLAUDE
    texts = {name: {"type": "input_text", "text": value} for name, value in VARIABLES.items()}
    assert by_responses(served, greeting, texts, input="And Bob.").status == 200
    assert [turn.text for turn in served.row().messages] == ["Greet Ann.", "And Bob."]


def test_calls_of_tools_in_the_input_come_too(served: Running, greeting: str):
    items = [
        {"type": "reasoning", "summary": [], "encrypted_content": "x"},
        {"type": "function_call", "call_id": "c1", "name": "look_up", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "found"},
    ]
    assert by_responses(served, greeting, VARIABLES, input=items).status == 200
    assert [turn["role"] for turn in sent(served)["messages"]] == ["system", "user", "assistant", "tool"]


def test_a_prompt_of_openais_own_goes_to_openai(served: Running):
    body = {"model": GPT, "prompt": {"id": "pmpt_1", "variables": {"a": "b"}}, "input": "x"}

    assert served.post("/v1/responses", body).status == 200
    assert sent(served)["prompt"] == body["prompt"]


def test_tools_of_a_prompt_are_offered(served: Running):
    served.mm.prompts.save(
        "tooled", content(tools=(Tool(name="look_up", parameters={"type": "object", "properties": {}}),))
    )

    assert by_chat(served, "tooled", VARIABLES).status == 200
    assert [tool["function"]["name"] for tool in sent(served)["tools"]] == ["look_up"]


def test_what_cannot_be_said_beside_a_prompt_is_refused(served: Running, greeting: str):
    answer = by_chat(served, greeting, VARIABLES, logprobs=True)
    assert answer.status == 400 and b"logprobs cannot be said beside a prompt" in answer.body
    answer = served.post("/v1/embeddings", {"model": f"prompt:{greeting}", "input": "x"})
    assert answer.status == 400 and b"is a prompt for chat" in answer.body


def test_an_alias_follows_a_label_of_a_prompt(served: Running, greeting: str):
    mm, name = served.mm, greeting.split("@")[0]
    mm.prompts.move_label(name, "live", 1)
    mm.aliases.set("greeter", Target(model=CLAUDE, prompt_version=f"prompt:{name}@live"))

    assert served.complete({"model": "greeter", "metadata": VARIABLES, "messages": [{"role": "user", "content": "Now."}]}).status == 200  # fmt: skip

    row = served.row()
    assert (row.prompt_version, row.request_model, row.system) == (greeting, CLAUDE, "Be kind.")
    assert [turn.text for turn in row.messages] == ["Greet Ann.", "Now."]
    with pytest.raises(InvalidRequest, match="not both"):
        mm.aliases.set("greeter", Target(model=CLAUDE, system="x", prompt_version=f"prompt:{name}"))
    with pytest.raises(NotFound):
        mm.aliases.set("greeter", Target(model=CLAUDE, prompt_version="prompt:nowhere"))
    mm.prompts.save("looped", content(model="greeter"))
    answer = by_chat(served, "looped", VARIABLES)
    assert answer.status == 400 and b"One prompt at a time" in answer.body
    assert [use for uses in mm.prompts.uses for use in uses(name)] == ["the alias greeter"]
    with pytest.raises(Conflict, match="the alias greeter"):
        mm.prompts.delete(name)
    mm.aliases.remove("greeter")


def test_variants_of_an_experiment_are_pinned_to_versions(served: Running, greeting: str):
    mm, name = served.mm, greeting.split("@")[0]
    both = [Variant(position=n, name=f"v{n}", model=GPT, prompt_version=f"prompt:{name}@{n + 1}") for n in range(2)]
    mm.prompts.save(name, content("Dismiss {{who}}."))
    experiment = mm.experiments.create("greetings", [both[0], both[1]], hypothesis="h")

    for n in range(12):
        assert served.complete({"model": "exp:greetings", "user": f"u{n}", "metadata": VARIABLES}).status == 200

    found = {(row.prompt_version, row.messages[0].text) for row in served.rows()[:12]}
    assert found == {(f"{name}@1", "Greet Ann."), (f"{name}@2", "Dismiss Ann.")}
    assert [v.prompt_version for v in experiment.variants] == [f"prompt:{name}@1", f"prompt:{name}@2"]
    with pytest.raises(Conflict, match="the experiment 'greetings'"):
        mm.prompts.delete(name)
    mm.experiments.stop(experiment.id)


def test_a_keys_rules_judge_a_prompt_like_a_model(served: Running, greeting: str):
    _, secret = served.mm.keys.create("prompts only", models=("prompt:greeting*",))
    lines = {"Authorization": f"Bearer {secret}"}

    def status(model: str) -> int:
        body = {"model": model, "messages": [{"role": "user", "content": "x"}], "metadata": VARIABLES}
        return served.post("/v1/chat/completions", body, lines).status

    assert (status(f"prompt:{greeting}"), status(GPT), status("prompt:other")) == (200, 403, 403)
    body = {"model": CLAUDE, "prompt": {"id": "greeting", "variables": VARIABLES}}
    assert served.post("/v1/responses", body, lines).status == 403


def test_prompts_are_listed_among_the_models(served: Running, greeting: str):
    names = {each["id"]: each["owned_by"] for each in served.get("/v1/models").json["data"]}

    assert names[f"prompt:{greeting.split('@')[0]}"] == "prompt"
    assert served.get(f"/v1/models/prompt:{greeting}").json["id"] == f"prompt:{greeting}"
    assert served.get("/v1/models/prompt:nowhere").status == 404


def test_an_alias_keeps_all_that_it_stood_for(served: Running):
    aliases = served.mm.aliases
    aliases.set("kept", Target(model=GPT), "first")
    aliases.set("kept", Target(model=CLAUDE, system="Be brief."), "cheaper", author="Ann", run_id="e1")
    aliases.remove("kept")

    changes = aliases.targets("kept")

    assert [(c.target.model, c.note, c.author, c.run_id) for c in changes] == [
        (CLAUDE, "cheaper", "Ann", "e1"), (GPT, "first", "", ""),
    ]  # fmt: skip
    assert changes[0].target.system == "Be brief." and aliases.targets("never") == []


def test_the_log_finds_the_calls_of_a_prompt(served: Running, greeting: str):
    served.mm.prompts.save("greetings", content())
    for name in (greeting, "greetings", "greetings"):
        assert by_chat(served, name, VARIABLES).status == 200

    latest = served.mm.log.latest
    assert {row.prompt_version for row in latest(prompt=greeting)} == {greeting}
    assert {row.prompt_version for row in latest(prompt="greetings")} == {"greetings@1"}
    assert latest(prompt="greet") == []


def test_a_step_of_a_workflow_is_asked_by_a_prompt(mm: ModelManager):
    """By a manager of its own: the one that all tests share must not take the engine of runs for good."""
    mm.prompts.save(
        "stepped", PromptContent(messages=(PromptMessage("system", "Tone {{tone}}, of {{input}} {{input.tone}}."),))
    )
    step = Step(name="one", prompt="Now: {{input}}", model="sim-fast", system="prompt:stepped")
    workflow = Workflow(name="by-prompt", steps=(step,), inputs={"tone": "kind"})
    run = mm.workflows.wait(mm.workflows.start(workflow, "Ann"))

    assert run.status == "succeeded", run.error
    [row] = mm.log.by_ref(run.id)
    assert (row.prompt_version, row.system, row.request_model) == ("stepped@1", "Tone kind, of Ann kind.", "sim-fast")
    assert [turn.text for turn in row.messages] == ["Now: Ann"]
    mm.workflows.save(to_yaml(workflow))
    with pytest.raises(Conflict, match="the workflow by-prompt"):
        mm.prompts.delete("stepped")
    mm.workflows.remove("by-prompt")


def test_a_prompt_is_asked_under_api(served: Running, greeting: str):
    body = {"model": f"prompt:{greeting}", "prompt": "", "variables": VARIABLES}

    assert served.post("/api/generate", body).json["model"] == GPT
    assert served.row().prompt_version == greeting
    answer = served.post("/api/generate", {**body, "variables": {"who": "Ann"}})
    assert answer.status == 422 and "'tone' has no value" in answer.json["error"]
    served.mm.aliases.set("told", Target(model=GPT), author="Ann")
    [target] = served.get("/api/aliases/told/targets").json["targets"]
    assert (target["model"], target["author"]) == (GPT, "Ann")
