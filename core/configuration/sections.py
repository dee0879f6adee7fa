"""The sections of a configuration but experiments: keys, budgets, aliases, prices, retention."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

from core import clock
from core.budgets.service import BudgetService, checked_limit
from core.budgets.service import checked as checked_budget
from core.configuration.document import Entry, check_fields
from core.configuration.kinds import check_kinds
from core.configuration.section import Coming, Plain, Section, listed, plain
from core.costs.service import PriceService
from core.domain.budget import Budget
from core.domain.experiment import Alias, Target
from core.domain.generation import named_parameters
from core.domain.key import Key
from core.domain.log.retention import ALL, RetentionRule, checked_scope
from core.errors import InvalidRequest
from core.experiments.checks import versioned
from core.formats.days import check_order, days_of, shown_days
from core.keys import rules
from core.keys.service import KeyService
from core.retention.service import RetentionService


class Keys(Section[Key]):
    name = "keys"
    _FIELDS = tuple(each for each in rules.FIELDS if each != "name")

    def __init__(self, service: KeyService) -> None:
        self._service = service

    def current(self) -> dict[str, Key]:
        return {key.name: key for key in self._service.all() if key.revoked_at is None}

    def wanted(self, entry: Entry) -> Key:
        check_fields(entry, self._FIELDS)
        given = listed(entry.fields, ("scopes", "models", "tags"))
        check_kinds(given, Key)
        if isinstance(ends := given.get("expires_at"), str):
            given["expires_at"] = clock.from_iso(ends)
        bare = Key(id="", name=entry.name, hint="", created_at=clock.now())
        long_ago = datetime.min.replace(tzinfo=UTC)  # that a key has ended by now is no fault of the file
        return rules.checked(bare, given, long_ago)

    def check(self, name: str, old: Key | None, thing: Key, coming: Coming) -> None:
        if thing.owner and thing.owner not in coming["users"]:
            self._service.owner_of(thing.owner)
        if thing.expires_at and thing.expires_at <= clock.now() and (old is None or old.expires_at != thing.expires_at):
            raise InvalidRequest(f"expires_at == {thing.expires_at.isoformat()}, must be after now")

    def shown(self, thing: Key) -> Plain:
        """With its owner by their name."""
        found = {name: plain(getattr(thing, name)) for name in self._FIELDS}
        return found | {"owner": thing.owner_name or thing.owner}

    def usual(self) -> Plain:
        return self.shown(Key(id="", name="", hint="", created_at=clock.now()))

    def add(self, name: str, thing: Key) -> str:
        _, secret = self._service.create(name, **self._given(thing))
        return secret

    def change(self, name: str, old: Key, thing: Key) -> None:
        changed = {field: value for field, value in self._given(thing).items() if value != getattr(old, field)}
        self._service.change(old.id, **changed)

    def remove(self, name: str, old: Key) -> None:
        self._service.revoke(old.id)

    def _given(self, thing: Key) -> Plain:
        return {name: getattr(thing, name) for name in self._FIELDS}


class Budgets(Section[Budget]):
    """Scopes name keys as the section of keys does; they are kept by the keys' ids."""

    name = "budgets"
    _FIELDS = tuple(each.name for each in fields(Budget) if each.name not in ("id", "name", "raises"))

    def __init__(self, service: BudgetService, keys: KeyService, timezone: str) -> None:
        self._service = service
        self._keys = keys
        self._timezone = timezone

    def current(self) -> dict[str, Budget]:
        names = {key.id: key.name for key in self._keys.all()}
        found = {}
        for status in self._service.statuses():
            budget = status.budget
            if budget.scope_kind == "key":
                budget = replace(budget, scope=f"key:{names.get(budget.scope_value, budget.scope_value)}")
            found[budget.name] = budget
        return found

    def wanted(self, entry: Entry) -> Budget:
        check_fields(entry, self._FIELDS)
        given = listed(entry.fields, ("thresholds", "forecast_thresholds"))
        if "limit_usd" not in given:
            raise InvalidRequest("a budget needs limit_usd")
        limit = checked_limit(given.pop("limit_usd"))
        check_kinds(given, Budget)
        return checked_budget(Budget(id="", name=entry.name, limit_usd=limit, timezone=self._timezone), given)

    def check(self, name: str, old: Budget | None, thing: Budget, coming: Coming) -> None:
        section = {"key": "keys", "deployment": "vendors"}.get(thing.scope_kind, "")
        people = (*coming["users"].values(), *coming["keys"].values())
        teams = {person.team for person in people} if thing.scope_kind == "team" else set()
        if thing.scope_value in {*coming.get(section, ()), *teams}:
            thing = replace(thing, scope="all")
        if coming["vendors"]:
            thing = replace(thing, downgrade_to="")
        self._service.check(thing)

    def shown(self, thing: Budget) -> Plain:
        return {name: plain(getattr(thing, name)) for name in self._FIELDS}

    def usual(self) -> Plain:
        bare = self.shown(Budget(id="", name="", limit_usd=Decimal(0), timezone=self._timezone))
        return {name: value for name, value in bare.items() if name != "limit_usd"}

    def add(self, name: str, thing: Budget) -> str:
        self._service.create(name, thing.limit_usd, **self._given(thing))
        return ""

    def change(self, name: str, old: Budget, thing: Budget) -> None:
        self._service.change(old.id, limit_usd=thing.limit_usd, **self._given(thing))

    def remove(self, name: str, old: Budget) -> None:
        self._service.delete(old.id)

    def _given(self, thing: Budget) -> Plain:
        given = {name: getattr(thing, name) for name in self._FIELDS if name != "limit_usd"}
        if thing.scope_kind == "key":
            given["scope"] = f"key:{self._keys.named(thing.scope_value).id}"
        return given


