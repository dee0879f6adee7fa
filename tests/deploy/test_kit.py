"""The files of the kit are what their programs take, and agree with the product: its routes, sizes, times and settings."""

import re
import subprocess
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.server import _STATE
from core.batches.files import MAX_FILE_BYTES
from core.config import Settings
from core.environment import Environment
from tests.conftest import ROOT
from tests.deploy.tools import KIT, run, tool

IMAGE = (KIT / "Dockerfile").read_text("utf-8")
UNITS = sorted((KIT / "systemd").glob("*.service"))
COMPOSE = yaml.safe_load((KIT / "compose.yaml").read_text("utf-8"))
DRAIN_S = float(re.findall(r"AIMM_DRAIN_S=(\d+)", IMAGE)[0])
OURS = ("gateway", "dashboard", "worker")


@cache
def manifests() -> list[dict[str, Any]]:
    files = sorted((KIT / "kubernetes").glob("*.yaml"))
    found = [each for file in files for each in yaml.safe_load_all(file.read_text("utf-8"))]
    return [each for each in found if each.get("kind") not in (None, "Kustomization")]


def deployments() -> dict[str, Any]:
    """The containers of pods by name, with their pod's grace."""
    pods = [each["spec"]["template"]["spec"] for each in manifests() if each["kind"] == "Deployment"]
    return {pod["containers"][0]["name"]: {**pod["containers"][0], "pod": pod} for pod in pods}


# Each by the program that reads it


def test_hadolint_takes_the_image():
    run(tool("hadolint"), str(KIT / "Dockerfile"))


def test_compose_takes_its_file():
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(KIT / "compose.yaml"))


@pytest.mark.parametrize("manifest", manifests(), ids=lambda each: f"{each['kind']} {each['metadata']['name']}")
def test_kubernetes_takes_each_manifest(manifest: dict[str, Any]):
    tool("kubernetes-validate")
    import kubernetes_validate

    kubernetes_validate.validate(manifest, "1.33", strict=True)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_each_unit_and_finds_it_safe(unit: Path, tmp_path: Path):
    program = tool("systemd-analyze")
    # It looks whether the program is there, which it is on nobody's machine of tests.
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text("utf-8").replace("/opt/aimm/bin/aimm", "/bin/true"))
    said = subprocess.run([program, "verify", copy], capture_output=True, text=True, timeout=60, check=False)
    assert (said.returncode, said.stdout + said.stderr) == (0, "")

    found = run(program, "security", "--offline=true", str(copy))
    exposure = re.search(r"Overall exposure level.*?: ([\d.]+)", found)
    assert exposure and float(exposure[1]) < 2


# What they say of the product


