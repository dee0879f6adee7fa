"""Tests of `core/models`."""
