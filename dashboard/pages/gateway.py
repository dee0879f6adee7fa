"""Gateway: point programs here, watch what they ask, and give them keys."""

from urllib.parse import urlsplit

import streamlit as st

from dashboard import formatting, login
from dashboard.components import head
from dashboard.components.gateway import keys, snippets, tail
from dashboard.components.log import drawer
from dashboard.frames import gateway
from dashboard.process import manager

head.show("Gateway")

url = urlsplit(str(st.context.url or ""))
port = st.get_option("server.port")
address = f"{url.scheme}://{url.netloc}" if url.netloc else f"http://localhost:{port}"
needs_key = not login.is_local() or manager().settings.require_key
n_calls, since = gateway.recent()

with st.container(horizontal=True, vertical_alignment="center"):
    st.badge(formatting.plain(address), icon=":material/link:", color="blue")
    if needs_key:
        st.badge("Key required", icon=":material/key:", color="orange")
    else:
        st.badge("No key needed on this machine", icon=":material/key:", color="gray")
    st.badge(
        f"{n_calls:,} {'call' if n_calls == 1 else 'calls'} since {since:%H:%M} UTC",
        icon=":material/call_received:",
        color="gray",
    )

snippets.show(address, needs_key=needs_key)
tail.show()
keys.show()
drawer.show()
