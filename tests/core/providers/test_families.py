"""What families of models take: the rows as shipped, rows of one's own before them, and requests fitted to them."""

from pathlib import Path
from typing import Any

import pytest

from core.domain.generation import Message, Parameters, Request
from core.domain.message import Tool
from core.errors import InvalidRequest
from core.providers.families import Families
from core.providers.fitting import fitted
from core.providers.schemas import Unwrapper, is_closed

HI = (Message("user", "Hi"),)


def asked(vendor: str, model: str, families: Families | None = None, **parameters: Any) -> tuple[Parameters, list[str]]:
    family = (families or Families()).of(vendor, model)
    request, left = fitted(
        Request(model=model, messages=HI, parameters=Parameters(**parameters)), family.model(model, vendor)
    )
    return request.parameters, left


@pytest.mark.parametrize(
    ("vendor", "model", "given", "told", "named"),
    [
        ("openai", "gpt-5.1", {"thinking_level": "minimal"}, {"thinking_level": "low"}, ["thinking_level minimal, but low"]),
        ("openai", "gpt-5.2", {"thinking_budget": 0}, {"thinking_level": "none"}, []),
        ("openai", "gpt-5", {"thinking_budget": -1}, {}, []),
        ("openai", "gpt-5", {"temperature": 0.5}, {}, ["temperature"]),
        ("gemini", "gemini-3-pro-preview", {"thinking_level": "max"}, {"thinking_level": "high"}, ["thinking_level max, but high"]),
        ("gemini", "gemini-2.5-flash", {"thinking_level": "none"}, {"thinking_budget": 0}, []),
        ("gemini", "gemini-2.5-pro", {"thinking_budget": 0}, {"thinking_budget": 128}, ["thinking switched off"]),
        ("gemini", "gemini-2.5-pro", {"thinking_budget": 60_000}, {"thinking_budget": 32_768}, ["thinking_budget 60000, but 32768"]),
        ("gemini", "gemini-2.5-flash", {"frequency_penalty": 0.0}, {}, []),
        ("gemini", "gemini-2.5-flash", {"frequency_penalty": 0.5}, {}, ["frequency_penalty"]),
        ("anthropic", "claude-opus-4-8", {"thinking_budget": 2000, "top_k": 4}, {"thinking_level": "low"}, ["top_k"]),
        ("anthropic", "claude-sonnet-4-5", {"stop": ("\n", "END")}, {"stop": ("END",)}, ["stop at blanks"]),
    ],
)  # fmt: skip
def test_parameters_are_said_as_a_family_takes_them(vendor: str, model: str, given: Any, told: Any, named: list[str]):
    parameters, left = asked(vendor, model, **given)

    assert (parameters.as_dict(), left) == (told, named)


@pytest.mark.parametrize(
    ("vendor", "model", "given", "param"),
    [
        ("openai", "gpt-4o", {"stop": tuple("abcde")}, "stop"),
        ("openai", "gpt-5", {"stop": ("END",)}, "stop"),
        ("gemini", "gemini-2.5-flash", {"stop": tuple("abcdef")}, "stop"),
        ("openai", "text-embedding-ada-002", {"dimensions": 256}, "dimensions"),
    ],
)
def test_what_would_change_the_answer_is_refused(vendor: str, model: str, given: Any, param: str):
    with pytest.raises(InvalidRequest) as caught:
        asked(vendor, model, **given)
    assert caught.value.param == param


def test_a_row_of_ones_own_says_what_is_otherwise(tmp_path: Path):
    file = tmp_path / "families.yaml"
    file.write_text(
        "- {vendor: openai, models: gpt-5$, levels: low high}\n- {vendor: my-box, models: qwen, accepts: top_k thinking_level}"
    )
    families = Families(file)

    assert asked("openai", "gpt-5", families, thinking_level="medium")[0].thinking_level == "low"
    assert asked("openai", "gpt-5", families, max_tokens=5)[0].max_tokens == 5  # the rest is as shipped
    assert asked("my-box", "qwen3", families, top_k=5, thinking_level="max")[0].top_k == 5
    assert asked("my-box", "other", families, top_k=5) == (Parameters(), ["top_k"])


@pytest.mark.parametrize(
    "text", ["- {vendor: openai}", "- {vendor: x, models: '('}", "- {vendor: x, models: y, accepts: heat}", "- 3", "{"]
)
def test_a_faulty_file_is_told_with_its_row(tmp_path: Path, text: str):
    file = tmp_path / "families.yaml"
    file.write_text(f"- {{vendor: openai, models: gpt}}\n{text}" if text != "{" else text)

    with pytest.raises(InvalidRequest, match=r"families\.yaml, row [12], cannot be read"):
        Families(file)


def test_tools_are_strict_where_they_can_be():
    closed = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    tools = (
        Tool(name="f", parameters=closed, is_strict=True),
        Tool(name="g", is_strict=True),
        Tool(name="f", parameters=closed),
    )
    for vendor, model, strict in (("openai", "gpt-4o", [True, True]), ("gemini", "gemini-2.5-flash", [False, False])):
        request, left = fitted(
            Request(model=model, messages=HI, tools=tools), Families().of(vendor, model).model(model, vendor)
        )
        assert [tool.is_strict for tool in request.tools] == strict
        assert ("a second tool f" in left) is (vendor == "openai")  # else they are the same by then
        assert ("strict of the tool f" in left) is (vendor == "gemini")
    assert not is_closed({"type": "object", "properties": {"a": {"type": "object", "properties": {}}}})


@pytest.mark.parametrize(
    ("pieces", "answer"),
    [
        (['{"va', 'lue": ["a', '}"', "]", " }\n"], '["a}"]'),
        (['{"value": {"a": 1}}'], '{"a": 1}'),
        (["[1, 2]"], "[1, 2]"),
        (['{"value": "cut'], '"cut'),
        (["I cannot do ", "that. {}"], "I cannot do that. {}"),
    ],
)
def test_an_answer_is_taken_out_of_the_object_around_it(pieces: list[str], answer: str):
    unwrapper = Unwrapper({"type": "array"})

    assert "".join(unwrapper.read(piece, is_last=at == len(pieces) - 1) for at, piece in enumerate(pieces)) == answer
