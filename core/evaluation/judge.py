"""The reading of a judge's reply to a rubric."""

from core.checks.kinds.judged import read_reply as read_reply
from core.checks.model import Reply as Verdict

__all__ = ["Verdict", "read_reply"]
