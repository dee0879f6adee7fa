"""Deployments as providers: what is particular to each kind of them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from urllib.parse import quote

from core.domain.vendors.deployment import Deployment
from core.providers.builders import Deployed, build, build_server
from core.providers.deployments.vertex import VertexProvider
from core.providers.http.addressing import Addressing
from core.providers.http.client import HttpVendor
from core.providers.http.network import Network
from core.providers.openai.provider import OpenAIProvider
from core.vendors import DEPLOYMENT_KINDS, VENDORS, DeploymentKind


def build_deployment(told: Deployment, secret: str, network: Network) -> Deployed:
    """A deployment, ready to be asked."""
    kind = DEPLOYMENT_KINDS[told.kind]
    network = replace(network, allows_private=told.is_private)
    made = _BUILDERS.get(kind.name, _usual)(told, secret, network, kind)
    made.told = told
    made.provider.call(told.name)
    return made


def _usual(told: Deployment, secret: str, network: Network, kind: DeploymentKind) -> Deployed:
    """A vendor of the table at another address, or a server."""
    if kind.name in VENDORS and told.vendor == kind.name:
        made = build(VENDORS[kind.name], secret, told.url, network)
    else:
        made = build_server(told.vendor, told.url, secret, network, label=told.vendor)
    made.provider.reach(Addressing(names=told.models))
    return made


def _azure(told: Deployment, secret: str, network: Network, kind: DeploymentKind) -> Deployed:
    """Azure OpenAI, which takes its key in a header of its own, and on its dated addresses the model in the path."""
    provider = OpenAIProvider(told.vendor, told.url, None, label=kind.label, is_own=True, network=network)
    addressing = Addressing(names=told.models)
    if told.api_version:
        addressing = replace(addressing, place=partial(_azure_path, version=told.api_version))
    base = told.url if told.api_version else f"{told.url}/openai/v1"
    provider.wires = ("openai",) if told.api_version else provider.wires
    provider.is_counting = False
    provider.reach(addressing, HttpVendor(kind.label, base, {"api-key": secret}, network))
    return Deployed(provider, provider.guess)


def _azure_path(path: str, model: str, *, version: str) -> str:
    if not model:
        return f"/openai{path}?api-version={version}"
    return f"/openai/deployments/{quote(model, safe='')}{path}?api-version={version}"


def _vertex(told: Deployment, secret: str, network: Network, kind: DeploymentKind) -> Deployed:
    provider = VertexProvider(told, secret, network, kind.label)
    return Deployed(provider, provider.guess, provider.fallback)


_BUILDERS: dict[str, Callable[[Deployment, str, Network, DeploymentKind], Deployed]] = {
    "azure": _azure,
    "vertex": _vertex,
}
