"""What a caller writes for a parameter or a list, and what is meant: a text is one item, never its letters."""

import math
from typing import Any

import pytest

from api.rest import schemas
from core import InvalidRequest, ModelManager
from core.calls.engine import check_request
from core.calls.origin import Origin
from core.domain.experiment import Design, Target
from core.domain.generation import Message, Parameters, Request, Tool
from core.domain.message import ToolCall, ToolResult
from core.workflows import spec


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("stop", "END", ("END",)),
        ("stop", ["END", ""], ("END",)),
        ("stop", [], None),
        ("stop", "", None),
        ("temperature", "0.5", 0.5),
        ("temperature", "1", 1),
        ("top_p", " 0.9 ", 0.9),
        ("max_tokens", "100", 100),
        ("max_tokens", 100.0, 100),
        ("seed", "-7", -7),
        ("thinking_budget", "0", 0),
        ("json_object", "true", True),
        ("json_object", "False", False),
    ],
)
def test_a_parameter_is_what_its_text_says(name: str, given: Any, meant: Any):
    parameters = Parameters(**{name: given})

    assert (getattr(parameters, name), parameters.problem()) == (meant, "")
    yaml = {"name": "w", "steps": [{"name": "one", "prompt": "{{input}}", "parameters": {name: given}}]}
    assert spec.from_dict(yaml).steps[0].parameters == parameters


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("stop", 5),
        ("stop", ["a"] * 17),
        ("temperature", "warm"),
        ("temperature", "NaN"),
        ("temperature", math.nan),
        ("max_tokens", "1e2"),
        ("max_tokens", 1.5),
        ("max_tokens", True),
        ("seed", "1" * 30),
        ("json_object", "maybe"),
        ("json_schema", {"type": "number", "maximum": math.inf}),
        ("json_schema", {"default": object()}),
    ],
)
def test_what_a_parameter_cannot_be_is_named(name: str, given: Any):
    assert Parameters(**{name: given}).problem().startswith(name)


def test_a_text_is_a_list_of_one():
    origin = Origin(tags="team-a", fallbacks="gpt-4o")  # type: ignore[arg-type]
    assert (origin.tags, origin.fallbacks, origin.problem()) == (("team-a",), ("gpt-4o",), "")
    assert Target(model="gpt-4o", fallbacks="sim-fast").fallbacks == ("sim-fast",)  # type: ignore[arg-type]
    assert Design(internal_units="qa-*", secondary="rating").is_internal("qa-1")  # type: ignore[arg-type]
    asked = schemas.Generate(prompt="Hi", stop="END", tags="team-a")  # type: ignore[arg-type]
    assert (asked.stop, asked.tags) == (["END"], ["team-a"])
    assert schemas.Compare(models="gpt-4o", prompt="Hi").models == ["gpt-4o"]  # type: ignore[arg-type]
    assert schemas.ChangeExperiment(weights=5).weights == [5]  # type: ignore[arg-type]
    assert schemas.ChangeBudget(thresholds=0.8).thresholds == [0.8]  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["a\x00", "a\ud83d", "\udc9d"])
def test_what_no_text_can_hold_is_refused_before_it_is_sent(text: str):
    called = Message.of("model", (ToolCall("c", "weather", text),))
    answered = Message.of("user", (ToolResult("c", "weather", text),))
    for request in (
        Request(model="sim-fast", messages=(Message("user", text),)),
        Request(model="sim-fast", messages=(Message("user", "Hi"),), system=text),
        Request(model="sim-fast", messages=(Message("user", "Hi"), called)),
        Request(model="sim-fast", messages=(Message("user", "Hi"), answered)),
    ):
        with pytest.raises(InvalidRequest, match="surrogate"):
            check_request(request)
    assert Origin(user_id=text).problem()


def test_a_tool_that_json_cannot_say_is_refused():
    tool = Tool(name="weather", parameters={"type": "object", "maximum": math.nan})

    with pytest.raises(InvalidRequest, match="weather"):
        check_request(Request(model="sim-fast", messages=(Message("user", "Hi"),), tools=(tool,)))


@pytest.mark.parametrize(
    "request_",
    [
        Request(model="sim-fast", messages=(Message("user", "a\x00b"),)),
        Request(model="sim-fast", messages=(Message("user", "hi"),), system="a\x00b"),
        Request(model="sim-fast", messages=(Message("user", "a\x00"), Message("user", "hi"))),
        Request(model="sim-fast", messages=(Message("user", "hi"),), parameters=Parameters(temperature="hot")),  # type: ignore[arg-type]
    ],
)
def test_what_the_database_could_not_keep_is_never_paid_for(mm: ModelManager, request_: Request):
    with pytest.raises(InvalidRequest):
        mm.submit(request_)
    assert mm.log.count() == 0