class AliasService(Protocol):
    """The part of the service of aliases that is used here."""

    def all(self) -> list[Alias]: ...

    def check(self, name: str, target: Target) -> None: ...

    def set(self, name: str, target: Target) -> Alias: ...

    def remove(self, name: str) -> None: ...


class Aliases(Section[Target]):
    name = "aliases"
    _FIELDS = tuple(each.name for each in fields(Target))

    def __init__(self, service: AliasService) -> None:
        self._service = service

    def current(self) -> dict[str, Target]:
        return {alias.name: alias.target for alias in self._service.all()}

    def wanted(self, entry: Entry) -> Target:
        check_fields(entry, self._FIELDS)
        given = listed(entry.fields, ("fallbacks",))
        check_kinds(given, Target)
        if not given.get("model"):
            raise InvalidRequest("an alias needs the model that answers")
        if "parameters" in given:
            given["parameters"] = named_parameters(given["parameters"])
        return Target(**given)

    def check(self, name: str, old: Target | None, thing: Target, coming: Coming) -> None:
        if not coming["vendors"]:  # whose models are not known yet
            self._service.check(name, thing)

    def shown(self, thing: Target) -> Plain:
        bare = replace(thing, prompt_version="")
        thing = bare if thing == versioned(bare) else thing  # a name that was made up for the system text
        found = {name: plain(getattr(thing, name)) for name in self._FIELDS if name != "parameters"}
        return found | {"parameters": plain(thing.parameters.as_dict())}

    def usual(self) -> Plain:
        return {name: value for name, value in self.shown(Target(model="")).items() if name != "model"}

    def add(self, name: str, thing: Target) -> str:
        self._service.set(name, thing)
        return ""

    def change(self, name: str, old: Target, thing: Target) -> None:
        self._service.set(name, thing)

    def remove(self, name: str, old: Target) -> None:
        self._service.remove(name)


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A row of the team's prices as given. id: Empty = it is not set yet."""

    id: str
    given: Mapping[str, Any]


