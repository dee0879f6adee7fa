"""Measures what the gateway costs and adds, beside the least that a proxy in Python does and beside LiteLLM's proxy.

`python benchmarks/gateway.py [cpu|wires|latency|soak|streams|all]`. wires: processor time on each wire. cpu: processor time a request, memory, and requests a
second on one core. latency: what a request and a first chunk take longer than straight from the vendor. soak: memory
over 100,000 requests, and whether the books agree at the end. streams: 500 paced streams at once; with --dashboard on
the server that also draws the pages, which are timed meanwhile. The vendor is a fake on the same machine.
"""

import argparse
import os
import statistics
from contextlib import ExitStack
from dataclasses import dataclass, field

import gateway_servers as servers
from common import open_manager, print_table
from gateway_load import Result
from gateway_pages import Watch
from gateway_servers import Asked, aimm, settle
from gateway_wires import N_CHUNKS, WIRES

SHARES = {"LiteLLM": 0.5}  # of the seconds: the slowest needs no more
SOAK_STEPS = 10
RAMP_S = 5
PAGES = ("/", "/_stcore/health", "/health")
# name, the load; two models send the same 60 chunks: at full speed, where reads run together, and 20 ms apart
KINDS: dict[str, dict[str, object]] = {
    "plain": {},
    "stream": {"stream": True, "least_events": N_CHUNKS},
    "stream 20 ms apart": {"stream": True, "least_events": N_CHUNKS, "model": "gpt-4.1", "ramp_s": 1.0},
}


@dataclass
class Measured:
    cpu_ms: dict[str, list[float]] = field(default_factory=dict)
    rss_mb: float = 0.0


def main() -> None:
    args = arguments()
    parts = {
        "cpu": print_cpu,
        "wires": print_wires,
        "latency": print_latency,
        "soak": print_soak,
        "streams": print_streams,
    }
    for name, part in parts.items():
        if args.part in (name, "all"):
            with servers.vendor() as vendor, ExitStack() as stack:
                part(args, vendor, stack)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", default="all", choices=("cpu", "wires", "latency", "soak", "streams", "all"))
    parser.add_argument("--servers", default="bare,ours,litellm", help="those that are measured (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6, help="of each measurement in a round")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--requests", type=int, default=100_000, help="of the soak")
    parser.add_argument("--streams", type=int, default=500, help="at once")
    parser.add_argument("--dashboard", action="store_true", help="streams: on the server that also draws the pages")
    return parser.parse_args()


def started(names: str, vendor: Asked, stack: ExitStack) -> list[Asked]:
    found = []
    for name in names.split(","):
        try:
            found.append(stack.enter_context(getattr(servers, name)(vendor.port)))
        except (OSError, ChildProcessError, AssertionError, servers.subprocess.CalledProcessError) as error:
            print(f"! {name} is left out: {error}")
    return found


def print_cpu(args: argparse.Namespace, vendor: Asked, stack: ExitStack) -> None:
    asked = started(args.servers, vendor, stack)
    rows = []
    measured = {each.name: Measured() for each in asked}
    rates: dict[str, list[float]] = {each.name: [] for each in asked}
    for each in asked:
        warm_up(each, args.connections)
    for _ in range(args.rounds):
        for each in asked:
            measure_cpu(each, args, measured[each.name])
            rates[each.name].append(one_core_rate(each, vendor, args))
    heads = list(next(iter(measured.values())).cpu_ms)
    for name, m in measured.items():
        medians = [statistics.median(m.cpu_ms[head]) for head in heads]
        rate = statistics.median(rates[name])
        rows.append((name, *(f"{value:.2f}" for value in medians), f"{rate:,.0f}", f"{m.rss_mb:.0f} MB"))
    head = ("CPU ms a request", *heads, "plain/s, one core", "memory")
    print_table(f"Processor time a request, medians of {args.rounds} rounds", head, rows)
    for other in measured.keys() - {"ours"} if "ours" in measured else ():
        ratios = [
            statistics.median(measured["ours"].cpu_ms[head]) / statistics.median(measured[other].cpu_ms[head])
            for head in heads
        ]
        print(f"ours / {other}: " + ", ".join(f"{head} {ratio:.2f}" for head, ratio in zip(heads, ratios, strict=True)))


