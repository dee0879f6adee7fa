"""The public names of the package: a list that programs rely on, each explained, and free until it is used."""

import inspect
import subprocess
import sys

import pytest

import core
from core import errors


def test_every_error_is_a_public_name():
    found = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}

    assert found <= set(core.__all__)


@pytest.mark.parametrize("name", core.__all__)
def test_every_public_name_can_be_imported_and_says_what_it_is(name):
    value = getattr(core, name)

    assert value.__name__ == name
    assert value.__doc__ and not value.__doc__.startswith(f"{name}(")  # what a dataclass writes itself


def test_the_public_names_are_listed_once_and_nothing_else_answers():
    assert len(core.__all__) == len(" ".join(core._NAMES_OF.values()).split())
    assert set(core.__all__) <= set(dir(core))
    with pytest.raises(AttributeError, match="Manager2"):
        core.Manager2  # noqa: B018 - looking it up is the test


def test_importing_the_package_loads_nothing_else():
    script = "import sys, core; print(sorted(name for name in sys.modules if name.startswith(('core.', 'sqlalchemy'))))"

    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
