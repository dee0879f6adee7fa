"""Gateway."""

import streamlit as st

st.title("Gateway")
