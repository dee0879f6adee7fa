"""Gateway: point programs here, watch what they ask, and give them keys."""

from urllib.parse import urlsplit

import streamlit as st

from dashboard import formatting, login
from dashboard.components import head, managed
from dashboard.components.gateway import keys, snippets, tail, teams
from dashboard.components.log import drawer
from dashboard.frames import gateway
from dashboard.visitors import allowed

row = head.show("Gateway")

url = urlsplit(str(st.context.url or ""))
port = st.get_option("server.port")
address = f"{url.scheme}://{url.netloc}" if url.netloc else f"http://localhost:{port}"
needs_key = login.programs_need_key()
n_calls, since = gateway.recent()

row.caption("Base URL", width="content")
row.code(f"{address}/v1", language=None, width=320)
row.button(
    "New key", type="primary", icon=":material/add:", key="gateway_new_key", on_click=keys.open_new,
    **allowed.needs("admin"),
)  # fmt: skip
st.caption(
    f"{'A key is needed' if needs_key else 'No key is needed on this machine'}"
    f" · {n_calls:,} {'call' if n_calls == 1 else 'calls'} since {formatting.at(since, '%H:%M')}"
)

snippets.show(address, needs_key=needs_key)
keys.show()
teams.show()
managed.note("keys", "teams")
tail.show()
if not (st.query_params.get("key") or st.query_params.get("team")):
    drawer.show(st.session_state.get("gateway_shown", ()))
keys.dialog(address)
if not st.query_params.get("key"):
    teams.dialog()
