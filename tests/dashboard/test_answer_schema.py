"""The JSON schema of an answer: what can be used, and what is wrong with an answer. Both come from strangers."""

import json
import time

import pytest

from dashboard.components.playground import schema

TREE = {"a0": {"type": "integer"}, **{f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n - 1}"}] * 2} for n in range(1, 30)}}
DRAFT_4, DRAFT_7 = ("http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-07/schema#")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("true", "is an object"),
        ("{'type': 'object'}", "line 1, column 2"),
        ('{"minimum": ' + "9" * 5000 + "}", "more than 4,300 digits"),
        ('{"title": "' + "x" * 60_000 + '"}', "at most 50,000"),
        ('{"$schema": 3}', "$schema must be a text"),
        ('{"$schema": []}', "$schema must be a text"),
        ('{"properties": {"a": {"$schema": 3}}}', "is not of type 'string'"),
        ('{"properties": {"a": {"type": "STRING"}}}', "'STRING' is not a type; the types are array, boolean"),
        ('{"$ref": "#/title", "title": "x"}', "'x' is not of type 'object'"),
        ('{"$ref": "#/x-a", "x-a": {"type": "foo"}}', "'foo' is not a type"),
        ('{"$ref": "#/allOf/x", "allOf": [{}]}', "'#/allOf/x', which it does not contain"),
        ('{"$ref": "http://127.0.0.1:9/x.json"}', "other addresses are not fetched"),
        ('{"pattern": "("}', "The pattern '(' cannot be used"),
        ('{"pattern": "(?=x)"}', "cannot be used: invalid perl operator"),
        ('{"patternProperties": {"(": {}}}', "The pattern '(' cannot be used"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_used_says_why(text: str, words: str):
    with pytest.raises(ValueError) as raised:
        schema.parsed(text)
    assert words in str(raised.value)
    assert words in schema.violation(text, "{}")  # a program's schema was never typed here


@pytest.mark.parametrize(
    ("given", "answer", "words"),
    [
        ({"pattern": r"^\p{L}+$"}, '"é"', ""),
        ({"pattern": "^(a+)+$"}, json.dumps("a" * 60 + "!"), "does not match"),
        ({"patternProperties": {"^(a+)+$": {"type": "string"}}, "additionalProperties": False}, json.dumps({"a" * 60 + "!": 1}), "is not one of its properties"),
        ({"patternProperties": {"^n_": {"type": "number"}}, "additionalProperties": {"type": "string"}}, '{"n_a": "1", "b": 2}', "$.b: 2 is not of type 'string'; $.n_a: '1' is not of type 'number'"),
        ({"$defs": TREE, "$ref": "#/$defs/a29"}, "1", "could not be checked within"),
        ({"$ref": "#"}, "1", "refers to itself without end"),
        ({"uniqueItems": True}, json.dumps([{"n": n} for n in range(9000)]), ""),
        ({"uniqueItems": True}, "[1, true, [1], {}, 1.0]", "an item appears twice"),
        ({"multipleOf": 0.1}, "9" * 400, "too large"),
        ({"enum": ["a"]}, json.dumps("z" * 500), "is not one of ['a']"),
        ({"pattern": "x"}, r'"\ud800"', "does not match"),
        ({"$schema": DRAFT_4, "id": "http://a/b", "definitions": {"n": {"id": "#n", "minimum": 1, "exclusiveMinimum": True}}, "properties": {"a": {"$ref": "#n"}}}, '{"a": 1}', "less than or equal to the minimum"),
        ({"$schema": DRAFT_7, "definitions": {"A": {"$id": "#foo", "type": "string"}}, "$ref": "#foo"}, "1", "is not of type 'string'"),
        ({"properties": {"a": {"$id": "http://z/q", "$ref": "#/$defs/k", "$defs": {"k": {"type": "string"}}}}}, '{"a": 1}', "$.a: 1 is not of type 'string'"),
        ({"type": "object"}, '```json\n{"a": 1}\n```', "is wrapped in a Markdown code block"),
        ({"type": "object"}, '{"a": 1} {"b": 2}', "it is not JSON: Extra data"),
        ({"type": "object"}, '{"a":', "it is not JSON"),
    ],
)  # fmt: skip
def test_an_answer_is_checked_in_bounded_time(given: dict[str, object], answer: str, words: str):
    begin = time.monotonic()
    found = schema.violation(json.dumps(given), answer)
    assert words in found if words else found == ""
    assert time.monotonic() - begin < 30  # some of these would take years
    assert schema.unknown_keywords(given) == []


def test_unknown_keywords_are_named():
    assert schema.unknown_keywords({"tpye": "object", "properties": {"typ": {"minium": 1}}}) == ["tpye", "minium"]
