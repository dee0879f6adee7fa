"""`aimm`: the same engine from a terminal."""

import argparse
import importlib.util
import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

from core import ModelManager
from core.acting import acting_as, user_of_system
from core.calls.origin import Origin
from core.cli import evaluation, experiments, library, logs, operating, people, prices, records, retention
from core.cli.alerts import commands as alerts
from core.cli.gateway import keys, teams, vendors
from core.cli.parts import command
from core.config import Settings
from core.demo.history import DemoSize
from core.doctor.sums import differences
from core.domain.people.actor import Actor
from core.domain.request_json import from_json
from core.errors import AimmError
from core.formats import strict_json as json
from core.telemetry.process_log import begin_log, logger
from core.telemetry.sentry import open_sentry

EXIT_ERROR = 1


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    if args.run in (_serve, _dashboard):
        args.run(args)
    if args.run is _worker:
        begin_log()
    try:
        if getattr(args, "stands_alone", False):  # it opens the database in its own way, or none
            with acting_as(Actor(name=f"cli:{user_of_system()}", door="cli")):
                return int(args.run(args) or 0)
        with (
            ModelManager.open(
                Settings.load(), source="cli", takes_up=args.run in (_run, _worker, *evaluation.LONG)
            ) as mm,
            acting_as(Actor(name=f"cli:{user_of_system()}", door="cli")),
        ):
            return int(args.run(mm, args) or 0)
    except AimmError as error:
        print(f"{error.message} {error.hint}".strip(), file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_ERROR
    except BrokenPipeError:  # whoever read the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aimm", description="AI Model Manager on the command line.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_calls(commands)
    for group in (
        logs, library, evaluation, prices, experiments, keys, teams, people, records, retention, alerts, operating,
        vendors,
    ):  # fmt: skip
        group.add(commands)
    _add_servers(commands)
    command(commands, "check", "recompute all sums from the raw rows and say what differs", _check)
    return parser


def _add_calls(commands: Any) -> None:
    """Add the commands that make calls or list them, real or made up."""
    ask = command(commands, "ask", "ask a model; the prompt is read from standard input where it is -", _ask)
    ask.add_argument("prompt", nargs="?", default="-")
    ask.add_argument("-m", "--model")
    ask.add_argument("-s", "--system")
    told = "the prompt is a whole request as JSON: model, messages, parameters, tools"
    ask.add_argument("-r", "--request", action="store_true", help=told)
    ask.add_argument("--json", action="store_true", help="the whole record as JSON instead of the streamed text")

    command(commands, "models", "list the models that can be asked", _models)

    told = "work on what is queued in the database, beside other processes, until it is stopped"
    command(commands, "worker", told, _worker)

    run = command(commands, "run", "run a workflow by name", _run, "workflow", "input")
    run.add_argument("-m", "--model")
    run.add_argument("-i", "--set", action="append", default=[], metavar="NAME=VALUE")

    demo = command(commands, "demo", "fill in plausible history, marked as simulated", _demo)
    demo.add_argument("--generations", type=int, default=DemoSize().generations)
    demo.add_argument("--days", type=int, default=DemoSize().days)
    demo.add_argument("--remove", action="store_true", help="take the demo data away")


def _add_servers(commands: Any) -> None:
    """Add the commands that become a server."""
    serve = command(commands, "serve", "the HTTP API and the gateway, without the dashboard", _serve)
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen at; beyond this machine with a key")
    serve.add_argument("--port", type=int, default=8501)
    serve.add_argument("--workers", type=int, default=1, help="processes that share the address and the database")

    pages = command(commands, "dashboard", "the pages and the API on one port", _dashboard)
    pages.add_argument("--host", default="localhost", help="the address to listen at; beyond this machine with a login")
    pages.add_argument("--port", type=int, default=8501)


def _serve(args: argparse.Namespace) -> NoReturn:
    """Become the server: it is a program of its own above the core, which does not know it."""
    asked = ["--host", args.host, "--port", str(args.port), "--workers", str(args.workers)]
    os.execv(sys.executable, [sys.executable, "-m", "api", *asked])  # noqa: S606 - ourselves, no shell


def _dashboard(args: argparse.Namespace) -> NoReturn:
    """Become the server of the pages, wherever they are installed."""
    found = importlib.util.find_spec("dashboard")
    if found is None or not found.submodule_search_locations:
        sys.exit("The dashboard is not installed beside this command.")
    app = os.path.join(found.submodule_search_locations[0], "app.py")
    where = ["--server.address", args.host, "--server.port", str(args.port)]
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", app, *where])  # noqa: S606 - no shell


def _ask(mm: ModelManager, args: argparse.Namespace) -> None:
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
    request = from_json(prompt) if args.request else mm.request(prompt, model=args.model, system=args.system)
    call = mm.submit(replace(request, model=args.model) if args.model else request)
    if not args.json:
        chunks: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        call.listen(chunks.put)
        while (chunk := chunks.get()) is not None:
            print(chunk, end="", flush=True)
        g = call.answered(call.result())
        print("".join(f"{called.name}({called.arguments})" for called in g.tool_calls))
        return
    g = call.answered(call.result())
    cost = None if g.cost_usd is None else str(g.cost_usd)
    record: dict[str, object] = {"id": g.id, "model": g.model, "text": g.text, "status": g.status, "cost_usd": cost}
    tokens = {name: getattr(g.usage, name) for name in ("input_tokens", "output_tokens")}
    print(json.dumps({**record, **tokens, "latency_s": g.latency_s}, ensure_ascii=False))


def _models(mm: ModelManager, _args: argparse.Namespace) -> None:
    for model in mm.models():
        print(f"{model.name}\t{model.provider}")
    if mm.vendors.list_error:
        print(f"The vendor's list could not be read: {mm.vendors.list_error}", file=sys.stderr)


def _run(mm: ModelManager, args: argparse.Namespace) -> int:
    pairs = [text.partition("=") for text in args.set]
    run_id = mm.workflows.start(
        args.workflow,
        args.input,
        inputs={name: value for name, _, value in pairs},
        model=args.model,
        origin=Origin(source="cli"),
    )
    run = mm.workflows.wait(run_id)
    print(run.final_output if run.status == "succeeded" else run.error)
    return 0 if run.status == "succeeded" else EXIT_ERROR


def _worker(mm: ModelManager, _args: argparse.Namespace) -> None:
    """Take up runs until SIGTERM or Ctrl+C; what is under way is then left to the other processes."""
    ends = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ends.set())
    open_sentry(mm.settings)
    mm.runs.launch()
    logger.info("working on %s", mm.database.address)
    ends.wait()


def _demo(mm: ModelManager, args: argparse.Namespace) -> None:
    if args.remove:
        mm.demo.remove()
        print("The demo data are gone.")
        return
    mm.demo.fill(DemoSize(args.generations, args.days))
    print(
        f"{args.generations:,} simulated generations over {args.days} days are in. Remove them with: aimm demo --remove"
    )


def _check(mm: ModelManager, _args: argparse.Namespace) -> int:
    found = differences(mm)
    print(
        "\n".join(found) if found else "The rollups, the budgets' ledger and the experiments' sums equal the raw rows."
    )
    if deleted := retention.told(mm):
        print(f"{deleted} Their part is taken from the sums that were kept when they were deleted.")
    return EXIT_ERROR if found else 0


if __name__ == "__main__":
    sys.exit(main())
