"""Experiments' decisions about units: who gets which variant, who is counted, what becomes of an outcome. Pure."""
