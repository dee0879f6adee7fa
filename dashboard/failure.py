"""The one place where an error of a page ends that nothing else caught: said in words, with a reference to the log."""

import logging
import secrets
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from streamlit.errors import FragmentHandledException

from core import AimmError
from core.errors import redact
from dashboard import address, formatting

logger = logging.getLogger(__name__)
# Streamlit writes each error down before it asks what to do with it: a second time, with whatever keys its words hold.
logging.getLogger("streamlit.error_util").addFilter(lambda record: record.msg != "Uncaught app execution")


def _without_keys(record: logging.LogRecord) -> bool:
    """Write the traceback down once, without keys, for whoever handles the record."""
    if record.exc_info:
        record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)))
    return True


logger.addFilter(_without_keys)


def show(error: Exception) -> bool:
    """Draw an error where the page stopped; True = nothing more is to be drawn for it.

    Streamlit calls this for whatever leaves a page, a fragment, a dialog or a callback.
    """
    if isinstance(error, AimmError):
        st.error(formatting.plain(error.text), icon=":material/error:")
        return True
    reference = f"e_{secrets.token_hex(4)}"
    logger.error("page error %s", reference, exc_info=error)
    with st.container(border=True, key=f"failure_{reference}"):
        st.markdown("**This part of the page could not be shown.**")
        st.markdown(
            f"An unexpected {formatting.plain(type(error).__name__)} stopped it. Your data are safe, and running calls"
            f" and workflows continue. Details are in the server's log under **{formatting.plain(reference)}**."
        )
        row = st.container(horizontal=True)
        row.button("Reload", icon=":material/refresh:", key=f"reload_{reference}")
        row.button(
            "Reset the page", key=f"anew_{reference}", type="tertiary", on_click=address.forget,
            help="Closes what was open on it and clears its filters.",
        )  # fmt: skip
    return True


@contextmanager
def contained() -> Iterator[None]:
    """Keep an error to the part of the page that it came from."""
    try:
        yield
    except FragmentHandledException:
        pass  # the fragment has shown it already
    except Exception as error:  # noqa: BLE001 - the end of the line: it is shown and written down
        show(error)
