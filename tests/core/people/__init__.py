"""Tests of people and of the audit."""
