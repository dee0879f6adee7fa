"""The parameters that a model accepts, and no others."""

import json
from typing import Any

import streamlit as st

from core.domain.generation import MAX_TOKENS, THINKING_LEVELS, Model


def key_of(page: str, parameter: str) -> str:
    """The widget key of a parameter."""
    return f"{page}_parameter_{parameter}"


def controls(model: Model, key: str) -> dict[str, Any]:
    """Draw them and return what is set; raises ValueError for a schema that is not JSON."""
    values: dict[str, Any] = {}
    accepts = model.accepts
    if "temperature" in accepts:
        help_text = (
            "How freely the model chooses words: 0 = the likeliest, higher = more varied. Empty = the model's default."
        )
        values["temperature"] = st.number_input(
            "Temperature",
            0.0,
            model.max_temperature,
            None,
            0.1,
            key=key_of(key, "temperature"),
            help=help_text,
            placeholder="default",
        )
    if "max_tokens" in accepts:
        help_text = "The answer is cut after this many tokens; thinking counts too. Empty = the model's default."
        values["max_tokens"] = st.number_input(
            "Max output tokens",
            1,
            model.max_output_tokens or MAX_TOKENS,
            None,
            64,
            key=key_of(key, "max_tokens"),
            help=help_text,
            placeholder="default",
        )
    if "thinking_budget" in accepts:
        values["thinking_budget"] = st.number_input(
            "Thinking budget (tokens)", -1, 32_768, None, 128, key=key_of(key, "thinking_budget"),
            help="Tokens the model may think before it answers: 0 = none, -1 = as it likes. Charged like output.", placeholder="default",
        )  # fmt: skip
    if "thinking_level" in accepts:
        values["thinking_level"] = st.selectbox(
            "Thinking level",
            THINKING_LEVELS,
            None,
            key=key_of(key, "thinking_level"),
            placeholder="default",
            help="How long the model thinks. Charged like output.",
        )
    if "seed" in accepts:
        values["seed"] = st.number_input(
            "Seed",
            0,
            2_147_483_647,
            None,
            1,
            key=key_of(key, "seed"),
            placeholder="random",
            help="The same seed and settings give, as far as the vendor can, the same answer.",
        )
    if "json_schema" in accepts:
        text = st.text_area(
            "JSON schema",
            key=key_of(key, "json_schema"),
            height=80,
            placeholder='{"type": "object", …}',
            help="The answer must be JSON of this shape.",
        )
        if text and text.strip():
            schema = json.loads(text)
            if not isinstance(schema, dict):
                raise ValueError("a JSON schema is an object")
            values["json_schema"] = schema
    return {name: value for name, value in values.items() if value is not None}
