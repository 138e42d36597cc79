"""``python -m benchmarks.entitlements``: entitlement checks per second of one process of the control plane.

Next to it, in the same run and by the same load generator, an aiohttp handler that only gets one key of the same
store: with redis-py, as one would write it, and with our own client of the store. The server has one core for itself,
load and store share another. Cases take turns; each figure is the median of its windows. Exit 1 when the bar is
missed.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import loads, machine
from benchmarks.servers import Server
from benchmarks.store import Store
from benchmarks.windows import Window, measure, median

BAR = 0.6
KEY = "ck_live_0123456789abcdefghij"
HEADERS = {"Accept": "application/json", "User-Agent": "benchmark/1", "X-API-Key": KEY}
OURS, REDIS_PY, LANE = "checks", "aiohttp + redis-py", "aiohttp + our client"
TRIES = 2
WARM_UP_S = 1


def control(folder: Path, store: Store, core: int) -> Server:
    """The control plane as it is shipped, with its worker."""
    port = machine.free_port()
    command = [sys.executable, "-m", "sidecar", "control", "--data", str(folder / "data"), "--store", store.url]
    command += ["--control-listen", f"127.0.0.1:{port}"]
    return Server("control", command, port, core=core, folder=folder, environment={"SIDECAR_ADMIN_KEY": KEY})


def bare(folder: Path, store: Store, core: int, client: str) -> Server:
    port = machine.free_port()
    command = [sys.executable, "-m", "benchmarks.bare_get", str(port), store.url, client]
    return Server(f"bare-{client}", command, port, core=core, folder=folder)


async def make_metric(port: int) -> None:
    """A metric that is priced per unit."""
    rule = {"billable_metric_key": "chat", "cost_type": "per_unit", "unit_cost": 1_000}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=HEADERS) as session:
        await _made(session, "/v1/billable-metrics", {"key": "chat"})
        await _made(session, "/v1/metering-rules", rule)
        # It is answered when all that there is has been archived: nothing of the kind is measured.
        async with session.get("/v1/customers?limit=1") as got:
            await got.read()


async def _made(session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> None:
    async with session.post(path, json=body) as got:
        if got.status != 201:
            raise RuntimeError(f"{path} answered {got.status}: {await got.text()}")


def write_paths(store: Store) -> Path:
    """One path for each customer: a proxy key names whose it is."""
    customers = [key.split("_")[2] for key in store.callers.read_text().split()]
    paths = store.folder / "paths"
    paths.write_text("".join(f"/v1/customers/cus_{each}/entitlements/chat?units=3\n" for each in customers))
    return paths


def compare(servers: dict[str, Server], paths: Path, store: Store, options: argparse.Namespace) -> dict[str, Window]:
    windows: dict[str, list[Window]] = {name: [] for name in servers}
    for server in servers.values():
        _load(server, paths, options.connections, WARM_UP_S)
    for _ in range(options.windows):
        for name, server in servers.items():

            def load(server: Server = server) -> loads.Load:
                return _load(server, paths, options.connections, options.seconds)

            windows[name].append(measure(load, server.pid, store.pid, tries=TRIES))
    return {name: median(each) for name, each in windows.items()}


def _load(server: Server, paths: Path, connections: int, seconds: int) -> loads.Load:
    return loads.gets(server.port, paths, HEADERS, connections=connections, seconds=seconds)


def shown(window: Window) -> str:
    return (
        f"{window.per_s:7,.0f}/s   p50 {window.p50_us / 1000:5.2f} ms   p99 {window.p99_us / 1000:6.2f} ms   "
        f"CPU {window.cpu_us:4.0f} µs   store {window.store_cpu_us:3.0f} µs   errors {window.errors:.0f}   "
        f"others {window.foreign_percent:3.0f} %"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.entitlements", description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="length of one window")
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--core", type=int, default=0, help="the server's")
    parser.add_argument("--other-core", type=int, default=1, help="of the load and the store")
    options = parser.parse_args(arguments)
    machine.keep_off(options.core, stay_on=options.other_core)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        store = stack.enter_context(Store(folder, core=options.other_core, append_only=True))
        servers = {
            OURS: stack.enter_context(control(folder, store, options.core)),
            REDIS_PY: stack.enter_context(bare(folder, store, options.core, "redis-py")),
            LANE: stack.enter_context(bare(folder, store, options.core, "lane")),
        }
        asyncio.run(make_metric(servers[OURS].port))
        results = compare(servers, write_paths(store), store, options)
    for name, window in results.items():
        print(f"{name:<22} {shown(window)}   checks / this: {results[OURS].per_s / window.per_s:.2f}")
    ratio = results[OURS].per_s / results[REDIS_PY].per_s
    met = ratio >= BAR and not results[OURS].errors
    print(f"{'met' if met else 'NOT met'}: checks / {REDIS_PY} {ratio:.2f}, bar {BAR}")
    sys.exit(not met)


if __name__ == "__main__":
    main()
