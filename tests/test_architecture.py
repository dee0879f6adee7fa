"""Limits that keep the code readable, held against its text: how deep, how many, how long, and what modules say."""

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp
import pytest

from tests.conftest import ROOT

PACKAGES = ("core", "api", "dashboard")
MIGRATIONS = "core/storage/engine/migrations/versions"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def sources() -> dict[str, str]:
    """The text of each module by its path from the root."""
    found = sorted(path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py"))
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in found}


@cache
def trees() -> dict[str, ast.Module]:
    return {path: ast.parse(text) for path, text in sources().items()}


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Each node of these kinds with the path of its module."""
    return ((path, node) for path, tree in trees().items() for node in ast.walk(tree) if isinstance(node, kinds))


def length(function: Function) -> int:
    """Lines of a function without its docstring."""
    first = function.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = first.end_lineno - first.lineno + 1 if is_docstring and first.end_lineno else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def code_lines(text: str) -> int:
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


def test_imports_are_at_most_sixteen_deep():
    graph = grimp.build_graph(*PACKAGES, cache_dir=None, exclude_type_checking_imports=True)

    @cache
    def depth(module: str) -> int:
        return 1 + max(map(depth, graph.find_modules_directly_imported_by(module)), default=0)

    assert {module: depth(module) for module in sorted(graph.modules) if depth(module) > 16} == {}


def test_a_folder_holds_at_most_twelve_modules():
    modules = Counter(str(Path(path).parent) for path in sources() if not path.endswith("/__init__.py"))
    del modules[MIGRATIONS]

    assert {folder: n for folder, n in modules.items() if n > 12} == {}


def test_a_class_has_at_most_fifteen_public_methods():
    found: dict[str, object] = {}
    for path, node in nodes(ast.ClassDef):
        assert isinstance(node, ast.ClassDef)
        n = sum(isinstance(each, Function) and not each.name.startswith("_") for each in node.body)
        if n > 15:
            found[f"{path}::{node.name}"] = n

    assert found == {}


def test_a_function_has_at_most_fifty_lines():
    found: dict[str, object] = {}
    for path, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        assert isinstance(node, Function)
        if length(node) > 50 and not path.startswith(MIGRATIONS):
            found[f"{path}::{node.name}"] = length(node)

    assert found == {}


def test_no_line_is_longer_than_120_characters():
    longest = {path: max(map(len, text.splitlines()), default=0) for path, text in sources().items()}

    assert {path: n for path, n in longest.items() if n > 120 and not path.startswith(MIGRATIONS)} == {}


@pytest.mark.parametrize(("folder", "most"), [("", 400), ("dashboard/pages", 120)])
def test_a_file_is_short(folder: str, most: int):
    lengths = {path: code_lines(text) for path, text in sources().items() if path.startswith(folder)}

    assert {path: n for path, n in lengths.items() if n > most} == {}


def test_each_module_says_what_it_holds():
    silent = {path: "" for path, tree in trees().items() if not ast.get_docstring(tree)}

    assert silent == {}


def test_docstrings_do_not_open_like_questions():
    """They open with a noun or a verb: "The price of a call", not "What a call costs"."""
    questions = ("What ", "Whether ", "Who ", "Whom ", "Whose ", "Where ", "How ", "When ", "Why ", "Which ")
    found: Counter[str] = Counter()
    for path, node in nodes(ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef):
        assert isinstance(node, ast.Module | ast.ClassDef | Function)
        found[path] += (ast.get_docstring(node) or "").startswith(questions)

    assert {path: n for path, n in found.items() if n} == {}
