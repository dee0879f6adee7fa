"""A/B tests of model variants on live traffic."""