def print_wires(args: argparse.Namespace, vendor: Asked, stack: ExitStack) -> None:
    """Each wire to its own vendor, in turn, so that an hour's slowness falls on all of them."""
    asked = [each for each in started(args.servers, vendor, stack) if each.name != "LiteLLM"]
    ways = [(wire, stream) for wire in WIRES for stream in (False, True)]
    found: dict[tuple[str, str, bool], list[float]] = {}
    for turn in range(args.rounds + 1):
        for each in asked:
            for wire, stream in ways:
                begin = each.cpu_s()
                least = N_CHUNKS if stream else 0
                result = each.load(
                    wire=wire, stream=stream, least_events=least, connections=args.connections, seconds=args.seconds
                )
                settle()
                if turn:  # the first one warms up
                    ms = (each.cpu_s() - begin) * 1000 / max(result.done, 1)
                    found.setdefault((each.name, wire, stream), []).append(ms)
    rows = []
    for each in asked:
        for wire, stream in ways:
            ms = statistics.median(found[each.name, wire, stream])
            ratio = ms / statistics.median(found[each.name, "chat", stream])
            rows.append((each.name, wire, "stream" if stream else "plain", f"{ms:.2f} ms", f"{ratio:.2f}"))
    print_table(f"Processor time a request, medians of {args.rounds} rounds", ("", "wire", "", "ms", "of chat"), rows)


def warm_up(asked: Asked, connections: int) -> int:
    """How many requests it was."""
    n_done = sum(asked.load(**kind, connections=connections, seconds=1.5).done for kind in KINDS.values())
    settle()
    return n_done


def measure_cpu(asked: Asked, args: argparse.Namespace, into: Measured) -> None:
    seconds = args.seconds * SHARES.get(asked.name, 1)
    wanted = [(name, args.connections) for name in KINDS] + [("plain", 1), ("stream", 1)]
    for name, connections in wanted:
        begin = asked.cpu_s()
        result = asked.load(**KINDS[name], connections=connections, seconds=seconds)
        settle()
        ms = (asked.cpu_s() - begin) * 1000 / max(result.done, 1)
        into.cpu_ms.setdefault(f"{name} ×{connections}", []).append(ms)
        into.rss_mb = max(into.rss_mb, asked.server.rss_mb())


