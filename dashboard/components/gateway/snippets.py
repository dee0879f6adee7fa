"""Code that reaches this server by the clients people have: the address, a key and a model put in."""

from collections.abc import Mapping

import streamlit as st

from core import Message, Request
from dashboard import address
from dashboard.components import clients
from dashboard.frames import gateway

PROMPT = "Why is the sky blue?"
USER = "u_42"
FEEDBACK = (
    {"generation_id": "g_…", "success": True, "rating": 5, "text": "solved at once"},
    {"assignment_id": "a_…", "success": False, "number": 12.5},
)


def show(server: str, *, needs_key: bool) -> None:
    help_text = "Models, aliases, and exp:NAME for a running experiment, which assigns each user to a variant."
    names = gateway.names_to_ask()
    address.check("gateway_client", clients.KNOWN, "client")
    address.check("gateway_model", names, "model")
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        client = _client()
        model = st.selectbox("Model", names, key="gateway_model", bind="query-params", help=help_text, width=260)
    key = "aimm_…" if needs_key else clients.NO_KEY
    st.code(snippet(client, server, model, key), language=clients.KNOWN[client].language, wrap_lines=True)
    if not needs_key:
        st.caption(
            "Clients that insist on a key can send anything. Calls with one of the keys below count towards that key"
            " and its limits."
        )
    with st.expander("Outcomes, cache, fallbacks", icon=":material/tune:"):
        outcomes, cache, fallbacks = st.tabs(["Outcomes", "Cache", "Fallbacks"])
        outcomes.caption(
            "Report the outcome of an experiment's answer by an id from its headers: `x-aimm-request-id` or"
            " `x-aimm-assignment`."
        )
        said = [clients.post(f"{server}/v1/feedback", body, key) for body in FEEDBACK]
        outcomes.code("\n\n".join(said), language="bash")
        cache.caption(
            "The same request within this many seconds gets the cached response, at no cost. Each key has a cache of"
            " its own unless it shares it."
        )
        cache.code(snippet("curl", server, model, key, {"x-aimm-cache": "3600"}), language="bash")
        fallbacks.caption(
            "Models to try, in this order, if the first one fails or is down. The headers `x-aimm-model` and"
            " `x-aimm-fallback` say which one answered."
        )
        fallbacks.code(snippet("curl", server, model, key, {"x-aimm-fallbacks": "model-b, model-c"}), language="bash")


def _client() -> str:
    """The client that is chosen; those of its kind stand beside it."""
    asked = st.session_state.get("gateway_client") or st.query_params.get("gateway_client")
    chosen = asked if asked in clients.KNOWN else "curl"
    with st.container(width="content", gap="xsmall"):
        kind = st.segmented_control(
            "Client", list(clients.BY_KIND), default=clients.KNOWN[chosen].kind, key="gateway_kind", required=True,
            on_change=_take_first,
        )  # fmt: skip
        client = st.segmented_control(
            "Client of this kind", clients.BY_KIND[kind], default=None if asked else chosen,
            key="gateway_client", bind="query-params", required=True, label_visibility="collapsed",
        )  # fmt: skip
    return client or chosen


def _take_first() -> None:
    st.session_state["gateway_client"] = clients.BY_KIND[st.session_state["gateway_kind"]][0]


def snippet(client: str, server: str, model: str, key: str, headers: Mapping[str, str] | None = None) -> str:
    request = Request(model=model, messages=(Message("user", PROMPT),))
    user = USER if model.startswith("exp:") else ""
    return clients.code(client, request, server, key, user=user, headers=headers or {})
