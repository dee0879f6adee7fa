"""Names of models: which provider a name means, and which names are none."""

import asyncio

import pytest

from core.config import Settings
from core.errors import AuthenticationError, ModelNotFound
from core.pricing.catalogue import shipped
from core.providers.registry import Registry
from core.vendors import VENDORS, VendorSpec


@pytest.mark.parametrize("name", ["a?b", "vllm/a#b", "gemini/../x", "vllm:..", " a", "a\n", "a\x00b", "gemini/a\r\nb"])
def test_a_name_that_means_something_else_in_an_address_is_refused(name: str):
    registry = Registry(Settings(keys={"gemini": "k"}, servers={"vllm": "http://127.0.0.1:9"}))

    with pytest.raises(ModelNotFound, match="no model's name"):
        asyncio.run(registry.resolve(name))


@pytest.mark.parametrize("name", ["vllm/org/model", "vllm:org/model:7b", "vllm//models/a..b"])
def test_a_servers_models_may_have_slashes_and_colons(name: str):
    registry = Registry(Settings(servers={"vllm": "http://127.0.0.1:9"}))

    assert asyncio.run(registry.resolve(name))[1].name == name[5:]


@pytest.mark.parametrize("spec", VENDORS.values(), ids=VENDORS)
def test_a_vendor_needs_its_entry_alone(spec: VendorSpec):
    """Its key and address are read, its names lead to it, and the price catalogue knows it."""
    key = "sk-0123456789abcdef"
    environ = dict.fromkeys(spec.key_variables[:1], key) | {spec.url_variable: "http://127.0.0.1:9"}
    registry = Registry(Settings.from_environ({"OLLAMA_HOST": ""} | environ))

    assert registry.names == [spec.name]
    for name in (f"{spec.name}/m", *(f"{prefix}m" for prefix in spec.prefixes)):
        assert asyncio.run(registry.resolve(name))[1].provider == spec.name
    assert spec.catalogue is None or shipped().models(spec.name)
    if spec.key_variables:
        with pytest.raises(AuthenticationError, match=f"No key is set for {spec.label}"):
            asyncio.run(Registry(Settings()).resolve(f"{spec.prefixes[0]}m"))


def test_where_a_vendors_list_cannot_be_read_its_newest_models_come_first():
    environ = {"GEMINI_API_KEY": "AIza" + "0" * 35, "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9", "OLLAMA_HOST": ""}
    names = [model.name for model in asyncio.run(Registry(Settings.from_environ(environ)).models())]

    assert names.index("gemini-3.5-flash") < names.index("gemini-2.5-pro") < names.index("gemini-1.5-flash")
