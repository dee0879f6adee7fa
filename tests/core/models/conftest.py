"""Vendors that tests of deployments share."""

from collections.abc import Iterator

import pytest

from tests.fakes.vendors import FakeVendor

KEYS = ("sk-Key-of-the-first-0123456789", "sk-Key-of-the-second-012345678", "sk-Key-of-the-third-0123456789")


@pytest.fixture
def fakes() -> Iterator[list[FakeVendor]]:
    """One for each key."""
    found = [FakeVendor(key=key) for key in KEYS]
    yield found
    for each in found:
        each.close()
