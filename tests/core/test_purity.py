"""Modules that call themselves pure are held to it: the import contract lists each of them."""

import ast
import re
import tomllib

from tests.conftest import ROOT


def test_each_module_that_says_it_is_pure_is_in_the_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    listed = {name for each in contracts if each["name"] == "Pure means pure" for name in each["source_modules"]}
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text("utf-8")
        for path in (ROOT / "core").rglob("*.py")
    }
    pure = {name for name, text in modules.items() if re.search(r"\bPure\b", ast.get_docstring(ast.parse(text)) or "")}

    assert len(pure) >= 30
    assert {name for name in pure if not any(name == one or name.startswith(f"{one}.") for one in listed)} == set()
