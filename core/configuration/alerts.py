"""The section of alert rules, with the keys of their own file."""

from core.configuration.document import Entry
from core.configuration.section import Plain, Section
from core.domain.alert import AlertRule
from core.monitoring.alerts import rule_file
from core.monitoring.alerts.rule_file import as_document, read_rule
from core.monitoring.alerts.watching import RuleService


class Alerts(Section[AlertRule]):
    name = "alerts"

    def __init__(self, service: RuleService) -> None:
        self._service = service

    def current(self) -> dict[str, AlertRule]:
        return {rule.name: rule for rule in self._service.all()}

    def wanted(self, entry: Entry) -> AlertRule:
        return read_rule(entry.fields, entry.name)

    def shown(self, thing: AlertRule) -> Plain:
        return self.usual() | {key: value for key, value in as_document(thing).items() if key != "name"}

    def usual(self) -> Plain:
        return rule_file.usual()

    def add(self, name: str, thing: AlertRule) -> str:
        self._service.put(thing)
        return ""

    def change(self, name: str, old: AlertRule, thing: AlertRule) -> None:
        self._service.put(thing)

    def remove(self, name: str, old: AlertRule) -> None:
        self._service.remove(name)
