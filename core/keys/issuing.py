"""A key with a budget of its own: both are made, or neither."""

import re
from decimal import Decimal
from typing import Any, NamedTuple

from core.budgets.service import BudgetService
from core.domain.budget import Budget
from core.domain.key import Key
from core.errors import AimmError, InvalidRequest
from core.keys.service import KeyService

_ALLOWANCE = re.compile(r"\$?(\d{1,9}(?:\.\d{1,9})?)\s*/\s*(day|week|month)")


class Allowance(NamedTuple):
    """The dollars that a key may spend in a calendar period."""

    limit_usd: Decimal
    period: str = "month"

    @classmethod
    def parse(cls, text: str) -> "Allowance":
        """`5/month`. Raises: InvalidRequest."""
        found = _ALLOWANCE.fullmatch(text.strip())
        if found is None:
            raise InvalidRequest(f"budget == {text[:40]!r}, must be dollars a day, week or month, such as 5/month")
        return cls(Decimal(found[1]), found[2])


class KeyIssuer:
    """Keys that come with a budget of their own."""

    def __init__(self, keys: KeyService, budgets: BudgetService) -> None:
        self._keys = keys
        self._budgets = budgets

    def issue(self, name: str, *, allowance: Allowance | None = None, **fields: Any) -> tuple[Key, str, Budget | None]:
        """Make a key, and a budget that stops it at its allowance. fields: see KeyService.create.

        Returns:
            The key, its text, which is given here and is nowhere else, and its budget.

        Raises:
            InvalidRequest, Conflict: The key or the budget cannot be; then there is neither.
        """
        key, secret = self._keys.create(name, **fields)
        if allowance is None:
            return key, secret, None
        try:
            return key, secret, self._budget(key, allowance)
        except AimmError:
            self._keys.revoke(key.id)
            raise

    def _budget(self, key: Key, allowance: Allowance) -> Budget:
        """A revoked key of the same name may have left its budget."""
        title = f"key {key.name}"[:80]
        if any(status.budget.name == title for status in self._budgets.statuses()):
            title = f"{title[:60]} {key.id}"
        scope = f"key:{key.id}"
        return self._budgets.create(
            title, allowance.limit_usd, period=allowance.period, scope=scope, action="stop"
        ).budget
