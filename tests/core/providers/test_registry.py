"""Names of models: which provider a name means, and which names are none."""

import asyncio

import pytest

from core.errors import ModelNotFound
from core.providers.registry import Registry


@pytest.mark.parametrize("name", ["a?b", "vllm/a#b", "gemini/../x", "vllm:..", " a", "a\n", "a\x00b", "gemini/a\r\nb"])
def test_a_name_that_means_something_else_in_an_address_is_refused(name: str):
    registry = Registry(keys={"gemini": "k"}, servers={"vllm": ("http://127.0.0.1:9", None)})

    with pytest.raises(ModelNotFound, match="no model's name"):
        asyncio.run(registry.resolve(name))


@pytest.mark.parametrize("name", ["vllm/org/model", "vllm:org/model:7b", "vllm//models/a..b"])
def test_a_servers_models_may_have_slashes_and_colons(name: str):
    registry = Registry(servers={"vllm": ("http://127.0.0.1:9", None)})

    assert asyncio.run(registry.resolve(name))[1].name == name[5:]
