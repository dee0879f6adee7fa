"""The settings of the next call: the parameters that a model accepts, and no others; they stand in the address."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.domain.generation import MAX_TOKENS, THINKING_LEVELS, Model, Parameters
from core.formats import strict_json as json
from dashboard import address, formatting
from dashboard.components.playground import checks, schema

NAME, LONGEST = "settings", 4000  # in the address, where longer texts do not fit everywhere
# Fields by the kind of their value; `cap` is the spending limit.
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "system": str, "temperature": (int, float), "max_tokens": int, "thinking_budget": int, "thinking_level": str,
    "seed": int, "json_schema": str, "cap": (int, float),
}  # fmt: skip
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


def key_of(name: str) -> str:
    """The widget key of a setting."""
    return f"play_{name}"


def controls(model: Model) -> tuple[dict[str, Any], str]:
    """Draw the parameters; what is set, and what is wrong with the JSON schema ('' = nothing)."""
    values = {name: value for name, value in carried().items() if name in model.accepts}
    for name in _NUMBERS:
        if name in model.accepts:
            values[name] = _number(name, model)
    if "thinking_level" in model.accepts:
        values["thinking_level"] = st.selectbox(
            "Thinking level", model.levels or THINKING_LEVELS, None, key=key_of("thinking_level"),
            placeholder="default", help="How long the model thinks. Billed as output.", persist_state="session",
        )  # fmt: skip
    problem = ""
    if "json_schema" in model.accepts:
        values["json_schema"], problem = _schema()
    checks.field()
    return {name: value for name, value in values.items() if value is not None}, problem


def _number(name: str, model: Model) -> Any:
    label, least, most, step, empty, help_text = _NUMBERS[name]
    if name == "temperature":
        most = float(model.max_temperature)
    elif name == "max_tokens":
        most = model.max_output_tokens or most
    key, state = key_of(name), st.session_state
    if (value := state.get(key)) is not None and not least <= value <= most:
        st.caption(formatting.plain(f"{label} was {value:,}; {model.name} accepts {least:,} to {most:,}."))
        state[key] = min(max(value, least), most)
    return st.number_input(
        label, least, most, None, step, key=key, help=help_text, placeholder=empty, persist_state="session"
    )


def _schema() -> tuple[dict[str, Any] | None, str]:
    text = st.text_area(
        "JSON schema", key=key_of("json_schema"), height=80, placeholder='{"type": "object", …}',
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


def of_call(system: str | None, given: Parameters) -> tuple[str, dict[str, Any]]:
    """The settings of a call as text, and its parameters that have no field here."""
    values: dict[str, Any] = {"system": system, **given.as_dict()}
    if values.get("json_schema") is not None:
        values["json_schema"] = json.dumps(values["json_schema"], ensure_ascii=False, indent=2)
    return _text(values), {name: value for name, value in values.items() if name not in _FIELDS}


def _text(values: Mapping[str, Any]) -> str:
    known = {name: values.get(name) for name in _FIELDS}
    if known["temperature"] is not None:
        known["temperature"] = float(known["temperature"])
    return json.dumps({name: value for name, value in known.items() if value not in (None, "")}, ensure_ascii=False)


def take(base: str, *, is_opened: bool) -> None:
    """Fill the fields with the settings of the address where they are others than before; before any field is drawn.

    base: The settings of the conversation that is shown. is_opened: Just now; its settings are meant but where the
    address says others.
    """
    state, given = st.session_state, address.value(NAME)
    is_new = given != state.get("play_address")
    if not (is_opened or is_new):
        return
    wanted = (given if is_new else None) or base
    try:
        values = json.loads(wanted)
        found = {name: values[name] for name, kind in _FIELDS.items() if isinstance(values.get(name), kind)}
    except (ValueError, AttributeError):
        st.warning("The settings in the address cannot be read.", icon=":material/link_off:")
        found = {}
    if found.get("thinking_level") not in THINKING_LEVELS:
        found.pop("thinking_level", None)
    for name, kind in _FIELDS.items():
        value = found.get(name, "" if kind is str and name != "thinking_level" else None)
        state[key_of(name)] = float(value) if value is not None and isinstance(kind, tuple) else value


def put(base: str) -> None:
    """Have the address say how the settings differ from `base`; what would be too long for one is left out."""
    text = _text({name: st.session_state.get(key_of(name)) for name in _FIELDS})
    new = st.session_state["play_address"] = None if text == base or len(text) > LONGEST else text
    if address.value(NAME) != new:
        address.put(NAME, new)


def carry(values: Mapping[str, Any]) -> None:
    st.session_state["play_carried"] = json.dumps(values)


def carried() -> dict[str, Any]:
    """Parameters of the call that was opened which have no field here."""
    found: dict[str, Any] = json.loads(st.session_state.get("play_carried") or "{}")
    return found
