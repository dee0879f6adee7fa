"""`aimm vendors …`: where vendors' models are asked, and with which keys."""

import argparse
import getpass
import os
import sys
from typing import Any

from core import ModelManager
from core.cli.parts import command, group
from core.domain.vendors.deployment import Deployment
from core.errors import InvalidRequest, register_secret
from core.models.cipher import new_key
from core.vendors import DEPLOYMENT_KINDS

_NO_ARGUMENT = (
    "A key on the command line can be seen by everyone on this machine, and is in the shell's history: set another one."
)


def add(commands: Any) -> None:
    """Add the command and its parts to the parser."""
    parts = group(commands, "vendors", "vendors' keys and deployments")
    command(parts, "list", "each deployment with its vendor, address and the end of its key", _list)
    one = command(parts, "add", "set a deployment up; its key is asked for, or read from standard input", _add, "name")
    one.add_argument("--kind", choices=DEPLOYMENT_KINDS, help="how it is asked (by default the name, if it is one)")
    one.add_argument("--vendor", help="whose models it answers, beside that vendor's other deployments")
    one.add_argument("--region", help="of Bedrock and Vertex AI")
    one.add_argument("--project", help="of Vertex AI")
    _add_fields(one)
    _add_key(one)
    one = command(parts, "rotate", "set another key; calls under way end with the former one", _rotate, "name")
    _add_key(one)
    one = command(parts, "change", "change what is named", _change, "name")
    _add_fields(one)
    one.add_argument("--on", dest="is_enabled", action="store_true", default=None, help="use it again")
    one.add_argument("--off", dest="is_enabled", action="store_false", help="use it no more, and keep it")
    one.add_argument("--new-key", action="store_true", help="set its key too, as another address needs it")
    _add_key(one)
    command(parts, "test", "try a deployment as it is set up", _test, "name")
    command(parts, "remove", "forget a deployment and its key", _remove, "name")
    command(parts, "new-key", "make a key to encrypt vendors' keys with; nothing is kept of it", _new_key)
    command(parts, "reencrypt", "encrypt all keys with the newest key to do so", _reencrypt)


def _add_fields(one: argparse.ArgumentParser) -> None:
    one.add_argument("--url", help="its base address")
    one.add_argument("--api-version", metavar="VERSION", help="of Azure's dated addresses, such as 2024-10-21")
    told = "a model that it has, and its name there; several may be given, none = all of its vendor's"
    one.add_argument("--model", action="append", metavar="MODEL[=NAME]", help=told)
    one.add_argument("--weight", type=int, help="its share of the calls among those of its priority (1)")
    one.add_argument("--priority", type=int, help="the lowest number is asked first (1)")
    one.add_argument("--rest", dest="rest_s", type=int, metavar="SECONDS", help="its shortest rest when limited (60)")
    one.add_argument("--private", dest="is_private", action="store_true", default=None, help="allow a private address")


def _add_key(one: argparse.ArgumentParser) -> None:
    one.add_argument("--key-env", metavar="VARIABLE", help="the environment variable that holds the key")
    one.add_argument("--key", help=argparse.SUPPRESS)
    one.add_argument("--untested", action="store_true", help="keep it although it was not tried, or does not work")


def _list(mm: ModelManager, _args: argparse.Namespace) -> None:
    states = mm.deployments.all()
    taken = {state.deployment.name for state in states}
    for name in mm.vendors.names:
        if name not in taken and name in mm.vendors.given:
            print(f"{name}\t{name}\tenvironment")
    for state in states:
        told = state.deployment
        print("\t".join((told.name, told.vendor, told.kind, told.url, told.hint or "no key", _described(told))))
        if state.problem:
            print(state.problem, file=sys.stderr)


def _add(mm: ModelManager, args: argparse.Namespace) -> None:
    kind = args.kind or (args.name if args.name in DEPLOYMENT_KINDS else "")
    if not kind:
        raise InvalidRequest(f"--kind is missing: {', '.join(DEPLOYMENT_KINDS)}.")
    secret = _key(args, f"{DEPLOYMENT_KINDS[kind].key} of {args.name}")
    values = {**_fields(args), "vendor": args.vendor, "region": args.region, "project": args.project}
    if not args.untested:
        mm.deployments.require(mm.deployments.test_new(args.name, kind, secret, **values))
    told = mm.deployments.add(args.name, kind, secret, **values)
    print(f"Added {told.name}: {_described(told)}, key {told.hint or 'none'}.")


def _rotate(mm: ModelManager, args: argparse.Namespace) -> None:
    mm.deployments.get(args.name)
    secret = _key(args, f"New key of {args.name}")
    if not args.untested:
        mm.deployments.require(mm.deployments.test_key(args.name, secret))
    told = mm.deployments.rotate(args.name, secret)
    print(f"Rotated the key of {told.name}: now {told.hint}, in use everywhere within a second.")


def _change(mm: ModelManager, args: argparse.Namespace) -> None:
    values = {name: value for name, value in _fields(args).items() if value is not None}
    if args.is_enabled is not None:
        values["is_enabled"] = args.is_enabled
    wants_key = args.new_key or args.key_env or args.key
    secret = _key(args, f"Key of {args.name}") if wants_key else None
    told = mm.deployments.change(args.name, secret, **values)
    print(f"Changed {told.name}: {_described(told)}, key {told.hint or 'none'}.")


def _test(mm: ModelManager, args: argparse.Namespace) -> int:
    found = mm.vendors.check(args.name) if args.name in mm.vendors.given else mm.deployments.test(args.name)
    print(found.message)
    return 0 if found.works else 1


def _remove(mm: ModelManager, args: argparse.Namespace) -> None:
    mm.deployments.remove(args.name)
    print(f"Removed {args.name}.")


def _new_key(_mm: ModelManager, _args: argparse.Namespace) -> None:
    print(new_key())


def _reencrypt(mm: ModelManager, _args: argparse.Namespace) -> None:
    print(f"Encrypted {mm.deployments.reencrypt()} keys anew.")


def _fields(args: argparse.Namespace) -> dict[str, Any]:
    names = ("url", "api_version", "weight", "priority", "rest_s", "is_private")
    models = None
    if args.model is not None:
        models = {model: there or model for model, _, there in (text.partition("=") for text in args.model) if model}
    return {**{name: getattr(args, name) for name in names}, "models": models}


def _key(args: argparse.Namespace, what: str) -> str:
    """The key, from where nobody else can see it. Raises: InvalidRequest"""
    if args.key is not None:
        register_secret(args.key)
        raise InvalidRequest(_NO_ARGUMENT, hint="Use --key-env VARIABLE, standard input, or the prompt.")
    if args.key_env is not None:
        found = os.environ.get(args.key_env, "")
        if not found.strip():
            register_secret(args.key_env)  # it may be the key itself
            raise InvalidRequest("--key-env names no environment variable that holds anything.")
        return found
    return getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.read()


def _described(told: Deployment) -> str:
    parts = [f"weight {told.weight}", f"priority {told.priority}"]
    parts += [f"models {' '.join(told.models)}"] if told.models else []
    parts += [] if told.is_enabled else ["off"]
    return ", ".join(parts)