def one_core_rate(asked: Asked, vendor: Asked, args: argparse.Namespace) -> float:
    """Plain requests a second with the server on one core and everything else on another."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return float("nan")
    asked.pin({cores[0]})
    vendor.pin({cores[1]})
    seconds = args.seconds * SHARES.get(asked.name, 1)
    result = asked.load(connections=args.connections, seconds=seconds, core=cores[1])
    asked.pin(set(cores))
    vendor.pin(set(cores))
    return result.done / result.seconds


def print_latency(args: argparse.Namespace, vendor: Asked, stack: ExitStack) -> None:
    """At one connection; what is added is the difference of medians to asking the vendor directly."""
    asked = [vendor, *started(args.servers, vendor, stack)]
    found: dict[str, list[tuple[Result, Result]]] = {each.name: [] for each in asked}
    for each in asked:
        warm_up(each, 1)
    for _ in range(args.rounds):
        for each in asked:
            plain = each.load(seconds=args.seconds * SHARES.get(each.name, 1))
            found[each.name].append((plain, each.load(**KINDS["stream 20 ms apart"], seconds=args.seconds)))
    direct = latencies(found["direct"])
    rows = []
    for name, results in found.items():
        values = latencies(results)
        added = ["" if name == "direct" else f"{a - b:.2f}" for a, b in zip(values[::2], direct[::2], strict=True)]
        rows.append((name, *(f"{value:.2f}" for value in values), *added))
    head = ("ms", "plain p50", "plain p95", "first chunk p50", "first chunk p95", "added plain", "added first chunk")
    print_table(f"Latency at one connection, medians of {args.rounds} rounds", head, rows)


def latencies(results: list[tuple[Result, Result]]) -> list[float]:
    """Of plain requests p50 and p95, of first chunks p50 and p95."""
    plain = [statistics.median(p.total_ms[at] for p, _ in results) for at in (0, 1)]
    return plain + [statistics.median(s.first_ms[at] for _, s in results) for at in (0, 1)]


def print_soak(args: argparse.Namespace, vendor: Asked, stack: ExitStack) -> None:
    ours = stack.enter_context(servers.ours(vendor.port))
    n_answered = warm_up(ours, args.connections)
    step = args.requests // SOAK_STEPS
    rows: list[tuple[str, ...]] = [("0", f"{ours.server.rss_mb():.0f} MB", "", "", "")]
    for at in range(1, SOAK_STEPS + 1):
        result = ours.load(connections=args.connections, requests=step)
        n_answered += result.done
        rate, (_, p95, _) = result.done / result.seconds, result.total_ms or (0, 0, 0)
        memory = f"{ours.server.rss_mb():.0f} MB"
        rows.append((f"{at * step:,}", memory, f"{rate:,.0f}", f"{p95:.0f} ms", str(result.errors)))
    head = ("requests", "memory", "requests/s", "p95", "errors")
    print_table(f"Soak at {args.connections} connections", head, rows)
    settle()
    print("aimm check:", aimm(ours.folder, ours.environ, "check").strip())
    with open_manager(ours.folder / "aimm.db") as mm:
        print(f"{n_answered:,} requests answered, warm-up included; {mm.log.count():,} calls in the log.")


def print_streams(args: argparse.Namespace, vendor: Asked, stack: ExitStack) -> None:
    """First the vendor directly, then each server; what is added is beyond the direct median."""
    if args.dashboard:
        asked = [vendor, stack.enter_context(servers.ours(vendor.port, dashboard=True))]
    else:
        asked = [vendor, *started(args.servers.replace(",litellm", ""), vendor, stack)]
    rows, pages = [], []
    direct: Result | None = None
    for each in asked:
        if each is not vendor:
            each.load(stream=True, connections=8, seconds=2)
        pages_of = PAGES if args.dashboard and each is not vendor else ()
        with Watch(each.server, pages_of, "/monitoring" if pages_of else None) as watch:
            begin = each.cpu_s()
            n = args.streams
            result = each.load(model="gpt-4o-mini", stream=True, connections=n, requests=n, ramp_s=RAMP_S)
            settle()
            cpu_s = each.cpu_s() - begin
        direct = direct or result
        rows.append((each.name, *stream_row(result, direct), f"{cpu_s:.0f} s", f"{watch.peak_mb:.0f} MB"))
        pages += [(path, len(ms), f"{statistics.median(ms):.0f}", f"{max(ms):.0f}") for path, ms in watch.ms.items()]
    head = (
        "",
        "complete",
        "failed",
        "first p50",
        "first p95",
        "added p95",
        "late p50",
        "late p95",
        "CPU",
        "peak memory",
    )
    title = (
        f"{args.streams} paced streams at once; ms to the first chunk, and of the whole stream beyond the direct one"
    )
    print_table(title, head, rows)
    if pages:
        print_table("Pages meanwhile, ms", ("", "loads", "median", "max"), pages)


def stream_row(result: Result, direct: Result) -> tuple[str, ...]:
    first, total = result.first_ms or [0.0, 0.0, 0.0], result.total_ms or [0.0, 0.0, 0.0]
    late = [total[at] - direct.total_ms[0] for at in (0, 1)]
    values = (first[0], first[1], first[1] - direct.first_ms[0], *late)
    return (str(result.done), str(result.errors), *(f"{value:.1f}" for value in values))


if __name__ == "__main__":
    main()
