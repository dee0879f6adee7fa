"""A plugin of pytest: files named `*.eval.yaml` are tests that pass where their gate holds; `evaluate` is a fixture."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from core.program import EvaluationResult

SUFFIX = ".eval.yaml"


def pytest_collect_file(file_path: Path, parent: "pytest.Collector") -> "pytest.Collector | None":
    if not file_path.name.endswith(SUFFIX):
        return None
    import pytest

    class File(pytest.File):
        def collect(self) -> Iterable[pytest.Item]:
            yield Item.from_parent(self, name="gate")

    class Item(pytest.Item):
        def runtest(self) -> None:
            from core.cli.evaluation import judged

            result, told = judged(self.path)
            self.add_report_section("call", "evaluation", told)
            if result.exit_code:
                pytest.fail(f"{result.reason}\n{told}", pytrace=False)

        def repr_failure(self, excinfo: "pytest.ExceptionInfo[BaseException]", style: Any = None) -> Any:
            """Faults of the file in their own words, and no traceback of ours."""
            from core.errors import AimmError

            return excinfo.value.text if isinstance(excinfo.value, AimmError) else super().repr_failure(excinfo, style)

        def reportinfo(self) -> tuple[Path, int | None, str]:
            return self.path, None, f"evaluation: {self.path.name}"

    return File.from_parent(parent, path=file_path)


def pytest_configure(config: "pytest.Config") -> None:
    """Offer the fixture `evaluate`, which is core.evaluate."""
    import pytest

    class Fixtures:
        @pytest.fixture
        def evaluate(self) -> "Callable[..., EvaluationResult]":
            from core import evaluate

            return evaluate

    config.pluginmanager.register(Fixtures(), "aimm-fixtures")
