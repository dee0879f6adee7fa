"""Chains of model calls: written as YAML, checked while typed, run where a crash cannot lose them."""
