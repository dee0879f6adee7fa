"""The dashboard of Grafana and the alert rules ask for what a running product tells; the rules do what they say."""

import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.calls.origin import Origin
from core.domain.experiment import OutcomeInput
from tests.builders import Running, running_gateway, until
from tests.conftest import copied, free_port
from tests.deploy.tools import KIT, run, running, tool
from tests.fakes.vendors import Reply, failure, openai_answer

Ask = Callable[[str], list[Any]]
DASHBOARD = json.loads((KIT / "grafana" / "aimm.json").read_text("utf-8"))
RULES = yaml.safe_load((KIT / "prometheus" / "rules.yml").read_text("utf-8"))["groups"][0]["rules"]
QUERIES = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
_SELECTOR = re.compile(r"(?:aimm_\w+|\bup\b)(?:\{[^}]*\})?")


def use_everything(served: Running) -> None:
    """Make each figure move: answers, retries, fallbacks, refusals, kept answers, an experiment, a budget, a run."""
    mm = served.mm
    down = failure(503, "Down.", headers={"Retry-After": "60"})
    served.vendor.next(failure(500, "Again."), openai_answer(), failure(401, "No."), down)
    for fallbacks in ((), (), ("sim-fast",)):
        mm.submit(mm.request("Hello", model="gpt-4o"), Origin(fallbacks=fallbacks)).result()
    for _ in range(2):
        mm.submit(mm.request("Keep this", model="gpt-4o"), Origin(cache_s=60)).result()
    mm.submit(mm.request("Hello", model="gpt-4o"), Origin(user_id="bob")).result()
    served.vendor.next(Reply(events=openai_answer(usage={}).events), openai_answer())  # of the first no usage is told
    for model in ("gpt-4o", "gpt-unheard-of"):
        mm.submit(mm.request("Hello", model=f"openai/{model}"), Origin()).result()


def set_up(served: Running) -> None:
    """What is there before anybody asks."""
    mm = served.mm
    mm.budgets.create("team", "100", action="notify")
    mm.budgets.create("nothing", "0.000001", scope="user:bob", action="stop")
    experiment = mm.experiments.create("Tone", ["sim-fast", "sim-careful"])
    for n in range(8):
        mm.experiments.assign(experiment.id, f"u{n}")
    mm.experiments.record(experiment.id, [OutcomeInput(success=n % 2 == 0, unit_id=f"u{n}") for n in range(8)])


def scraped(served: Running, at: int) -> str:
    """What /metrics tells, as a Prometheus that scraped it at this second would keep it."""
    own = 'instance="here",job="aimm"'
    lines = [line.rsplit(" ", 1) for line in served.get("/metrics").body.decode().splitlines() if line[:1] != "#"]
    told = [
        f"{name[:-1]},{own}}} {value} {at}" if name.endswith("}") else f"{name}{{{own}}} {value} {at}"
        for name, value in lines
    ]
    return "".join(f"{line}\n" for line in [*told, f"up{{{own}}} 1 {at}"])


@pytest.fixture(scope="module")
def ask(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Asks a Prometheus that holds two scrapes of a product in use; by itself it would first scrape after five seconds."""
    program, folder, port = tool("prometheus"), tmp_path_factory.mktemp("prometheus"), free_port()
    now = int(time.time())
    with running_gateway(copied(sqlite_template, folder), call_timeout_s=10.0) as served:
        set_up(served)
        use_everything(served)
        first = scraped(served, now - 60)
        use_everything(served)
        (folder / "scrapes").write_text(f"{first}{scraped(served, now - 1)}# EOF\n")
    run(tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(folder / "scrapes"), str(folder / "data"))
    (folder / "prometheus.yml").write_text("{}")
    command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]

    def ask(query: str) -> list[Any]:
        words = urllib.parse.urlencode({"query": query, "time": now})
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{words}", timeout=10) as answer:
            found: list[Any] = json.loads(answer.read())["data"]["result"]
            return found

    def is_up() -> bool:
        try:
            return bool(ask("up == 1"))
        except OSError:
            return False

    with running(command, folder, is_up, until):
        yield ask


def test_each_panel_of_the_dashboard_shows_something(ask: Ask):
    unanswered = {}
    for name, query in QUERIES.items():
        plain = query.replace("$__rate_interval", "2m").replace("$model", ".*")
        if not [value for value in ask(plain) if value["value"][1] != "NaN"]:
            unanswered[name] = plain

    assert len(QUERIES) > 20 and unanswered == {}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_what_an_alert_looks_at_is_told(rule: dict[str, Any], ask: Ask):
    selectors = set(_SELECTOR.findall(rule["expr"]))
    labels = {name.strip() for by in re.findall(r"\bby \(([^)]*)\)", rule["expr"]) for name in by.split(",")}
    series = [each["metric"] for selector in selectors for each in ask(selector)]

    assert selectors and {selector for selector in selectors if not ask(selector)} == set()
    assert not [name for name in labels if not any(name in metric for metric in series)]
    told = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
    assert told <= (labels or {name for metric in series for name in metric})


def test_promtool_takes_the_rules_and_they_ring_when_they_should():
    program = tool("promtool")
    run(program, "check", "config", "--syntax-only", str(KIT / "prometheus" / "prometheus.yml"))
    run(program, "check", "rules", str(KIT / "prometheus" / "rules.yml"))
    run(program, "test", "rules", str(KIT / "prometheus" / "rules_test.yml"))


def test_the_dashboard_is_whole():
    panels = DASHBOARD["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "model"}
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in panels):
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24 and not cells & taken
        taken |= cells
