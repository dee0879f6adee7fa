"""The process of the pages: what is loaded takes no time of every run."""

import gc
import sys
from types import ModuleType

import pytest

from dashboard import process


def test_what_is_loaded_is_left_out_of_collections_until_modules_come(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "_n_modules", 0)
    try:
        process.put_aside()
        assert gc.get_freeze_count() > 10_000  # what a collection does not go through any more

        made = [[] for _ in range(1000)]
        process.put_aside()
        assert any(each is made for each in gc.get_objects())  # no module came: what was made since is looked at

        monkeypatch.setitem(sys.modules, "a module that came later", ModuleType("later"))
        process.put_aside()
        assert not any(each is made for each in gc.get_objects())
    finally:
        gc.unfreeze()