def test_the_image_holds_the_code_and_nothing_of_its_makers():
    rules = [
        line for line in (KIT / "Dockerfile.dockerignore").read_text("utf-8").splitlines() if line[:1] not in ("", "#")
    ]
    assert rules[0] == "*"

    def is_in(path: str) -> bool:
        found = False
        for rule in rules[1:]:
            pattern, let_in = rule.removeprefix("!"), rule.startswith("!")
            parts = path.split("/")
            heads = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
            tails = parts if pattern.startswith("**/") else heads
            if any(fnmatch(each, pattern.removeprefix("**/")) for each in tails):
                found = let_in
        return found

    copied = {name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", IMAGE, re.MULTILINE) for name in line.split()}
    assert copied and all(is_in(f"{name}/x.py" if (ROOT / name).is_dir() else name) for name in copied)
    secret = (
        ".env",
        "core/.env.local",
        "data/aimm.db",
        ".git/config",
        "dashboard/.streamlit/secrets.toml",
        "x.pem",
        "core/a.db",
    )
    assert not [path for path in secret if is_in(path)]
    assert not re.findall(r"(?i)(?:_KEY|PASSWORD|SECRET|DSN|DATABASE_URL)\w*=", IMAGE)


def test_the_image_and_its_services_run_as_nobody_and_know_the_commands():
    assert re.findall(r"^USER (.*)$", IMAGE, re.MULTILINE) == ["10001:10001"]
    for name in OURS:
        service, container = COMPOSE["services"][name], deployments()[name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["env_file"] == ["aimm.env"]
        assert service["depends_on"]["db"]["condition"] == "service_healthy"
        assert (
            container["securityContext"]["readOnlyRootFilesystem"]
            and container["pod"]["securityContext"]["runAsNonRoot"]
        )
        unit = next(unit for unit in UNITS if unit.stem == f"aimm-{name}").read_text("utf-8")
        command = {"gateway": "serve"}.get(name, name)
        assert service["command"][0] == container["args"][0] == command and f"/bin/aimm {command}" in unit
    assert "-U aimm -d aimm" in COMPOSE["services"]["db"]["healthcheck"]["test"][1]


def test_probes_ask_what_is_there_and_give_up_late():
    """Out of the service long before it is begun anew: a busy process is no dead one."""
    for name in ("gateway", "dashboard"):
        container = deployments()[name]
        probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
        spans = {kind: probe["periodSeconds"] * probe["failureThreshold"] for kind, probe in probes.items()}
        assert {probe["httpGet"]["path"] for probe in probes.values()} <= _STATE and probes["liveness"][
            "timeoutSeconds"
        ] > 5
        assert probes["liveness"]["httpGet"]["path"] == "/health"  # not /readyz: a database that is away is no reason
        assert spans["readiness"] * 2 < spans["liveness"] < spans["startup"]
    assert "127.0.0.1:8080/health" in IMAGE and "8080" in COMPOSE["services"]["dashboard"]["command"]


def test_whoever_stops_a_server_waits_until_its_answers_have_ended():
    from api.serving import RECORDING_S

    config = next(each for each in manifests() if each["kind"] == "ConfigMap")["data"]
    example = (KIT / "aimm.env.example").read_text("utf-8")
    assert float(config["AIMM_DRAIN_S"]) == DRAIN_S and f"AIMM_DRAIN_S={DRAIN_S:g}" in example
    needed = DRAIN_S + RECORDING_S
    for name in OURS:
        container = deployments()[name]
        pause = float(
            (container.get("lifecycle") or {"preStop": {"exec": {"command": ["", 0]}}})["preStop"]["exec"]["command"][1]
        )
        assert container["pod"]["terminationGracePeriodSeconds"] > pause + needed
        assert float(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) > needed
    for unit in UNITS:
        [stop] = re.findall(r"TimeoutStopSec=(\d+)s", unit.read_text("utf-8"))
        assert float(stop) > needed


def test_the_autoscaler_asks_for_a_figure_that_is_told():
    from core.telemetry.tally import Tally

    scaler = next(each for each in manifests() if each["kind"] == "HorizontalPodAutoscaler")
    name = scaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
    tally = Tally(lambda: 3, None)

    assert [family.samples[0].value for family in tally.families() if family.name == name] == [3]
    assert name in (KIT / "kubernetes" / "metrics-adapter.yaml").read_text("utf-8")


def test_proxies_let_through_what_we_take_and_wait_as_long_as_we_do():
    settings = Settings()
    site, caddy = ((KIT / name).read_text("utf-8") for name in ("nginx/aimm.conf", "caddy/Caddyfile"))
    ingress = next(each for each in manifests() if each["kind"] == "Ingress")["metadata"]["annotations"]
    mib = [str(settings.max_body_mib), str(MAX_FILE_BYTES >> 20)]

    assert re.findall(r"client_max_body_size (\d+)m", site) == mib and sorted(
        re.findall(r"max_size (\d+)MiB", caddy)
    ) == sorted(mib)
    assert ingress["nginx.ingress.kubernetes.io/proxy-body-size"] == f"{mib[0]}m"
    waits = re.findall(r"(?:proxy_read_timeout|response_header_timeout) (\d+)s", site + caddy)
    assert len(waits) == 3 and all(float(wait) > settings.call_timeout_s for wait in waits)
    kept = re.findall(r"keepalive(?:_timeout)? (\d+)s", site + caddy)
    [ours] = re.findall(r"timeout_keep_alive=(\d+)", (ROOT / "api" / "serving.py").read_text("utf-8"))
    assert len(kept) == 2 and all(float(each) < float(ours) for each in kept)


def test_what_the_kit_sets_are_settings(caplog: pytest.LogCaptureFixture):
    lines = (KIT / "aimm.env.example").read_text("utf-8").splitlines()
    set_ = dict(line.removeprefix("# ").split("=", 1) for line in lines if re.match(r"(# )?[A-Z_]+=", line))
    config = next(each for each in manifests() if each["kind"] == "ConfigMap")["data"]
    image = dict(re.findall(r"\b(AIMM_\w+)=(\S+)", IMAGE))

    for environ in (set_, config, image):
        Settings.from_environ({name: value for name, value in environ.items() if value})
    known = (ROOT / "README.md").read_text("utf-8")
    assert caplog.messages == [] and all(f"`{name}`" in known for name in (*set_, *config, *image))
    assert Environment(set_).text("AIMM_REQUIRE_KEY") == "1" and len(set_) > 6


def test_the_readme_of_the_kit_names_each_part():
    text = (KIT / "README.md").read_text("utf-8")
    parts = [path.name for path in KIT.iterdir() if path.name != "README.md"]

    assert [name for name in parts if name not in text] == []
