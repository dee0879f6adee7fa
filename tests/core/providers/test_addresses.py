"""Addresses that no vendor is asked at, in each form that they are written in."""

import pytest

from core.providers.http.network import refuses


@pytest.mark.parametrize(
    "address",
    ["64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::169.254.169.254", "::ffff:169.254.169.254", "fd20:ce::254",
     "192.0.0.192", "64:ff9b::192.0.0.192", "64:ff9b:1::a9fe:a9fe", "::ffff:0:169.254.169.254", "fe80::1%eth0"],
)  # fmt: skip
def test_metadata_is_refused_in_every_form(address: str):
    assert refuses(address)


@pytest.mark.parametrize("address", ["::1", "127.0.0.1", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1", "10.0.0.1"])  # fmt: skip
def test_other_addresses_are_not(address: str):
    assert not refuses(address)