class Prices(Section[PriceRow]):
    """Rows are told apart by vendor, model and from when on they hold."""

    name = "prices"
    has_names = False

    def __init__(self, service: PriceService) -> None:
        self._service = service

    def current(self) -> dict[str, PriceRow]:
        return {self._named(row): PriceRow(id_, row) for id_, row in self._service.own_rows()}

    def wanted(self, entry: Entry) -> PriceRow:
        self._service.checked_row(entry.fields)
        return PriceRow("", {name: plain(value) for name, value in entry.fields.items() if value is not None})

    def called(self, name: str, thing: PriceRow) -> str:
        return self._named(thing.given)

    def shown(self, thing: PriceRow) -> Plain:
        """Prices as texts: 2.5 in a file and "2.50" of a form are the same."""
        return {name: _amount(value) for name, value in sorted(thing.given.items())}

    def add(self, name: str, thing: PriceRow) -> str:
        self._service.set_price(thing.given)
        return ""

    def change(self, name: str, old: PriceRow, thing: PriceRow) -> None:
        self._service.remove_price(old.id)
        self._service.set_price(thing.given)

    def remove(self, name: str, old: PriceRow) -> None:
        self._service.remove_price(old.id)

    @staticmethod
    def _named(row: Mapping[str, Any]) -> str:
        given = str(row.get("effective_from") or "")
        since = clock.from_iso(given).isoformat().removesuffix("T00:00:00+00:00") if given else ""
        return f"{row.get('provider')} {row.get('model')}{f' from {since}' if since else ''}".lower()


def _amount(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _amount(each) for name, each in sorted(value.items(), key=str)}
    try:
        return f"{Decimal(str(value)).normalize():f}"
    except ArithmeticError:
        return value


class Retention(Section[RetentionRule]):
    """Rules by scope: all, key:NAME, tag:NAME."""

    name = "retention"

    def __init__(self, service: RetentionService, keys: KeyService) -> None:
        self._service = service
        self._keys = keys

    def current(self) -> dict[str, RetentionRule]:
        names = {f"key:{key.id}": f"key:{key.name}" for key in self._keys.all()}
        rules_ = self._service.rules()
        return {
            names.get(rule.scope, rule.scope): rule
            for rule in rules_
            if not (rule.scope == ALL and rule.texts_days is rule.calls_days is None)
        }

    def wanted(self, entry: Entry) -> RetentionRule:
        check_fields(entry, ("texts", "calls"))
        texts, calls = (days_of(str(entry.fields.get(name) or ""), name, forever=True) for name in ("texts", "calls"))
        if texts is calls is None:
            raise InvalidRequest("Say how long texts or calls are kept, or take the rule away.")
        check_order(texts, calls, ("texts", "calls"))
        return RetentionRule(scope=checked_scope(entry.name), texts_days=texts, calls_days=calls)

    def check(self, name: str, old: RetentionRule | None, thing: RetentionRule, coming: Coming) -> None:
        if name.removeprefix("key:") not in coming["keys"]:
            self._service.scope_of(name)

    def shown(self, thing: RetentionRule) -> Plain:
        return {"texts": shown_days(thing.texts_days), "calls": shown_days(thing.calls_days)}

    def usual(self) -> Plain:
        return {"texts": "", "calls": ""}

    def is_managed(self, thing: RetentionRule) -> bool:
        return not thing.is_fixed

    def add(self, name: str, thing: RetentionRule) -> str:
        self._service.set_rule(name, shown_days(thing.texts_days), shown_days(thing.calls_days))
        return ""

    def refusal(self, old: RetentionRule, thing: RetentionRule) -> str:
        fixed = "the environment says how long calls are kept (AIMM_KEEP_TEXTS, AIMM_KEEP_CALLS)"
        return fixed if old.is_fixed else ""

    def change(self, name: str, old: RetentionRule, thing: RetentionRule) -> None:
        self.add(name, thing)

    def remove(self, name: str, old: RetentionRule) -> None:
        self._service.drop_rule(old.scope)
