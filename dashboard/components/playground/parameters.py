"""The parameters that a model accepts, and no others."""

from typing import Any

import streamlit as st

from core.domain.generation import MAX_TOKENS, THINKING_LEVELS, Model, Parameters
from core.formats import strict_json as json
from dashboard import formatting
from dashboard.components.playground import schema

_FIELDS = ("temperature", "max_tokens", "thinking_budget", "thinking_level", "seed", "json_schema")
_NUMBERS: dict[str, tuple[str, Any, Any, Any, str, str]] = {
    # label, least, most, step, what an empty field says, help
    "temperature": (
        "Temperature", 0.0, 2.0, 0.1, "default",
        "How freely the model chooses words: 0 is the most predictable, higher is more varied. Empty: its default.",
    ),
    "max_tokens": (
        "Max output tokens", 1, MAX_TOKENS, 64, "default",
        "The answer is cut off after this many tokens, thinking included. Empty: the model's default.",
    ),
    "thinking_budget": (
        "Thinking budget (tokens)", -1, 32_768, 128, "default",
        "Tokens the model may spend thinking before it answers: 0 for none, -1 to let it decide. Billed as output.",
    ),
    "seed": (
        "Seed", 0, 2_147_483_647, 1, "random",
        "The same seed and settings give the same answer, as far as the vendor can ensure it.",
    ),
}  # fmt: skip


def key_of(page: str, parameter: str) -> str:
    """The widget key of a parameter."""
    return f"{page}_parameter_{parameter}"


def controls(model: Model, page: str) -> tuple[dict[str, Any], str]:
    """Draw them; what is set, and what is wrong with the JSON schema ('' = nothing)."""
    values = {name: value for name, value in carried(page).items() if name in model.accepts}
    for name in _NUMBERS:
        if name in model.accepts:
            values[name] = _number(name, model, page)
    if "thinking_level" in model.accepts:
        values["thinking_level"] = st.selectbox(
            "Thinking level", THINKING_LEVELS, None, key=key_of(page, "thinking_level"), placeholder="default",
            help="How long the model thinks. Billed as output.", persist_state="session",
        )  # fmt: skip
    problem = ""
    if "json_schema" in model.accepts:
        values["json_schema"], problem = _schema(page)
    return {name: value for name, value in values.items() if value is not None}, problem


def _number(name: str, model: Model, page: str) -> Any:
    label, least, most, step, empty, help_text = _NUMBERS[name]
    if name == "temperature":
        most = float(model.max_temperature)
    elif name == "max_tokens":
        most = model.max_output_tokens or most
    key, state = key_of(page, name), st.session_state
    if (value := state.get(key)) is not None and not least <= value <= most:
        st.caption(formatting.plain(f"{label} was {value:,}; {model.name} accepts {least:,} to {most:,}."))
        state[key] = min(max(value, least), most)
    return st.number_input(
        label, least, most, None, step, key=key, help=help_text, placeholder=empty, persist_state="session"
    )


def _schema(page: str) -> tuple[dict[str, Any] | None, str]:
    text = st.text_area(
        "JSON schema", key=key_of(page, "json_schema"), height=80, placeholder='{"type": "object", …}',
        help="The answer must be JSON of this shape. It is checked when it arrives.", persist_state="session",
    )  # fmt: skip
    try:
        found = schema.parsed(text or "")
    except ValueError as error:
        st.error(formatting.plain(f"JSON schema: {error}"), icon=":material/error:")
        return None, str(error)
    if unknown := schema.unknown_keywords(found or {}):
        st.warning(
            formatting.plain(
                f"JSON Schema has no keyword {', '.join(unknown[:5])} – a typing error? Models may ignore it."
            )
        )
    return found, ""


def set_all(page: str, given: Parameters) -> None:
    """Fill in the fields with a call's parameters, and keep those that have no field."""
    state, values = st.session_state, given.as_dict()
    for name in _FIELDS:
        value = values.pop(name, None)
        if name == "json_schema" and value is not None:
            value = json.dumps(value, ensure_ascii=False, indent=2)
        elif name == "temperature" and value is not None:
            value = float(value)
        state[key_of(page, name)] = "" if name == "json_schema" and value is None else value
    state[f"{page}_carried"] = json.dumps(values)


def carried(page: str) -> dict[str, Any]:
    """Parameters of the call that was opened which have no field here."""
    found: dict[str, Any] = json.loads(st.session_state.get(f"{page}_carried") or "{}")
    return found


def drop_carried(page: str) -> None:
    st.session_state.pop(f"{page}_carried", None)
