"""Reconcile: the vendor's bill against our own books."""

import streamlit as st


def show() -> None:
    st.caption("…")
