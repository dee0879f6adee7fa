"""The log of the pages' server: Streamlit's and ours, in the form that AIMM_LOG_FORMAT says."""

import logging

import streamlit as st
from streamlit import logger as streamlit_logger

from core.config import JSON_LINES, setting_before
from core.telemetry.process_log import begin_log, logger, take_over


def begin() -> None:
    """Begin the log. Streamlit's loggers have handlers of their own, now and later ones, which know no JSON."""
    begin_log()
    if setting_before("AIMM_LOG_FORMAT") == JSON_LINES:
        streamlit_logger.setup_formatter = take_over
        streamlit_logger.update_formatter()
        logging.getLogger("uvicorn.access").propagate = False  # requests have lines of ours


def welcome() -> None:
    """Say where the pages are."""
    address, port = st.get_option("server.address") or "localhost", st.get_option("server.port")
    logger.info("AI Model Manager answers at http://%s:%s", address, port)
