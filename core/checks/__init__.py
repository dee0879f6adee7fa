"""Checks of an answer: pass or fail, a score and a reason. No clock, no files, no calls of their own. Pure."""

from core.checks.calls import grade_call as grade_call
from core.checks.csv_cells import from_csv_cell as from_csv_cell
from core.checks.grading import grade as grade
from core.checks.model import CheckError as CheckError
from core.checks.model import Component as Component
from core.checks.model import Grade as Grade
from core.checks.validation import validate as validate
